package sql

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"jfs/meta"
)

// The states of a request. Its caller may give up one that waits, but not one that runs: that one writes to
// the caller's variables.
type state uint8

const (
	waiting state = iota
	running
	abandoned
)

// request is a transaction for the writer.
type request struct {
	ctx   context.Context
	want  *meta.Want
	fn    func(*tx) error
	alone bool // shares its commit with nobody

	state    state // guarded by queue.mu
	err      error
	panicked string // what fn panicked with, and where
	done     chan struct{}
}

// call runs fn. A panic is kept for the caller: it is not the writer's.
func (r *request) call(t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.panicked = fmt.Sprintf("%v\n\n%s", p, debug.Stack())
			err = fmt.Errorf("transaction panicked: %v", p)
		}
	}()
	return r.fn(t)
}

// queue holds the transactions that wait for the writer, in order.
type queue struct {
	wake chan struct{} // holds a token when there may be something new

	mu     sync.Mutex // guards what follows and the states of requests
	list   []*request
	closed bool
}

// do puts r into the queue and waits for its end.
func (q *queue) do(r *request) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	r.done = make(chan struct{})
	if !q.push(r) {
		return errClosed
	}
	select {
	case <-r.done:
	case <-r.ctx.Done():
		if q.abandon(r) {
			return r.ctx.Err()
		}
		<-r.done
	}
	if r.panicked != "" {
		panic(r.panicked)
	}
	return r.err
}

func (q *queue) push(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.list = append(q.list, r)
	q.notify()
	return true
}

func (q *queue) notify() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) abandon(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.state != waiting {
		return false
	}
	r.state = abandoned
	return true
}

// close lets nothing more in.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.notify()
}

// ready says whether something waits, and whether nothing will any more.
func (q *queue) ready() (some, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.trim()
	return len(q.list) > 0, q.closed
}

// next takes the first request for a group of n members so far; nil when the group is complete.
func (q *queue) next(n int) *request {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.trim()
	if len(q.list) == 0 || n > 0 && q.list[0].alone {
		return nil
	}
	r := q.list[0]
	q.shift()
	r.state = running
	return r
}

// back returns running requests to the head of the queue, each to be run alone.
func (q *queue) back(rs []*request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range rs {
		r.state, r.alone, r.err = waiting, true, nil
	}
	q.list = append(append([]*request(nil), rs...), q.list...)
	q.notify()
}

// trim removes what was given up from the head; mu is held.
func (q *queue) trim() {
	for len(q.list) > 0 && q.list[0].state == abandoned {
		q.shift()
	}
}

func (q *queue) shift() {
	q.list[0] = nil
	if q.list = q.list[1:]; len(q.list) == 0 {
		q.list = nil // a slice that is only cut would keep its array growing
	}
}
