package grace

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestContext(t *testing.T) {
	for _, c := range []struct {
		name  string
		end   time.Duration // of the caller's context; 0: never
		limit time.Duration
		want  time.Duration
		err   error
	}{
		{"limit", 0, time.Minute, time.Minute, context.DeadlineExceeded},
		{"limit before the caller's end", time.Hour, time.Minute, time.Minute, context.DeadlineExceeded},
		{"caller's end", 5 * time.Second, time.Minute, 5*time.Second + Wait, context.Canceled},
		{"limit within the grace", 5 * time.Second, 5*time.Second + Wait/2, 5*time.Second + Wait/2, context.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				if c.end != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.end)
					defer cancel()
				}
				start := time.Now()
				long, cancel := Context(ctx, c.limit)
				defer cancel()
				<-long.Done()
				if d := time.Since(start); d != c.want || !errors.Is(long.Err(), c.err) {
					t.Errorf("ended after %s with %v, want %s and %v", d, long.Err(), c.want, c.err)
				}
			})
		})
	}
}
