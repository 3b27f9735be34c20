package prefetch

import "sync/atomic"

// Trust is how far the beginnings of streams can be believed, from how earlier ones ended. The zero value believes
// everything. It is safe for concurrent use.
type Trust struct{ doubt atomic.Int32 }

// maxDoubt bounds how much a stream has to show: First/4.
const maxDoubt = 3

// need is the number of bytes that a stream must have read before it gets a window.
func (t *Trust) need(first int64) int64 {
	n := t.doubt.Load()
	if n == 0 {
		return 0
	}
	return max(first>>(5-n), 1)
}

func (t *Trust) lose() { t.move(1) }
func (t *Trust) gain() { t.move(-1) }

func (t *Trust) move(by int32) {
	for {
		old := t.doubt.Load()
		n := min(max(old+by, 0), maxDoubt)
		if n == old || t.doubt.CompareAndSwap(old, n) {
			return
		}
	}
}
