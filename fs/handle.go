package fs

import (
	"context"
	"errors"
	"io"
	"sync"
	"syscall"

	"jfs/cache"
	"jfs/internal/posix"
	"jfs/meta"
	"jfs/prefetch"
)

// Handle is an open file. It is safe for concurrent use.
type Handle struct {
	fs    *FS
	file  *file
	flags int
	found meta.Attr

	back    *cache.Backing // what the kernel reads instead of asking; nil: it asks. Does not change once the open is answered
	joined  bool           // it asks nevertheless, but for what is mapped
	entered bool           // counted by the file's shadow

	mu       sync.Mutex // guards the rest
	detector *prefetch.Detector
	pace     prefetch.Pace
	pieces   []prefetch.Piece
}

// Open opens a file; flags are those of open(2). keepCache says that the pages which the kernel has of the file are
// still good.
func (f *FS) Open(ctx context.Context, who meta.Cred, ino meta.Ino, flags int) (h *Handle, keepCache bool, err error) {
	fl := f.get(ino)
	stamp := fl.stamp()
	a, cached := fl.recent()
	if cached {
		err = f.vol.OpenKnown(ctx, who, ino, &a, openFor(flags))
	} else {
		a, err = f.vol.Open(ctx, who, ino, openFor(flags))
	}
	if err != nil {
		f.put(fl)
		return nil, false, err
	}
	h = f.handle(fl, flags)
	switch {
	case a.Type == meta.TypeDirectory:
		err = posix.EISDIR
	case a.Type != meta.TypeFile:
		err = posix.EPERM
	}
	if cached {
		h.found = f.local(ino, a, stamp)
	} else {
		h.found = fl.observe(a, stamp)
	}
	if err == nil && flags&syscall.O_TRUNC != 0 {
		if _, err = fl.truncate(ctx, who, 0, true); err == nil {
			err = h.dropSetID(ctx, who)
		}
	}
	if err == nil {
		err = h.enter(ctx)
	}
	if err != nil {
		h.Release(ctx)
		return nil, false, err
	}
	if h.Readable() && flags&syscall.O_NOATIME == 0 {
		fl.accessed(ctx)
	}
	return h, fl.opened(&a), nil
}

// dropSetID takes the set-ID bits from a program whose contents a user has thrown away with O_TRUNC. The kernel does so
// for every other change of data, but leaves this one to who truncates.
func (h *Handle) dropSetID(ctx context.Context, who meta.Cred) error {
	mode := h.found.Mode &^ meta.ModeSetUID
	if mode&010 != 0 {
		mode &^= meta.ModeSetGID // without execution by the group it is no right
	}
	if who.UID == 0 || mode == h.found.Mode {
		return nil
	}
	a, err := h.fs.SetAttr(ctx, who, h.file.ino, SetAttr{Change: meta.Change{Mode: &mode}}, h)
	if err == nil {
		h.found = a
	}
	return err
}

func openFor(flags int) meta.OpenFor {
	acc := flags & syscall.O_ACCMODE
	return meta.OpenFor{
		Read:     acc == syscall.O_RDONLY || acc == syscall.O_RDWR,
		Write:    acc == syscall.O_WRONLY || acc == syscall.O_RDWR,
		Append:   flags&syscall.O_APPEND != 0,
		Truncate: flags&syscall.O_TRUNC != 0,
	}
}

// Create makes a regular file and opens it. Without O_EXCL a file that is there is opened.
func (f *FS) Create(ctx context.Context, who meta.Cred, dir meta.Ino, name string, n meta.New, flags int) (Inode, *Handle, error) {
	n.Type = meta.TypeFile
	node, err := f.Mknod(ctx, who, dir, name, n)
	for errors.Is(err, posix.EEXIST) && flags&syscall.O_EXCL == 0 && ctx.Err() == nil {
		var h *Handle
		if node, err = f.Lookup(ctx, who, dir, name); err == nil {
			h, _, err = f.Open(ctx, who, node.Ino, flags)
		}
		switch {
		case err == nil:
			node.Attr = h.found
			return node, h, nil
		case !errors.Is(err, posix.ENOENT):
			return Inode{}, nil, err
		}
		// Somebody has removed or replaced the file between the steps.
		node, err = f.Mknod(ctx, who, dir, name, n)
	}
	if err != nil {
		return Inode{}, nil, err
	}
	fl := f.get(node.Ino)
	f.vol.Retain(node.Ino)
	fl.made(&node.Attr)
	h := f.handle(fl, flags)
	h.found = node.Attr
	if err := h.enter(ctx); err != nil {
		h.Release(ctx)
		return Inode{}, nil, err
	}
	return node, h, nil
}

