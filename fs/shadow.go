package fs

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"jfs/block"
	"jfs/cache"
	"jfs/meta"
)

// A shadow is the copy of a file on the local disk that the kernel reads by itself (FUSE passthrough). The rules that
// come from the kernel: while a file is open so, every other open of it goes the same way; while it is open otherwise, none
// does; and what is open so cannot be taken back. So opens are counted, and a shadow that somebody has when the file is
// changed by this mount is taken out of the cache and follows the changes.
//
// A mapping outlives its descriptor, and goes to the shadow however its file was opened. So a shadow ends only when a
// lease shows that nobody has it; and when a writer that may map it was let in, what it has stored there is looked for.

// shadow is the state of a file in this.
type shadow struct {
	// following says that back has left the cache and takes every change. Set and cleared with mu, and never set
	// while a writer is at work that has not seen it.
	following atomic.Bool
	queued    atomic.Bool // for the maker

	mu       sync.Mutex // guards the rest, and is held over a change of the bytes while following; taken before file.mu
	back     *cache.Backing
	layout   *cache.Layout // that back shows but for own changes; nil: not known any more
	direct   int           // handles that the kernel serves from back
	plain    int           // other handles
	writers  int           // of both, those for writing
	changing int           // changes of the bytes under way that come without a handle
	expected []uint64      // hashes of the pages of back as they were made here; nil while no writer can have mapped it
	gathered time.Time     // when back was last compared with them
}

// Bounds of files that have shadows, in bytes.
const (
	// DefaultPassthroughLeast is where reading without this process begins to gain more than a second file in the
	// cache costs.
	DefaultPassthroughLeast = 1 << 20
	// DefaultPassthroughMost keeps an fsync of a writer below some seconds that was let in while a reader has the
	// file, and may have mapped it: all of the file is compared then. Mounts that cannot write have no such bound.
	DefaultPassthroughMost = 4 << 30
)

// shadows makes shadows and looks after them.
type shadows struct {
	fs    *FS
	tier  *cache.Backed
	wants chan *file      // held
	off   atomic.Bool     // the kernel takes none
	near  warmer          // nil: nobody knows what is in memory
	ctx   context.Context // ends with the work in the background

	mu    sync.Mutex
	files map[*file]struct{} // that have a shadow; each is held
}

// most files that have a shadow nobody uses; it is found in the cache again.
const maxShadows = 1024

// warmer is a source of blocks with tiers, see cache.Tiered.
type warmer interface {
	Has(key block.Key) bool
	Warm(ctx context.Context, key block.Key) error
}

func (f *FS) startShadows(near warmer) {
	if f.opt.Backed == nil {
		return
	}
	s := &shadows{fs: f, tier: f.opt.Backed, near: near, wants: make(chan *file, 64), files: map[*file]struct{}{}}
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithCancel(f.ctx)
	f.shadows = s
	f.loop.Go(func() {
		<-f.stop
		cancel()
	})
	f.loop.Go(s.make)
	f.loop.Go(s.lookAfter)
}

// Passthrough says whether backing files are wanted.
func (f *FS) Passthrough() bool { return f.shadows != nil }

// StopPassthrough makes no more backing files, because the kernel does not take them.
func (f *FS) StopPassthrough() {
	if f.shadows != nil {
		f.shadows.off.Store(true)
	}
}

// make is the goroutine that makes shadows.
func (s *shadows) make() {
	for {
		select {
		case <-s.fs.stop:
			return
		case fl := <-s.wants:
			if err := s.prepare(fl); err != nil && s.ctx.Err() == nil {
				s.fs.log.Debug("prepare passthrough", "inode", fl.ino, "err", err)
			}
			fl.shadow.queued.Store(false)
			s.fs.put(fl)
		}
	}
}

// want asks for a shadow of a file. shadow.mu is held.
func (s *shadows) want(fl *file) {
	fl.mu.RLock()
	n := fl.attr.Length
	fits := fl.known && len(fl.pending) == 0 && n >= s.fs.opt.PassthroughLeast &&
		(s.fs.opt.PassthroughMost == 0 || n <= s.fs.opt.PassthroughMost) && (fl.viewed() || s.tier.Knows(uint64(fl.ino)))
	fl.mu.RUnlock()
	if !fits || s.off.Load() || !fl.shadow.queued.CompareAndSwap(false, true) {
		return
	}
	s.fs.hold(fl)
	select {
	case s.wants <- fl:
	default: // there will be another open
		fl.shadow.queued.Store(false)
		s.fs.put(fl)
	}
}

