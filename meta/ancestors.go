package meta

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ancestors remembers the parents of directories, so that the quotas above a file are found without a trip.
type ancestors struct {
	mu sync.Mutex // guards the rest
	// Two generations make a bounded memory that keeps what is in use: what is found in the older one moves
	// to the recent one, and when that is full it becomes the older one.
	recent, older map[Ino]knownParent
	moves         uint64 // directories moved or removed by this client
}

type knownParent struct {
	dir   Ino // 0: the directory does not exist
	until time.Time
}

const (
	ancestorsKept = 1 << 16          // directories in a generation, some 50 bytes each
	ancestorsTTL  = 10 * time.Second // how long a move by another client may stay unnoticed
	ancestorsDeep = 1 << 16          // levels after which a chain of parents must be a circle
)

func (c *ancestors) get(dir Ino, now time.Time) (Ino, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.recent[dir]
	if !ok {
		if p, ok = c.older[dir]; ok {
			c.put(dir, p)
		}
	}
	return p.dir, ok && now.Before(p.until)
}

func (c *ancestors) put(dir Ino, p knownParent) {
	if c.recent == nil || len(c.recent) >= ancestorsKept {
		c.older, c.recent = c.recent, map[Ino]knownParent{}
	}
	c.recent[dir] = p
}

// moved forgets a directory that this client has moved or removed.
func (c *ancestors) moved(dir Ino) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.recent, dir)
	delete(c.older, dir)
	c.moves++
}

// add remembers the parent of a directory that this client has just made.
func (c *ancestors) add(dir, parent Ino, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(dir, knownParent{parent, until})
}

func (c *ancestors) state() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.moves
}

// keep remembers what was read, unless a directory has been moved since the state was taken.
func (c *ancestors) keep(state uint64, found map[Ino]Ino, until time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.moves != state {
		return false
	}
	for dir, parent := range found {
		c.put(dir, knownParent{parent, until})
	}
	return true
}

// unknownParent is the error of a transaction that has to know the parents of a directory. Volume.update loads
// them and runs the transaction again, because a walk inside it would make it depend on all of these directories.
type unknownParent struct{ dir Ino }

func (e unknownParent) Error() string {
	return fmt.Sprintf("parents of directory %d are not known", e.dir)
}

// top says whether a directory has no parent that may carry a quota.
func top(dir Ino) bool { return dir == RootIno || dir == 0 || dir.IsTrash() }

// chain gives the directories with a quota among dir and all above it, nearest first. It makes no trip: if a parent
// is not known, the error is unknownParent.
func (v *Volume) chain(dir Ino) ([]Ino, error) {
	if v.quotas.dirs.Load() == 0 || dir.IsTrash() {
		return nil, nil
	}
	var found []Ino
	now := v.now()
	for at, n := dir, 0; n < ancestorsDeep; n++ {
		if v.quotas.has(QuotaKey{QuotaDir, uint64(at)}) {
			found = append(found, at)
		}
		if top(at) {
			break
		}
		parent, ok := v.ancestors.get(at, now)
		if !ok {
			return nil, unknownParent{at}
		}
		at = parent
	}
	return found, nil
}

// loadTries bounds how often parents are read again because directories move meanwhile.
const loadTries = 10

// loadParents reads the parents of a directory up to where they are known.
func (v *Volume) loadParents(ctx context.Context, dir Ino) error {
	for try := 1; ; try++ {
		state := v.ancestors.state()
		now := v.now()
		found := map[Ino]Ino{}
		what := func() string { return fmt.Sprintf("parents of directory %d", dir) }
		err := v.view(ctx, what, Want{Perms: []Ino{dir}}, func(r Reader) error {
			clear(found)
			for at := dir; !top(at) && len(found) < ancestorsDeep; {
				if _, ok := v.ancestors.get(at, now); ok {
					break
				}
				if _, circle := found[at]; circle {
					return fmt.Errorf("%w: directory %d is its own ancestor", ErrCorrupt, at)
				}
				p, ok, err := r.Perm(at)
				if err != nil {
					return err
				}
				if !ok {
					p.Parent = 0
				}
				found[at] = p.Parent
				at = p.Parent
			}
			return nil
		})
		if err != nil || v.ancestors.keep(state, found, now.Add(ancestorsTTL)) {
			return err
		}
		if try == loadTries {
			// Moves never stop. A parent that was just left is charged too much at worst.
			v.ancestors.keep(v.ancestors.state(), found, now.Add(ancestorsTTL))
			return nil
		}
	}
}

// payers is chain, with the trips that it takes.
func (v *Volume) payers(ctx context.Context, dir Ino) ([]Ino, error) {
	for try := 1; ; try++ {
		found, err := v.chain(dir)
		var unknown unknownParent
		if !errors.As(err, &unknown) || try == loadTries {
			return found, err
		}
		if err := v.loadParents(ctx, unknown.dir); err != nil {
			return nil, err
		}
	}
}

// learnParents loads what a transaction failed for. It says whether the transaction may succeed now.
func (v *Volume) learnParents(ctx context.Context, failed error) (bool, error) {
	var unknown unknownParent
	if !errors.As(failed, &unknown) {
		return false, failed
	}
	return true, v.loadParents(ctx, unknown.dir)
}