func (f *FS) handle(fl *file, flags int) *Handle {
	h := &Handle{fs: f, file: fl, flags: flags}
	h.detector = prefetch.NewDetector(prefetch.DetectorOptions{First: int64(f.blockSize), Max: f.opt.MaxReadahead, Trust: &f.trust})
	return h
}

// Ino is the inode that is open.
func (h *Handle) Ino() meta.Ino { return h.file.ino }

// Readable says whether the handle was opened for reading.
func (h *Handle) Readable() bool { return h.flags&syscall.O_ACCMODE != syscall.O_WRONLY }

// Found is the attribute of the file that the open has found, before O_TRUNC unless that changed the mode.
func (h *Handle) Found() meta.Attr { return h.found }

// Writable says whether the handle was opened for writing.
func (h *Handle) Writable() bool { return h.flags&syscall.O_ACCMODE != syscall.O_RDONLY }

// Read fills dst with the bytes from off on; it gives less only at the end of the file.
func (h *Handle) Read(ctx context.Context, off uint64, dst []byte) (int, error) {
	if h.joined { // what others have stored in mappings is there only
		return h.readBack(off, dst)
	}
	n, err := h.file.read(ctx, off, dst, h.readAhead(ctx, off, len(dst)))
	if n > 0 && h.flags&syscall.O_NOATIME == 0 {
		h.file.accessed(ctx)
	}
	return n, err
}

// Write takes all of src, at off or, with O_APPEND, at the end of the file.
func (h *Handle) Write(ctx context.Context, off uint64, src []byte) (int, error) {
	return h.WriteAs(ctx, off, src, h.flags&syscall.O_APPEND != 0)
}

// WriteAs is Write with O_APPEND or without it, however the file was opened: fcntl(2) changes that, and pages that the
// kernel writes back have their place.
func (h *Handle) WriteAs(ctx context.Context, off uint64, src []byte, atEnd bool) (int, error) {
	if !h.Writable() {
		return 0, posix.EBADF
	}
	if len(src) == 0 {
		return 0, nil
	}
	write := h.file.write
	if h.file.shadow.following.Load() {
		write = h.file.writeBoth
	}
	if err := write(ctx, off, src, atEnd); err != nil {
		return 0, err
	}
	return len(src), nil
}

// Flush is close(2) of a descriptor: when it returns without an error, what was written is stored and published, or
// staged.
// A handle for reading has nothing to say about what others write.
func (h *Handle) Flush(ctx context.Context) error {
	if !h.Writable() {
		return nil
	}
	if err := h.file.gatherNow(ctx); err != nil {
		return err
	}
	return h.file.flush(ctx)
}

// Fsync is fsync(2): Flush, after which a crash of the machine loses nothing either.
func (h *Handle) Fsync(ctx context.Context) error {
	if err := h.file.gatherNow(ctx); err != nil {
		return err
	}
	return h.file.sync(ctx)
}

// Truncate is ftruncate(2).
func (h *Handle) Truncate(ctx context.Context, who meta.Cred, length uint64) (meta.Attr, error) {
	if !h.Writable() {
		return meta.Attr{}, posix.EINVAL
	}
	return h.file.truncate(ctx, who, length, true)
}

// Release ends the handle. What is dirty still is written out in the background.
func (h *Handle) Release(context.Context) {
	f, fl := h.fs, h.file
	h.mu.Lock()
	h.detector.Close()
	h.mu.Unlock()
	if h.joined && h.Writable() {
		if err := fl.gatherNow(f.ctx); err != nil {
			f.log.Error("write out what was stored in a mapping", "inode", fl.ino, "err", err)
		}
	}
	dirty := fl.unstaged()
	end := func() {
		h.leave()
		if err := f.vol.CloseFile(f.ctx, fl.ino); err != nil {
			f.log.Warn("remove unlinked file after its last close", "inode", fl.ino, "err", err)
		}
		f.put(fl)
	}
	if !dirty {
		end()
		return
	}
	f.work.Go(func() {
		if err := fl.flush(f.ctx); err != nil {
			f.log.Error("write out after close", "inode", fl.ino, "err", err)
		}
		end()
	})
}

// readBack is Read of a handle that has joined a shadow.
func (h *Handle) readBack(off uint64, dst []byte) (int, error) {
	n, err := h.back.File().ReadAt(dst, int64(off))
	if err != nil && err != io.EOF {
		return 0, errShadow(err)
	}
	return n, nil
}
