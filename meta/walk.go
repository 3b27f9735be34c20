package meta

import (
	"context"
	"hash/maphash"
	"sync"
)

// crew is a bounded number of hands that work on a tree. Work that finds no hand free is done by the one who has
// it to give, so nothing is queued and nobody waits for work that has not begun.
type crew struct {
	hands  chan struct{}
	cancel context.CancelFunc

	mu  sync.Mutex // guards err
	err error      // the first one, which has ended the work of all
}

// newCrew makes a crew of n, the caller included, and the context of its work, which ends with the first error.
// close must follow.
func newCrew(ctx context.Context, n int) (*crew, context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	return &crew{hands: make(chan struct{}, max(n-1, 0)), cancel: cancel}, ctx
}

func (c *crew) close() { c.cancel() }

func (c *crew) note(err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.mu.Unlock()
	c.cancel()
}

func (c *crew) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// team is the part of a crew that works on one directory.
type team struct {
	crew *crew
	wg   sync.WaitGroup
}

// do runs fn by a free hand or in the caller.
func (t *team) do(fn func() error) {
	select {
	case t.crew.hands <- struct{}{}:
		t.wg.Go(func() {
			t.crew.note(fn())
			<-t.crew.hands
		})
	default:
		t.crew.note(fn())
	}
}

// wait waits for all that was given to do. It gives the error that has ended the work of the crew or, if there is
// none, that of the caller's own part.
func (t *team) wait(own error) error {
	t.wg.Wait()
	if err := t.crew.failed(); err != nil {
		return err
	}
	return own
}

const (
	listPage       = 1000 // entries
	defaultThreads = 10   // directories of a tree that are read at the same time
)

// eachPage gives the entries of a directory to fn in pages, each name once. Engines may list a name twice; of the
// pages before it remembers eight bytes a name.
func (v *Volume) eachPage(ctx context.Context, dir Ino, plus bool, fn func([]Dirent) error) error {
	var seen map[uint64]struct{}
	seed := maphash.MakeSeed()
	for cursor := ""; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		page, next, err := v.Readdir(ctx, dir, cursor, listPage, plus)
		if err != nil {
			return err
		}
		if next != "" && seen == nil {
			seen = map[uint64]struct{}{}
		}
		if seen != nil {
			fresh := page[:0]
			for _, e := range page {
				h := maphash.String(seed, e.Name)
				if _, twice := seen[h]; !twice {
					seen[h] = struct{}{}
					fresh = append(fresh, e)
				}
			}
			page = fresh
		}
		if err := fn(page); err != nil {
			return err
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}
