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

// GetXattr gives the value of an extended attribute. The access control lists appear as such under the names that
// Linux gives them, here and in the other methods; ENOTSUP in a volume without ACLs.
func (v *Volume) GetXattr(ctx context.Context, ino Ino, name string) ([]byte, error) {
	defer v.timed("GetXattr", v.began())
	if err := checkXattr(name); err != nil {
		return nil, err
	}
	if typ, ok := ACLTypeOf(name); ok {
		rule, err := v.GetFacl(ctx, ino, typ)
		if err != nil {
			return nil, err
		}
		return rule.Xattr(), nil
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
	defer v.timed("ListXattr", v.began())
	var names []string
	acls := v.format.Load().EnableACL
	var want Want
	if acls {
		want.Attrs = []Ino{ino}
	}
	err := v.view(ctx, func() string { return fmt.Sprintf("xattrs of inode %d", ino) }, want, func(r Reader) (err error) {
		if names, err = r.Xattrs(ino); err != nil || !acls {
			return err
		}
		a, _, err := r.Attr(ino)
		if a.AccessACL != 0 {
			names = append(names, XattrACLAccess)
		}
		if a.DefaultACL != 0 {
			names = append(names, XattrACLDefault)
		}
		return err
	})
	return names, err
}

// SetXattr sets an extended attribute; flags is 0, XattrCreate or XattrReplace, and not heeded for access control
// lists. Who may set an ordinary attribute is the caller's to check.
func (v *Volume) SetXattr(ctx context.Context, who Cred, ino Ino, name string, value []byte, flags uint32) error {
	defer v.timed("SetXattr", v.began())
	if err := checkXattr(name); err != nil {
		return err
	}
	if len(value) > MaxXattrValue {
		return posix.ERANGE
	}
	if typ, ok := ACLTypeOf(name); ok {
		rule, err := ACLFromXattr(value)
		if err != nil {
			return err
		}
		return v.SetFacl(ctx, who, ino, typ, rule)
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
func (v *Volume) RemoveXattr(ctx context.Context, who Cred, ino Ino, name string) error {
	defer v.timed("RemoveXattr", v.began())
	if err := checkXattr(name); err != nil {
		return err
	}
	if typ, ok := ACLTypeOf(name); ok {
		return v.SetFacl(ctx, who, ino, typ, noACL())
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
