package cache

import (
	"jfs/block"
	"jfs/internal/bytepool"
)

// PutPart implements Tier. A part of one page is retained, one of more is copied page by page, because pages come and go
// one by one. As with Adopt, buf must belong to no shared budget.
func (m *Memory) PutPart(key block.Key, buf *bytepool.Buf, off int) {
	if !isPart(key, off, len(buf.B)) || m.closed.Load() || m.Has(key) {
		return
	}
	if len(buf.B) <= PageSize {
		m.take(unit{key, pageAt(off)}, buf)
		return
	}
	for rest := buf.B; len(rest) > 0; {
		page := m.pool.TryGet(min(len(rest), PageSize))
		n := copy(page.B, rest)
		m.take(unit{key, pageAt(off)}, page)
		page.Release()
		rest, off = rest[n:], off+n
	}
}

// HasPart implements Tier.
func (m *Memory) HasPart(key block.Key, off, n int) bool {
	if !inside(key, off, n) {
		return false
	}
	if m.Has(key) {
		return true
	}
	from, to := pageSpan(key, off, n)
	for ; from < to; from += PageSize {
		if !m.has(unit{key, pageAt(from)}) {
			return false
		}
	}
	return hasParts(key)
}

// readPages is ReadAt from the pages of a block that is not there whole. off and dst lie in the block.
func (m *Memory) readPages(key block.Key, dst []byte, off int) bool {
	if !hasParts(key) || m.max == 0 {
		return false
	}
	for len(dst) > 0 {
		item, buf := m.acquire(unit{key, pageAt(off)})
		if item == nil {
			return false
		}
		n := copy(dst, buf.B[off%PageSize:])
		buf.Release()
		m.used(item, int64(off))
		dst, off = dst[n:], off+n
	}
	return true
}

func pageAt(off int) int32 { return int32(off/PageSize) + 1 }
