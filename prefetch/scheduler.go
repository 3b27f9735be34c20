package prefetch

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

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
}

// Stats is a snapshot of a Scheduler. Every submitted block ends as exactly one of Fetched, Failed,
// Cancelled, Duplicates or Dropped.
type Stats struct {
	Queued, Running int   // blocks now
	Bytes           int64 // bytes of these
	Submitted       int64
	Fetched         int64
	Failed          int64
	Cancelled       int64 // by Cancel or Close
	Duplicates      int64 // were queued or running already
	Dropped         int64 // over the bound, or after Close
}

// Scheduler fetches blocks in the background, first come, first served.
type Scheduler struct {
	fetch func(context.Context, block.Key) error
	o     Options
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu      sync.Mutex // guards the rest
	closed  bool
	workers int
	queue   []*job // in order
	jobs    map[block.Key]*job
	stats   Stats
}

// job is a block queued or being fetched.
type job struct {
	key       block.Key
	stop      context.CancelFunc // nil while it is queued
	cancelled bool
}

// New makes a Scheduler that brings blocks to where the reader finds them with fetch, which has to honour
// its ctx.
func New(fetch func(ctx context.Context, key block.Key) error, o Options) *Scheduler {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Concurrency <= 0 {
		o.Concurrency = DefaultConcurrency
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Scheduler{fetch: fetch, o: o, jobs: make(map[block.Key]*job)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Submit queues blocks in the given order. It never waits: what exceeds the bound is dropped. A block larger
// than the bound is fetched when there is nothing else.
func (s *Scheduler) Submit(keys ...block.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		s.stats.Submitted++
		switch {
		case s.closed:
			s.stats.Dropped++
			continue
		case s.jobs[k] != nil:
			s.stats.Duplicates++
			continue
		case s.stats.Bytes > 0 && s.stats.Bytes+int64(k.Size) > s.o.MaxBytes:
			s.stats.Dropped++
			continue
		}
		j := &job{key: k}
		s.jobs[k] = j
		s.queue = append(s.queue, j)
		s.stats.Queued++
		s.stats.Bytes += int64(k.Size)
		if s.workers < s.o.Concurrency {
			s.workers++
			s.wg.Go(s.work)
		}
	}
}

// Cancel gives up blocks, for example those of a stream whose file was closed. A fetch under way is told to
// end; Cancel does not wait for that.
func (s *Scheduler) Cancel(keys ...block.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
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
	delete(s.jobs, j.key)
	s.stats.Bytes -= int64(j.key.Size)
}

// work fetches until the queue is empty.
func (s *Scheduler) work() {
	for {
		j, ctx := s.take()
		if j == nil {
			return
		}
		err := s.fetch(ctx, j.key)
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
	j.stop = stop
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
	case j.cancelled:
		s.stats.Cancelled++
	default:
		s.stats.Failed++
	}
	s.mu.Unlock()
	if err != nil && !j.cancelled {
		s.o.Log.Debug("read ahead failed", "block", fmt.Sprintf("%d_%d_%d", j.key.Slice, j.key.Index, j.key.Size), "err", err)
	}
}
