package meta

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"jfs/internal/posix"
)

// Options are the settings of one client of a volume. The zero value works.
type Options struct {
	Log *slog.Logger // nil: no log

	ReadOnly bool // refuse every change with EROFS and make no session
	NoBGJob  bool // leave the cleaning that concerns other clients to them

	Heartbeat    time.Duration // interval of the session's heartbeat; 0 means 12 s, negative none
	SkipDirMtime time.Duration // window in which a directory's times are not written again; 0 means 100 ms, negative none
	MaxDeletes   int           // slices freed in parallel; 0 means 10, negative leaves all data
	Timeout      time.Duration // longest time that one operation may take; 0 means 60 s
	Atime        AtimeMode     // when access times are kept up; 0 means never

	// FreeSlices removes the objects of slices. It returns nil when all of them are gone, else one error for each
	// slice, nil for those that are. It is called from several goroutines. With nil the data is left for another client
	// to free.
	FreeSlices func(ctx context.Context, slices []SliceRef) []error
	// Compact compacts a chunk and gives the number of records that it has then; see CommitCompaction. It is called
	// for chunks of which a read or a write has found that they have many records, ten at a time at most. With nil
	// none is compacted.
	Compact func(ctx context.Context, ino Ino, index uint32) (left int, err error)
	// Lost is told once when the volume is no longer the one that was opened (removed or formatted anew),
	// after which the client must end.
	Lost func(error)
	// Reloaded is told the format after another client has changed it.
	Reloaded func(Format)

	Observer Observer         // is told of operations and transactions; nil: nobody is
	Now      func() time.Time // nil: time.Now
}

const (
	defaultHeartbeat    = 12 * time.Second
	defaultSkipDirMtime = 100 * time.Millisecond
	defaultMaxDeletes   = 10
	defaultTimeout      = time.Minute
)

// Volume is a volume as one client sees it: the operations of the file system. It is safe for concurrent use.
type Volume struct {
	engine Engine
	opt    Options
	log    *slog.Logger
	now    func() time.Time

	format   atomic.Pointer[Format]
	inodes   idBatch
	slices   idBatch
	trash    trashDir
	departed departed
	usage    usage
	stats    dirStats
	quotas   quotas

	promises promises

	freer   freer
	compact compacting
	sess    session
	acls    aclCache
	locks   lockTable

	ancestors ancestors

	openMu   sync.Mutex         // guards opened and removing
	opened   map[Ino]int        // open handles of this client by inode
	removing map[Ino]*inRemoval // inodes that operations under way remove

	stop context.CancelFunc // ends the background work
	bg   sync.WaitGroup
}

