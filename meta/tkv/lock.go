package tkv

import (
	"encoding/binary"
	"fmt"
	"slices"

	"jfs/meta"
)

// The locks of all sessions on one inode are one value: records of sid(8) owner(8) type(1) under F, and of
// sid(8) owner(8) length(4) ranges(length) under P.

// ownerSize is the length of the head of every lock record, which names its owner.
const ownerSize = 8 + 8

func ownerOf(record []byte) meta.LockOwner {
	return meta.LockOwner{Sid: binary.BigEndian.Uint64(record), Owner: binary.BigEndian.Uint64(record[8:])}
}

func appendOwner(b []byte, o meta.LockOwner) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, o.Sid), o.Owner)
}

// eachLock calls fn for the records of a lock value, whose sizes size tells.
func eachLock(records []byte, size func([]byte) int, fn func(record []byte) error) error {
	for rest := records; len(rest) > 0; {
		n := size(rest)
		if n == 0 {
			return fmt.Errorf("%w: lock record ends after %d of %d bytes", meta.ErrCorrupt, len(records)-len(rest), len(records))
		}
		if err := fn(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

func (r *reader) Flocks(ino meta.Ino) (map[meta.LockOwner]meta.FlockType, error) {
	key := flockKey(ino)
	value, err := r.get(key)
	if err != nil {
		return nil, err
	}
	locks := map[meta.LockOwner]meta.FlockType{}
	err = eachLock(value, flockSize, func(record []byte) error {
		typ := meta.FlockType(record[ownerSize])
		if typ != meta.FlockShared && typ != meta.FlockExclusive {
			return fmt.Errorf("%w: lock of type %#x", meta.ErrCorrupt, byte(typ))
		}
		locks[ownerOf(record)] = typ
		return nil
	})
	return locks, corrupt(key, err)
}

func (r *reader) Plocks(ino meta.Ino) (map[meta.LockOwner][]meta.Plock, error) {
	key := plockKey(ino)
	value, err := r.get(key)
	if err != nil {
		return nil, err
	}
	locks := map[meta.LockOwner][]meta.Plock{}
	err = eachLock(value, plockSize, func(record []byte) error {
		ranges, err := meta.DecodePlocks(record[plockHead:])
		if len(ranges) > 0 {
			locks[ownerOf(record)] = ranges
		}
		return err
	})
	return locks, corrupt(key, err)
}

func (r *reader) Locked(sid uint64) ([]meta.Ino, error) {
	var inodes []meta.Ino
	for letter, size := range map[string]func([]byte) int{"F": flockSize, "P": plockSize} {
		begin, end := letters(letter)
		err := r.each(r.snapshot, begin, end, func(p Pair) (bool, error) {
			if len(p.Key) != inodeKeySize {
				return true, nil
			}
			return true, corrupt(p.Key, eachLock(p.Value, size, func(record []byte) error {
				if ownerOf(record).Sid == sid {
					inodes = append(inodes, inodeIn(p.Key, 1))
				}
				return nil
			}))
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(inodes)
	return slices.Compact(inodes), nil
}

func (t *tx) SetFlock(ino meta.Ino, owner meta.LockOwner, typ meta.FlockType) {
	var record []byte
	if typ != meta.FlockNone {
		record = append(appendOwner(nil, owner), byte(typ))
	}
	t.setLock(flockKey(ino), owner, record, flockSize)
}

func (t *tx) SetPlocks(ino meta.Ino, owner meta.LockOwner, locks []meta.Plock) {
	var record []byte
	if len(locks) > 0 {
		ranges := meta.EncodePlocks(locks)
		record = binary.BigEndian.AppendUint32(appendOwner(nil, owner), uint32(len(ranges)))
		record = append(record, ranges...)
	}
	t.setLock(plockKey(ino), owner, record, plockSize)
}

// setLock notes that a record takes the place of that of its owner, and goes to the end if there is none; an
// empty record removes it.
func (t *tx) setLock(key []byte, owner meta.LockOwner, record []byte, size func([]byte) int) {
	t.mutate(key, func(old []byte) ([]byte, error) {
		var kept []byte
		add := record
		err := eachLock(old, size, func(r []byte) error {
			if ownerOf(r) != owner {
				kept = append(kept, r...)
				return nil
			}
			kept, add = append(kept, add...), nil
			return nil
		})
		if err != nil {
			return nil, corrupt(key, err)
		}
		if kept = append(kept, add...); len(kept) == 0 {
			return nil, nil
		}
		return kept, nil
	})
}

func flockSize(b []byte) int {
	const size = ownerSize + 1
	if len(b) < size {
		return 0
	}
	return size
}

// plockHead is the length of what comes before the ranges: the owner and the length of the ranges.
const plockHead = ownerSize + 4

func plockSize(b []byte) int {
	if len(b) < plockHead {
		return 0
	}
	size := plockHead + uint64(binary.BigEndian.Uint32(b[ownerSize:]))
	if size > uint64(len(b)) {
		return 0
	}
	return int(size)
}
