package mount

import (
	"context"
	"errors"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"jfs/fs"
	"jfs/internal/posix"
	"jfs/meta"
)

func (a *adapter) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	t, dir := a.leases.ticket(), a.ino(h.NodeId)
	st := a.do("lookup", cancel, h, func(ctx context.Context) error {
		if err := a.leases.settle(ctx); err != nil {
			return err
		}
		in, err := a.fs.Lookup(ctx, a.who(h), dir, name)
		if err == nil {
			a.fillEntry(t, dir, name, &in, false, out)
		}
		return err
	})
	// There is no lease for what is not there: who is told by another that a file is there now, and opens it, may be
	// quicker than the news.
	if st == fuse.ENOENT && a.opt.NegativeTimeout > 0 {
		// Node 0 says "no such name" as ENOENT does, but with a time for which that holds.
		*out = fuse.EntryOut{}
		out.SetEntryTimeout(a.opt.NegativeTimeout)
		return fuse.OK
	}
	return st
}

func (a *adapter) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	t := a.leases.ticket()
	return a.do("getattr", cancel, &in.InHeader, func(ctx context.Context) error {
		ino := a.ino(in.NodeId)
		attr, err := a.fs.GetAttr(ctx, ino)
		if err == nil {
			a.fillAttr(t, ino, &attr, out)
		}
		return stale(err)
	})
}

func (a *adapter) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return a.do("setattr", cancel, &in.InHeader, func(ctx context.Context) error {
		ino := a.ino(in.NodeId)
		var h handle
		if fh, ok := in.GetFh(); ok {
			if h, ok = a.files.get(fh); !ok {
				return posix.EBADF
			}
		}
		c := changeOf(in)
		if a.opt.WritebackCache && c.Size != nil {
			// The kernel adds the time to every truncation, which sets it anyway, also of a file in the trash.
			c.Mtime, c.MtimeNow = nil, false
		}
		var attr meta.Attr
		var err error
		if c == (fs.SetAttr{}) {
			attr, err = a.fs.GetAttr(ctx, ino)
		} else {
			attr, err = a.fs.SetAttr(ctx, a.who(&in.InHeader), ino, c, h)
		}
		if a.opt.WritebackCache && ofKernel(in) && (errors.Is(err, posix.ENOENT) || errors.Is(err, posix.EPERM) && a.inTrash(ctx, ino)) {
			// The kernel writes back the times of a file that was removed meanwhile, or has got into the trash while it
			// is open. It does not look at the attributes in the answer, and an error would come out of a close, an
			// fsync or a read of some descriptor of the file, though its data is there.
			return nil
		}
		if err == nil {
			// Without a lease: the kernel takes the attributes from the answer even if it was told meanwhile that they
			// have changed.
			a.fillAttr(ticket{}, ino, &attr, out)
		}
		return stale(err)
	})
}

// ofKernel says whether a request may be the kernel's own: it sets the times that it has given to what was written.
func ofKernel(in *fuse.SetAttrIn) bool {
	return in.Valid&^uint32(fuse.FATTR_FH) == fuse.FATTR_MTIME|fuse.FATTR_CTIME
}

// inTrash says that the only name which an inode has is one in the trash.
func (a *adapter) inTrash(ctx context.Context, ino meta.Ino) bool {
	attr, err := a.fs.GetAttr(ctx, ino)
	return err == nil && attr.Parent > meta.TrashIno
}

// mknod makes an inode of any type.
func (a *adapter) mknod(op string, cancel <-chan struct{}, h *fuse.InHeader, name string, n meta.New, out *fuse.EntryOut) fuse.Status {
	t, dir := a.leases.ticket(), a.ino(h.NodeId)
	return a.do(op, cancel, h, func(ctx context.Context) error {
		in, err := a.fs.Mknod(ctx, a.who(h), dir, name, n)
		if err == nil {
			a.fillEntry(t.of(ctx), dir, name, &in, true, out)
		}
		return err
	})
}

func (a *adapter) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	n := meta.New{Type: typeOf(in.Mode), Mode: uint16(in.Mode & 07777), Umask: a.umask(in.Umask)}
	if n.Type == meta.TypeBlockDev || n.Type == meta.TypeCharDev {
		n.Rdev = in.Rdev
	}
	return a.mknod("mknod", cancel, &in.InHeader, name, n, out)
}

