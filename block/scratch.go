package block

import (
	"math/bits"
	"sync"
)

// scratch recycles buffers for compressed blocks. They are kept apart by size, so that short blocks and
// full ones do not throw each other's buffers away.
type scratch struct {
	pools [65]sync.Pool // of *[]byte, by the bits of the capacity
}

func (s *scratch) get(n int) *[]byte {
	n = max(n, 1)
	if b, ok := s.pools[bits.Len(uint(n))].Get().(*[]byte); ok && cap(*b) >= n {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n)
	return &b
}

func (s *scratch) put(b *[]byte) { s.pools[bits.Len(uint(cap(*b)))].Put(b) }
