// Package fs is the behaviour of the file system over metadata and data: inodes and open files, reading, writing,
// directory listings. It knows nothing of FUSE; package fs/mount puts it into the kernel.
package fs

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"jfs/block"
	"jfs/cache"
	"jfs/internal/bytepool"
	"jfs/meta"
	"jfs/prefetch"
	"jfs/upload"
)

// Uploader puts sealed blocks into the store.
type Uploader interface {
	upload.Submitter
	// Delete removes blocks whose slices were not published.
	Delete(ctx context.Context, keys ...block.Key) error
}

// Prefetcher loads blocks, or pieces of them, ahead of their reader. It does not wait, and drops what is too much.
type Prefetcher interface {
	// Submit reports whether nothing was dropped.
	Submit(pieces ...prefetch.Piece) bool
	// Delay is how long a load takes; 0 if that is not known.
	Delay() time.Duration
}

// Options are the parts and settings of an FS.
type Options struct {
	Log *slog.Logger // nil: no log

	Blocks   block.Source
	Uploader Uploader
	Prefetch Prefetcher     // nil: no reading ahead
	Pool     *bytepool.Pool // memory of what is being written
	Back     Back           // files are staged on a local disk instead of stored at once

	MaxReadahead int64         // largest read-ahead of one stream in bytes; 0 means a fifth of the pool; more than the pool means all of it
	FlushAge     time.Duration // dirty data older than this is written in the background; 0 means 5 s
	Stall        time.Duration // longest wait of a write for memory; 0 means 5 min
	OpenInodes   int           // closed inodes whose chunk lists are remembered; 0 means 10,000, negative all
	// OpenCache is how long an open relies on the attribute that was last read or written, without a look at the
	// database: what other clients have changed meanwhile is not seen. 0 means not at all (close-to-open).
	OpenCache time.Duration
	// Backed lets the kernel read whole files on the local disk by itself (passthrough); nil: it does not. Of files
	// that have at least, and at most, so many bytes; 0 means DefaultPassthroughLeast, and no bound.
	Backed                            *cache.Backed
	PassthroughLeast, PassthroughMost uint64
	SortDir                           bool     // list directories in the order of names, for which they are read as a whole
	Root                              meta.Ino // inode that is the root of the mount (--subdir); 0 means the volume's root

	Virtual        *Virtual // files of the root that no volume stores; nil: there are none
	PrefixInternal bool     // the special names in the root are .jfs.trash, .jfs.config, ... instead of .trash, .config, ...
	HideInternal   bool     // do not show the special names in listings of the root; they can be used nevertheless

	Now func() time.Time // nil: time.Now
}

const (
	defaultFlushAge   = 5 * time.Second
	defaultStall      = 5 * time.Minute
	defaultOpenInodes = 10_000
	defaultReadahead  = 64 << 20 // bytes, without a limit of the pool
	flushInterval     = time.Second
)

// FS is a mounted volume. It is safe for concurrent use.
type FS struct {
	vol *meta.Volume
	opt Options
	log *slog.Logger
	now func() time.Time

	prefix  string    // of the special names
	started time.Time // of the virtual files

	blockSize uint32

	mu    sync.Mutex // guards files, idle and dirty; taken before a file's
	files map[meta.Ino]*file
	idle  *list.List // of *file without handles and without dirty data, least recently used first
	dirty map[*file]struct{}

	changes atomic.Uint64 // of attributes of files by this mount
	parents parents
	drain   *drain            // nil without a stage
	ranges  block.RangeSource // opt.Blocks, if it is one
	shadows *shadows          // nil without passthrough
	trust   prefetch.Trust    // in the beginnings of streams, of all files

	ctx    context.Context // of the background work; ends when Close gives up
	cancel context.CancelFunc
	commit context.Context // ctx for the commits of what the kernel has written
	kick   chan struct{}   // memory is short
	stop   chan struct{}
	loop   sync.WaitGroup // the flusher
	work   sync.WaitGroup // flushes and submissions under way
}

