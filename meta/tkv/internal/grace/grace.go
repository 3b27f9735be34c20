// Package grace lets a commit that is under way outlive the context of its caller for a moment.
package grace

import (
	"context"
	"time"
)

// Wait is how long a commit is waited for after its context has ended. A database that is well answers much sooner;
// then an interrupted application learns what became of its change.
const Wait = time.Second

// Context gives a context that ends after the limit, or when ctx has ended and Wait has passed. The function frees it.
func Context(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	long, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	if ctx.Done() == nil {
		return long, cancel
	}
	var timer *time.Timer
	armed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		timer = time.AfterFunc(Wait, cancel)
		close(armed)
	})
	return long, func() {
		if !stop() {
			<-armed
			timer.Stop()
		}
		cancel()
	}
}
