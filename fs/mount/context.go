package mount

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"jfs/meta"
)

// tick is how often requests that wait for something are looked at. It bounds how late an interrupt is noticed,
// and nothing is done while no request waits.
const tick = 20 * time.Millisecond

// limits say when requests are ended before their work is done.
type limits struct {
	timeout        time.Duration // since the request began
	interruptDelay time.Duration // since the kernel's interrupt
	detachDelay    time.Duration // since the mount point went, or the request began if that was later
}

// requests knows the requests that wait for something. Its one goroutine ends those that were interrupted, take
// too long, or outlive the mount point; so a request needs no goroutine, and one that nobody waits in costs
// nothing here.
type requests struct {
	limits

	detached atomic.Pointer[time.Time] // when the mount point went; nil: it is there

	mu   sync.Mutex // guards live and the slots of requests; taken after a request's
	live []*request

	wake chan struct{} // live was empty
	stop chan struct{}
	done sync.WaitGroup
}

func newRequests(l limits) *requests {
	return &requests{limits: l, wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

// start begins to watch. close must follow.
func (q *requests) start() { q.done.Go(q.watch) }

func (q *requests) close() {
	close(q.stop)
	q.done.Wait()
}

// detach notes that the mount point is gone.
func (q *requests) detach() {
	now := time.Now()
	q.detached.CompareAndSwap(nil, &now)
}

func (q *requests) watch() {
	t := time.NewTicker(tick)
	defer t.Stop()
	var look []*request
	for {
		q.mu.Lock()
		look = append(look[:0], q.live...)
		q.mu.Unlock()
		now := time.Now()
		for i, r := range look {
			r.check(now)
			look[i] = nil
		}
		if len(look) == 0 {
			t.Stop()
			select {
			case <-q.wake:
			case <-q.stop:
				return
			}
			t.Reset(tick)
		}
		select {
		case <-t.C:
		case <-q.stop:
			return
		}
	}
}

func (q *requests) add(r *request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r.slot = len(q.live)
	q.live = append(q.live, r)
	if r.slot == 0 {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

func (q *requests) drop(r *request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	last := len(q.live) - 1
	q.live[r.slot] = q.live[last]
	q.live[r.slot].slot = r.slot
	q.live[last] = nil
	q.live = q.live[:last]
}

// request is the context of one request of the kernel. It ends with context.Canceled when the caller was
// interrupted, and when the request is answered; with context.DeadlineExceeded when it took too long or the mount
// is gone. It implements AfterFunc, so contexts derived from it need no goroutine either.
type request struct {
	reqs      *requests
	start     time.Time
	interrupt <-chan struct{} // closed by the kernel's interrupt and at the end of the connection
	delay     time.Duration   // from the interrupt to the end
	timeout   time.Duration   // from the start to the end; 0: none

	own  ownNews // of the changes that it has made
	slot int     // in reqs.live; guarded by reqs.mu

	mu    sync.Mutex    // guards the rest
	done  chan struct{} // nil until somebody wants to wait
	err   error
	cut   time.Time // when the interrupt takes effect; zero: there was none
	after map[*func()]struct{}
}

var _ context.Context = (*request)(nil)

// begin makes the context of a request; end must follow.
func (q *requests) begin(interrupt <-chan struct{}, delay time.Duration) *request {
	return &request{reqs: q, start: time.Now(), interrupt: interrupt, delay: delay, timeout: q.timeout}
}

// end ends the context when the request is answered, after which the interrupt channel may belong to another.
func (r *request) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.finish(context.Canceled)
}

// ended gives the reason why the request was ended before its answer, or nil.
func (r *request) ended() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *request) Deadline() (time.Time, bool) { return r.start.Add(r.timeout), r.timeout > 0 }

// Value says that the kernel knows of the changes that it asks for.
func (r *request) Value(key any) any {
	if key == (meta.RequestKey{}) {
		return r
	}
	return nil
}

func (r *request) Done() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watched()
	return r.done
}

// watched makes sure that the end is noticed. r.mu is held.
func (r *request) watched() {
	if r.done != nil {
		return
	}
	r.done = make(chan struct{})
	if r.err != nil {
		close(r.done)
		return
	}
	r.reqs.add(r)
}

func (r *request) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.judge(time.Now())
	}
	return r.err
}

// AfterFunc has f called in its own goroutine after the end, as context.AfterFunc says.
func (r *request) AfterFunc(f func()) (stop func() bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watched()
	if r.err != nil {
		go f()
		return func() bool { return false }
	}
	if r.after == nil {
		r.after = make(map[*func()]struct{})
	}
	key := &f
	r.after[key] = struct{}{}
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		_, waiting := r.after[key]
		delete(r.after, key)
		return waiting
	}
}

// check ends the request if its time has come.
func (r *request) check(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.judge(now)
}

// judge is check with r.mu held.
func (r *request) judge(now time.Time) {
	if r.err != nil {
		return
	}
	if r.cut.IsZero() {
		select {
		case <-r.interrupt:
			r.cut = now.Add(r.delay)
		default:
		}
	}
	switch gone := r.reqs.detached.Load(); {
	case !r.cut.IsZero() && !now.Before(r.cut):
		r.finish(context.Canceled)
	case r.timeout > 0 && now.Sub(r.start) >= r.timeout:
		r.finish(context.DeadlineExceeded)
	case gone != nil && min(now.Sub(*gone), now.Sub(r.start)) >= r.reqs.detachDelay:
		r.finish(context.DeadlineExceeded)
	}
}

// finish ends the context once. r.mu is held.
func (r *request) finish(err error) {
	if r.err != nil {
		return
	}
	r.err = err
	if r.done == nil {
		return
	}
	close(r.done)
	r.reqs.drop(r)
	for f := range r.after {
		go (*f)()
	}
	r.after = nil
}
