package redis

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// replicaTime is how long a number that is given away waits for a replica to know of it. One that is up takes
// less than a millisecond; where there is none, every few thousand files take this much longer.
const replicaTime = 200 * time.Millisecond

// add adds to a counter and gives its new value. It may add more than once when a connection breaks.
//
// A server that takes over may lack the last changes of the one before. If this was one of them, it would give the
// same numbers to others, and two files would have the same blocks. So a replica has to have it first.
func (c *client) add(ctx context.Context, key string, n int64) (int64, error) {
	c.where.write()
	out, err := c.query(ctx, func(b rueidis.Builder) []rueidis.Completed {
		cmds := []rueidis.Completed{b.Incrby().Key(key).Increment(n).Build()}
		if c.where.moves() {
			// Wait of the builder would take a connection of its own.
			cmds = append(cmds, b.Arbitrary("WAIT", "1", decimal(replicaTime.Milliseconds())).Build())
		}
		return cmds
	})
	if err != nil {
		return 0, err
	}
	return out[0].AsInt64()
}
