package mount

import (
	"context"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/internal/posix"
	"jfs/meta"
)

// hidden says whether an attribute does not exist for this mount: capabilities and labels unless they are enabled.
// The kernel asks for capabilities before every write, so that answer must cost nothing.
func (a *adapter) hidden(name string) bool {
	switch name {
	case "security.capability":
		return !a.opt.EnableCap
	case "security.selinux":
		return !a.opt.EnableSELinux
	}
	return false
}

// isACL says whether the name stands for an access control list, which is no ordinary attribute.
func isACL(name string) bool { return strings.HasPrefix(name, "system.posix_acl_") }

// owner is who for a change of an attribute. What a change of an access control list does to a file depends on the
// groups of the caller.
func (a *adapter) owner(h *fuse.InHeader, name string) meta.Cred {
	c := a.who(h)
	if isACL(name) && c.UID != 0 && c.Groups == nil {
		c.Groups = a.groups(h)
	}
	return c
}

func (a *adapter) GetXAttr(cancel <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (size uint32, st fuse.Status) {
	switch {
	case a.hidden(name):
		return 0, fuse.ENODATA
	case isACL(name) && !a.opt.EnableACL:
		return 0, fuse.ENOTSUP
	}
	st = a.do("getxattr", cancel, h, func(ctx context.Context) error {
		value, err := a.fs.GetXattr(ctx, a.ino(h.NodeId), name)
		if err != nil {
			return stale(err)
		}
		size, err = put(dest, value)
		return err
	})
	return size, st
}

func (a *adapter) ListXAttr(cancel <-chan struct{}, h *fuse.InHeader, dest []byte) (size uint32, st fuse.Status) {
	st = a.do("listxattr", cancel, h, func(ctx context.Context) error {
		names, err := a.fs.ListXattr(ctx, a.ino(h.NodeId))
		if err != nil {
			return stale(err)
		}
		var list []byte
		for _, name := range names {
			if !a.hidden(name) {
				list = append(append(list, name...), 0)
			}
		}
		size, err = put(dest, list)
		return err
	})
	return size, st
}

// put copies a value into the kernel's buffer. Of one that does not fit only the size is told, which is also how a
// caller asks for the size.
func put(dest, value []byte) (uint32, error) {
	if len(value) > len(dest) {
		return uint32(len(value)), posix.ERANGE
	}
	return uint32(copy(dest, value)), nil
}

func (a *adapter) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, name string, value []byte) fuse.Status {
	if a.hidden(name) || isACL(name) && !a.opt.EnableACL {
		return fuse.ENOTSUP
	}
	return a.do("setxattr", cancel, &in.InHeader, func(ctx context.Context) error {
		// The value stands in the buffer of the request, which does not outlive it.
		return a.fs.SetXattr(ctx, a.owner(&in.InHeader, name), a.ino(in.NodeId), name, append([]byte(nil), value...), in.Flags)
	})
}

func (a *adapter) RemoveXAttr(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	switch {
	case a.hidden(name):
		return fuse.ENODATA
	case isACL(name) && !a.opt.EnableACL:
		return fuse.ENOTSUP
	}
	return a.do("removexattr", cancel, h, func(ctx context.Context) error {
		return a.fs.RemoveXattr(ctx, a.owner(h, name), a.ino(h.NodeId), name)
	})
}
