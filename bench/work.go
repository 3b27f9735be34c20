package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"jfs/bench/stats"
)

// ErrContents means that a file is not as it was written.
var ErrContents = errors.New("not what was written")

// tick is how often Progress hears of a running phase; often enough for an eye.
const tick = 100 * time.Millisecond

// counts is what the threads of a phase have done so far.
type counts struct {
	files, bytes atomic.Int64
}

// times are distributions of times by the kind of call.
type times map[string]*stats.Histogram

// took notes a call that began at start, and returns the time now.
func (t times) took(kind string, start time.Time) time.Time {
	h := t[kind]
	if h == nil {
		h = stats.NewHistogram()
		t[kind] = h
	}
	now := time.Now()
	h.Record(now.Sub(start))
	return now
}

// merge adds the times of another.
func (t times) merge(other times) {
	for kind, h := range other {
		if t[kind] == nil {
			t[kind] = stats.NewHistogram()
		}
		t[kind].Merge(h)
	}
}

// phase runs one phase on all threads; the first that fails stops the others.
func (r *run) phase(ctx context.Context, p Phase, to *PhaseResult) (Round, error) {
	var done counts
	workers := make([]*worker, r.cfg.Threads)
	for i := range workers {
		workers[i] = r.newWorker(p, i, &done)
	}
	stop := r.watch(p, &done)
	group, ctx := errgroup.WithContext(ctx)
	begin := r.now()
	for _, w := range workers {
		group.Go(func() error { return w.work(ctx) })
	}
	err := group.Wait()
	elapsed := r.now().Sub(begin)
	stop()
	for _, w := range workers {
		times(to.Latency).merge(w.times)
	}
	if p.Op == Rename && err == nil {
		if r.renamed == nil {
			r.renamed = map[string]bool{}
		}
		r.renamed[p.Set] = !r.renamed[p.Set]
	}
	return Round{Files: done.files.Load(), Bytes: done.bytes.Load(), Elapsed: elapsed}, err
}

// watch tells Progress how far the phase is until stop is called.
func (r *run) watch(p Phase, done *counts) (stop func()) {
	if r.Progress == nil {
		return func() {}
	}
	var files int64
	for t := range r.cfg.Threads {
		files += int64(p.items(t))
	}
	bytes := int64(r.cfg.Threads) * p.moves(p.block(r.cfg))
	begin := time.Now()
	tell := func() {
		r.Progress(Progress{
			Phase: p, Round: r.round, Rounds: r.cfg.Rounds, Files: done.files.Load(), Bytes: done.bytes.Load(),
			TotalFiles: files, TotalBytes: bytes, Elapsed: time.Since(begin),
		})
	}
	return ticking(tell)
}

// ticking calls tell now, at every tick, and when stop is called.
func ticking(tell func()) (stop func()) {
	tell()
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				tell()
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
		tell()
	}
}

func (w *worker) work(ctx context.Context) (err error) {
	defer func() { err = w.closeAll(err) }()
	n := w.phase.items(w.thread)
	order := w.order(n)
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		if order != nil {
			i = order[i]
		}
		start := time.Now()
		if err := w.item(ctx, i); err != nil {
			return err
		}
		w.times.took("item", start)
		w.done.files.Add(1)
	}
	return nil
}

func (w *worker) item(ctx context.Context, i int) error {
	switch w.phase.Op {
	case Write:
		return w.write(ctx, i)
	case Read:
		return w.read(ctx, i)
	case Random:
		return w.random()
	case Stat:
		return w.stat(i)
	case Mkdir, Readdir, Rmdir:
		return w.directory(i)
	case Create, Rename, Unlink:
		return w.name(i)
	}
	return fmt.Errorf("%w: no operation is called %q", ErrConfig, w.phase.Op)
}
