package prefetch

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"jfs/block"
)

// Defaults of Options.
const (
	DefaultMaxBytes    = 64 << 20
	DefaultConcurrency = 8
)

// Options bound a Scheduler. The zero value works.
type Options struct {
	MaxBytes    int64        // bytes of the blocks queued and being fetched; 0 means DefaultMaxBytes
	Concurrency int          // fetches at a time; 0 means DefaultConcurrency
	Log         *slog.Logger // told of failed fetches at debug level; nil: nothing is logged
	// Has tells pieces that need no fetch; nil: all are fetched.
	Has func(key block.Key, off, n int) bool
	Now func() time.Time // the clock; nil means time.Now
}

// Piece is Len bytes at Off of a block.
type Piece struct {
	Key      block.Key
	Off, Len int
}

// Whole is the piece that is all of a block.
func Whole(key block.Key) Piece { return Piece{key, 0, int(key.Size)} }

// Stats is a snapshot of a Scheduler. Every submitted piece ends as exactly one of Ready, Fetched, Failed,
// Cancelled, Duplicates or Dropped.
type Stats struct {
	Queued, Running int   // pieces now
	Bytes           int64 // bytes of these
	Submitted       int64
	Ready           int64 // were there already
	Fetched         int64
	Failed          int64
	Cancelled       int64 // by Cancel or Close
	Duplicates      int64 // were queued or running already
	Dropped         int64 // over the bound, or after Close
}

// Scheduler fetches blocks in the background, first come, first served.
type Scheduler struct {
	fetch func(ctx context.Context, key block.Key, off, n int) error
	o     Options
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu      sync.Mutex // guards the rest
	closed  bool
	workers int
	queue   []*job // in order
	jobs    map[Piece]*job
	stats   Stats
	delay   time.Duration // see Delay
}

// job is a piece queued or being fetched.
type job struct {
	Piece
	began     time.Time
	stop      context.CancelFunc // nil while it is queued
	cancelled bool
}

// New makes a Scheduler that brings pieces of blocks to where the reader finds them with fetch, which has to honour
// its ctx.
func New(fetch func(ctx context.Context, key block.Key, off, n int) error, o Options) *Scheduler {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Concurrency <= 0 {
		o.Concurrency = DefaultConcurrency
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Scheduler{fetch: fetch, o: o, jobs: make(map[Piece]*job)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Submit queues pieces in the given order. It never waits: what exceeds the bound is dropped, and then Submit is
// false. A piece larger than the bound is fetched when there is nothing else.
func (s *Scheduler) Submit(pieces ...Piece) bool {
	ready := int64(0)
	if s.o.Has != nil { // not under mu: it may look at a disk
		missing := pieces[:0:0]
		for _, k := range pieces {
			if s.o.Has(k.Key, k.Off, k.Len) {
				ready++
			} else {
				missing = append(missing, k)
			}
		}
		pieces = missing
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Submitted += ready
	s.stats.Ready += ready
	all := true
	for _, k := range pieces {
		s.stats.Submitted++
		switch {
		case s.closed:
			s.stats.Dropped++
			all = false
			continue
		case s.jobs[k] != nil:
			s.stats.Duplicates++
			continue
		case s.stats.Bytes > 0 && s.stats.Bytes+int64(k.Len) > s.o.MaxBytes:
			s.stats.Dropped++
			all = false
			continue
		}
		j := &job{Piece: k}
		s.jobs[k] = j
		s.queue = append(s.queue, j)
		s.stats.Queued++
		s.stats.Bytes += int64(k.Len)
		if s.workers < s.o.Concurrency {
			s.workers++
			s.wg.Go(s.work)
		}
	}
	return all
}

// Delay is how long a fetch takes these days; 0 if there was none yet.
func (s *Scheduler) Delay() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.delay
}

// Cancel gives up pieces, for example those of a stream whose file was closed. A fetch under way is told to
// end; Cancel does not wait for that.
func (s *Scheduler) Cancel(pieces ...Piece) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range pieces {
		s.cancel(s.jobs[k])
	}
}

// Stats returns a snapshot.
func (s *Scheduler) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Close gives up everything and waits until the fetches under way have ended.
func (s *Scheduler) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, j := range s.jobs {
		s.cancel(j)
	}
	s.mu.Unlock()
	s.stop()
	s.wg.Wait()
	return nil
}

// cancel is called with mu held; j may be nil.
func (s *Scheduler) cancel(j *job) {
	if j == nil || j.cancelled {
		return
	}
	j.cancelled = true
	if j.stop != nil {
		j.stop()
		return
	}
	i := slices.Index(s.queue, j)
	s.queue = slices.Delete(s.queue, i, i+1)
	s.stats.Queued--
	s.stats.Cancelled++
	s.forget(j)
}

// forget gives the bytes of a job back. It is called with mu held.
func (s *Scheduler) forget(j *job) {
	delete(s.jobs, j.Piece)
	s.stats.Bytes -= int64(j.Len)
}

// work fetches until the queue is empty.
func (s *Scheduler) work() {
	for {
		j, ctx := s.take()
		if j == nil {
			return
		}
		err := s.fetch(ctx, j.Key, j.Off, j.Len)
		s.done(j, err)
	}
}

// take returns the next job and marks it running; nil when there is none, and then the worker is gone.
func (s *Scheduler) take() (*job, context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.workers--
		return nil, nil
	}
	j := s.queue[0]
	s.queue = slices.Delete(s.queue, 0, 1)
	ctx, stop := context.WithCancel(s.ctx)
	j.stop, j.began = stop, s.o.Now()
	s.stats.Queued--
	s.stats.Running++
	return j, ctx
}

func (s *Scheduler) done(j *job, err error) {
	s.mu.Lock()
	j.stop()
	s.stats.Running--
	s.forget(j)
	switch {
	case err == nil:
		s.stats.Fetched++
		if took := s.o.Now().Sub(j.began); s.delay == 0 {
			s.delay = took
		} else {
			s.delay += (took - s.delay) / 8 // one slow request is no trend
		}
	case j.cancelled:
		s.stats.Cancelled++
	default:
		s.stats.Failed++
	}
	s.mu.Unlock()
	if err != nil && !j.cancelled {
		s.o.Log.Debug("read ahead failed", "block", fmt.Sprintf("%d_%d_%d", j.Key.Slice, j.Key.Index, j.Key.Size), "err", err)
	}
}
