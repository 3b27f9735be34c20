package sql

import (
	"context"
	"errors"
)

var errClosed = errors.New("metadata engine is closed")

// pool lends the connections for reading.
type pool struct {
	open func(context.Context) (*conn, error)
	// slots holds every connection that is not lent; nil stands for one that is yet to be opened.
	slots  chan *conn
	closed chan struct{}
}

func newPool(size int, open func(context.Context) (*conn, error)) *pool {
	p := &pool{open: open, slots: make(chan *conn, size), closed: make(chan struct{})}
	for range size {
		p.slots <- nil
	}
	return p
}

// take lends a connection. The caller gives it back with put, in any case.
func (p *pool) take(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-p.closed:
		return nil, errClosed
	default:
	}
	var c *conn
	select {
	case c = <-p.slots:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closed:
		return nil, errClosed
	}
	if c != nil {
		return c, nil
	}
	c, err := p.open(ctx)
	if err != nil {
		p.slots <- nil
		return nil, err
	}
	return c, nil
}

func (p *pool) put(c *conn) { p.slots <- c }

// drop takes back a connection that is of no more use.
func (p *pool) drop(c *conn) {
	c.close()
	p.slots <- nil
}

// close ends the connections, after waiting for those that are lent.
func (p *pool) close() error {
	close(p.closed)
	var errs []error
	for range cap(p.slots) {
		if c := <-p.slots; c != nil {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(errs...)
}
