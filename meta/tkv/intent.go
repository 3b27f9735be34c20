package tkv

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// Touch always writes the attribute, if need be as it was: whoever removes the directory at the same time has
// read or deleted that key, and only a write of it lets the two notice each other in every store.
func (t *tx) Touch(dir meta.Ino, now meta.Time, nlink int32, window time.Duration) {
	// Each conflict is a sign that others write the times as well.
	window *= time.Duration(t.attempt + 1)
	key := attrKey(dir)
	t.mutate(key, func(old []byte) ([]byte, error) {
		if old == nil {
			return nil, fmt.Errorf("touch directory %d: %w", dir, posix.ENOENT)
		}
		if len(old) < meta.AttrParent {
			return nil, corrupt(key, fmt.Errorf("%w: attribute of %d bytes", meta.ErrCorrupt, len(old)))
		}
		a := bytes.Clone(old)
		be := binary.BigEndian
		mtime := meta.Time{Sec: int64(be.Uint64(a[meta.AttrMtime:])), Nsec: be.Uint32(a[meta.AttrMtime+8:])}
		if nlink == 0 && now.Sub(mtime) < window {
			return a, nil
		}
		for _, at := range [...]int{meta.AttrMtime, meta.AttrCtime} {
			be.PutUint64(a[at:], uint64(now.Sec))
			be.PutUint32(a[at+8:], now.Nsec)
		}
		// Official clients leave nlink out under contention, so it may be too small; it must not wrap round.
		links := max(int64(be.Uint32(a[meta.AttrNlink:]))+int64(nlink), 0)
		be.PutUint32(a[meta.AttrNlink:], uint32(links))
		return a, nil
	})
}

// RequireEmpty looks at once. An entry that comes in between is noticed by the range that was looked through,
// or by the attribute, which every change in the directory writes.
func (t *tx) RequireEmpty(dir meta.Ino) error {
	err := t.empty(dir)
	if err != nil {
		t.notes = append(t.notes, note{do: func() error { return err }})
	}
	return err
}

func (t *tx) empty(dir meta.Ino) error {
	if _, err := t.get(attrKey(dir)); err != nil {
		return err
	}
	begin, end := kind(dir, 'D')
	pairs, err := t.promised.Scan(t.ctx, begin, end, 1)
	if err != nil {
		return err
	}
	if len(pairs) > 0 {
		return fmt.Errorf("directory %d: %w", dir, posix.ENOTEMPTY)
	}
	return nil
}

// AddUsage is collected by the engine after the commit: all clients would contend for these two keys.
func (t *tx) AddUsage(space, inodes int64) {
	t.space += space
	t.inodes += inodes
}

func (t *tx) AddDirStat(dir meta.Ino, d meta.DirStat) {
	key := dirStatKey(dir)
	t.mutate(key, func(old []byte) ([]byte, error) {
		if old == nil {
			return nil, nil
		}
		s, err := decodeDirStat(key, old)
		s.Length, s.Space, s.Inodes = s.Length+d.Length, s.Space+d.Space, s.Inodes+d.Inodes
		return encodeDirStat(s), err
	})
}

func (t *tx) SetDirStat(dir meta.Ino, s meta.DirStat) { t.put(dirStatKey(dir), encodeDirStat(s)) }

func (t *tx) DropDirStat(dir meta.Ino) { t.drop(dirStatKey(dir)) }
