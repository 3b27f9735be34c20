package meta

import (
	"context"
	"fmt"

	"jfs/internal/posix"
)

// Attribute flags as ioctl(FS_IOC_GETFLAGS) shows them.
const (
	IflagSecureRemoval uint32 = 0x01 // removed for good, past the trash
	IflagImmutable     uint32 = 0x10
	IflagAppend        uint32 = 0x20
)

// iflags pairs the flags that ioctl knows with the stored ones.
var iflags = [...]struct {
	ioctl  uint32
	stored uint8
}{{IflagSecureRemoval, FlagSkipTrash}, {IflagImmutable, FlagImmutable}, {IflagAppend, FlagAppend}}

// ShownFlags gives stored flags as ioctl shows them.
func ShownFlags(stored uint8) uint32 {
	var shown uint32
	for _, f := range iflags {
		if stored&f.stored != 0 {
			shown |= f.ioctl
		}
	}
	return shown
}

// StoredFlags gives the flags to be stored in place of old when ioctl sets shown; ENOTSUP for flags that there are
// none of. What ioctl does not show stays.
func StoredFlags(old uint8, shown uint32) (uint8, error) {
	for _, f := range iflags {
		old &^= f.stored
		if shown&f.ioctl != 0 {
			old |= f.stored
		}
		shown &^= f.ioctl
	}
	if shown != 0 {
		return 0, posix.ENOTSUP
	}
	return old, nil
}

// SetFlags sets the attribute flags of an inode as ioctl shows them, and gives the attribute before and after. Only
// root may make a file immutable or append-only, or undo that.
func (v *Volume) SetFlags(ctx context.Context, who Cred, ino Ino, shown uint32) (old, a Attr, err error) {
	what := func() string { return fmt.Sprintf("set flags of inode %d", ino) }
	err = v.update(ctx, what, Want{Attrs: []Ino{ino}}, func(tx Tx) error {
		var err error
		if old, err = existing(tx, ino); err != nil {
			return err
		}
		if ino.IsTrash() || old.Parent > TrashIno || who.UID != 0 && who.UID != old.UID {
			return posix.EPERM
		}
		a = old
		if a.Flags, err = StoredFlags(old.Flags, shown); err != nil {
			return err
		}
		if who.UID != 0 && (a.Flags^old.Flags)&(FlagImmutable|FlagAppend) != 0 {
			return posix.EPERM
		}
		if a.Flags == old.Flags {
			return nil
		}
		a.Ctime = v.time()
		tx.SetAttr(ino, &a)
		return nil
	})
	return old, a, err
}

// GetFlags gives the attribute flags of an inode as ioctl shows them.
func (v *Volume) GetFlags(ctx context.Context, ino Ino) (uint32, error) {
	a, err := v.GetAttr(ctx, ino)
	return ShownFlags(a.Flags), err
}
