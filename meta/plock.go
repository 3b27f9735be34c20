package meta

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"jfs/internal/posix"
)

// PlockUnlock is the type of a request to remove locks; it is never stored.
const PlockUnlock uint32 = 2

// overlaps says whether the two ranges have a byte in common.
func (l Plock) overlaps(m Plock) bool { return l.Start <= m.End && m.Start <= l.End }

// conflicts says whether two owners cannot have both locks.
func (l Plock) conflicts(m Plock) bool {
	return l.overlaps(m) && (l.Type == PlockWrite || m.Type == PlockWrite)
}

// setPlock gives the locks of an owner after the range of l was set to its type. locks are in order and do not
// overlap, and so is the result, in which equal neighbours are one.
func setPlock(locks []Plock, l Plock) []Plock {
	out := make([]Plock, 0, len(locks)+2)
	add := func(p Plock) {
		if n := len(out); n > 0 && out[n-1].End+1 == p.Start && out[n-1].Type == p.Type && out[n-1].PID == p.PID {
			out[n-1].End = p.End
			return
		}
		out = append(out, p)
	}
	set := l.Type == PlockUnlock // l has been added, or is not to be
	for _, p := range locks {
		if p.Start < l.Start {
			left := p
			left.End = min(left.End, l.Start-1)
			add(left)
		}
		if p.End <= l.End {
			continue
		}
		if !set {
			add(l)
			set = true
		}
		p.Start = max(p.Start, l.End+1)
		add(p)
	}
	if !set {
		add(l)
	}
	return out
}

// checked gives the lock as it is stored, which knows no byte beyond PlockEOF.
func (l Plock) checked() (Plock, error) {
	l.End = min(l.End, PlockEOF)
	if l.Type > PlockUnlock || l.Start > l.End {
		return l, posix.EINVAL
	}
	return l, nil
}

// Setlk sets or removes, by its Type, a POSIX record lock of an owner. When another owner has a lock that does not
// go with it the answer is EAGAIN or, with block, waits for that lock to go.
func (v *Volume) Setlk(ctx context.Context, ino Ino, owner uint64, lock Plock, block bool) error {
	defer v.timed("Setlk", v.began())
	lock, err := lock.checked()
	if err != nil {
		return err
	}
	me, err := v.locker(owner)
	if err != nil {
		if lock.Type == PlockUnlock {
			return nil // there can be none
		}
		return err
	}
	unlock := lock.Type == PlockUnlock
	noted := v.locks.noted(ino, owner)
	if unlock && noted == 0 {
		return nil
	}
	if !unlock {
		v.locks.note(ino, owner)
	}
	what := func() string { return fmt.Sprintf("lock inode %d", ino) }
	err = v.lock(ctx, ino, block && !unlock, func(ctx context.Context) error {
		return v.update(ctx, what, Want{}, func(tx Tx) error {
			locks, err := tx.Plocks(ino)
			if err != nil {
				return err
			}
			if !unlock {
				against := func(o LockOwner) bool { return slices.ContainsFunc(locks[o], lock.conflicts) }
				if err := v.clearTheWay(tx, me, keys(locks), against, func(o LockOwner) { tx.SetPlocks(ino, o, nil) }); err != nil {
					return err
				}
			}
			mine := locks[me]
			next := setPlock(mine, lock)
			if slices.Equal(mine, next) {
				return nil
			}
			tx.SetPlocks(ino, me, next)
			return nil
		})
	})
	if err != nil {
		return err
	}
	if lock.Type != PlockWrite {
		v.locks.freed(ino)
	}
	if unlock && lock.Start == 0 && lock.End == PlockEOF {
		v.locks.clear(ino, owner, noted)
	}
	return nil
}

// ReleaseLocks removes all record locks of an owner on an inode, as the close of a descriptor does. It asks the
// database only if the owner has asked for one.
func (v *Volume) ReleaseLocks(ctx context.Context, ino Ino, owner uint64) error {
	return v.Setlk(ctx, ino, owner, Plock{Type: PlockUnlock, End: PlockEOF}, false)
}

// Getlk gives the first lock that would keep the owner from the lock of the probe, or one of type PlockUnlock if
// none would. PID is 0 for a process that is not in this session.
func (v *Volume) Getlk(ctx context.Context, ino Ino, owner uint64, probe Plock) (Plock, error) {
	defer v.timed("Getlk", v.began())
	probe, err := probe.checked()
	if err != nil || probe.Type == PlockUnlock {
		return Plock{}, cmp.Or(err, error(posix.EINVAL))
	}
	me := LockOwner{v.Sid(), owner}
	var first Plock
	what := func() string { return fmt.Sprintf("test lock of inode %d", ino) }
	err = v.view(ctx, what, Want{}, func(r Reader) error {
		first = Plock{Type: PlockUnlock}
		locks, err := r.Plocks(ino)
		if err != nil {
			return err
		}
		for _, o := range keys(locks) {
			if o == me {
				continue
			}
			i := slices.IndexFunc(locks[o], probe.conflicts)
			if i < 0 || first.Type != PlockUnlock && locks[o][i].Start >= first.Start {
				continue
			}
			alive, err := v.holds(r, o)
			if err != nil {
				return err
			}
			if !alive {
				continue
			}
			if first = locks[o][i]; o.Sid != me.Sid {
				first.PID = 0
			}
		}
		return nil
	})
	return first, err
}

// holds says whether the session of a lock's owner exists, so that the lock counts.
func (v *Volume) holds(r Reader, o LockOwner) (bool, error) {
	if o.Sid == v.Sid() && o.Sid != 0 {
		return true, nil
	}
	return v.locks.exists(r, o.Sid, v.now().Unix())
}

// clearTheWay answers EAGAIN if one of the owners other than me, whose locks are in the way, exists. The locks of
// those who do not are dropped.
func (v *Volume) clearTheWay(tx Tx, me LockOwner, owners []LockOwner, inTheWay func(LockOwner) bool, drop func(LockOwner)) error {
	var left []LockOwner
	for _, o := range owners {
		if o == me || !inTheWay(o) {
			continue
		}
		alive, err := v.holds(tx, o)
		switch {
		case err != nil:
			return err
		case alive:
			return posix.EAGAIN
		}
		left = append(left, o)
	}
	for _, o := range left {
		v.log.Info("drop lock of a session that is gone", "session", o.Sid)
		drop(o)
	}
	return nil
}

// keys lists the owners of locks in a fixed order.
func keys[T any](locks map[LockOwner]T) []LockOwner {
	return slices.SortedFunc(maps.Keys(locks), func(a, b LockOwner) int {
		return cmp.Or(cmp.Compare(a.Sid, b.Sid), cmp.Compare(a.Owner, b.Owner))
	})
}
