package mount

import (
	"context"

	"jfs/fs"
	"jfs/internal/posix"
	"jfs/meta"
)

// backend is what the adapter calls: the methods of fs.FS, with its handles behind interfaces so that tests can
// stand in for them.
type backend interface {
	Root() meta.Ino

	Lookup(ctx context.Context, who meta.Cred, dir meta.Ino, name string) (fs.Inode, error)
	GetAttr(ctx context.Context, ino meta.Ino) (meta.Attr, error)
	SetAttr(ctx context.Context, who meta.Cred, ino meta.Ino, c fs.SetAttr, h handle) (meta.Attr, error)
	Mknod(ctx context.Context, who meta.Cred, dir meta.Ino, name string, n meta.New) (fs.Inode, error)
	Link(ctx context.Context, who meta.Cred, ino, dir meta.Ino, name string) (meta.Attr, error)
	Unlink(ctx context.Context, who meta.Cred, dir meta.Ino, name string) error
	Rmdir(ctx context.Context, who meta.Cred, dir meta.Ino, name string) error
	Rename(ctx context.Context, who meta.Cred, from, to meta.Name, flags uint32) error
	Readlink(ctx context.Context, ino meta.Ino) (string, error)
	Access(ctx context.Context, who meta.Cred, ino meta.Ino, mask uint16) error
	StatFS(ctx context.Context) meta.Space

	GetXattr(ctx context.Context, ino meta.Ino, name string) ([]byte, error)
	SetXattr(ctx context.Context, who meta.Cred, ino meta.Ino, name string, value []byte, flags uint32) error
	ListXattr(ctx context.Context, ino meta.Ino) ([]string, error)
	RemoveXattr(ctx context.Context, who meta.Cred, ino meta.Ino, name string) error

	GetFlags(ctx context.Context, ino meta.Ino) (uint32, error)
	SetFlags(ctx context.Context, who meta.Cred, ino meta.Ino, flags uint32) error

	Flock(ctx context.Context, ino meta.Ino, owner uint64, typ meta.FlockType, block bool) (stale bool, err error)
	Setlk(ctx context.Context, ino meta.Ino, owner uint64, lock meta.Plock, block bool) (stale bool, err error)
	Getlk(ctx context.Context, ino meta.Ino, owner uint64, probe meta.Plock) (meta.Plock, error)
	ReleaseLocks(ctx context.Context, ino meta.Ino, owner uint64) error

	Open(ctx context.Context, who meta.Cred, ino meta.Ino, flags int) (h handle, keepCache bool, err error)
	Create(ctx context.Context, who meta.Cred, dir meta.Ino, name string, n meta.New, flags int) (fs.Inode, handle, error)
	Tmpfile(ctx context.Context, who meta.Cred, dir meta.Ino, n meta.New, flags int) (fs.Inode, handle, error)
	CopyRange(ctx context.Context, in handle, offIn uint64, out handle, offOut, size uint64, flags uint32) (uint64, error)
	OpenDir(ctx context.Context, who meta.Cred, ino meta.Ino) (directory, error)
}

// handle is an open file, see fs.Handle.
type handle interface {
	Read(ctx context.Context, off uint64, dst []byte) (int, error)
	Write(ctx context.Context, off uint64, src []byte) (int, error)
	Fallocate(ctx context.Context, mode uint32, off, size uint64) error
	Seek(ctx context.Context, off uint64, whence uint32) (uint64, error)
	Flush(ctx context.Context) error
	Fsync(ctx context.Context) error
	Release(ctx context.Context)
}

// directory is an open directory, see fs.Dir.
type directory interface {
	Read(ctx context.Context, off uint64, plus bool, emit func(fs.DirEntry) bool) error
	Close()
}

// volume is a backend that is an fs.FS.
type volume struct{ *fs.FS }

var _ backend = volume{}

func (v volume) SetAttr(ctx context.Context, who meta.Cred, ino meta.Ino, c fs.SetAttr, h handle) (meta.Attr, error) {
	open, _ := h.(*fs.Handle) // nil when the change comes by name
	return v.FS.SetAttr(ctx, who, ino, c, open)
}

func (v volume) Open(ctx context.Context, who meta.Cred, ino meta.Ino, flags int) (handle, bool, error) {
	if fs.IsVirtual(ino) {
		h, err := v.FS.OpenVirtual(who, ino, flags)
		if err != nil {
			return nil, false, err
		}
		return h, false, nil
	}
	return v.FS.Open(ctx, who, ino, flags)
}

func (v volume) Create(ctx context.Context, who meta.Cred, dir meta.Ino, name string, n meta.New, flags int) (fs.Inode, handle, error) {
	return v.FS.Create(ctx, who, dir, name, n, flags)
}

func (v volume) Tmpfile(ctx context.Context, who meta.Cred, dir meta.Ino, n meta.New, flags int) (fs.Inode, handle, error) {
	return v.FS.Tmpfile(ctx, who, dir, n, flags)
}

func (v volume) CopyRange(ctx context.Context, in handle, offIn uint64, out handle, offOut, size uint64, flags uint32) (uint64, error) {
	from, ok := in.(*fs.Handle)
	to, ok2 := out.(*fs.Handle)
	if !ok || !ok2 {
		return 0, posix.EBADF
	}
	return v.FS.CopyRange(ctx, from, offIn, to, offOut, size, flags)
}

func (v volume) OpenDir(ctx context.Context, who meta.Cred, ino meta.Ino) (directory, error) {
	return v.FS.OpenDir(ctx, who, ino)
}
