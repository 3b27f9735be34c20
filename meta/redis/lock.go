package redis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"jfs/meta"
)

// lockField is the field of an owner in a hash of locks.
func lockField(o meta.LockOwner) string {
	return strconv.FormatUint(o.Sid, 10) + "_" + fmt.Sprintf("%016X", o.Owner)
}

func parseLockField(field string) (meta.LockOwner, error) {
	sid, owner, ok := strings.Cut(field, "_")
	n, err := strconv.ParseUint(sid, 10, 64)
	m, err2 := strconv.ParseUint(owner, 16, 64)
	if !ok || err != nil || err2 != nil {
		return meta.LockOwner{}, fmt.Errorf("%w: owner of a lock %q", meta.ErrCorrupt, field)
	}
	return meta.LockOwner{Sid: n, Owner: m}, nil
}

// eachLock reads a hash of locks as a whole, so that the commit finds a lock of anybody else that came or went.
func (t *tx) eachLock(key string, fn func(o meta.LockOwner, value string) error) error {
	r, err := t.fetch(ref{kindHash, key, ""})
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(r.list); i += 2 {
		o, err := parseLockField(r.list[i])
		if err == nil {
			err = fn(o, r.list[i+1])
		}
		if err != nil {
			return t.fail(fmt.Errorf("key %s, field %q: %w", key, r.list[i], err))
		}
	}
	return nil
}

func (t *tx) Flocks(ino meta.Ino) (map[meta.LockOwner]meta.FlockType, error) {
	locks := map[meta.LockOwner]meta.FlockType{}
	err := t.eachLock(t.e.keys.flocks(ino), func(o meta.LockOwner, value string) error {
		switch value {
		case string(byte(meta.FlockShared)), string(byte(meta.FlockExclusive)):
			locks[o] = meta.FlockType(value[0])
			return nil
		}
		return fmt.Errorf("%w: lock of type %q", meta.ErrCorrupt, value)
	})
	if err != nil {
		return nil, err
	}
	return locks, nil
}

func (t *tx) Plocks(ino meta.Ino) (map[meta.LockOwner][]meta.Plock, error) {
	locks := map[meta.LockOwner][]meta.Plock{}
	err := t.eachLock(t.e.keys.plocks(ino), func(o meta.LockOwner, value string) error {
		ranges, err := meta.DecodePlocks([]byte(value))
		if len(ranges) > 0 {
			locks[o] = ranges
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return locks, nil
}

func (t *tx) Locked(sid uint64) ([]meta.Ino, error) {
	key := t.e.keys.locked(sid)
	members, err := t.members(key)
	if err != nil {
		return nil, err
	}
	inodes := make([]meta.Ino, 0, len(members))
	for _, m := range members {
		name, ok := strings.CutPrefix(m, t.e.keys.global("lock"))
		if !ok || len(name) < 2 || name[0] != 'f' && name[0] != 'p' {
			return nil, fmt.Errorf("key %s: %w: lock %q", key, meta.ErrCorrupt, m)
		}
		ino, err := strconv.ParseUint(name[1:], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w: lock %q", key, meta.ErrCorrupt, m)
		}
		inodes = append(inodes, meta.Ino(ino))
	}
	slices.Sort(inodes)
	return slices.Compact(inodes), nil
}

func (t *tx) SetFlock(ino meta.Ino, o meta.LockOwner, typ meta.FlockType) {
	value := ""
	if typ != meta.FlockNone {
		value = string(byte(typ))
	}
	t.setLock(t.e.keys.flocks(ino), o, value)
}

func (t *tx) SetPlocks(ino meta.Ino, o meta.LockOwner, locks []meta.Plock) {
	t.setLock(t.e.keys.plocks(ino), o, string(meta.EncodePlocks(locks)))
}

// setLock writes the field of an owner, or removes it when there is no value. The set of the session names the
// hash as long as the session has a field in it, shared locks included, so that nothing of a session that ends
// without unlocking stays behind.
func (t *tx) setLock(key string, o meta.LockOwner, value string) {
	fields, err := t.lockFields(key)
	if err != nil {
		t.fail(err)
		return
	}
	field, locked := lockField(o), t.e.keys.locked(o.Sid)
	if value != "" {
		fields[field] = o.Sid
		t.do("HSET", key, field, value)
		t.do("SADD", locked, key)
		return
	}
	delete(fields, field)
	t.do("HDEL", key, field)
	for _, sid := range fields {
		if sid == o.Sid {
			return
		}
	}
	t.do("SREM", locked, key)
}

// lockFields gives the fields of a hash of locks as this transaction has read and changed them.
func (t *tx) lockFields(key string) (map[string]uint64, error) {
	if fields := t.locks[key]; fields != nil {
		return fields, nil
	}
	r := t.reads[ref{kindHash, key, ""}]
	if r == nil {
		return nil, fmt.Errorf("change %s: it was not read", key)
	}
	fields := make(map[string]uint64, len(r.list)/2+1)
	for i := 0; i+1 < len(r.list); i += 2 {
		o, err := parseLockField(r.list[i])
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", key, err)
		}
		fields[r.list[i]] = o.Sid
	}
	if t.locks == nil {
		t.locks = map[string]map[string]uint64{}
	}
	t.locks[key] = fields
	return fields, nil
}
