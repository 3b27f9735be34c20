package mount

import (
	"sync"
	"time"

	"jfs/meta"
)

// listings remembers which listings the kernel keeps, to tell when one is old. The kernel itself notices what it has
// changed, and a new modification time once it asks for it. That is not enough: it asks late, and entries of other
// clients that follow each other closely may leave the time as it is (see meta.Options.SkipDirMtime).
type listings struct {
	now func() time.Time

	mu sync.Mutex // guards of
	of map[uint64]listing
}

// listing is what was seen of a directory when the kernel was last told to list it anew.
type listing struct {
	mtime  meta.Time
	seen   time.Time // first time that mtime was seen
	filled time.Time // when the listing was begun
}

const (
	// listingsMost bounds the memory to some MiB; what is forgotten is listed anew.
	listingsMost = 20_000
	// listingSettles is how long after a change of a directory another one may come that leaves its time as it is:
	// ten times the default window of clients. It is measured by this clock alone, as others may differ.
	listingSettles = time.Second
)

func newListings() *listings {
	return &listings{now: time.Now, of: map[uint64]listing{}}
}

// open says whether the listing of a directory that the kernel may have is good for an open that found this time.
func (l *listings) open(node uint64, mtime meta.Time) (keep bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	known, ok := l.of[node]
	if !ok && len(l.of) >= listingsMost {
		clear(l.of)
	}
	if !ok || known.mtime != mtime {
		known = listing{mtime: mtime, seen: now}
	}
	if keep = known.filled.Sub(known.seen) >= listingSettles; !keep {
		known.filled = now
	}
	l.of[node] = known
	return keep
}
