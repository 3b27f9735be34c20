package fs

import (
	"context"
	"syscall"

	"jfs/internal/posix"
	"jfs/meta"
)

// Fallocate is fallocate(2).
func (h *Handle) Fallocate(ctx context.Context, mode uint32, off, size uint64) error {
	if !h.Writable() {
		return posix.EBADF
	}
	return h.file.alter(ctx, func() (from, to uint64, err error) {
		return off, off + size, h.file.allocate(ctx, mode, off, size)
	})
}

func (f *file) allocate(ctx context.Context, mode uint32, off, size uint64) error {
	if err := f.flushOut(ctx); err != nil {
		return err
	}
	before, a, err := f.fs.vol.Fallocate(ctx, f.ino, mode, off, size)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed(&before, &a) // the kernel zeros its pages itself
	if mode&(meta.FallocPunchHole|meta.FallocZero) != 0 {
		f.zeroViews(off, min(off+size, before.Length))
	}
	return nil
}

// zeroViews lets the known views show zeros in [from, to). f.mu is held.
func (f *file) zeroViews(from, to uint64) {
	for index, view := range f.views {
		first := uint64(index) << meta.ChunkBits
		left, right := max(from, first), min(to, first+meta.ChunkSize)
		if left < right {
			zero := meta.Slice{Pos: uint32(left - first), Len: uint32(right - left)}
			f.views[index] = meta.View(append(view[:len(view):len(view)], zero))
		}
	}
}

// CopyRange is copy_file_range(2) within the volume: the data is shared, not copied. It gives fewer bytes than asked
// for at the end of the source, and when it is stopped after a part.
func (f *FS) CopyRange(ctx context.Context, in *Handle, offIn uint64, out *Handle, offOut, size uint64, flags uint32) (uint64, error) {
	if !out.Writable() || out.flags&syscall.O_APPEND != 0 || !in.Readable() {
		return 0, posix.EBADF
	}
	if in.file != out.file {
		if err := in.file.gatherNow(ctx); err != nil {
			return 0, err
		}
	}
	var done uint64
	err := out.file.alter(ctx, func() (from, to uint64, err error) {
		done, err = f.copyRange(ctx, in, offIn, out, offOut, size, flags)
		return offOut, offOut + done, err
	})
	return done, err
}

func (f *FS) copyRange(ctx context.Context, in *Handle, offIn uint64, out *Handle, offOut, size uint64, flags uint32) (uint64, error) {
	for _, h := range [...]*Handle{in, out} {
		if err := h.file.flushOut(ctx); err != nil {
			return 0, err
		}
	}
	if in.file == out.file {
		// A copy behind its own end must not go on with what it has appended.
		a, err := f.vol.GetAttr(ctx, in.file.ino)
		if err != nil {
			return 0, err
		}
		size = min(size, max(a.Length, offIn)-offIn)
	}
	var done uint64
	for done < size {
		n, before, a, err := f.vol.CopyRange(ctx, in.file.ino, offIn+done, out.file.ino, offOut+done, size-done, flags)
		if err != nil {
			if done > 0 {
				return done, nil // it will fail again where it stopped
			}
			return 0, err
		}
		if n == 0 {
			break
		}
		done += n
		fl := out.file
		fl.mu.Lock()
		fl.changed(&before, &a)
		fl.dropViews() // the records that were appended are not known here
		fl.mu.Unlock()
	}
	return done, nil
}
