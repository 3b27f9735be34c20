// Package cache keeps blocks near: in memory, on local disks, and composed as a block.Source in front of
// the object store.
//
// Blocks are immutable, so nothing here is ever invalidated because of a change; a block is removed only
// to make room or because its slice was deleted. A cache failure is a miss and never a failed read.
package cache

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"jfs/block"
	"jfs/internal/bytepool"
)

// Tier is one level of the cache. All methods are safe for concurrent use and none of them waits for the
// network. After Close a Tier holds nothing and ignores what it is given.
type Tier interface {
	// ReadAt fills dst with the block's bytes from off on and reports whether it did. After false the
	// contents of dst are undefined.
	ReadAt(key block.Key, dst []byte, off int) bool
	// Has reports whether a read of the block would probably be a hit.
	Has(key block.Key) bool
	// Put offers a whole block; the tier may decline. It retains buf or copies it, so the caller's
	// reference stays the caller's. A buf whose length is not key.Size is declined.
	Put(key block.Key, buf *bytepool.Buf)
	// PutPart offers whole pages of a block that begin at off: see PageSize. It retains buf or copies it. A block of two
	// pages or less has no parts.
	PutPart(key block.Key, buf *bytepool.Buf, off int)
	// HasPart reports whether a read of n bytes at off would probably be a hit.
	HasPart(key block.Key, off, n int) bool
	// Remove forgets a block and its parts; one that is not there is fine.
	Remove(key block.Key)
	// Stats returns a snapshot.
	Stats() Stats
	// Close gives everything back and waits for what the tier started.
	Close() error
}

// Stats describes a tier: Blocks and Bytes what it holds now, everything else what happened since its start.
type Stats struct {
	Blocks     int64 // blocks held, and blocks or pages of which parts are held
	Bytes      int64 // memory or disk space that they really take
	Hits       int64 // reads answered
	HitBytes   int64 // bytes of these reads
	Misses     int64 // reads not answered
	MissBytes  int64 // bytes of these reads
	Writes     int64 // blocks and parts taken in
	WriteBytes int64 // bytes of these blocks
	Evictions  int64 // blocks removed to make room, or expired
	Drops      int64 // blocks declined: no room, queue full, tier out of order
}

// counters are the running part of Stats.
type counters struct {
	hits, hitBytes, misses, missBytes, writes, writeBytes, evictions, drops atomic.Int64
}

func (c *counters) read(hit bool, n int) bool {
	if hit {
		c.hits.Add(1)
		c.hitBytes.Add(int64(n))
	} else {
		c.misses.Add(1)
		c.missBytes.Add(int64(n))
	}
	return hit
}

func (c *counters) wrote(n int) {
	c.writes.Add(1)
	c.writeBytes.Add(int64(n))
}

func (c *counters) snapshot() Stats {
	return Stats{
		Hits: c.hits.Load(), HitBytes: c.hitBytes.Load(),
		Misses: c.misses.Load(), MissBytes: c.missBytes.Load(),
		Writes: c.writes.Load(), WriteBytes: c.writeBytes.Load(),
		Evictions: c.evictions.Load(), Drops: c.drops.Load(),
	}
}

// inside reports whether n bytes at off lie within the block.
func inside(key block.Key, off, n int) bool {
	return off >= 0 && off <= int(key.Size) && n <= int(key.Size)-off
}

// hashKey spreads keys evenly over 64 bits; seed makes independent spreads.
func hashKey(key block.Key, seed uint64) uint64 {
	var b [24]byte
	binary.LittleEndian.PutUint64(b[0:], key.Slice)
	binary.LittleEndian.PutUint32(b[8:], key.Index)
	binary.LittleEndian.PutUint32(b[12:], key.Size)
	binary.LittleEndian.PutUint64(b[16:], seed)
	return xxhash.Sum64(b[:])
}
