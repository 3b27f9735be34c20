package tkv

import (
	"context"
	"slices"

	"jfs/meta"
)

// lanes is how many directories can change at once when none share a lane; well above the number of requests
// that a mount has under way.
const lanes = 256

// queue lets the changes in one directory pass one by one. It saves work and is no guarantee: other processes
// do not stand in it.
type queue struct {
	lane [lanes]chan struct{}
}

func newQueue() *queue {
	q := &queue{}
	for i := range q.lane {
		q.lane[i] = make(chan struct{}, 1)
	}
	return q
}

// enter waits for all of the directories; leave must be called.
func (q *queue) enter(ctx context.Context, dirs []meta.Ino) (leave func(), err error) {
	var room [2]int // a rename has two
	in := room[:0]
	for _, d := range dirs {
		in = append(in, int(d%lanes))
	}
	// In one order everywhere, so that no two wait for each other.
	slices.Sort(in)
	in = slices.Compact(in)
	for i, l := range in {
		select {
		case q.lane[l] <- struct{}{}:
		case <-ctx.Done():
			q.leave(in[:i])
			return nil, ctx.Err()
		}
	}
	return func() { q.leave(in) }, nil
}

func (q *queue) leave(in []int) {
	for _, l := range in {
		<-q.lane[l]
	}
}