// viewed says whether the chunk lists are known, as they are when the file was read. f.mu is held.
func (f *file) viewed() bool {
	return f.fresh || uint64(len(f.views)) >= (f.attr.Length+meta.ChunkSize-1)>>meta.ChunkBits
}

// prepare gives a file a shadow, if what it shows lies on the disk.
func (s *shadows) prepare(fl *file) error {
	layout, v, err := fl.layout(s.ctx)
	if err != nil || layout == nil {
		return err
	}
	if s.near != nil { // what is in memory is brought to the disk, and nothing is loaded
		for _, key := range s.tier.Missing(layout) {
			if !s.near.Has(key) {
				return nil
			}
			if err := s.near.Warm(s.ctx, key); err != nil {
				return err
			}
		}
	}
	bk, err := s.tier.Open(s.ctx, *layout)
	if bk == nil || err != nil {
		return err
	}
	sh := &fl.shadow
	sh.mu.Lock()
	defer sh.mu.Unlock()
	fl.mu.Lock()
	good := sh.back == nil && sh.writers == 0 && sh.changing == 0 && len(fl.pending) == 0 && versionOf(&fl.attr) == v
	if good {
		fl.shown = v
	}
	fl.mu.Unlock()
	if !good {
		bk.Done()
		return nil
	}
	sh.back, sh.layout = bk, layout
	s.add(fl)
	return nil
}

func (s *shadows) add(fl *file) {
	s.fs.hold(fl)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[fl] = struct{}{}
}

// layout gives what the file consists of, nil if something is pending.
func (f *file) layout(ctx context.Context) (*cache.Layout, version, error) {
	f.mu.RLock()
	v, pending := versionOf(&f.attr), len(f.pending)
	f.mu.RUnlock()
	l := &cache.Layout{Ino: uint64(f.ino), Length: v.length}
	if pending > 0 {
		return nil, v, nil
	}
	for at := uint64(0); at < v.length; at += meta.ChunkSize {
		view, err := f.lockView(ctx, uint32(at>>meta.ChunkBits))
		if err != nil {
			return nil, v, err
		}
		for _, e := range view {
			from := at + uint64(e.Pos)
			if e.ID == 0 || from >= v.length {
				continue
			}
			l.Extents = append(l.Extents, cache.Extent{
				Pos: from, Len: uint32(min(uint64(e.Len), v.length-from)), Slice: e.ID, Size: e.Size, Off: e.Off,
			})
		}
		same := len(f.pending) == 0 && versionOf(&f.attr) == v
		f.mu.RUnlock()
		if !same {
			return nil, v, nil
		}
	}
	return l, v, nil
}

// shows says whether back is the file as this mount knows it.
func (f *file) shows() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.known && versionOf(&f.attr) == f.shown
}

// enter counts a handle, and decides how the kernel reads it.
func (h *Handle) enter(ctx context.Context) error {
	f, s := h.file, h.fs.shadows
	if s == nil {
		return nil
	}
	sh := &f.shadow
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.following.Load() && sh.direct == 0 && !sh.back.InUse() {
		if err := f.gather(ctx); err != nil {
			return err
		}
		f.forgetShadow()
	}
	switch {
	case sh.direct > 0: // the kernel takes no other
		if !f.shows() {
			if err := f.renew(ctx); err != nil {
				return err
			}
		}
		if h.Writable() {
			sh.follow()
			if h.Readable() && sh.expected == nil {
				if err := sh.expect(); err != nil {
					return err
				}
			}
		}
		h.back, h.joined = sh.back, h.Writable() || h.flags&syscall.O_DIRECT != 0
	case h.Writable():
		f.unshadow()
	case sh.back == nil:
		if sh.writers == 0 && h.flags&syscall.O_DIRECT == 0 {
			s.want(f)
		}
	case sh.following.Load() || sh.changing > 0 || sh.plain > 0 || h.flags&syscall.O_DIRECT != 0:
	case f.shows() && sh.back.Kept():
		h.back = sh.back
	default: // somebody else has changed the file, or the cache has lost it
		f.unshadow()
		s.want(f)
	}
	h.entered = true
	sh.count(h, 1)
	return nil
}

// count adds to the handles. mu is held.
func (sh *shadow) count(h *Handle, n int) {
	if h.back != nil {
		sh.direct += n
	} else {
		sh.plain += n
	}
	if h.Writable() {
		sh.writers += n
	}
}

// leave is the reverse of enter.
func (h *Handle) leave() {
	if !h.entered {
		return
	}
	h.entered = false
	sh := &h.file.shadow
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.count(h, -1)
	if sh.direct == 0 && sh.following.Load() && sh.expected == nil {
		h.file.unshadow()
	}
}