// Open opens the volume that the engine's database holds. The engine stays the caller's to close, after the
// volume.
func Open(ctx context.Context, engine Engine, opt Options) (*Volume, error) {
	f, err := Load(ctx, engine)
	if err != nil {
		return nil, err
	}
	if err := f.Usable(); err != nil {
		return nil, err
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	opt.Heartbeat = orDefault(opt.Heartbeat, defaultHeartbeat)
	opt.SkipDirMtime = orDefault(opt.SkipDirMtime, defaultSkipDirMtime)
	opt.MaxDeletes = orDefault(opt.MaxDeletes, defaultMaxDeletes)
	opt.Timeout = orDefault(opt.Timeout, defaultTimeout)

	v := &Volume{engine: engine, opt: opt, log: opt.Log, now: opt.Now, opened: map[Ino]int{}, removing: map[Ino]*inRemoval{}}
	v.format.Store(&f)
	v.inodes = idBatch{engine: engine, seq: SeqInode, size: inodeBatch, least: uint64(RootIno) + 1}
	v.slices = idBatch{engine: engine, seq: SeqSlice, size: sliceBatch, least: 1}
	if err := errors.Join(v.refreshUsage(ctx), v.loadQuotas(ctx)); err != nil {
		return nil, err
	}
	bg, stop := context.WithCancel(context.WithoutCancel(ctx))
	v.stop = stop
	v.stats.init()
	v.freer.init(v)
	v.compact.init(v)
	v.bg.Go(func() { v.flushStatsLoop(bg) })
	v.bg.Go(func() { v.flushQuotasLoop(bg) })
	return v, nil
}

// Close flushes what is buffered, ends the background work and the session. Open files of this client that
// are unlinked are removed.
func (v *Volume) Close(ctx context.Context) error {
	v.stop()
	v.bg.Wait()
	v.compact.close()
	v.freer.close()
	// The end of the session may remove inodes, which changes the use of quotas.
	return errors.Join(v.flushAllStats(ctx), v.endSession(ctx), v.flushQuotas(ctx))
}

// Format is the volume's format as last loaded, secrets decrypted.
func (v *Volume) Format() Format { return *v.format.Load() }

// Engine is the database below.
func (v *Volume) Engine() Engine { return v.engine }

// ReadOnly says whether changes are refused.
func (v *Volume) ReadOnly() bool { return v.opt.ReadOnly }

func (v *Volume) time() Time { return TimeOf(v.now()) }

// updateTries bounds how often a change is tried again because parents of directories turned out to be needed: once
// for each directory that it concerns, and for each time that what was learned grew too old.
const updateTries = 100

// update runs a change. what describes it for errors that are no answers of the file system.
func (v *Volume) update(ctx context.Context, what func() string, want Want, fn func(Tx) error) error {
	if v.opt.ReadOnly {
		return posix.EROFS
	}
	ctx, cancel := context.WithTimeout(ctx, v.opt.Timeout)
	defer cancel()
	runs, calls := 0, 0 // of fn, and of the engine, which runs fn once unless something comes between
	if v.opt.Observer != nil {
		start, once := time.Now(), fn
		fn = func(tx Tx) error {
			runs++
			return once(tx)
		}
		defer func() { v.opt.Observer.Transaction(time.Since(start), max(runs-calls, 0)) }()
	}
	run, committed := fn, func() {}
	if v.format.Load().EnableACL {
		run, committed = v.acls.withACLs(fn)
	}
	calls++
	err := v.engine.Update(ctx, want, run)
	for try := 0; err != nil && try < updateTries; try++ {
		again, why := v.learnParents(ctx, err)
		if why != nil || !again {
			return describe(what, why)
		}
		calls++
		err = v.engine.Update(ctx, want, run)
	}
	if err == nil {
		committed()
	}
	return describe(what, err)
}

func (v *Volume) view(ctx context.Context, what func() string, want Want, fn func(Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, v.opt.Timeout)
	defer cancel()
	if v.format.Load().EnableACL {
		plain := fn
		fn = func(r Reader) error { return plain(aclReader{r, &v.acls}) }
	}
	return describe(what, v.engine.View(ctx, want, fn))
}

// describe adds the operation to errors of the infrastructure. Answers of the file system stay bare: the
// number is the whole answer, and a missing name is no reason to build a text.
func describe(what func() string, err error) error {
	if err == nil {
		return nil
	}
	if _, fact := err.(posix.Error); fact { //nolint:errorlint // only a bare answer may skip the description
		return err
	}
	return fmt.Errorf("%s: %w", what(), err)
}

func orDefault[T int | time.Duration](n, def T) T {
	if n == 0 {
		return def
	}
	return n
}

// idBatch hands out the numbers of a sequence, of which it reserves many at a time.
type idBatch struct {
	engine Engine
	seq    Sequence
	size   uint64
	least  uint64 // smaller numbers are not used

	mu   sync.Mutex // guards next and end
	next uint64
	end  uint64
}

// Batch sizes of the volume format.
const (
	inodeBatch = 1024
	sliceBatch = 4096
)

func (b *idBatch) take(ctx context.Context) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		for b.next < b.end {
			id := b.next
			b.next++
			if id >= b.least {
				return id, nil
			}
		}
		first, err := b.engine.Reserve(ctx, b.seq, b.size)
		if err != nil {
			return 0, fmt.Errorf("reserve numbers: %w", err)
		}
		b.next, b.end = first, first+b.size
	}
}
