package sql

import (
	"fmt"

	"jfs/meta"
)

func (r *reader) Flocks(ino meta.Ino) (map[meta.LockOwner]meta.FlockType, error) {
	locks := map[meta.LockOwner]meta.FlockType{}
	var sid, owner, typ number
	err := r.each(qFlocks, []any{int64(ino)}, func() error {
		switch typ {
		case number(meta.FlockShared), number(meta.FlockExclusive):
			locks[meta.LockOwner{Sid: uint64(sid), Owner: uint64(owner)}] = meta.FlockType(typ)
			return nil
		}
		return fmt.Errorf("jfs_flock inode %d sid %d owner %d: %w: lock of type %d", ino, sid, owner, meta.ErrCorrupt, typ)
	}, &sid, &owner, &typ)
	if err != nil {
		return nil, err
	}
	return locks, nil
}

func (r *reader) Plocks(ino meta.Ino) (map[meta.LockOwner][]meta.Plock, error) {
	locks := map[meta.LockOwner][]meta.Plock{}
	var sid, owner number
	var b []byte
	err := r.each(qPlocks, []any{int64(ino)}, func() error {
		ranges, err := meta.DecodePlocks(b)
		if err != nil {
			return fmt.Errorf("jfs_plock inode %d sid %d owner %d: %w", ino, sid, owner, err)
		}
		if len(ranges) > 0 {
			locks[meta.LockOwner{Sid: uint64(sid), Owner: uint64(owner)}] = ranges
		}
		return nil
	}, &sid, &owner, &b)
	if err != nil {
		return nil, err
	}
	return locks, nil
}

func (r *reader) Locked(sid uint64) (inodes []meta.Ino, err error) {
	var ino number
	err = r.each(qLocked, []any{int64(sid), int64(sid)}, func() error {
		inodes = append(inodes, meta.Ino(ino))
		return nil
	}, &ino)
	return inodes, err
}

func (t *tx) SetFlock(ino meta.Ino, o meta.LockOwner, typ meta.FlockType) {
	if typ == meta.FlockNone {
		t.add(qDropFlock, int64(ino), int64(o.Sid), int64(o.Owner))
		return
	}
	t.add(qSetFlock, int64(ino), int64(o.Sid), int64(o.Owner), int64(typ))
}

func (t *tx) SetPlocks(ino meta.Ino, o meta.LockOwner, locks []meta.Plock) {
	if len(locks) == 0 {
		t.add(qDropPlock, int64(ino), int64(o.Sid), int64(o.Owner))
		return
	}
	t.add(qSetPlocks, int64(ino), int64(o.Sid), int64(o.Owner), meta.EncodePlocks(locks))
}
