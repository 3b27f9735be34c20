package fs

import (
	"context"

	"jfs/meta"
)

// accessed keeps up the access time of a file that was read, if the volume does so. That it cannot be is no reason to
// fail the reading.
func (f *file) accessed(ctx context.Context) {
	if !f.fs.vol.TracksAtime() {
		return
	}
	f.mu.RLock()
	known, a, stamp := f.known, f.attr, f.commits
	f.mu.RUnlock()
	if !known {
		return
	}
	now, changed, err := f.fs.vol.Accessed(ctx, f.ino, &a)
	if err != nil {
		f.fs.log.Debug("access time", "inode", f.ino, "err", err)
	}
	if changed {
		f.observe(now, stamp)
	}
}

// accessed is the same for what is no file.
func (f *FS) accessed(ctx context.Context, ino meta.Ino) {
	if !f.vol.TracksAtime() {
		return
	}
	a, err := f.vol.GetAttr(ctx, ino)
	if err == nil {
		_, _, err = f.vol.Accessed(ctx, ino, &a)
	}
	if err != nil {
		f.log.Debug("access time", "inode", ino, "err", err)
	}
}

// GetFlags gives the attribute flags of an inode as ioctl shows them, see meta.Volume.GetFlags.
func (f *FS) GetFlags(ctx context.Context, ino meta.Ino) (uint32, error) {
	return f.vol.GetFlags(ctx, ino)
}

// SetFlags sets the attribute flags of an inode, see meta.Volume.SetFlags.
func (f *FS) SetFlags(ctx context.Context, who meta.Cred, ino meta.Ino, shown uint32) error {
	before, a, err := f.vol.SetFlags(ctx, who, ino, shown)
	if err != nil {
		return err
	}
	if fl := f.peek(ino); fl != nil {
		fl.mu.Lock()
		defer fl.mu.Unlock()
		if fl.known {
			fl.changed(&before, &a)
		}
	}
	return nil
}

// Tmpfile makes a file without a name and opens it; dir is where it would be.
func (f *FS) Tmpfile(ctx context.Context, who meta.Cred, dir meta.Ino, n meta.New, flags int) (Inode, *Handle, error) {
	ino, a, err := f.vol.Tmpfile(ctx, who, dir, n)
	if err != nil {
		return Inode{}, nil, err
	}
	fl := f.get(ino)
	fl.made(&a)
	h := f.handle(fl, flags)
	if err := h.enter(ctx); err != nil {
		h.Release(ctx)
		return Inode{}, nil, err
	}
	return Inode{ino, a}, h, nil
}
