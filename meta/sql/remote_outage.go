package sql

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"jfs/meta"
)

// outage is how long a server has been away. A request of a program is several calls, and a mount that ends makes many:
// if each waited anew for a server that does not come back, that would take minutes.
type outage struct {
	on atomic.Bool // spares the lock while all is well

	mu          sync.Mutex // guards what follows
	since, last time.Time
}

// failed takes note of an attempt without an answer, and gives the length of the outage. One that nobody has noticed for
// longer than gap is another one.
func (o *outage) failed(now time.Time, gap time.Duration) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.on.Load() || now.Sub(o.last) > gap {
		o.since = now
	}
	o.last = now
	o.on.Store(true)
	return now.Sub(o.since)
}

// answered takes note of an answer.
func (o *outage) answered() {
	if o.on.Load() {
		o.on.Store(false)
	}
}

// noted takes note of the outcome of an attempt, and says how long the server has been away.
func (e *Remote) noted(err error) time.Duration {
	switch {
	case err == nil:
		e.outage.answered()
	case e.d.classify(err) == faultLost || unreachable(err):
		return e.outage.failed(time.Now(), e.patience)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, errClosed), errors.Is(err, meta.ErrUnknown):
		// tells nothing about the server
	default:
		e.outage.answered()
	}
	return 0
}
