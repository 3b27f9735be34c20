package etcd

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
)

// awayTimeout is what a call gets while no server can be reached, after another has waited the whole time in vain. A
// request of a program is several calls, and so is the end of a mount; waiting anew in each would be minutes.
const awayTimeout = time.Second

// limit is the time for a call. A server that is connected and only slow gets all of it.
func (s *Store) limit() time.Duration {
	if s.away.Load() && s.client.ActiveConnection().GetState() != connectivity.Ready {
		return min(s.timeout, awayTimeout)
	}
	return s.timeout
}

// note takes note of the outcome of a call. ctx is the caller's, whose end tells nothing about the server.
func (s *Store) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	away := err != nil && code(err) == codes.DeadlineExceeded
	if s.away.Load() != away {
		s.away.Store(away)
	}
}
