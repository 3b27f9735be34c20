package sql

import (
	"context"
	"sync"
	"time"
)

// poolLimits: 0 of a time means no limit.
type poolLimits struct {
	open, idle         int
	idleTime, lifeTime time.Duration
}

// pooledLink is a connection of a pool.
type pooledLink struct {
	link
	scratch
	born, used time.Time
	// dirty: its caller has not come back in order, or a transaction may be open.
	dirty, inTx bool
	spare       bool // has no slot
}

// linkPool lends connections. The one that was used last is lent first, so that those which are not needed grow old.
type linkPool struct {
	limits poolLimits
	open   func(context.Context) (link, error)
	slots  chan struct{} // a token for each connection that may be lent
	closed chan struct{}
	wg     sync.WaitGroup

	mu   sync.Mutex // guards idle
	idle []*pooledLink
}

func newLinkPool(limits poolLimits, open func(context.Context) (link, error)) *linkPool {
	p := &linkPool{limits: limits, open: open, slots: make(chan struct{}, limits.open), closed: make(chan struct{})}
	if limits.idleTime > 0 {
		p.wg.Go(p.reap)
	}
	return p
}

// take lends a connection. The caller gives it back with put, in any case.
func (p *linkPool) take(ctx context.Context) (*pooledLink, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-p.closed:
		return nil, errClosed
	default:
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closed:
		return nil, errClosed
	}
	c, err := p.connected(ctx)
	if err != nil {
		<-p.slots
	}
	return c, err
}

// takeSpare lends a connection without waiting for one, for what others wait for while they have theirs.
func (p *linkPool) takeSpare(ctx context.Context) (*pooledLink, error) {
	c, err := p.connected(ctx)
	if err == nil {
		c.spare = true
	}
	return c, err
}

// connected gives a connection that is idle, or a new one.
func (p *linkPool) connected(ctx context.Context) (*pooledLink, error) {
	for {
		c := p.pop()
		if c == nil {
			break
		}
		if !p.old(c, time.Now()) && c.usable() {
			return c, nil
		}
		c.close()
	}
	l, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	c := &pooledLink{link: l, born: time.Now()}
	c.point()
	return c, nil
}

func (p *linkPool) old(c *pooledLink, now time.Time) bool {
	return p.limits.lifeTime > 0 && now.Sub(c.born) > p.limits.lifeTime ||
		p.limits.idleTime > 0 && now.Sub(c.used) > p.limits.idleTime
}

func (p *linkPool) pop() *pooledLink {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	return c
}

func (p *linkPool) put(c *pooledLink) {
	if !c.spare {
		defer func() { <-p.slots }()
	}
	c.spare = false
	c.used = time.Now()
	if c.dirty || c.inTx || !c.usable() || !p.keep(c) {
		c.close()
	}
}

func (p *linkPool) keep(c *pooledLink) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) >= p.limits.idle {
		return false
	}
	p.idle = append(p.idle, c)
	return true
}

// reap closes connections that have been idle for too long.
func (p *linkPool) reap() {
	tick := time.NewTicker(max(p.limits.idleTime/2, time.Second))
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			for _, c := range p.expired(now) {
				c.close()
			}
		case <-p.closed:
			return
		}
	}
}

func (p *linkPool) expired(now time.Time) (old []*pooledLink) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.idle[:0]
	for _, c := range p.idle {
		if p.old(c, now) {
			old = append(old, c)
		} else {
			kept = append(kept, c)
		}
	}
	clear(p.idle[len(kept):])
	p.idle = kept
	return old
}

// close ends the connections, after waiting for those that are lent.
func (p *linkPool) close() {
	close(p.closed)
	p.wg.Wait()
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	for c := p.pop(); c != nil; c = p.pop() {
		c.close()
	}
}
