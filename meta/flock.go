package meta

import (
	"context"
	"errors"
	"fmt"

	"jfs/internal/posix"
)

// Flock sets the BSD lock of an owner on an inode, or with FlockNone removes it. When another owner has a lock that
// does not go with it the answer is EAGAIN or, with block, waits for that lock to go. An owner that has a lock
// already exchanges it; while it waits it has none, or two who want to go from shared to exclusive would wait for
// each other.
func (v *Volume) Flock(ctx context.Context, ino Ino, owner uint64, typ FlockType, block bool) error {
	defer v.timed("Flock", v.began())
	me, err := v.locker(owner)
	if err != nil {
		if typ == FlockNone {
			return nil // there can be none
		}
		return err
	}
	what := func() string { return fmt.Sprintf("flock inode %d", ino) }
	yielded := false
	err = v.lock(ctx, ino, block && typ != FlockNone, func(ctx context.Context) error {
		err := v.update(ctx, what, Want{}, func(tx Tx) error {
			yielded = false
			locks, err := tx.Flocks(ino)
			if err != nil {
				return err
			}
			mine := locks[me]
			if mine == typ {
				return nil
			}
			if typ != FlockNone {
				against := func(o LockOwner) bool {
					return typ == FlockExclusive || locks[o] == FlockExclusive
				}
				err := v.clearTheWay(tx, me, keys(locks), against, func(o LockOwner) { tx.SetFlock(ino, o, FlockNone) })
				if errors.Is(err, posix.EAGAIN) && block && mine != FlockNone {
					tx.SetFlock(ino, me, FlockNone)
					yielded = true
					return nil
				}
				if err != nil {
					return err
				}
			}
			tx.SetFlock(ino, me, typ)
			return nil
		})
		if err == nil && yielded {
			v.locks.freed(ino)
			err = posix.EAGAIN
		}
		return err
	})
	if err == nil && typ != FlockExclusive {
		v.locks.freed(ino)
	}
	return err
}
