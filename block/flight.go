package block

import (
	"context"
	"fmt"
	"sync"

	"jfs/internal/bytepool"
)

// loadFunc fetches a block. budget ends before ctx when the block must not wait for the budget any more;
// urgent says so from the start.
type loadFunc func(ctx, budget context.Context, key Key, name string, urgent bool) (*bytepool.Buf, error)

// flights lets concurrent callers for one block share one load.
type flights struct {
	base  context.Context // ends at close
	abort context.CancelCauseFunc

	mu     sync.Mutex // guards all below and the fields of every flight
	open   map[Key]*flight
	closed bool
	wg     sync.WaitGroup // one for each load that runs
}

type flight struct {
	cancel  context.CancelFunc // of the load
	hurry   context.CancelFunc // of its wait for the budget
	done    chan struct{}      // closed when buf and err are set
	waiters int
	landed  bool
	buf     *bytepool.Buf // one reference for each waiter that is left at the landing
	err     error
}

func (f *flights) init() {
	f.base, f.abort = context.WithCancelCause(context.Background())
	f.open = map[Key]*flight{}
}

func (f *flights) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.abort(ErrClosed)
	f.wg.Wait()
}

// join waits for the block's flight, which it starts if there is none. A caller who leaves because ctx
// ends does not disturb the others; the last one to leave ends the flight.
func (f *flights) join(ctx context.Context, key Key, name string, urgent bool, load loadFunc) (*bytepool.Buf, error) {
	f.mu.Lock()
	fl, ok := f.open[key]
	switch {
	case f.closed:
		f.mu.Unlock()
		return nil, fmt.Errorf("load %s: %w", name, ErrClosed)
	case !ok:
		fl = f.start(key, name, urgent, load)
	case urgent:
		fl.hurry()
	}
	fl.waiters++
	f.mu.Unlock()

	select {
	case <-fl.done:
		return fl.buf, fl.err
	case <-ctx.Done():
		f.leave(key, fl)
		return nil, fmt.Errorf("load %s: %w", name, ctx.Err())
	}
}

// start is called with mu held.
func (f *flights) start(key Key, name string, urgent bool, load loadFunc) *flight {
	fl := &flight{done: make(chan struct{})}
	f.open[key] = fl
	ctx, cancel := context.WithCancel(f.base)
	budget, hurry := context.WithCancel(ctx)
	fl.cancel, fl.hurry = cancel, hurry
	f.wg.Go(func() {
		defer cancel()
		buf, err := load(ctx, budget, key, name, urgent)
		if err != nil && f.base.Err() != nil {
			err = fmt.Errorf("load %s: %w", name, context.Cause(f.base))
		}
		f.land(key, fl, buf, err)
	})
	return fl
}

// land hands the result to those who still wait.
func (f *flights) land(key Key, fl *flight, buf *bytepool.Buf, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open[key] == fl {
		delete(f.open, key)
	}
	fl.landed = true
	fl.buf, fl.err = buf, err
	switch {
	case buf == nil:
	case fl.waiters == 0:
		buf.Release()
		fl.buf = nil
	default:
		for range fl.waiters - 1 {
			buf.Retain()
		}
	}
	close(fl.done)
}

func (f *flights) leave(key Key, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.landed { // in the same moment: the reference that is ours goes back
		if fl.buf != nil {
			fl.buf.Release()
		}
		return
	}
	if fl.waiters--; fl.waiters == 0 {
		delete(f.open, key) // the next caller must not join a flight that is ending
		fl.cancel()
	}
}
