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

// A file read once from end to end in small pieces must not displace what is read again and again.
func TestMemoryKeepsWhatIsUsedAgain(t *testing.T) {
	m := newMemory(t, 4<<20)
	const size = 256 << 10
	hot := func(i int) block.Key { return block.Key{Slice: uint64(i), Size: size} }
	dst := make([]byte, 128<<10)
	for i := range 8 {
		cachetest.Put(t, m, hot(i))
		m.Flush()
		for range 100 {
			m.ReadAt(hot(i), dst, 0)
		}
	}
	for i := range uint64(100) {
		key := block.Key{Slice: 1000 + i, Size: size}
		cachetest.Put(t, m, key)
		for off := 0; off < size; off += len(dst) {
			m.ReadAt(key, dst, off)
		}
		m.Flush()
	}
	kept := 0
	for i := range 8 {
		if m.Has(hot(i)) {
			kept++
		}
	}
	if kept < 7 { // the policy samples, so not all of them for certain
		t.Errorf("%d of 8 hot blocks survived a scan", kept)
	}
	late := 0
	for i := range uint64(8) {
		if m.Has(block.Key{Slice: 1099 - i, Size: size}) {
			late++
		}
	}
	if late == 0 {
		t.Error("none of the blocks read last is there")
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