// New makes a file system on a volume. The volume and the parts in opt stay the caller's to close, after the FS.
func New(v *meta.Volume, opt Options) *FS {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Pool == nil {
		opt.Pool = bytepool.New(0)
	}
	if opt.FlushAge == 0 {
		opt.FlushAge = defaultFlushAge
	}
	if opt.Stall == 0 {
		opt.Stall = defaultStall
	}
	if opt.PassthroughLeast == 0 {
		opt.PassthroughLeast = DefaultPassthroughLeast
	}
	if opt.OpenInodes == 0 {
		opt.OpenInodes = defaultOpenInodes
	}
	if opt.Root == 0 {
		opt.Root = meta.RootIno
	}
	if opt.MaxReadahead == 0 {
		if opt.MaxReadahead = opt.Pool.Limit() / 5; opt.MaxReadahead == 0 {
			opt.MaxReadahead = defaultReadahead
		}
	}
	if limit := opt.Pool.Limit(); limit > 0 {
		opt.MaxReadahead = min(opt.MaxReadahead, limit)
	}
	format := v.Format()
	f := &FS{
		vol: v, opt: opt, log: opt.Log, now: opt.Now, blockSize: format.BlockBytes(),
		files: map[meta.Ino]*file{}, idle: list.New(), dirty: map[*file]struct{}{},
		kick: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	f.prefix, f.started = plainPrefix, f.now()
	if opt.PrefixInternal {
		f.prefix = jfsPrefix
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.commit = meta.WithPublishing(f.ctx)
	opt.Pool.OnPressure(func() {
		select {
		case f.kick <- struct{}{}:
		default:
		}
	})
	near, _ := opt.Blocks.(warmer)
	f.startDrain()
	f.ranges, _ = f.opt.Blocks.(block.RangeSource) // behind the stage, if there is one
	f.loop.Go(f.flusher)
	f.startShadows(near)
	return f
}

// Root is the inode of the mount's root.
func (f *FS) Root() meta.Ino { return f.opt.Root }

// Close writes out what is dirty and ends the background work. When ctx ends before all is written, the rest is
// lost and the error says how many files that concerns. What is staged is published as far as ctx allows, and stays in
// the stage otherwise, which is no error.
func (f *FS) Close(ctx context.Context) error {
	close(f.stop)
	f.loop.Wait()
	err := f.FlushAll(ctx)
	f.drain.finish(ctx)
	f.cancel()
	f.drain.wait()
	f.work.Wait()
	f.shadows.end()
	return err
}

// Drain writes out what is dirty and publishes what is staged, until nothing is left that the volume takes, or ctx
// ends. What stays in the stage is no error.
func (f *FS) Drain(ctx context.Context) error {
	err := f.FlushAll(ctx)
	f.drain.finish(ctx)
	return err
}

// FlushAll writes out all dirty files.
func (f *FS) FlushAll(ctx context.Context) error {
	f.shadows.gatherAll(ctx)
	var failed []error
	for _, fl := range f.dirtyFiles() {
		if err := fl.flush(ctx); err != nil {
			failed = append(failed, fmt.Errorf("inode %d: %w", fl.ino, err))
		}
	}
	if n := len(failed); n > 0 {
		return fmt.Errorf("%d files could not be written out: %w", n, errors.Join(failed[:min(n, 3)]...))
	}
	return nil
}

func (f *FS) dirtyFiles() []*file {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*file, 0, len(f.dirty))
	for fl := range f.dirty {
		all = append(all, fl)
	}
	return all
}

// flusher writes out what is old, and everything when memory is short.
func (f *FS) flusher() {
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	for {
		var before time.Time
		select {
		case <-f.stop:
			return
		case <-tick.C:
			before = f.now().Add(-f.opt.FlushAge)
		case <-f.kick:
			before = f.now()
		}
		for _, fl := range f.dirtyFiles() {
			if fl.flushOlder(before) {
				f.settle(fl)
			}
		}
	}
}

// get gives the state of an inode and holds it until put.
func (f *FS) get(ino meta.Ino) *file {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl := f.files[ino]
	if fl == nil {
		fl = newFile(f, ino)
		f.files[ino] = fl
	}
	if fl.idle != nil {
		f.idle.Remove(fl.idle)
		fl.idle = nil
	}
	fl.refs++
	return fl
}

// hold is get for a file that somebody holds already.
func (f *FS) hold(fl *file) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.refs++
}

// stamp is to be taken before attributes are read from the database, for local and observe.
func (f *FS) stamp() uint64 { return f.changes.Load() }

// peek gives the state of an inode if there is one. It may be forgotten at any time, which does no harm to those
// who only look or tell it of changes.
func (f *FS) peek(ino meta.Ino) *file {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.files[ino]
}

// put ends a hold of get. Without holds the state is remembered for a while, unless something is dirty.
func (f *FS) put(fl *file) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.refs--
	f.rest(fl)
}

// rest makes a file that nobody holds idle. f.mu is held.
func (f *FS) rest(fl *file) {
	if _, dirty := f.dirty[fl]; dirty || fl.refs > 0 || fl.idle != nil {
		return
	}
	fl.idle = f.idle.PushBack(fl)
	for f.opt.OpenInodes > 0 && f.idle.Len() > f.opt.OpenInodes {
		old := f.idle.Remove(f.idle.Front()).(*file)
		old.idle = nil
		delete(f.files, old.ino)
	}
}

// setDirty records whether a file has dirty data.
func (f *FS) setDirty(fl *file, dirty bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if dirty {
		f.dirty[fl] = struct{}{}
		return
	}
	delete(f.dirty, fl)
	if f.files[fl.ino] == fl {
		f.rest(fl)
	}
}

// settle takes a file that has nothing to write out off the dirty ones, and puts it back if a write came between.
func (f *FS) settle(fl *file) {
	f.setDirty(fl, false)
	if fl.unstaged() {
		f.setDirty(fl, true)
	}
}
