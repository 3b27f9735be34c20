package redis

import (
	"hash/maphash"
	"sync"

	"jfs/meta"
)

// hintShards keeps goroutines from waiting for one another.
const hintShards = 16

// hints remembers stored attributes and entries. What it says may be out of date at any time; whoever acts
// on it has to prove it at commit. It is bounded: a full shard gives up an arbitrary record for a new one.
type hints struct {
	seed   maphash.Seed
	limit  int // records of each kind in a shard; 0: nothing is remembered
	shards [hintShards]hintShard
}

type hintShard struct {
	mu      sync.Mutex // guards both maps
	attrs   map[meta.Ino]string
	entries map[meta.Name]string // "" for a name that is not there
}

// newHints makes a memory for up to n attributes and n entries.
func newHints(n int) *hints {
	h := &hints{seed: maphash.MakeSeed(), limit: (n + hintShards - 1) / hintShards}
	for i := range h.shards {
		h.shards[i].attrs = make(map[meta.Ino]string)
		h.shards[i].entries = make(map[meta.Name]string)
	}
	return h
}

func (h *hints) ofAttr(ino meta.Ino) *hintShard { return &h.shards[uint64(ino)%hintShards] }

func (h *hints) ofEntry(n meta.Name) *hintShard {
	return &h.shards[(maphash.String(h.seed, n.Name)+uint64(n.Dir))%hintShards]
}

func (h *hints) attr(ino meta.Ino) (raw string, ok bool) {
	s := h.ofAttr(ino)
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, ok = s.attrs[ino]
	return raw, ok
}

func (h *hints) entry(n meta.Name) (raw string, ok bool) {
	s := h.ofEntry(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, ok = s.entries[n]
	return raw, ok
}

func (h *hints) setAttr(ino meta.Ino, raw string) {
	s := h.ofAttr(ino)
	s.mu.Lock()
	defer s.mu.Unlock()
	put(s.attrs, ino, raw, h.limit)
}

func (h *hints) setEntry(n meta.Name, raw string) {
	s := h.ofEntry(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	put(s.entries, n, raw, h.limit)
}

func (h *hints) dropAttr(ino meta.Ino) {
	s := h.ofAttr(ino)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.attrs, ino)
}

func (h *hints) dropEntry(n meta.Name) {
	s := h.ofEntry(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, n)
}

// put sets a record; when the map is full, another one goes.
func put[K comparable](m map[K]string, k K, raw string, limit int) {
	if limit <= 0 {
		return
	}
	if _, ok := m[k]; !ok && len(m) >= limit {
		for old := range m {
			delete(m, old)
			break
		}
	}
	m[k] = raw
}
