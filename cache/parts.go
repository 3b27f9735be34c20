package cache

import "jfs/block"

// PageSize is the unit in which parts of blocks are fetched and kept, in bytes. A page costs a store hardly more than
// a smaller range does, and a read of 4 KiB touches two of them at most, so it fetches 128 KiB at most.
const PageSize = 64 << 10

// hasParts reports whether parts of the block are worth keeping: one of few pages is fetched whole.
func hasParts(key block.Key) bool { return key.Size > 2*PageSize }

// pageSpan gives the whole pages that n bytes at off of a block touch, as [from, to). The last page ends with the block.
func pageSpan(key block.Key, off, n int) (from, to int) {
	return off / PageSize * PageSize, min((off+n+PageSize-1)/PageSize*PageSize, int(key.Size))
}

// isPart reports whether n bytes at off are whole pages of a block that has parts.
func isPart(key block.Key, off, n int) bool {
	if !hasParts(key) || n <= 0 || !inside(key, off, n) {
		return false
	}
	from, to := pageSpan(key, off, n)
	return from == off && to == off+n
}
