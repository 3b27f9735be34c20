package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"jfs/internal/posix"
)

// Promise is the room that a client has promised to a file for writes that it has accepted and not committed. The zero
// value is none. It is for one file, and its Grow is called by one goroutine at a time.
type Promise struct {
	// All guarded by promises.mu.
	base   int64   // what the file is known to use
	to     int64   // what it may use, if more
	payers []payer // who pays for the difference
	of     Attr    // whose payers they are
}

func (p *Promise) held() int64 { return max(p.to-p.base, 0) }

// payer is a quota that pays n times for the growth of a file, once for each link.
type payer struct {
	key QuotaKey
	n   int64
}

// promises is what this client has promised altogether. Without it, write(2) would take data without end while the volume
// is full, and the application would learn of it only when the file is closed.
type promises struct {
	mu    sync.Mutex // guards the rest, and what all Promises hold
	space int64
	by    map[QuotaKey]int64
}

// move adds to what is held for a promise. mu is held.
func (s *promises) move(p *Promise, d int64) {
	if d == 0 {
		return
	}
	s.space += d
	for _, at := range p.payers {
		if s.by == nil {
			s.by = map[QuotaKey]int64{}
		}
		if s.by[at.key] += d * at.n; s.by[at.key] == 0 {
			delete(s.by, at.key)
		}
	}
}

// Grow promises that a file may become so long, or says why not: by what is known here of usage and limits, which other
// clients may change, and without a trip as a rule. The commit has the last word. a is the attribute of the file.
func (v *Volume) Grow(ctx context.Context, ino Ino, a *Attr, p *Promise, length uint64) error {
	s := &v.promises
	to := Align4K(length)
	s.mu.Lock()
	fresh := p.held() == 0
	if fresh {
		p.base = max(p.base, a.Space())
	}
	enough := to <= max(p.base, p.to)
	known := !fresh && p.of.UID == a.UID && p.of.GID == a.GID && p.of.Parent == a.Parent
	s.mu.Unlock()
	if enough || !v.limited() {
		return nil
	}
	var payers []payer
	if !known {
		var err error
		if payers, err = v.payersOf(ctx, ino, a); err != nil {
			// Only the commit can tell then.
			v.log.Debug("quotas of a write are not known", "inode", ino, "err", err)
			return nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !known {
		held := p.held()
		s.move(p, -held)
		p.payers, p.of = payers, *a
		s.move(p, held)
	}
	if err := v.mayPromise(p, to-max(p.base, p.to)); err != nil {
		return err
	}
	s.move(p, to-max(p.base, p.to))
	p.to = to
	return nil
}

// mayPromise checks the limits in the order of the volume format. promises.mu is held.
func (v *Volume) mayPromise(p *Promise, d int64) error {
	if d <= 0 { // a commit has come between
		return nil
	}
	allows := func(at payer) bool {
		return v.quotas.allows(at.key, use{space: v.promises.by[at.key] + d*at.n})
	}
	for _, kind := range []QuotaKind{QuotaUser, QuotaGroup, QuotaDir} {
		if kind == QuotaDir {
			if err := v.checkRoom(v.promises.space+d, 0); err != nil {
				return err
			}
		}
		for _, at := range p.payers {
			if at.key.Kind == kind && !allows(at) {
				return posix.EDQUOT
			}
		}
	}
	return nil
}

// Keep gives back what was promised beyond a length: writes were refused.
func (v *Volume) Keep(p *Promise, length uint64) {
	v.promises.mu.Lock()
	defer v.promises.mu.Unlock()
	before := p.held()
	p.to = min(p.to, Align4K(length))
	v.promises.move(p, p.held()-before)
}

// Forget gives back everything: nothing is to be committed.
func (v *Volume) Forget(p *Promise) {
	v.promises.mu.Lock()
	defer v.promises.mu.Unlock()
	v.promises.move(p, -p.held())
	*p = Promise{}
}

// kept gives back what a commit, after which the file uses space, has taken into account.
func (v *Volume) kept(p *Promise, space int64) {
	if p == nil {
		return
	}
	v.promises.mu.Lock()
	defer v.promises.mu.Unlock()
	before := p.held()
	p.base = max(p.base, space)
	v.promises.move(p, p.held()-before)
}

// Promised is the room that is promised altogether, in bytes.
func (v *Volume) Promised() int64 {
	v.promises.mu.Lock()
	defer v.promises.mu.Unlock()
	return v.promises.space
}

// limited says whether there may be any limit.
func (v *Volume) limited() bool {
	f := v.format.Load()
	return f.Capacity > 0 || f.UserGroupQuota || v.quotas.dirs.Load() > 0
}

// payersOf gives the quotas that pay for the growth of a file.
func (v *Volume) payersOf(ctx context.Context, ino Ino, a *Attr) ([]payer, error) {
	var all []payer
	if v.hasPayer(a) {
		all = append(all, payer{QuotaKey{QuotaUser, uint64(a.UID)}, 1}, payer{QuotaKey{QuotaGroup, uint64(a.GID)}, 1})
	}
	if v.quotas.dirs.Load() == 0 || a.Nlink == 0 {
		return all, nil
	}
	parents := map[Ino]int64{a.Parent: 1}
	if a.Parent == 0 {
		err := v.view(ctx, func() string { return fmt.Sprintf("parents of inode %d", ino) }, Want{}, func(r Reader) (err error) {
			parents, err = r.Parents(ino)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var failed error
	for parent, n := range parents {
		dirs, err := v.payers(ctx, parent)
		failed = errors.Join(failed, err)
		for _, dir := range dirs {
			key := QuotaKey{QuotaDir, uint64(dir)}
			if i := slices.IndexFunc(all, func(p payer) bool { return p.key == key }); i >= 0 {
				all[i].n += n
			} else {
				all = append(all, payer{key, n})
			}
		}
	}
	return all, failed
}
