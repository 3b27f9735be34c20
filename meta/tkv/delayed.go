package tkv

import (
	"encoding/binary"
	"fmt"

	"jfs/meta"
	"jfs/meta/internal/record"
)

// DelayedSlices reads keys in the order of time, so it stops at the first one that is too young.
func (r *reader) DelayedSlices(before int64, limit int) ([]meta.Delayed, error) {
	var all []meta.Delayed
	begin, end := letters("L")
	err := r.each(r.snapshot, begin, end, func(p Pair) (bool, error) {
		if len(p.Key) != delayKeySize {
			return true, nil
		}
		be := binary.BigEndian
		d := meta.Delayed{At: int64(be.Uint64(p.Key[1:])), ID: be.Uint64(p.Key[9:])}
		if d.At >= before || len(all) >= limit {
			return false, nil
		}
		var err error
		if d.Slices, err = record.DecodeSliceRefs(p.Value); err != nil {
			return false, corrupt(p.Key, err)
		}
		all = append(all, d)
		return len(all) < limit, nil
	})
	return all, err
}

func (r *reader) Detached(before int64, limit int) ([]meta.Ino, error) {
	var inodes []meta.Ino
	begin, end := letters("N")
	err := r.each(r.snapshot, begin, end, func(p Pair) (bool, error) {
		if len(p.Key) != inodeKeySize {
			return true, nil
		}
		at, err := number(binary.BigEndian, p.Key, p.Value)
		if err == nil && at <= before && len(inodes) < limit {
			inodes = append(inodes, inodeIn(p.Key, 1))
		}
		return len(inodes) < limit, err
	})
	return inodes, err
}

func (t *tx) SetDelayed(d meta.Delayed) { t.put(delayedKey(d), record.EncodeSliceRefs(d.Slices)) }

func (t *tx) DropDelayed(d meta.Delayed) { t.drop(delayedKey(d)) }

func (t *tx) SetDetached(ino meta.Ino, at int64) { t.put(detachedKey(ino), big(at)) }

func (t *tx) DropDetached(ino meta.Ino) { t.drop(detachedKey(ino)) }

// ACL: rules have no owner and are never changed, so reading one under promise costs nothing.
func (r *reader) ACL(id uint32) ([]byte, bool, error) {
	v, err := r.get(aclKey(id))
	if err != nil || v == nil {
		return nil, false, err
	}
	return filled(v), true, nil
}

func (r *reader) ACLs() (map[uint32][]byte, error) {
	rules := map[uint32][]byte{}
	begin, end := letters("R")
	err := r.each(r.snapshot, begin, end, func(p Pair) (bool, error) {
		if len(p.Key) == aclKeySize {
			rules[binary.BigEndian.Uint32(p.Key[1:])] = filled(p.Value)
		}
		return true, nil
	})
	return rules, err
}

// AddACL takes the number by itself: two transactions that add rules need not conflict.
func (t *tx) AddACL(rule []byte) (uint32, error) {
	id, err := t.engine.Reserve(t.ctx, meta.SeqACL, 1)
	if err != nil {
		return 0, err
	}
	if id == 0 || id > 1<<32-1 {
		return 0, fmt.Errorf("add rule: %w: its number would be %d", meta.ErrCorrupt, id)
	}
	t.put(aclKey(uint32(id)), filled(rule))
	return uint32(id), nil
}
