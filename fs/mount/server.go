// Package mount puts a file system of package fs into the kernel through FUSE.
//
// It decodes requests, calls package fs, and turns errors into numbers; it decides nothing about files. No request
// outlives its mount: each has a context that ends when its caller is interrupted, when it takes too long, and when
// the mount point is gone, so the end of a mount does not wait for a backend that does not answer.
package mount

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/fs"
	"jfs/meta"

	"jfs/internal/mounts"
)

// fuseType is the sub-type of the file system: mounts show as fuse.juicefs.
const fuseType = "juicefs"

// Server serves one mount. Serve must be called, also when the mount is to be undone at once, to free what the
// mount holds.
type Server struct {
	point string // as in the kernel's table of mounts
	dev   string // "major:minor" of the mount
	log   *slog.Logger
	raw   *fuse.Server
	a     *adapter

	serving atomic.Bool
	started chan struct{} // closed when Serve begins
	done    chan struct{} // closed when Serve has ended
}

// Mount mounts a file system; ctx covers the mounting alone. Serve must follow. The file system stays the caller's to
// close, after Serve has ended.
func Mount(ctx context.Context, f *fs.FS, opt Options) (*Server, error) {
	return start(ctx, volume{f}, opt)
}

func start(ctx context.Context, b backend, opt Options) (*Server, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("mount %s: %w", opt.MountPoint, err)
	}
	if opt.MountPoint, err = resolve(opt.MountPoint); err != nil {
		return nil, err
	}
	if err := checkPoint(opt.MountPoint, opt.NonEmpty, opt.Force); err != nil {
		return nil, err
	}
	if under, ok, err := mounts.At(opt.MountPoint); err != nil {
		return nil, err
	} else if ok {
		opt.below = under.Device
	}
	s := &Server{
		point: opt.MountPoint, log: opt.Log, a: newAdapter(b, opt),
		started: make(chan struct{}), done: make(chan struct{}),
	}
	if s.raw, err = attach(s.a, &opt); err != nil {
		return nil, fmt.Errorf("mount %s: %w", s.point, err)
	}
	s.a.forgetPages = func(node uint64) {
		if err := notified("inode", s.raw.InodeNotify(node, 0, 0)); err != nil {
			s.log.Warn("pages of a locked file may be old", "inode", s.a.ino(node), "err", err)
		}
	}
	s.a.forgetAttr = func(node uint64) { // attributes alone may be invalidated while the kernel waits for an answer
		if err := notified("inode", s.raw.InodeNotify(node, -1, 0)); err != nil {
			s.log.Debug("attributes may be seen late", "inode", s.a.ino(node), "err", err)
		}
	}
	m, ok, err := mounts.At(s.point)
	if err == nil && (!ok || m.Device == opt.below) {
		err = errors.New("the mount is gone already")
	}
	if err != nil {
		undo(&opt)
		s.Serve() // ends at once
		return nil, fmt.Errorf("mount %s: %w", s.point, err)
	}
	s.dev = m.Device
	closeOnExec()
	if p, ok := b.(passing); ok && p.Passthrough() {
		s.startPassthrough(p.StopPassthrough)
	}
	if opt.ReadAhead > 0 {
		if err := setReadAhead(s.dev, opt.ReadAhead); err != nil {
			s.log.Debug("the kernel's read-ahead stays as it is", "err", err)
		}
	}
	return s, nil
}

// attach mounts, as root by itself, else with the help of fusermount, which is set-user-id root.
func attach(a *adapter, opt *Options) (*fuse.Server, error) {
	fo := fuseOptions(opt)
	var direct error
	files := watch(a, opt.AccessLog)
	if os.Geteuid() == 0 {
		fo.DirectMountStrict = true
		fo.DirectMountFlags = opt.bits() | syscall.MS_MGC_VAL // not 0, which would mean the default
		raw, err := fuse.NewServer(files, opt.MountPoint, fo)
		if err == nil {
			return raw, nil
		}
		direct = err
		undo(opt)
		if !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EACCES) {
			return nil, explain(err)
		}
		// Root in a container may lack CAP_SYS_ADMIN and still have a working fusermount.
	}
	fo.DirectMountStrict = false
	fo.Options = append(fo.Options, opt.words()...)
	raw, err := fuse.NewServer(files, opt.MountPoint, fo)
	if err != nil {
		undo(opt)
		if direct != nil {
			return nil, fmt.Errorf("%w (and with fusermount: %w)", explain(direct), err)
		}
		return nil, explain(err)
	}
	return raw, nil
}

// undo removes a mount whose set-up failed half-way.
func undo(opt *Options) {
	if m, ok, err := mounts.At(opt.MountPoint); err == nil && ok && m.FUSE() && m.Source == opt.Source && m.Device != opt.below {
		_ = detach(opt.MountPoint)
	}
}

