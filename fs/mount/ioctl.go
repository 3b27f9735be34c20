package mount

import (
	"context"
	"encoding/binary"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/internal/posix"
	"jfs/meta"
)

// Commands of ioctl(2), see linux/fs.h. The kernel asks for the extended form before it sets flags.
const (
	iocGetFlags   = 0x80086601
	iocGetFlags32 = 0x80046601
	iocSetFlags   = 0x40086602
	iocSetFlags32 = 0x40046602
	iocGetXFlags  = 0x801c581f
)

// Flags of the extended form, struct fsxattr, whose first word they are.
const (
	xflagImmutable = 0x08
	xflagAppend    = 0x10
)

// Ioctl shows and sets the attribute flags of a file. It answers ENOTTY to what it does not know: after ENOSYS the
// kernel would say the same, and ask again every time.
func (a *adapter) Ioctl(cancel <-chan struct{}, in *fuse.IoctlIn, inbuf []byte, _ *fuse.IoctlOut, outbuf []byte) fuse.Status {
	get := in.Cmd == iocGetFlags || in.Cmd == iocGetFlags32 || in.Cmd == iocGetXFlags
	set := in.Cmd == iocSetFlags || in.Cmd == iocSetFlags32
	if !a.opt.EnableIoctl || !get && !set {
		return fuse.Status(posix.ENOTTY.Errno())
	}
	return a.do("ioctl", cancel, &in.InHeader, func(ctx context.Context) error {
		ino := a.ino(in.NodeId)
		if set {
			if len(inbuf) < 4 {
				return posix.EINVAL
			}
			err := a.fs.SetFlags(ctx, a.who(&in.InHeader), ino, binary.NativeEndian.Uint32(inbuf))
			if err == nil {
				a.forgetAttr(in.NodeId) // the kernel does not know what it has passed on
			}
			return err
		}
		if len(outbuf) < 4 {
			return posix.EINVAL
		}
		flags, err := a.fs.GetFlags(ctx, ino)
		if err != nil {
			return err
		}
		clear(outbuf)
		if in.Cmd == iocGetXFlags {
			flags = xflags(flags)
		}
		binary.NativeEndian.PutUint32(outbuf, flags)
		return nil
	})
}

func xflags(flags uint32) uint32 {
	var x uint32
	if flags&meta.IflagImmutable != 0 {
		x |= xflagImmutable
	}
	if flags&meta.IflagAppend != 0 {
		x |= xflagAppend
	}
	return x
}
