package cache

import (
	"sync"
	"sync/atomic"

	"jfs/block"
)

// maxAhead bounds how many blocks are remembered that nobody has read since they were fetched. What is over it
// counts as never read.
const maxAhead = 1 << 14

// ahead finds out what of the blocks that were fetched in advance is read later.
type ahead struct {
	some        atomic.Bool // keys is not empty: spares readers the lock while nothing is fetched in advance
	bytes, used atomic.Int64

	mu   sync.Mutex // guards keys
	keys map[block.Key]struct{}
}

// begin notes a block that is going to be fetched; readers that come while it is under way use it already.
func (a *ahead) begin(key block.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.keys == nil {
		a.keys = make(map[block.Key]struct{})
	}
	if len(a.keys) >= maxAhead {
		for k := range a.keys {
			delete(a.keys, k)
			break
		}
	}
	a.keys[key] = struct{}{}
	a.some.Store(true)
	a.bytes.Add(int64(key.Size))
}

// failed takes begin back. A reader that waited for the block has failed with it, or has loaded it itself.
func (a *ahead) failed(key block.Key) {
	if !a.take(key) {
		a.used.Add(-int64(key.Size))
	}
	a.bytes.Add(-int64(key.Size))
}

// read notes that somebody wants a block.
func (a *ahead) read(key block.Key) {
	if a.some.Load() && a.take(key) {
		a.used.Add(int64(key.Size))
	}
}

// forget notes that a block is gone, which nobody can use any more.
func (a *ahead) forget(key block.Key) {
	if a.some.Load() {
		a.take(key)
	}
}

func (a *ahead) take(key block.Key) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.keys[key]; !ok {
		return false
	}
	delete(a.keys, key)
	a.some.Store(len(a.keys) > 0)
	return true
}