func explain(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENXIO) {
		return fmt.Errorf("%w: is FUSE there? /dev/fuse must exist (modprobe fuse; in a container --device /dev/fuse)", err)
	}
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("%w: mounting needs root or fusermount; in a container, --cap-add SYS_ADMIN --device /dev/fuse", err)
	}
	return err
}

func fuseOptions(opt *Options) *fuse.MountOptions {
	fo := &fuse.MountOptions{
		FsName: opt.Source, Name: fuseType,
		AllowOther:    opt.allowOther(),
		MaxWrite:      opt.MaxIO,
		MaxBackground: opt.MaxBackground,
		DisableSplice: true, // answers come from memory, for which splicing only adds work with pipes
		DisableXAttrs: !opt.EnableXattr,
		EnableLocks:   opt.sharesLocks(),
		EnableAcl:     opt.EnableACL,
		Debug:         opt.Debug,
		Logger:        logger(opt),
		PanicHandler: func(what any) fuse.Status {
			opt.Log.Error("a request panicked", "panic", what, "stack", string(debug.Stack()))
			return fuse.EIO
		},
		// O_TRUNC and umask are left to the file system: one request less per truncating open, and default ACLs
		// replace the umask. CAP_ASYNC_DIO is not asked for: with it, whoever waits for direct I/O cannot be killed.
		ExtraCapabilities: fuse.CAP_ATOMIC_O_TRUNC | fuse.CAP_DONT_MASK,
	}
	if opt.WritebackCache {
		fo.ExtraCapabilities |= fuse.CAP_WRITEBACK_CACHE
	}
	if !opt.NoDefaultPermissions {
		fo.Options = append(fo.Options, "default_permissions")
	}
	return fo
}

// logger leads what the FUSE library has to say into the log.
func logger(opt *Options) *log.Logger {
	if !opt.Log.Handler().Enabled(context.Background(), slog.LevelError) {
		return log.New(io.Discard, "", 0)
	}
	level := slog.LevelWarn
	if opt.Debug {
		level = slog.LevelInfo
	}
	return slog.NewLogLogger(opt.Log.Handler(), level)
}

// Serve answers the kernel's requests until the file system is unmounted, and then releases what was still open. A
// second call waits for the first.
func (s *Server) Serve() {
	if !s.serving.CompareAndSwap(false, true) {
		s.Wait()
		return
	}
	s.a.reqs.start()
	stop := s.watch()
	quiet := s.notify()
	close(s.started)
	s.raw.Serve()
	stop()
	quiet()
	s.a.reqs.detach()
	s.a.releaseAll()
	s.a.reqs.close()
	close(s.done)
}

// notify begins to tell the kernel of the changes of others. stop ends that.
func (s *Server) notify() (stop func()) {
	if s.a.leases == nil {
		return func() {}
	}
	o := &s.a.opt
	longest := max(o.AttrLease, o.EntryLease, o.DirEntryLease)
	n := startNotifier(s.a.leases, s.log, longest,
		func(ino meta.Ino) fuse.Status { return s.raw.InodeNotify(s.a.node(ino), -1, 0) },
		func(dir meta.Ino, name string) fuse.Status { return s.raw.EntryNotify(s.a.node(dir), name) })
	return n.close
}

// Wait waits until Serve has ended.
func (s *Server) Wait() { <-s.done }

// WaitMounted waits until the mount answers. Serve must have been called or be called meanwhile.
func (s *Server) WaitMounted(ctx context.Context) error {
	select {
	case <-s.started:
	case <-ctx.Done():
		return fmt.Errorf("wait for mount %s: %w", s.point, ctx.Err())
	}
	if err := s.raw.WaitMount(); err != nil {
		return fmt.Errorf("wait for mount %s: %w", s.point, err)
	}
	return nil
}

// MountPoint is the absolute path at which the file system is mounted.
func (s *Server) MountPoint() string { return s.point }

// OpenHandles is how many files and directories are open.
func (s *Server) OpenHandles() int { return s.a.files.size() + s.a.dirs.size() }

// InodeNotify makes the kernel forget the attributes of an inode and its data in [off, off+n); n ≤ 0 means to the
// end, off < 0 no data. An inode that the kernel does not know is no error. It must not be called while a request
// about the inode waits for the caller: the kernel would wait for that request.
func (s *Server) InodeNotify(ino meta.Ino, off, n int64) error {
	return notified("inode", s.raw.InodeNotify(s.a.node(ino), off, n))
}

// EntryNotify makes the kernel forget a name in a directory, with the same rules as InodeNotify.
func (s *Server) EntryNotify(dir meta.Ino, name string) error {
	return notified("entry", s.raw.EntryNotify(s.a.node(dir), name))
}

func notified(what string, st fuse.Status) error {
	known := []fuse.Status{fuse.OK, fuse.ENOENT, fuse.ENOTDIR}
	if slices.Contains(known, st) {
		return nil
	}
	return fmt.Errorf("notify the kernel of an %s: %w", what, syscall.Errno(st))
}
