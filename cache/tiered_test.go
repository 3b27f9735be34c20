package cache_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"jfs/block"
	"jfs/cache"
	"jfs/cache/cachetest"
	"jfs/internal/bytepool"
)

var errMissing = errors.New("no such object")

// source is an object store that counts.
type source struct {
	pool          *bytepool.Pool
	loads, ranges atomic.Int64
	bytes         atomic.Int64  // of ranges
	block         chan struct{} // if not nil, loads wait until it is closed
	entered       chan struct{} // told of each load that waits
	missing       atomic.Bool
}

func newSource(budget int64) *source {
	return &source{pool: bytepool.New(budget), entered: make(chan struct{}, 100)}
}

func (s *source) ReadAt(_ context.Context, key block.Key, dst []byte, off int) error {
	s.ranges.Add(1)
	s.bytes.Add(int64(len(dst)))
	if s.block != nil {
		s.entered <- struct{}{}
		<-s.block
	}
	copy(dst, cachetest.Data(key)[off:])
	return nil
}

func (s *source) Load(ctx context.Context, key block.Key) (*bytepool.Buf, error) {
	s.loads.Add(1)
	if s.block != nil {
		s.entered <- struct{}{}
		select {
		case <-s.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if s.missing.Load() {
		return nil, errMissing
	}
	buf, err := s.pool.Get(ctx, int(key.Size))
	if err != nil {
		return nil, err
	}
	copy(buf.B, cachetest.Data(key))
	return buf, nil
}

// tiered builds the stack; memory and disk say which tiers it has.
func tiered(t testing.TB, src block.Source, memory, disk bool) *cache.Tiered {
	t.Helper()
	var o cache.TieredOptions
	if memory {
		o.Memory = newMemory(t, 32<<20)
	}
	if disk {
		o.Disk = openDisk(t, t.TempDir(), cache.DiskOptions{QueueBytes: 64 << 20})
	}
	c := cache.NewTiered(src, o)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// eachStack runs a test with and without each tier.
func eachStack(t *testing.T, test func(t *testing.T, src *source, c *cache.Tiered)) {
	for name, has := range map[string][2]bool{"none": {}, "memory": {true, false}, "disk": {false, true}, "both": {true, true}} {
		t.Run(name, func(t *testing.T) {
			src := newSource(8 << 20)
			c := tiered(t, src, has[0], has[1])
			test(t, src, c)
			if n := src.pool.Used(); n != 0 {
				t.Errorf("%d bytes of the budget are held", n)
			}
		})
	}
}

func check(t testing.TB, c *cache.Tiered, key block.Key, off, n int) {
	t.Helper()
	dst := make([]byte, n)
	if err := c.ReadAt(context.Background(), key, dst, off); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(dst, cachetest.Data(key)[off:off+n]) {
		t.Fatalf("wrong bytes of %v at %d", key, off)
	}
}

func TestTieredSequentialLoadsEachBlockOnce(t *testing.T) {
	eachStack(t, func(t *testing.T, src *source, c *cache.Tiered) {
		dst := make([]byte, 128<<10)
		for i := range uint32(16) {
			key := block.Key{Slice: 1, Index: i, Size: 4 << 20}
			want := cachetest.Data(key)
			for off := 0; off < 4<<20; off += len(dst) {
				if err := c.ReadAt(context.Background(), key, dst, off); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(dst, want[off:off+len(dst)]) {
					t.Fatalf("wrong bytes of %v at %d", key, off)
				}
			}
		}
		if l, r := src.loads.Load(), src.ranges.Load(); l != 16 || r != 0 {
			t.Errorf("%d loads and %d ranges for 64 MiB, want 16 and 0", l, r)
		}
		if s := c.Stats(); s.Loads != 16 || s.LoadBytes != 64<<20 || s.LoadErrors != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// The kernel sends the requests of a sequential reader several at a time.
func TestTieredParallelRequestsLoadEachBlockOnce(t *testing.T) {
	eachStack(t, func(t *testing.T, src *source, c *cache.Tiered) {
		const step = 128 << 10
		var next atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				dst := make([]byte, step)
				for {
					at := next.Add(step) - step
					if at >= 32<<20 {
						return
					}
					key := block.Key{Slice: 1, Index: uint32(at >> 22), Size: 4 << 20}
					if err := c.ReadAt(context.Background(), key, dst, int(at&(4<<20-1))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := src.loads.Load(); n != 8 {
			t.Errorf("%d loads for 8 blocks", n)
		}
	})
}

func TestTieredSecondPassIsCached(t *testing.T) {
	for _, has := range [][2]bool{{true, false}, {false, true}, {true, true}} {
		src := newSource(0)
		c := tiered(t, src, has[0], has[1])
		for range 3 {
			for i := range uint32(40) { // more than the holding place, less than a tier
				check(t, c, block.Key{Slice: 1, Index: i, Size: 512 << 10}, 1000, 5000)
			}
		}
		if n := src.loads.Load(); n > 40 {
			t.Errorf("%v: %d loads for 40 blocks", has, n)
		}
	}
}

func TestTieredLoad(t *testing.T) {
	eachStack(t, func(t *testing.T, src *source, c *cache.Tiered) {
		key := block.Key{Slice: 1, Size: 1 << 20}
		for range 3 {
			buf, err := c.Load(context.Background(), key)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(buf.B, cachetest.Data(key)) {
				t.Error("wrong bytes")
			}
			buf.Release()
		}
		if n := src.loads.Load(); n != 1 {
			t.Errorf("%d loads", n)
		}
	})
}

func TestTieredReadRange(t *testing.T) {
	eachStack(t, func(t *testing.T, src *source, c *cache.Tiered) {
		ctx, key := context.Background(), block.Key{Slice: 1, Size: 1 << 20}
		dst := make([]byte, 4096)
		for i := range 3 {
			if err := c.ReadRange(ctx, key, dst, i*8192); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(dst, cachetest.Data(key)[i*8192:][:4096]) {
				t.Error("wrong bytes")
			}
		}
		// With a tier the three lie in one page that is kept; without one exactly what is read is asked for.
		ranges, size := int64(1), int64(cache.PageSize)
		if s := c.Stats(); s.Memory.Blocks+s.Disk.Blocks == 0 && src.ranges.Load() == 3 {
			ranges, size = 3, 3*4096
		}
		if l, r := src.loads.Load(), src.ranges.Load(); l != 0 || r != ranges || c.Has(key) {
			t.Errorf("%d loads, %d ranges, cached %v", l, r, c.Has(key))
		}
		check(t, c, key, 100_000, 100)
		if err := c.ReadRange(ctx, key, dst, 150_000); err != nil || src.ranges.Load() != ranges || src.loads.Load() != 1 {
			t.Errorf("a cached block was asked for: %v", err)
		}
		if s := c.Stats(); s.Ranges != ranges || s.RangeBytes != size {
			t.Errorf("%+v", s)
		}
	})
}

func TestTieredFetch(t *testing.T) {
	eachStack(t, func(t *testing.T, src *source, c *cache.Tiered) {
		key := block.Key{Slice: 1, Size: 1 << 20}
		for range 2 {
			if err := c.Fetch(context.Background(), key); err != nil {
				t.Fatal(err)
			}
		}
		check(t, c, key, 5, 100)
		if n := src.loads.Load(); n != 1 || c.Stats().Prefetched != 1 {
			t.Errorf("%d loads, %d prefetched", n, c.Stats().Prefetched)
		}
	})
}

func TestTieredPutAndRemove(t *testing.T) {
	for _, has := range [][2]bool{{true, false}, {false, true}, {true, true}} {
		src := newSource(0)
		c := tiered(t, src, has[0], has[1])
		key := block.Key{Slice: 1, Size: 100_000}
		buf := cachetest.Buf(t, src.pool, key)
		c.Put(key, buf)
		buf.Release()
		if n := src.pool.Used(); n != 0 {
			t.Errorf("%d bytes of the budget are held", n)
		}
		check(t, c, key, 5, 1000)
		if n := src.loads.Load(); n != 0 {
			t.Errorf("%d loads of a written block", n)
		}
		c.Remove(key, block.Key{Slice: 2, Size: 1})
		if c.Has(key) {
			t.Error("a removed block is there")
		}
		check(t, c, key, 5, 1000)
		if n := src.loads.Load(); n != 1 {
			t.Errorf("%d loads of a removed block", n)
		}
	}
}

// A block that comes from disk whole is kept in memory.
func TestTieredPromotesWholeBlocks(t *testing.T) {
	dir := t.TempDir()
	key := block.Key{Slice: 1, Size: 5000}
	d := openDisk(t, dir, cache.DiskOptions{})
	put(t, d, key)
	m := newMemory(t, 8<<20)
	c := cache.NewTiered(newSource(0), cache.TieredOptions{Memory: m, Disk: d})
	defer c.Close()
	check(t, c, key, 0, 4999)
	if m.Has(key) {
		t.Error("a part was promoted")
	}
	check(t, c, key, 0, 5000)
	if !m.Has(key) {
		t.Error("the block was not promoted")
	}
}

func TestTieredConcurrentReadersShareALoad(t *testing.T) {
	src := newSource(0)
	src.block = make(chan struct{})
	c := tiered(t, src, true, false)
	key := block.Key{Slice: 1, Size: 1 << 20}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() { check(t, c, key, i*1000, 1000) })
	}
	<-src.entered
	close(src.block)
	wg.Wait()
	if n := src.loads.Load(); n != 1 {
		t.Errorf("%d loads", n)
	}
}

// A reader that gives up fails alone: the next one takes over.
func TestTieredReaderGivesUp(t *testing.T) {
	src := newSource(0)
	src.block = make(chan struct{})
	c := tiered(t, src, false, false)
	key := block.Key{Slice: 1, Size: 1 << 20}
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan error)
	go func() { first <- c.ReadAt(ctx, key, make([]byte, 10), 0) }()
	<-src.entered
	second := make(chan error)
	go func() { second <- c.ReadAt(context.Background(), key, make([]byte, 10), 0) }()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("first reader: %v", err)
	}
	<-src.entered // the second one's own load

	// One that gives up while it waits for another does not disturb it.
	ctx3, cancel3 := context.WithCancel(context.Background())
	cancel3()
	if err := c.ReadAt(ctx3, key, make([]byte, 10), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("third reader: %v", err)
	}
	close(src.block)
	if err := <-second; err != nil {
		t.Errorf("second reader: %v", err)
	}
	if n := src.loads.Load(); n != 2 {
		t.Errorf("%d loads", n)
	}
}

func TestTieredErrors(t *testing.T) {
	eachStack(t, func(t *testing.T, src *source, c *cache.Tiered) {
		src.missing.Store(true)
		key := block.Key{Slice: 1, Size: 1000}
		dst := make([]byte, 10)
		if err := c.ReadAt(context.Background(), key, dst, 0); !errors.Is(err, errMissing) {
			t.Errorf("missing block: %v", err)
		}
		if err := c.Fetch(context.Background(), key); !errors.Is(err, errMissing) {
			t.Errorf("fetch of a missing block: %v", err)
		}
		src.missing.Store(false)
		check(t, c, key, 0, 1000) // a failure is not remembered
		if s := c.Stats(); s.Loads != 3 || s.LoadErrors != 2 {
			t.Errorf("%+v", s)
		}
		if err := c.ReadAt(context.Background(), key, dst, 995); err == nil {
			t.Error("a read beyond the end succeeds")
		}
	})
}

// A budget of one block is enough for any number of readers, because the cache holds none of it.
func TestTieredNeedsLittleBudget(t *testing.T) {
	src := newSource(1 << 20)
	c := tiered(t, src, true, true)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range uint32(10) {
				check(t, c, block.Key{Slice: uint64(w), Index: i, Size: 1 << 20}, 0, 1000)
			}
		})
	}
	wg.Wait()
	if n := src.loads.Load(); n != 80 {
		t.Errorf("%d loads of 80 blocks", n)
	}
}

func TestTieredHitDoesNotAllocate(t *testing.T) {
	eachStack(t, func(t *testing.T, src *source, c *cache.Tiered) {
		ctx, key := context.Background(), block.Key{Slice: 1, Size: 1 << 20}
		dst := make([]byte, 4096)
		off := 0
		read := func() {
			if err := c.ReadAt(ctx, key, dst, off); err != nil {
				t.Fatal(err)
			}
			off = (off + 4096) % (1<<20 - 4096)
		}
		read()
		if n := testing.AllocsPerRun(500, read); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// TestTieredWarmDropsNothing: a disk that cannot keep up is waited for, by many at a time too.
func TestTieredWarmDropsNothing(t *testing.T) {
	src := newSource(0)
	disk := openDisk(t, t.TempDir(), cache.DiskOptions{QueueBytes: 1, Workers: 1})
	c := cache.NewTiered(src, cache.TieredOptions{Memory: newMemory(t, 32<<20), Disk: disk})
	defer c.Close() //nolint:errcheck // tells what the test has met before
	const n = 200
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; i < n; i += 4 {
				if err := c.Warm(t.Context(), block.Key{Slice: uint64(i), Size: 4096}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	disk.Flush()
	for i := range n {
		if key := (block.Key{Slice: uint64(i), Size: 4096}); !c.Warmed(key) {
			t.Fatalf("block %d is not on the disk", i)
		}
	}
	if s := c.Stats(); s.Loads != n || s.Disk.Blocks != n {
		t.Errorf("%d loads, %d blocks on the disk", s.Loads, s.Disk.Blocks)
	}
}
