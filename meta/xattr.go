package meta

import (
	"context"
	"fmt"

	"jfs/internal/posix"
)

// Limits of extended attributes.
const (
	MaxXattrName  = 255   // bytes
	MaxXattrValue = 65536 // bytes
)

// Flags of SetXattr, with the numbers of setxattr(2).
const (
	XattrCreate  uint32 = 1
	XattrReplace uint32 = 2
)

func checkXattr(name string) error {
	switch {
	case name == "":
		return posix.EINVAL
	case len(name) > MaxXattrName:
		return posix.ERANGE
	}
	return nil
}

// GetXattr gives the value of an extended attribute.
func (v *Volume) GetXattr(ctx context.Context, ino Ino, name string) ([]byte, error) {
	if err := checkXattr(name); err != nil {
		return nil, err
	}
	var value []byte
	err := v.view(ctx, func() string { return fmt.Sprintf("xattr %q of inode %d", name, ino) }, Want{}, func(r Reader) error {
		var ok bool
		var err error
		value, ok, err = r.Xattr(ino, name)
		if err == nil && !ok {
			err = posix.ENODATA
		}
		return err
	})
	return value, err
}

// ListXattr gives the names of the extended attributes of an inode.
func (v *Volume) ListXattr(ctx context.Context, ino Ino) ([]string, error) {
	var names []string
	err := v.view(ctx, func() string { return fmt.Sprintf("xattrs of inode %d", ino) }, Want{}, func(r Reader) (err error) {
		names, err = r.Xattrs(ino)
		return err
	})
	return names, err
}

// SetXattr sets an extended attribute; flags is 0, XattrCreate or XattrReplace.
func (v *Volume) SetXattr(ctx context.Context, ino Ino, name string, value []byte, flags uint32) error {
	if err := checkXattr(name); err != nil {
		return err
	}
	if len(value) > MaxXattrValue {
		return posix.ERANGE
	}
	return v.update(ctx, func() string { return fmt.Sprintf("set xattr %q of inode %d", name, ino) }, Want{}, func(tx Tx) error {
		if flags != 0 {
			_, ok, err := tx.Xattr(ino, name)
			switch {
			case err != nil:
				return err
			case ok && flags == XattrCreate:
				return posix.EEXIST
			case !ok && flags == XattrReplace:
				return posix.ENODATA
			}
		}
		tx.SetXattr(ino, name, value)
		return nil
	})
}

// RemoveXattr removes an extended attribute.
func (v *Volume) RemoveXattr(ctx context.Context, ino Ino, name string) error {
	if err := checkXattr(name); err != nil {
		return err
	}
	return v.update(ctx, func() string { return fmt.Sprintf("remove xattr %q of inode %d", name, ino) }, Want{}, func(tx Tx) error {
		_, ok, err := tx.Xattr(ino, name)
		if err == nil && !ok {
			err = posix.ENODATA
		}
		if err != nil {
			return err
		}
		tx.DropXattr(ino, name)
		return nil
	})
}