// unshadow ends the shadow of a file before it changes, unless somebody has it, with which it follows the changes. mu is
// held.
func (f *file) unshadow() {
	sh := &f.shadow
	if sh.back == nil {
		return
	}
	if sh.direct > 0 || sh.back.InUse() {
		sh.follow()
		return
	}
	sh.back.Detach()
	f.forgetShadow()
}

// forgetShadow gives back back. mu is held.
func (f *file) forgetShadow() {
	sh, s := &f.shadow, f.fs.shadows
	sh.back.Done()
	sh.back, sh.layout, sh.expected = nil, nil, nil
	sh.following.Store(false)
	s.mu.Lock()
	delete(s.files, f)
	s.mu.Unlock()
	s.fs.put(f)
}

// follow lets back take the changes of this mount. mu is held.
func (sh *shadow) follow() {
	if !sh.following.Load() {
		sh.back.Detach()
		sh.following.Store(true)
	}
	sh.layout = nil
}

// Backing is the file that the kernel reads by itself, nil if it asks for everything. joined says that it asks for
// everything but what is mapped.
func (h *Handle) Backing() (back *cache.Backing, joined bool) { return h.back, h.joined }

// Ordinary makes it a handle for which the kernel asks for everything, because it takes no backing.
func (h *Handle) Ordinary() {
	sh := &h.file.shadow
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if h.back != nil {
		sh.count(h, -1)
		h.back, h.joined = nil, false
		sh.count(h, 1)
	}
}

const (
	lookAfterInterval = time.Second
	// gatherInterval is how often what is stored in mappings is looked for while their files are closed. The kernel
	// writes back the pages of a mapping as often.
	gatherInterval = 30 * time.Second
)

// lookAfter is the goroutine that ends shadows and lets them follow what other clients change.
func (s *shadows) lookAfter() {
	tick := time.NewTicker(lookAfterInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.fs.stop:
			return
		case <-tick.C:
		}
		s.lookOnce()
	}
}

func (s *shadows) lookOnce() {
	s.mu.Lock()
	all := make([]*file, 0, len(s.files))
	for fl := range s.files {
		all = append(all, fl)
	}
	s.mu.Unlock()
	many := len(all) - maxShadows
	for _, fl := range all {
		if fl.shadow.mu.TryLock() { // else somebody is at work
			if fl.look(many > 0) {
				many--
			}
			fl.shadow.mu.Unlock()
		}
	}
	s.tier.Trim()
}

// look brings a shadow up to date, or ends it, which it reports. There is a reason for the latter if there are too many.
// mu is held.
func (f *file) look(many bool) (ended bool) {
	sh := &f.shadow
	if sh.back == nil {
		return false
	}
	var err error
	following := sh.following.Load()
	switch {
	case sh.direct > 0:
		if !f.shows() {
			err = f.renew(f.fs.shadows.ctx)
		}
	case following && !sh.back.InUse():
		if err = f.gather(f.fs.shadows.ctx); err == nil { // else it is tried again
			f.forgetShadow()
			return true
		}
	case following:
		if sh.expected != nil && f.fs.now().Sub(sh.gathered) > gatherInterval {
			err = f.gather(f.fs.shadows.ctx)
		}
	case (many || !sh.back.Kept()) && !sh.back.InUse():
		f.forgetShadow()
		return true
	}
	if err != nil {
		f.fs.log.Warn("a file that is read by passthrough cannot be brought up to date", "inode", f.ino, "err", err)
	}
	return false
}

// end gives all shadows back. Nothing is open any more.
func (s *shadows) end() {
	if s == nil {
		return
	}
	for {
		select {
		case fl := <-s.wants:
			s.fs.put(fl)
			continue
		default:
		}
		break
	}
	s.mu.Lock()
	all := maps.Clone(s.files)
	s.mu.Unlock()
	for fl := range all {
		fl.shadow.mu.Lock()
		if fl.shadow.back != nil {
			fl.forgetShadow()
		}
		fl.shadow.mu.Unlock()
	}
}

// gatherAll looks for what is stored in mappings.
func (s *shadows) gatherAll(ctx context.Context) {
	if s == nil {
		return
	}
	s.mu.Lock()
	all := make([]*file, 0, len(s.files))
	for fl := range s.files {
		all = append(all, fl)
	}
	s.mu.Unlock()
	for _, fl := range all {
		fl.shadow.mu.Lock()
		if err := fl.gather(ctx); err != nil {
			s.fs.log.Error("what was stored in a mapped file cannot be written out", "inode", fl.ino, "err", err)
		}
		fl.shadow.mu.Unlock()
	}
}
