package mount

import (
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/fs"
	"jfs/meta"
)

// blockSize is what stat shows as the preferred size of I/O, in bytes. The volume format asks for it.
const blockSize = 64 << 10

// typeBits gives the type of an inode as in st_mode, 0 for one that the format does not have.
func typeBits(t meta.Type) uint32 {
	switch t {
	case meta.TypeFile:
		return syscall.S_IFREG
	case meta.TypeDirectory:
		return syscall.S_IFDIR
	case meta.TypeSymlink:
		return syscall.S_IFLNK
	case meta.TypeFIFO:
		return syscall.S_IFIFO
	case meta.TypeBlockDev:
		return syscall.S_IFBLK
	case meta.TypeCharDev:
		return syscall.S_IFCHR
	case meta.TypeSocket:
		return syscall.S_IFSOCK
	}
	return 0
}

// typeOf is the reverse of typeBits; 0, which is no valid type, for what the format does not have.
func typeOf(mode uint32) meta.Type {
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return meta.TypeFile
	case syscall.S_IFDIR:
		return meta.TypeDirectory
	case syscall.S_IFLNK:
		return meta.TypeSymlink
	case syscall.S_IFIFO:
		return meta.TypeFIFO
	case syscall.S_IFBLK:
		return meta.TypeBlockDev
	case syscall.S_IFCHR:
		return meta.TypeCharDev
	case syscall.S_IFSOCK:
		return meta.TypeSocket
	}
	return 0
}

// fill converts an attribute.
func (a *adapter) fill(ino meta.Ino, in *meta.Attr, out *fuse.Attr) {
	*out = fuse.Attr{
		Ino:   a.node(ino),
		Mode:  typeBits(in.Type) | uint32(in.Mode),
		Nlink: in.Nlink,
		Owner: fuse.Owner{Uid: in.UID, Gid: in.GID},
		// Seconds before 1970 travel as the two's complement.
		Atime: uint64(in.Atime.Sec), Atimensec: in.Atime.Nsec,
		Mtime: uint64(in.Mtime.Sec), Mtimensec: in.Mtime.Nsec,
		Ctime: uint64(in.Ctime.Sec), Ctimensec: in.Ctime.Nsec,
		Blksize: blockSize,
	}
	switch in.Type {
	case meta.TypeFile, meta.TypeDirectory, meta.TypeSymlink:
		out.Size = in.Length
		out.Blocks = in.Length / 512
		if in.Length%512 != 0 {
			out.Blocks++
		}
	case meta.TypeBlockDev, meta.TypeCharDev:
		out.Rdev = in.Rdev
	}
}

// fillAttr answers with an attribute; t was taken before the file system was asked for it.
func (a *adapter) fillAttr(t ticket, ino meta.Ino, in *meta.Attr, out *fuse.AttrOut) {
	a.fill(ino, in, &out.Attr)
	out.SetTimeout(a.attrTimeout(out.Ino, in, a.leases.seen(t, ino, in)))
}

// attrTimeout says how long the kernel may believe attributes that it is about to be told.
func (a *adapter) attrTimeout(node uint64, in *meta.Attr, g grant) time.Duration {
	if in.Type == meta.TypeFile && !a.told.answer(node, stateOf(in)) {
		return 0
	}
	return g.lasts(a.opt.AttrTimeout, a.opt.AttrLease)
}

// fillEntry answers with what a name in a directory stands for; made says that the request has made it.
func (a *adapter) fillEntry(t ticket, dir meta.Ino, name string, in *fs.Inode, made bool, out *fuse.EntryOut) {
	entry, attr := a.leases.lookedUp(t, dir, name, in.Ino, &in.Attr, made)
	out.NodeId = a.node(in.Ino)
	out.SetAttrTimeout(a.attrTimeout(out.NodeId, &in.Attr, attr))
	out.SetEntryTimeout(a.entryTimeout(in.Attr.Type, entry))
	a.fill(in.Ino, &in.Attr, &out.Attr)
}

// changeOf maps the fields that the kernel wants changed. Its bits are not those of the volume format; a change of
// ctime is left out because every change sets it.
func changeOf(in *fuse.SetAttrIn) fs.SetAttr {
	var c fs.SetAttr
	if in.Valid&fuse.FATTR_MODE != 0 {
		mode := uint16(in.Mode & 07777)
		c.Mode = &mode
	}
	if in.Valid&fuse.FATTR_UID != 0 {
		uid := in.Uid
		c.UID = &uid
	}
	if in.Valid&fuse.FATTR_GID != 0 {
		gid := in.Gid
		c.GID = &gid
	}
	if in.Valid&fuse.FATTR_SIZE != 0 {
		size := in.Size
		c.Size = &size
	}
	switch {
	case in.Valid&fuse.FATTR_ATIME_NOW != 0:
		c.AtimeNow = true
	case in.Valid&fuse.FATTR_ATIME != 0:
		c.Atime = &meta.Time{Sec: int64(in.Atime), Nsec: in.Atimensec}
	}
	switch {
	case in.Valid&fuse.FATTR_MTIME_NOW != 0:
		c.MtimeNow = true
	case in.Valid&fuse.FATTR_MTIME != 0:
		c.Mtime = &meta.Time{Sec: int64(in.Mtime), Nsec: in.Mtimensec}
	}
	return c
}
