package mount

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

const (
	maxRefused = 1 << 12 // threads
	// comesBack is how long the kernel may take to look up a name again before it opens what it has found: as long as
	// a machine without a free processor or a slow database takes for it. Who was told ESTALE twice fails.
	comesBack = time.Minute
)

// refusals are the threads that were told ESTALE by an open, so that the kernel looks up the name again.
type refusals struct {
	returns time.Duration // how long they take at most

	mu  sync.Mutex
	all map[uint32]refusal
}

// refusal says which inode a thread was not to open, and when.
type refusal struct {
	ino meta.Ino
	at  time.Time
}

func newRefusals() *refusals { return &refusals{returns: comesBack, all: map[uint32]refusal{}} }

// add notes that a thread is refused an inode.
func (r *refusals) add(thread uint32, ino meta.Ino) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) >= maxRefused {
		maps.DeleteFunc(r.all, func(_ uint32, old refusal) bool { return time.Since(old.at) >= r.returns })
	}
	if len(r.all) >= maxRefused {
		clear(r.all)
	}
	r.all[thread] = refusal{ino, time.Now()}
}

// back says whether a thread that was refused an inode comes back with the same one, and forgets that. It is asked at
// each open: who opens something else has found another file.
func (r *refusals) back(thread uint32, ino meta.Ino) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, refused := r.all[thread]
	delete(r.all, thread)
	return refused && before.ino == ino && time.Since(before.at) < r.returns
}

// astray says that an open has come by a name that the file has not any more: it is in the trash, and was not looked up
// there. Where nobody tells of changes, the kernel believes for a while that a name stands for what another mount has
// removed. h and err are what the open gave.
func (a *adapter) astray(ctx context.Context, ino meta.Ino, thread uint32, h handle, err error) bool {
	if a.leases != nil { // newest has looked
		return false
	}
	back := a.refused.back(thread, ino)
	var attr meta.Attr
	f, ok := h.(interface{ Found() meta.Attr })
	switch {
	case back:
		return false
	case err == nil && ok:
		attr = f.Found()
	case errors.Is(err, posix.EPERM):
		if attr, err = a.fs.GetAttr(ctx, ino); err != nil {
			return false
		}
	}
	if !attr.Parent.IsTrash() {
		return false
	}
	a.refused.add(thread, ino)
	return true
}
