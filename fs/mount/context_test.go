package mount

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"
)

const long = time.Hour

func startRequests(t *testing.T, l limits) *requests {
	t.Helper()
	q := newRequests(l)
	q.start()
	t.Cleanup(q.close)
	return q
}

func TestRequestEnds(t *testing.T) {
	closed := make(chan struct{})
	close(closed)
	for name, c := range map[string]struct {
		limits    limits
		interrupt chan struct{}
		detached  bool
		want      error
	}{
		"interrupted": {limits{long, 0, long}, closed, false, context.Canceled},
		"after delay": {limits{long, 30 * time.Millisecond, long}, closed, false, context.Canceled},
		"too slow":    {limits{30 * time.Millisecond, long, long}, closed, false, context.DeadlineExceeded},
		"detached":    {limits{long, long, 30 * time.Millisecond}, nil, true, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			q := startRequests(t, c.limits)
			r := q.begin(c.interrupt, c.limits.interruptDelay)
			if c.detached {
				q.detach()
			}
			<-r.Done()
			if err := r.Err(); !errors.Is(err, c.want) {
				t.Errorf("ended with %v, want %v", err, c.want)
			}
			r.end()
			if err := r.Err(); !errors.Is(err, c.want) {
				t.Errorf("after its end %v, want %v", err, c.want)
			}
		})
	}
}

func TestRequestAnswered(t *testing.T) {
	q := startRequests(t, limits{long, long, long})
	r := q.begin(make(chan struct{}), long)
	if r.Err() != nil {
		t.Fatal("a new request has ended")
	}
	done := r.Done()
	child, cancel := context.WithTimeout(r, long)
	defer cancel()
	r.end()
	<-done
	<-child.Done()
	if !errors.Is(child.Err(), context.Canceled) {
		t.Errorf("derived context ended with %v", child.Err())
	}
	if len(q.live) != 0 {
		t.Errorf("%d requests are watched after their end", len(q.live))
	}
	late := q.begin(nil, long)
	late.end()
	<-late.Done() // closed although nobody waited before
}

func TestRequestAfterFunc(t *testing.T) {
	q := startRequests(t, limits{long, long, long})
	r := q.begin(nil, long)
	ran := make(chan string, 3)
	stop := context.AfterFunc(r, func() { ran <- "stopped" })
	context.AfterFunc(r, func() { ran <- "kept" })
	if !stop() || stop() {
		t.Error("the first stop must report true, the second false")
	}
	r.end()
	if got := <-ran; got != "kept" {
		t.Errorf("the function that was %s ran", got)
	}
	context.AfterFunc(r, func() { ran <- "late" })
	if got := <-ran; got != "late" {
		t.Errorf("the function that was %s ran", got)
	}
}

// TestRequestsNeedNoGoroutines: neither requests nor contexts derived from them start one.
func TestRequestsNeedNoGoroutines(t *testing.T) {
	q := startRequests(t, limits{long, long, long})
	before := runtime.NumGoroutine()
	var all []*request
	for range 100 {
		r := q.begin(make(chan struct{}), long)
		child, cancel := context.WithTimeout(r, time.Minute)
		defer cancel()
		_ = child.Done()
		all = append(all, r)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("100 requests started %d goroutines", n-before)
	}
	for _, r := range all {
		r.end()
	}
	if len(q.live) != 0 {
		t.Errorf("%d requests are watched after their end", len(q.live))
	}
}

func TestRequestAllocations(t *testing.T) {
	q := startRequests(t, limits{long, long, long})
	interrupt := make(chan struct{})
	if n := testing.AllocsPerRun(100, func() {
		r := q.begin(interrupt, long)
		_ = r.Err()
		r.end()
	}); n > 1 {
		t.Errorf("a request that nobody waits in takes %v allocations, want 1", n)
	}
}
