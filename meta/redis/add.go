package redis

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// replicaTime is how long a number that is given away waits for a replica to know of it. One that is in step takes
// less than a millisecond.
const replicaTime = 200 * time.Millisecond

// add adds to a counter and gives its new value. It may add more than once when a connection breaks.
//
// A server that takes over may lack the last changes of the one before. If this was one of them, it would give the
// same numbers to others, and two files would have the same blocks. So a replica, if there is one, has to have it first.
func (c *client) add(ctx context.Context, key string, n int64) (int64, error) {
	c.where.write()
	out, err := c.query(ctx, func(b rueidis.Builder) []rueidis.Completed {
		cmds := []rueidis.Completed{b.Incrby().Key(key).Increment(n).Build()}
		if c.where.moves() {
			cmds = append(cmds, b.Info().Section("replication").Build())
		}
		return cmds
	})
	if err != nil {
		return 0, err
	}
	if len(out) > 1 {
		info, err := out[1].ToString()
		if err != nil {
			return 0, err
		}
		if parseInfo(info)["connected_slaves"] != "0" {
			if err := c.replicate(ctx, key); err != nil {
				return 0, err
			}
		}
	}
	return out[0].AsInt64()
}

// replicate waits until a replica has a counter. A server waits for what was written on the same connection, so this
// writes again. One that is not in step in time is not waited for any longer.
func (c *client) replicate(ctx context.Context, key string) error {
	_, err := c.query(ctx, func(b rueidis.Builder) []rueidis.Completed {
		return []rueidis.Completed{
			b.Incrby().Key(key).Increment(0).Build(),
			b.Arbitrary("WAIT", "1", decimal(replicaTime.Milliseconds())).Build(), // the builder's takes a connection of its own
		}
	})
	return err
}
