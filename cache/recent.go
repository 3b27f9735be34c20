package cache

import (
	"container/list"
	"sync"

	"jfs/block"
	"jfs/internal/bytepool"
)

// recent holds the few blocks loaded last, whatever the tiers made of them: a tier may decline a block, and
// without this a reader with small requests would load it once for each of them. Its buffers belong to no
// shared budget, so holding them can keep nobody waiting.
type recent struct {
	max int64

	mu    sync.Mutex // guards the rest
	items map[block.Key]*list.Element
	order *list.List // of recentItem; the front stays longest
	bytes int64
	counters
}

type recentItem struct {
	key block.Key
	buf *bytepool.Buf
}

func newRecent(maxBytes int64) *recent {
	return &recent{max: maxBytes, items: make(map[block.Key]*list.Element), order: list.New()}
}

// acquire returns the block with a reference for the caller; nil is a miss. A read of n bytes at off that
// reaches the end of the block makes it the next to go, because a sequential reader is done with it while
// blocks read ahead are still wanted.
func (r *recent) acquire(key block.Key, off, n int) *bytepool.Buf {
	r.mu.Lock()
	defer r.mu.Unlock()
	el := r.items[key]
	if !r.read(el != nil, n) {
		return nil
	}
	if off+n == int(key.Size) {
		r.order.MoveToBack(el)
	} else {
		r.order.MoveToFront(el)
	}
	return el.Value.(recentItem).buf.Retain()
}

// peek is acquire without consequences for order and counters.
func (r *recent) peek(key block.Key) *bytepool.Buf {
	r.mu.Lock()
	defer r.mu.Unlock()
	if el := r.items[key]; el != nil {
		return el.Value.(recentItem).buf.Retain()
	}
	return nil
}

func (r *recent) has(key block.Key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.items[key] != nil
}

// add retains buf. The newest block is kept even if it alone exceeds the bound: the reader that loaded it
// has not had it yet.
func (r *recent) add(key block.Key, buf *bytepool.Buf) {
	if r.max <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.items[key] != nil {
		return
	}
	size := int64(cap(buf.B))
	for r.bytes+size > r.max && r.order.Len() > 0 {
		r.drop(r.order.Back())
		r.evictions.Add(1)
	}
	r.items[key] = r.order.PushFront(recentItem{key, buf.Retain()})
	r.bytes += size
	r.wrote(len(buf.B))
}

func (r *recent) remove(key block.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if el := r.items[key]; el != nil {
		r.drop(el)
	}
}

// drop is called with mu held.
func (r *recent) drop(el *list.Element) {
	item := r.order.Remove(el).(recentItem)
	delete(r.items, item.key)
	r.bytes -= int64(cap(item.buf.B))
	item.buf.Release()
}

func (r *recent) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.max = 0
	for r.order.Len() > 0 {
		r.drop(r.order.Back())
	}
}

func (r *recent) stats() Stats {
	s := r.snapshot()
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Blocks, s.Bytes = int64(r.order.Len()), r.bytes
	return s
}
