package mount

import (
	"sync"
	"sync/atomic"
)

const shards = 16 // of a table; more than the threads that look into it at a time

// table gives numbers to open files or directories. A number is never used again, so a late request for a closed
// one cannot reach another.
type table[T any] struct {
	last  atomic.Uint64
	shard [shards]struct {
		mu sync.RWMutex
		m  map[uint64]T
	}
}

// add returns the number of v, which is not 0.
func (t *table[T]) add(v T) uint64 {
	n := t.last.Add(1)
	s := &t.shard[n%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = make(map[uint64]T)
	}
	s.m[n] = v
	return n
}

func (t *table[T]) get(n uint64) (T, bool) {
	s := &t.shard[n%shards]
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.m[n]
	return v, ok
}

// take removes and returns what has the number.
func (t *table[T]) take(n uint64) (T, bool) {
	s := &t.shard[n%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.m[n]
	delete(s.m, n)
	return v, ok
}

// size is how many there are.
func (t *table[T]) size() (n int) {
	for i := range t.shard {
		s := &t.shard[i]
		s.mu.RLock()
		n += len(s.m)
		s.mu.RUnlock()
	}
	return n
}

// takeAll removes and returns everything.
func (t *table[T]) takeAll() []T {
	var all []T
	for i := range t.shard {
		s := &t.shard[i]
		s.mu.Lock()
		for _, v := range s.m {
			all = append(all, v)
		}
		s.m = nil
		s.mu.Unlock()
	}
	return all
}
