package mount

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/internal/sleep"
	"jfs/meta"
)

// names takes names from the kernel that stand for something else now. The kernel may let that wait for a request
// that is under way in the directory, so a few goroutines do it, each for one directory at a time, and a directory in
// which something takes long holds up none of the others.
type names struct {
	leases *leases
	log    *slog.Logger
	entry  func(meta.Ino, string) fuse.Status // takes a name
	wake   chan struct{}

	mu    sync.Mutex            // guards the rest
	queue []meta.Ino            // directories to be looked at
	state map[meta.Ino]progress // of those in the queue, and those that are being looked at
}

// progress says what becomes of a directory.
type progress uint8

const (
	queued  progress = iota + 1
	looking          // somebody looks at it
	dirty            // likewise, and it has to be looked at again
)

const (
	lookers       = 8
	resolveAtOnce = 500              // names that are looked up in one round trip
	resolveIn     = 10 * time.Second // longest time that may take
	// resolveShare is the reverse of the share of its time that a goroutine may spend on looking at names of
	// directories that others change all the time.
	resolveShare = 5
)

func newNames(l *leases, log *slog.Logger, entry func(meta.Ino, string) fuse.Status) *names {
	return &names{leases: l, log: log, entry: entry, wake: make(chan struct{}, lookers), state: map[meta.Ino]progress{}}
}

// start begins to take names. The goroutines end with ctx, and when the kernel lets them go.
func (n *names) start(ctx context.Context, done *sync.WaitGroup) {
	for range lookers {
		done.Go(func() { n.run(ctx) })
	}
}

// look has the names of a directory looked at, as they are from now on.
func (n *names) look(dir meta.Ino) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch n.state[dir] {
	case queued, dirty:
		return
	case looking:
		n.state[dir] = dirty
		return
	}
	n.push(dir)
}

// push puts a directory into the queue. n.mu is held.
func (n *names) push(dir meta.Ino) {
	n.state[dir] = queued
	n.queue = append(n.queue, dir)
	select {
	case n.wake <- struct{}{}:
	default: // as many as there are have been woken, and look for more when they are done
	}
}

func (n *names) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		}
		for dir, ok := n.next(); ok && ctx.Err() == nil; dir, ok = n.next() {
			start := time.Now()
			changed, err := n.compare(ctx, dir)
			pause := (resolveShare - 1) * time.Since(start)
			if err != nil {
				n.log.Debug("look at names that have changed", "directory", dir, "err", err)
				pause = max(pause, doubtAgain)
			}
			for name, was := range changed {
				n.entry(dir, name)
				n.leases.told(dir, name, was)
			}
			if sleep.For(ctx, pause) != nil {
				return
			}
			n.looked(dir, err != nil)
		}
	}
}

// next takes a directory from the queue.
func (n *names) next() (meta.Ino, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.queue) == 0 {
		return 0, false
	}
	dir := n.queue[0]
	n.queue = n.queue[1:]
	n.state[dir] = looking
	return dir, true
}

// looked notes that a directory was looked at; again says that it was in vain.
func (n *names) looked(dir meta.Ino, again bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state[dir] == dirty || again {
		n.push(dir)
		return
	}
	delete(n.state, dir)
}

// compare gives the names of a directory that stand for something else than the kernel knows.
func (n *names) compare(ctx context.Context, dir meta.Ino) (changed map[string]noted, err error) {
	ctx, cancel := context.WithTimeout(ctx, resolveIn)
	defer cancel()
	l := n.leases
	l.mu.Lock()
	all := maps.Clone(l.names[dir])
	l.mu.Unlock()
	changed = map[string]noted{}
	for part := range slices.Chunk(slices.Collect(maps.Keys(all)), resolveAtOnce) {
		inodes, err := l.Resolve(ctx, dir, part)
		if err != nil {
			return changed, err
		}
		for i, name := range part {
			if all[name].ino != inodes[i] {
				changed[name] = all[name]
			}
		}
	}
	return changed, nil
}

// told forgets a name that was taken from the kernel, unless the kernel has been told anew. It is not forgotten
// before, because until then the name still leads to what it was, which an open has to notice.
func (l *leases) told(dir meta.Ino, name string, was noted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names[dir][name] == was {
		l.drop(dir, name)
	}
}
