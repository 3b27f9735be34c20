package meta

import (
	"context"
	"fmt"

	"jfs/internal/posix"
)

// Modes of Fallocate, with the bits of fallocate(2).
const (
	FallocKeepSize  uint32 = 0x01
	FallocPunchHole uint32 = 0x02
	FallocCollapse  uint32 = 0x08
	FallocZero      uint32 = 0x10
	FallocInsert    uint32 = 0x20
)

// checkFalloc says what is wrong with a mode or a range.
func checkFalloc(mode uint32, off, size uint64) error {
	switch {
	case size == 0:
		return posix.EINVAL
	case mode == FallocCollapse, mode == FallocInsert:
		return posix.ENOTSUP
	case mode&(FallocCollapse|FallocInsert) != 0:
		return posix.EINVAL
	case mode&^(FallocKeepSize|FallocPunchHole|FallocZero) != 0, mode&FallocPunchHole != 0 && mode&FallocZero != 0:
		return posix.ENOTSUP
	case mode&FallocPunchHole != 0 && mode&FallocKeepSize == 0:
		return posix.EINVAL
	case off >= MaxFileSize, size >= MaxFileSize-off:
		return posix.EFBIG
	}
	return nil
}

// Fallocate makes sure that a file reaches to off+size, or turns what lies in that range to zeros, and gives the
// attribute before and after. It comes through an open descriptor, whose rights were checked when it was opened.
func (v *Volume) Fallocate(ctx context.Context, ino Ino, mode uint32, off, size uint64) (old, a Attr, err error) {
	defer v.timed("Fallocate", v.began())
	if err := checkFalloc(mode, off, size); err != nil {
		return Attr{}, Attr{}, err
	}
	var dirs holders
	what := func() string { return fmt.Sprintf("fallocate %d+%d of inode %d", off, size, ino) }
	err = v.update(ctx, what, Want{Attrs: []Ino{ino}}, func(tx Tx) error {
		var err error
		if old, err = existing(tx, ino); err != nil {
			return err
		}
		switch {
		case old.Type == TypeFIFO:
			return posix.EPIPE
		case old.Type != TypeFile, old.Flags&FlagImmutable != 0, old.Flags&FlagAppend != 0 && mode&^FallocKeepSize != 0:
			return posix.EPERM
		}
		a = old
		if mode&FallocKeepSize == 0 {
			a.Length = max(a.Length, off+size)
		}
		if dirs, err = v.resize(tx, ino, &old, &a); err != nil {
			return err
		}
		if end := min(off+size, old.Length); mode&(FallocPunchHole|FallocZero) != 0 && off < end {
			if err := zeroRange(tx, ino, off, end); err != nil {
				return err
			}
		}
		a.Mtime = v.time()
		a.Ctime = a.Mtime
		tx.SetAttr(ino, &a)
		return nil
	})
	if err != nil {
		return Attr{}, Attr{}, err
	}
	v.resized(ctx, dirs, &old, &a)
	return old, a, nil
}
