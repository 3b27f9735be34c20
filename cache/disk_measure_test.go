package cache_test

import (
	"sync/atomic"
	"testing"
	"time"

	"jfs/block"
	"jfs/cache"
	"jfs/cache/cachetest"
)

// Each write and each read that finds its bytes is measured once, of one disk and of several, and no miss is.
func TestDiskIsMeasured(t *testing.T) {
	var reads, writes atomic.Int64
	o := cache.DiskOptions{
		OnRead: func(time.Duration) { reads.Add(1) }, OnWrite: func(time.Duration) { writes.Add(1) },
	}
	one := openDisk(t, t.TempDir(), o)
	several := openDisks(t, []string{t.TempDir(), t.TempDir()}, o)
	for _, tier := range []interface {
		cache.Tier
		Flush()
	}{one, several} {
		reads.Store(0)
		writes.Store(0)
		k := block.Key{Slice: 1, Size: 5000}
		cachetest.Put(t, tier, k)
		tier.Flush()
		dst := make([]byte, 100)
		for range 3 {
			if !tier.ReadAt(k, dst, 50) {
				t.Error("a block is not there")
			}
		}
		if tier.ReadAt(block.Key{Slice: 2, Size: 5000}, dst, 0) {
			t.Error("a block is there that was never put")
		}
		if reads.Load() != 3 || writes.Load() != 1 {
			t.Errorf("%T: %d reads and %d writes are measured", tier, reads.Load(), writes.Load())
		}
	}
}
