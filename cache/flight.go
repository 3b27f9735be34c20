package cache

import (
	"context"
	"sync"

	"jfs/block"
	"jfs/internal/bytepool"
)

// flights lets concurrent readers of a block share one load. The source does so too, but only until it has
// the bytes; this also covers the time until the cache can answer. It is not the flight of package block: there a load has a
// goroutine and a life of its own, which ends with its last caller; here one of the callers loads, in its own time and with its own
// ctx, and after looking once more whether the cache has it.
type flights struct {
	mu sync.Mutex // guards m and each flight's waiters and buf
	m  map[span]*flight
}

// span is what a flight brings: n bytes at off of a block.
type span struct {
	key    block.Key
	off, n int
}

func wholeOf(key block.Key) span { return span{key, 0, int(key.Size)} }

type flight struct {
	done    chan struct{}
	waiters int           // readers that will take a reference to buf
	buf     *bytepool.Buf // set when done is closed without err
	err     error
	quit    bool // the reader that did the load gave up; another one has to
}

// do returns a span from found, or else from load, which one of the concurrent callers runs with its own
// ctx. The caller releases the buffer.
func (f *flights) do(ctx context.Context, what span, found func() *bytepool.Buf,
	load func() (*bytepool.Buf, error)) (*bytepool.Buf, error) {
	for {
		f.mu.Lock()
		fl := f.m[what]
		if fl == nil {
			fl = &flight{done: make(chan struct{})}
			if f.m == nil {
				f.m = make(map[span]*flight)
			}
			f.m[what] = fl
			f.mu.Unlock()
			return f.lead(ctx, what, fl, found, load)
		}
		fl.waiters++
		f.mu.Unlock()

		select {
		case <-fl.done:
		case <-ctx.Done():
			f.leave(fl)
			return nil, ctx.Err()
		}
		if !fl.quit {
			return fl.buf, fl.err
		}
	}
}

func (f *flights) lead(ctx context.Context, what span, fl *flight, found func() *bytepool.Buf,
	load func() (*bytepool.Buf, error)) (*bytepool.Buf, error) {
	buf := found() // a flight may have ended between the caller's look and this one
	var err error
	if buf == nil {
		buf, err = load()
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.m, what)
	fl.err = err
	fl.quit = err != nil && ctx.Err() != nil
	if err == nil {
		fl.buf = buf
		for range fl.waiters {
			buf.Retain()
		}
	}
	close(fl.done)
	return buf, err
}

// leave gives up a waiter's place, or the reference that it got in the meantime.
func (f *flights) leave(fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-fl.done:
		if fl.buf != nil {
			fl.buf.Release()
		}
	default:
		fl.waiters--
	}
}

// has says whether a load of the whole block is under way.
func (f *flights) has(key block.Key) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.m[wholeOf(key)] != nil
}
