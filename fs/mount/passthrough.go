package mount

import (
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/cache"
)

// backed is a handle that the kernel may be able to serve without asking.
type backed interface {
	// Backing gives the file that the kernel is to read, nil if it is to ask for everything. joined says that it is to
	// ask, but that others do not.
	Backing() (back *cache.Backing, joined bool)
	// Ordinary takes note that the kernel is going to ask for everything.
	Ordinary()
}

// passing is a backend that has such handles.
type passing interface {
	Passthrough() bool
	StopPassthrough()
}

// backings are the files that the kernel reads by itself, by the numbers that it has given them. An inode has one as
// long as it is open so.
type backings struct {
	register   func(fd int) (int32, syscall.Errno)
	unregister func(id int32)
	refused    func(error) // told of the first failure, after which nothing is registered any more

	mu  sync.Mutex // guards the rest
	off bool
	ids map[*cache.Backing]registration
}

type registration struct {
	id    int32
	opens int
}

func newBackings() *backings {
	return &backings{off: true, refused: func(error) {}, ids: map[*cache.Backing]registration{}}
}

// hold gives the number of a file for one more open.
func (b *backings) hold(file *cache.Backing) (id int32, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, known := b.ids[file]
	if !known {
		if b.off {
			return 0, false
		}
		var err syscall.Errno
		if r.id, err = b.register(int(file.File().Fd())); err != 0 {
			b.off = true
			b.refused(err)
			return 0, false
		}
	}
	r.opens++
	b.ids[file] = r
	return r.id, true
}

// release is the reverse of hold.
func (b *backings) release(file *cache.Backing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, known := b.ids[file]
	if !known {
		return
	}
	if r.opens--; r.opens > 0 {
		b.ids[file] = r
		return
	}
	delete(b.ids, file)
	b.unregister(r.id)
}

// pass lets the kernel serve a handle, if it is one for that. It is called when all other flags are set.
func (a *adapter) pass(h handle, out *fuse.OpenOut) {
	p, ok := h.(backed)
	if !ok {
		return
	}
	file, joined := p.Backing()
	if file == nil {
		return
	}
	id, ok := a.backings.hold(file)
	if !ok {
		p.Ordinary()
		return
	}
	out.BackingID = id
	out.OpenFlags &^= fuse.FOPEN_KEEP_CACHE // no pages are kept while the kernel reads the file elsewhere
	out.OpenFlags |= fuse.FOPEN_PASSTHROUGH
	if joined {
		out.OpenFlags |= fuse.FOPEN_DIRECT_IO
	}
}

// unpass is called before a handle is released.
func (a *adapter) unpass(h handle) {
	if p, ok := h.(backed); ok {
		if file, _ := p.Backing(); file != nil {
			a.backings.release(file)
		}
	}
}

// startPassthrough lets backings be registered, if the kernel takes them.
func (s *Server) startPassthrough(stop func()) {
	b := s.a.backings
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.raw.KernelSettings().Flags64()&fuse.CAP_PASSTHROUGH == 0 || s.a.opt.WritebackCache {
		s.log.Info("files are not read by passthrough: Linux 6.9 is needed, and a mount without -o writeback_cache")
		stop()
		return
	}
	b.off = false
	b.register = func(fd int) (int32, syscall.Errno) {
		return s.raw.RegisterBackingFd(&fuse.BackingMap{Fd: int32(fd)})
	}
	b.unregister = func(id int32) {
		if err := s.raw.UnregisterBackingFd(id); err != 0 {
			s.log.Debug("unregister a backing file", "err", err)
		}
	}
	b.refused = func(err error) {
		s.log.Info("files are not read by passthrough: the kernel refuses, which takes root's rights (CAP_SYS_ADMIN) and a cache that is not on an overlay", "err", err)
		stop()
	}
}
