package cache_test

import (
	"context"
	"testing"

	"jfs/block"
	"jfs/cache"
)

// What is fetched in advance counts as used when somebody reads it, whole or in part, once.
func TestPrefetchedUsed(t *testing.T) {
	eachStack(t, func(t *testing.T, src *source, c *cache.Tiered) {
		ctx := context.Background()
		read, part, never, gone := block.Key{Slice: 1, Size: 1 << 20}, block.Key{Slice: 2, Size: 5000}, block.Key{Slice: 3, Size: 7000}, block.Key{Slice: 4, Size: 100}
		for _, k := range []block.Key{read, part, never, gone} {
			if err := c.Fetch(ctx, k); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			check(t, c, read, 0, 1<<20)
			if err := c.ReadRange(ctx, part, make([]byte, 10), 5); err != nil {
				t.Fatal(err)
			}
		}
		c.Remove(gone)
		check(t, c, gone, 0, 100)
		src.missing.Store(true)
		if err := c.Fetch(ctx, block.Key{Slice: 5, Size: 1000}); err == nil {
			t.Error("a missing block was fetched")
		}
		if s := c.Stats(); s.PrefetchBytes != 1<<20+5000+7000+100 || s.PrefetchUsed != 1<<20+5000 {
			t.Errorf("%d bytes fetched in advance, %d used", s.PrefetchBytes, s.PrefetchUsed)
		}
	})
}

// Near brings blocks into memory, from where RemoveNear takes them without a loss for the disk.
func TestNear(t *testing.T) {
	src := newSource(0)
	c := tiered(t, src, true, true)
	key := block.Key{Slice: 1, Size: 4096}
	hits := func() (memory, disk int64) {
		s := c.Stats()
		return s.Memory.Hits + s.Recent.Hits, s.Disk.Hits
	}
	if err := c.Near(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	check(t, c, key, 0, 10)
	if m, d := hits(); m != 1 || d != 0 {
		t.Errorf("near: %d hits in memory, %d on the disk", m, d)
	}
	if err := c.Warm(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	c.RemoveNear(key)
	check(t, c, key, 0, 10)
	if _, d := hits(); d != 1 || src.loads.Load() != 1 {
		t.Errorf("taken out of memory: %d hits on the disk, %d loads", d, src.loads.Load())
	}
}
