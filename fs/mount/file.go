package mount

import (
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/fs"
	"jfs/internal/posix"
	"jfs/meta"
)

// openFlags are the flags with which the file system is to open.
func (a *adapter) openFlags(kernel uint32) int {
	flags := int(kernel)
	if a.opt.WritebackCache {
		// The kernel reads the rest of a page that is written in part, and finds the end for appends itself.
		flags &^= syscall.O_APPEND
		if flags&syscall.O_ACCMODE == syscall.O_WRONLY {
			flags = flags&^syscall.O_ACCMODE | syscall.O_RDWR
		}
	}
	return flags
}

// opened enters a handle and says how the kernel is to treat it.
func (a *adapter) opened(h handle, flags uint32, keepCache bool, out *fuse.OpenOut) {
	out.Fh = a.files.add(h)
	if d, ok := h.(interface{ Direct() bool }); ok && d.Direct() {
		out.OpenFlags |= fuse.FOPEN_DIRECT_IO
	}
	if keepCache {
		out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
	}
	if flags&syscall.O_ACCMODE == syscall.O_RDONLY && !a.opt.sharesLocks() {
		// There is nothing that close(2) could report, and with locks of the kernel's own nothing to release.
		out.OpenFlags |= fuse.FOPEN_NOFLUSH
	}
	a.pass(h, out)
}

func (a *adapter) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return a.do("open", cancel, &in.InHeader, func(ctx context.Context) error {
		who, ino := a.who(&in.InHeader), a.ino(in.NodeId)
		if fs.IsVirtual(ino) && who.Checked { // what is asked for through it the kernel has not checked
			who.Checked = false
			if who.UID != 0 {
				who.Groups = a.groups(&in.InHeader)
			}
		}
		if err := a.leases.newest(ctx, ino, in.Pid); err != nil {
			return err
		}
		h, keep, err := a.fs.Open(ctx, who, ino, a.openFlags(in.Flags))
		if a.astray(ctx, ino, in.Pid, h, err) {
			if err == nil {
				h.Release(ctx)
			}
			return posix.ESTALE
		}
		if err == nil {
			a.found(in.NodeId, h)
			a.opened(h, in.Flags, keep, out)
		}
		return stale(err)
	})
}

// found makes the kernel ask for the attributes of a file if what it believes is not what the open has found. An
// answer to an open itself has no room for them.
func (a *adapter) found(node uint64, h handle) {
	f, ok := h.(interface{ Found() meta.Attr })
	if !ok {
		return
	}
	if attr := f.Found(); a.told.open(node, stateOf(&attr)) {
		a.forgetAttr(node)
	}
}

func (a *adapter) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	t, dir := a.leases.ticket(), a.ino(in.NodeId)
	return a.do("create", cancel, &in.InHeader, func(ctx context.Context) error {
		n := meta.New{Type: meta.TypeFile, Mode: uint16(in.Mode & 07777), Umask: a.umask(in.Umask)}
		file, h, err := a.fs.Create(ctx, a.who(&in.InHeader), dir, name, n, a.openFlags(in.Flags))
		if err == nil {
			a.fillEntry(t.of(ctx), dir, name, &file, true, &out.EntryOut)
			a.opened(h, in.Flags, false, &out.OpenOut)
		}
		return err
	})
}

// withFile runs fn on an open file.
func (a *adapter) withFile(op string, cancel <-chan struct{}, node, fh uint64, fn func(context.Context, handle) error) fuse.Status {
	return a.run(op, cancel, a.reqs.interruptDelay, node, func(ctx context.Context) error {
		h, ok := a.files.get(fh)
		if !ok {
			return posix.EBADF
		}
		return stale(fn(ctx, h))
	})
}

func (a *adapter) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n := 0
	st := a.withFile("read", cancel, in.NodeId, in.Fh, func(ctx context.Context, h handle) (err error) {
		n, err = h.Read(ctx, in.Offset, buf)
		return err
	})
	if st != fuse.OK {
		return nil, st
	}
	a.moved(false, n)
	return fuse.ReadResultData(buf[:n]), st
}

func (a *adapter) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (written uint32, st fuse.Status) {
	st = a.withFile("write", cancel, in.NodeId, in.Fh, func(ctx context.Context, h handle) error {
		var n int
		var err error
		if w, ok := h.(interface {
			WriteAs(ctx context.Context, off uint64, src []byte, atEnd bool) (int, error)
		}); ok {
			n, err = w.WriteAs(ctx, in.Offset, data, a.appends(in))
		} else {
			n, err = h.Write(ctx, in.Offset, data)
		}
		written = uint32(n)
		if err == nil && n > 0 && a.givesUp(in) {
			a.leases.wrote(a.ino(in.NodeId))
		}
		return err
	})
	if st == fuse.OK {
		a.moved(true, int(written))
	}
	return written, st
}

func (a *adapter) moved(write bool, n int) {
	if a.opt.Moved != nil {
		a.opt.Moved(write, n)
	}
}

// givesUp says whether the kernel gives up the attribute when it gets the answer to a write. One that passes by the page
// cache may be answered long after that, and what comes out of the page cache concerns only a part.
func (a *adapter) givesUp(in *fuse.WriteIn) bool {
	return in.Flags&syscall.O_DIRECT == 0 && in.WriteFlags&fuse.WRITE_CACHE == 0 && !a.opt.WritebackCache
}

// appends says whether a write goes to the end of the file. The flags of the request are those that the descriptor has
// now. What comes out of the page cache, of a mapping for example, goes to its place.
func (a *adapter) appends(in *fuse.WriteIn) bool {
	return in.Flags&syscall.O_APPEND != 0 && in.WriteFlags&fuse.WRITE_CACHE == 0 && !a.opt.WritebackCache
}

func (a *adapter) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	return a.withFile("flush", cancel, in.NodeId, in.Fh, func(ctx context.Context, h handle) error {
		err := h.Flush(ctx)
		return errors.Join(err, a.closed(ctx, in))
	})
}

func (a *adapter) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return a.withFile("fsync", cancel, in.NodeId, in.Fh, func(ctx context.Context, h handle) error {
		return h.Fsync(ctx)
	})
}

// Release is sent after the last close, and nobody waits for its answer or can interrupt it: only the end of the
// connection cancels it, and then there is still some time for it.
func (a *adapter) Release(cancel <-chan struct{}, in *fuse.ReleaseIn) {
	h, ok := a.files.take(in.Fh)
	if !ok {
		return
	}
	a.run("release", cancel, a.reqs.detachDelay, in.NodeId, func(ctx context.Context) error {
		err := a.released(ctx, in)
		a.unpass(h)
		h.Release(ctx)
		return err
	})
}
