package mount

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/internal/posix"
	"jfs/meta"
)

// Lseek is asked for SEEK_DATA and SEEK_HOLE; the kernel knows the other offsets.
func (a *adapter) Lseek(cancel <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	if a.opt.WritebackCache {
		// The kernel asks without writing back, and would be told of holes where it has data. From now on it takes all
		// of a file for data.
		return fuse.ENOSYS
	}
	return a.withFile("lseek", cancel, in.NodeId, in.Fh, func(ctx context.Context, h handle) (err error) {
		out.Offset, err = h.Seek(ctx, in.Offset, in.Whence)
		return err
	})
}

func (a *adapter) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	return a.withFile("fallocate", cancel, in.NodeId, in.Fh, func(ctx context.Context, h handle) error {
		return h.Fallocate(ctx, in.Mode, in.Offset, in.Length)
	})
}

// copyMost is the most that one answer can count, in bytes: whole pages in 32 bits.
const copyMost = 1<<32 - 4096

func (a *adapter) CopyFileRange(cancel <-chan struct{}, in *fuse.CopyFileRangeIn) (copied uint32, st fuse.Status) {
	st = a.withFile("copy_file_range", cancel, in.NodeId, in.FhIn, func(ctx context.Context, from handle) error {
		to, ok := a.files.get(in.FhOut)
		if !ok {
			return posix.EBADF
		}
		if in.Flags>>32 != 0 {
			return posix.EINVAL
		}
		n, err := a.fs.CopyRange(ctx, from, in.OffIn, to, in.OffOut, min(in.Len, copyMost), uint32(in.Flags))
		copied = uint32(n)
		return err
	})
	return copied, st
}

func (a *adapter) Tmpfile(cancel <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	t := a.leases.ticket()
	return a.do("tmpfile", cancel, &in.InHeader, func(ctx context.Context) error {
		n := meta.New{Type: meta.TypeFile, Mode: uint16(in.Mode & 07777), Umask: a.umask(in.Umask)}
		file, h, err := a.fs.Tmpfile(ctx, a.who(&in.InHeader), a.ino(in.NodeId), n, a.openFlags(in.Flags))
		if err == nil {
			a.fillEntry(t.of(ctx), 0, "", &file, true, &out.EntryOut)
			a.opened(h, in.Flags, false, &out.OpenOut)
		}
		return err
	})
}