func (a *adapter) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	n := meta.New{Type: meta.TypeDirectory, Mode: uint16(in.Mode & 07777), Umask: a.umask(in.Umask)}
	return a.mknod("mkdir", cancel, &in.InHeader, name, n, out)
}

func (a *adapter) Symlink(cancel <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	if len(target) >= meta.MaxSymlink {
		return fuse.Status(posix.ENAMETOOLONG.Errno())
	}
	n := meta.New{Type: meta.TypeSymlink, Mode: 0777, Target: target}
	return a.mknod("symlink", cancel, h, name, n, out)
}

func (a *adapter) Readlink(cancel <-chan struct{}, h *fuse.InHeader) (target []byte, st fuse.Status) {
	st = a.do("readlink", cancel, h, func(ctx context.Context) error {
		s, err := a.fs.Readlink(ctx, a.ino(h.NodeId))
		target = []byte(s)
		return stale(err)
	})
	return target, st
}

func (a *adapter) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	t, dir := a.leases.ticket(), a.ino(in.NodeId)
	return a.do("link", cancel, &in.InHeader, func(ctx context.Context) error {
		ino := a.ino(in.Oldnodeid)
		attr, err := a.fs.Link(ctx, a.who(&in.InHeader), ino, dir, name)
		if err == nil {
			a.fillEntry(t.of(ctx), dir, name, &fs.Inode{Ino: ino, Attr: attr}, true, out)
		}
		return err
	})
}

func (a *adapter) Unlink(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return a.do("unlink", cancel, h, func(ctx context.Context) error {
		return a.removed(h, name, a.fs.Unlink(ctx, a.who(h), a.ino(h.NodeId), name))
	})
}

func (a *adapter) Rmdir(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return a.do("rmdir", cancel, h, func(ctx context.Context) error {
		return a.removed(h, name, a.fs.Rmdir(ctx, a.who(h), a.ino(h.NodeId), name))
	})
}

// removed notes that the kernel, who asked for it, knows that a name is gone.
func (a *adapter) removed(h *fuse.InHeader, name string, err error) error {
	if err == nil && a.leases != nil {
		a.leases.mu.Lock()
		defer a.leases.mu.Unlock()
		a.leases.drop(a.ino(h.NodeId), name)
	}
	return err
}

// opRename is the number of the request that has no flags; RENAME2 has them.
const opRename = 12

func (a *adapter) Rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	flags := in.Flags
	if in.Opcode == opRename {
		flags = 0 // where they would be, the old name stands
	}
	return a.do("rename", cancel, &in.InHeader, func(ctx context.Context) error {
		from := meta.Name{Dir: a.ino(in.NodeId), Name: oldName}
		to := meta.Name{Dir: a.ino(in.Newdir), Name: newName}
		err := a.fs.Rename(ctx, a.who(&in.InHeader), from, to, flags)
		if err == nil {
			a.leases.renamed(from, to, flags&unix.RENAME_EXCHANGE != 0)
		}
		return err
	})
}

func (a *adapter) Access(cancel <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	if !a.opt.NoDefaultPermissions {
		return fuse.OK // the kernel has checked
	}
	return a.do("access", cancel, &in.InHeader, func(ctx context.Context) error {
		return stale(a.fs.Access(ctx, a.who(&in.InHeader), a.ino(in.NodeId), uint16(in.Mask&7)))
	})
}

// statfsUnit is the size of the blocks in which statfs counts, in bytes.
const statfsUnit = 4096

func (a *adapter) StatFs(cancel <-chan struct{}, h *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	return a.do("statfs", cancel, h, func(ctx context.Context) error {
		s := a.fs.StatFS(ctx)
		*out = fuse.StatfsOut{
			Bsize: statfsUnit, Frsize: statfsUnit, NameLen: meta.MaxName,
			Blocks: s.TotalBytes / statfsUnit, Bfree: s.FreeBytes / statfsUnit, Bavail: s.FreeBytes / statfsUnit,
			Files: s.TotalInodes, Ffree: s.FreeInodes,
		}
		return nil
	})
}
