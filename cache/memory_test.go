package cache_test

import (
	"testing"

	"jfs/block"
	"jfs/cache"
	"jfs/cache/cachetest"
	"jfs/internal/bytepool"
)

func newMemory(t testing.TB, size int64) *cache.Memory {
	t.Helper()
	m, err := cache.NewMemory(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestMemoryConformance(t *testing.T) {
	cachetest.Run(t, func(t *testing.T) cache.Tier { return newMemory(t, 64<<20) })
}

func TestMemoryStaysWithinItsSize(t *testing.T) {
	m := newMemory(t, 8<<20)
	for i := range uint64(200) {
		key := block.Key{Slice: i, Size: 100_000}
		cachetest.Put(t, m, key)
		cachetest.Check(t, m, key, 5, 10) // found at once, whatever the policy decides later
		m.Flush()
		if s := m.Stats(); s.Bytes > 8<<20 {
			t.Fatalf("%d bytes held", s.Bytes)
		}
	}
	s := m.Stats()
	if s.Blocks != 64 || s.Bytes != 8<<20 {
		t.Errorf("%d blocks, %d bytes; want it full with 64 buffers of 128 KiB", s.Blocks, s.Bytes)
	}
	if s.Blocks+s.Evictions+s.Drops != 200 {
		t.Errorf("blocks do not add up: %+v", s)
	}
}

func TestMemoryBoundsWhatThePolicyHasNotSeen(t *testing.T) {
	m := newMemory(t, 1<<20)
	pool := bytepool.New(0)
	var bufs []*bytepool.Buf
	for i := range uint64(64) {
		key := block.Key{Slice: i, Size: 1 << 20}
		buf := cachetest.Buf(t, pool, key)
		m.Adopt(key, buf)
		if held := m.Stats().Bytes; held > 33<<20 {
			t.Fatalf("%d bytes held", held)
		}
		bufs = append(bufs, buf)
	}
	m.Close()
	for _, b := range bufs {
		b.Release()
	}
	if pool.Used() != 0 {
		t.Errorf("%d bytes not given back", pool.Used())
	}
}

// Files read once from end to end must not displace what is read again and again. Between two uses of a hot
// block more new ones pass than the cache can hold, so a cache that evicts by age would have no hits.
func TestMemoryKeepsWhatIsUsedAgain(t *testing.T) {
	const size, rounds, hot, scanned = 64 << 10, 100, 8, 32
	m := newMemory(t, 16*size)
	dst := make([]byte, 16<<10)
	next := uint64(1000)
	hits, last := 0, 0 // last: blocks of the latest scan that got in
	for range rounds {
		for i := range uint64(hot) {
			key := block.Key{Slice: i, Size: size}
			if m.ReadAt(key, dst, 0) {
				hits++
			} else {
				cachetest.Put(t, m, key)
				m.Flush()
			}
		}
		last = 0
		for range scanned {
			key := block.Key{Slice: next, Size: size}
			next++
			cachetest.Put(t, m, key)
			for off := 0; off < size; off += len(dst) {
				m.ReadAt(key, dst, off)
			}
			m.Flush()
			if m.Has(key) {
				last++
			}
		}
	}
	if hits < rounds*hot/2 { // the policy counts and samples, so it takes a while and is never certain
		t.Errorf("%d hits of %d reads of hot blocks", hits, rounds*hot)
	}
	if last < scanned/4 {
		t.Errorf("%d of the %d blocks read last were taken in", last, scanned)
	}
}

func TestMemoryOfNoSize(t *testing.T) {
	m := newMemory(t, 0)
	key := block.Key{Slice: 1, Size: 10}
	cachetest.Put(t, m, key)
	cachetest.CheckMiss(t, m, key)
	m.Remove(key)
}

func TestMemoryReadDoesNotAllocate(t *testing.T) {
	m := newMemory(t, 16<<20)
	key := block.Key{Slice: 1, Size: 1 << 20}
	cachetest.Put(t, m, key)
	m.Flush()
	dst := make([]byte, 4096)
	off := 0
	if n := testing.AllocsPerRun(1000, func() {
		m.ReadAt(key, dst, off)
		off = (off + 4096) % (1 << 20)
	}); n != 0 {
		t.Errorf("%v allocations for a read", n)
	}
}

func BenchmarkMemoryReadAt(b *testing.B) {
	m := newMemory(b, 64<<20)
	key := block.Key{Slice: 1, Size: 4 << 20}
	cachetest.Put(b, m, key)
	m.Flush()
	b.SetBytes(128 << 10)
	b.RunParallel(func(pb *testing.PB) {
		dst := make([]byte, 128<<10)
		for off := 0; pb.Next(); off = (off + len(dst)) % (4 << 20) {
			m.ReadAt(key, dst, off)
		}
	})
}
