package cache

import (
	"container/list"
	"sync"
)

// handles keeps files open, so that a block which is read in many small requests is opened once.
type handles struct {
	max int

	mu     sync.Mutex // guards the rest, and refs of each handle
	open   map[fileKey]*list.Element
	order  *list.List // of *handle, the latest used in front
	closed bool
}

func newHandles(limit int) *handles {
	return &handles{max: limit, open: make(map[fileKey]*list.Element), order: list.New()}
}

// get returns an open handle with a reference for the caller, or nil.
func (c *handles) get(k fileKey) *handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.open[k]
	if el == nil {
		return nil
	}
	c.order.MoveToFront(el)
	h := el.Value.(*handle)
	h.refs++
	return h
}

// put keeps a handle that the caller has just opened; the caller's reference stays the caller's. Where
// another one was faster, both work and this one ends with its caller.
func (c *handles) put(h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.max < 1 || c.open[h.key] != nil {
		return
	}
	for c.order.Len() >= c.max {
		c.forget(c.order.Back())
	}
	h.refs++
	c.open[h.key] = c.order.PushFront(h)
}

// drop no longer keeps the handle of k, so that its disk space comes back when its readers are done.
func (c *handles) drop(k fileKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.open[k]; el != nil {
		c.forget(el)
	}
}

func (c *handles) release(h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unref(h)
}

func (c *handles) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for c.order.Len() > 0 {
		c.forget(c.order.Back())
	}
}

func (c *handles) forget(el *list.Element) {
	h := c.order.Remove(el).(*handle)
	delete(c.open, h.key)
	c.unref(h)
}

func (c *handles) unref(h *handle) {
	if h.refs--; h.refs == 0 {
		_ = h.file.Close() // opened for reading: nothing can be lost
	}
}
