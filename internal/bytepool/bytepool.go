// Package bytepool hands out reference-counted buffers under one budget of bytes.
//
// A client has one Pool for everything that it holds of file contents: pages being written, blocks on
// their way to the store, blocks read ahead. Get waits while the budget is used up; that wait is the
// back-pressure which keeps resident memory bounded.
package bytepool

import (
	"context"
	"math/bits"
	"sync"
	"sync/atomic"
)

// minClass is the smallest buffer handed out: one page of memory.
const minClass = 12 // 4 KiB

// maxClass is the largest pooled buffer, the largest block of a volume.
const maxClass = 24 // 16 MiB

// Pool is a budget of bytes and the free buffers of it. It is safe for concurrent use.
type Pool struct {
	limit    int64
	pressure func()

	mu   sync.Mutex // guards used and wait
	used int64
	wait chan struct{} // closed and replaced when bytes come back while somebody waits; nil when nobody does

	free [maxClass + 1]sync.Pool // by log2 of the capacity
}

// New makes a pool that hands out at most limit bytes at a time; 0 or less means no limit.
func New(limit int64) *Pool { return &Pool{limit: limit} }

// OnPressure sets what is called when somebody begins to wait for memory, so that the owner of dirty pages can
// write them out. It must not block. It is set before the pool is used.
func (p *Pool) OnPressure(f func()) { p.pressure = f }

// Wait returns when the budget is not used up. With Take it gives a caller that cannot wait while it holds a lock
// its memory in two steps; each such caller goes over the budget by at most what it takes.
func (p *Pool) Wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		if p.limit <= 0 || p.used < p.limit {
			p.mu.Unlock()
			return nil
		}
		wait := p.waiter()
		p.mu.Unlock()
		if err := p.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// Take returns a buffer of n bytes at once, beyond the budget if need be. See Wait.
func (p *Pool) Take(n int) *Buf {
	size := classSize(n)
	p.mu.Lock()
	p.used += int64(size)
	p.mu.Unlock()
	return p.buf(n, size)
}

// waiter gives the channel that is closed when bytes come back. p.mu is held.
func (p *Pool) waiter() <-chan struct{} {
	if p.wait == nil {
		p.wait = make(chan struct{})
	}
	return p.wait
}

func (p *Pool) sleep(ctx context.Context, wait <-chan struct{}) error {
	if p.pressure != nil {
		p.pressure()
	}
	select {
	case <-wait:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Buf is a buffer with a count of its holders. B may be resliced by the holder that fills it, before it
// is shared.
type Buf struct {
	B []byte

	pool *Pool
	mem  []byte
	refs atomic.Int32
}

// Get returns a buffer of n bytes with one reference, and waits until the budget allows it or ctx ends.
// The contents are not zeroed. A request larger than the whole budget is granted when nothing else is out.
func (p *Pool) Get(ctx context.Context, n int) (*Buf, error) {
	for {
		b, wait := p.try(n, true)
		if b != nil {
			return b, nil
		}
		if err := p.sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// TryGet is Get for work that can be left undone, such as reading ahead: it returns nil instead of waiting.
func (p *Pool) TryGet(n int) *Buf {
	b, _ := p.try(n, false)
	return b
}

// Used returns the bytes that are handed out.
func (p *Pool) Used() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

// Limit returns the budget in bytes, 0 for none.
func (p *Pool) Limit() int64 { return max(p.limit, 0) }

func (p *Pool) try(n int, wait bool) (*Buf, <-chan struct{}) {
	size := classSize(n)
	p.mu.Lock()
	if p.limit > 0 && p.used > 0 && p.used+int64(size) > p.limit {
		defer p.mu.Unlock()
		if !wait {
			return nil, nil
		}
		return nil, p.waiter()
	}
	p.used += int64(size)
	p.mu.Unlock()
	return p.buf(n, size), nil
}

// buf gives a buffer whose size is counted already.
func (p *Pool) buf(n, size int) *Buf {
	var b *Buf
	if c := class(n); c <= maxClass {
		b, _ = p.free[c].Get().(*Buf)
	}
	if b == nil {
		b = &Buf{pool: p, mem: make([]byte, size)}
	}
	b.B = b.mem[:n]
	b.refs.Store(1)
	return b
}

// Retain adds a holder.
func (b *Buf) Retain() *Buf {
	if b.refs.Add(1) <= 1 {
		panic("bytepool: retain of a released buffer")
	}
	return b
}

// Release drops a holder; the last one gives the memory back, after which B must not be touched.
func (b *Buf) Release() {
	switch n := b.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("bytepool: release of a released buffer")
	}
	p := b.pool
	size := len(b.mem)
	b.B = nil
	if c := class(size); c <= maxClass {
		p.free[c].Put(b)
	}
	p.mu.Lock()
	p.used -= int64(size)
	if p.wait != nil {
		close(p.wait)
		p.wait = nil
	}
	p.mu.Unlock()
}

func class(n int) int {
	if n <= 1<<minClass {
		return minClass
	}
	return bits.Len(uint(n - 1))
}

// classSize is the memory that a request of n bytes takes: the next power of two, beyond the classes the
// exact number of pages.
func classSize(n int) int {
	if c := class(n); c <= maxClass {
		return 1 << c
	}
	return (n + 4095) &^ 4095
}
