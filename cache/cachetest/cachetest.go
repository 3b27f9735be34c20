// Package cachetest holds the tests that every cache.Tier passes.
package cachetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"testing"

	"jfs/block"
	"jfs/cache"
	"jfs/internal/bytepool"
)

// period is the length after which Data repeats. It is odd, so that bytes from a wrong page or piece differ.
const period = 4093

// Data returns the bytes that these tests store under a key. It is quick, also under the race detector.
func Data(key block.Key) []byte {
	b := make([]byte, max(key.Size, period+8))
	x := key.Slice*0x9E3779B97F4A7C15 + uint64(key.Index)*0xBF58476D1CE4E5B9 + uint64(key.Size) + 1
	for i := 0; i < period; i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.LittleEndian.PutUint64(b[i:], x)
	}
	for n := period; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
	return b[:key.Size]
}

// Buf returns Data in a buffer of pool.
func Buf(t testing.TB, pool *bytepool.Pool, key block.Key) *bytepool.Buf {
	t.Helper()
	buf, err := pool.Get(context.Background(), int(key.Size))
	if err != nil {
		t.Fatal(err)
	}
	copy(buf.B, Data(key))
	return buf
}

// Put offers Data to the tier. The buffer is spoilt afterwards if nobody holds it any more.
func Put(t testing.TB, tier cache.Tier, key block.Key) {
	t.Helper()
	buf := Buf(t, bytepool.New(0), key)
	tier.Put(key, buf)
	buf.Release()
}

// Run tests a tier. open gives an empty one with room for at least 16 MiB, which Run closes.
func Run(t *testing.T, open func(t *testing.T) cache.Tier) {
	tests := map[string]func(*testing.T, cache.Tier){
		"ranges":     ranges,
		"missing":    missing,
		"wrong size": wrongSize,
		"identity":   identity,
		"remove":     remove,
		"parts":      parts,
		"stats":      stats,
		"references": references,
		"concurrent": concurrent,
		"closed":     closed,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tier := open(t)
			test(t, tier)
			if err := tier.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			if err := tier.Close(); err != nil {
				t.Fatalf("second close: %v", err)
			}
		})
	}
}

// Check fails unless a read of [off, off+n) is a hit with the right bytes.
func Check(t testing.TB, tier cache.Tier, key block.Key, off, n int) {
	t.Helper()
	dst := make([]byte, n)
	if !tier.ReadAt(key, dst, off) {
		t.Fatalf("read %d bytes at %d of %v: a miss", n, off, key)
	}
	if !bytes.Equal(dst, Data(key)[off:off+n]) {
		t.Fatalf("read %d bytes at %d of %v: wrong bytes", n, off, key)
	}
}

// CheckMiss fails if the block is there.
func CheckMiss(t testing.TB, tier cache.Tier, key block.Key) {
	t.Helper()
	if tier.ReadAt(key, make([]byte, key.Size), 0) {
		t.Fatalf("read of %v: a hit", key)
	}
	if tier.Has(key) {
		t.Fatalf("has %v", key)
	}
}

func ranges(t *testing.T, tier cache.Tier) {
	for _, size := range []uint32{1, 4095, 4096, 32 << 10, 32<<10 + 1, 100_000, 1 << 20} {
		key := block.Key{Slice: 7, Index: 1, Size: size}
		Put(t, tier, key)
		n := int(size)
		for _, r := range [][2]int{
			{0, n}, {0, 1}, {n - 1, 1}, {n, 0}, {n / 2, n - n/2}, {n / 3, n / 3}, {0, min(n, 32<<10)},
			{min(n, 32<<10), n - min(n, 32<<10)}, {max(0, n-4096), min(n, 4096)},
		} {
			Check(t, tier, key, r[0], r[1])
		}
		for _, r := range [][2]int{{0, n + 1}, {n, 1}, {-1, 1}, {n + 1, 0}} {
			if tier.ReadAt(key, make([]byte, r[1]), r[0]) {
				t.Errorf("read %d bytes at %d of %d: a hit", r[1], r[0], n)
			}
		}
	}
}

func missing(t *testing.T, tier cache.Tier) {
	CheckMiss(t, tier, block.Key{Slice: 1, Size: 10})
	tier.Remove(block.Key{Slice: 1, Size: 10})
}

func wrongSize(t *testing.T, tier cache.Tier) {
	buf := Buf(t, bytepool.New(0), block.Key{Slice: 1, Size: 10})
	defer buf.Release()
	for _, size := range []uint32{0, 9, 11} {
		tier.Put(block.Key{Slice: 1, Size: size}, buf)
		if tier.Has(block.Key{Slice: 1, Size: size}) {
			t.Errorf("a block of 10 bytes was kept as one of %d", size)
		}
	}
}

// identity: keys that differ in one part are different blocks.
func identity(t *testing.T, tier cache.Tier) {
	keys := []block.Key{{Slice: 1, Index: 0, Size: 64}, {Slice: 257, Index: 0, Size: 64},
		{Slice: 1, Index: 1, Size: 64}, {Slice: 1, Index: 0, Size: 65}, {Slice: 1 << 63, Index: 0, Size: 64}}
	for i, key := range keys {
		CheckMiss(t, tier, key)
		Put(t, tier, key)
		for _, k := range keys[:i+1] {
			Check(t, tier, k, 0, int(k.Size))
		}
	}
}

func remove(t *testing.T, tier cache.Tier) {
	key, other := block.Key{Slice: 3, Size: 5000}, block.Key{Slice: 3, Index: 1, Size: 5000}
	for range 3 {
		Put(t, tier, key)
		Put(t, tier, other)
		Check(t, tier, key, 0, 5000)
		tier.Remove(key)
		CheckMiss(t, tier, key)
		Check(t, tier, other, 0, 5000)
	}
}

// PutPart offers n bytes at off of Data to the tier.
func PutPart(t testing.TB, tier cache.Tier, key block.Key, off, n int) {
	t.Helper()
	buf := bytepool.New(0).TryGet(n)
	if off >= 0 {
		copy(buf.B, Data(key)[off:])
	}
	tier.PutPart(key, buf, off)
	buf.Release()
}

// parts: pages are there by themselves, until the whole block is.
func parts(t *testing.T, tier cache.Tier) {
	const page, size = cache.PageSize, 5*cache.PageSize + 1000
	key := block.Key{Slice: 3, Size: size}
	has := func(off, n int) {
		t.Helper()
		Check(t, tier, key, off, n)
		if !tier.HasPart(key, off, n) {
			t.Errorf("%d bytes at %d are not known", n, off)
		}
	}
	hasNot := func(off, n int) {
		t.Helper()
		if tier.HasPart(key, off, n) || tier.ReadAt(key, make([]byte, n), off) {
			t.Errorf("%d bytes at %d are there", n, off)
		}
	}
	for range 2 {
		hasNot(0, 1)
		PutPart(t, tier, key, page, page)
		has(page, page)
		has(page+5, 4096)
		hasNot(page-1, 2)
		hasNot(2*page-1, 2)
		PutPart(t, tier, key, 3*page, 2*page+1000-page) // not whole pages
		hasNot(3*page, 1)
		PutPart(t, tier, key, 4*page, page+1000)
		has(4*page+10, page+990)
		flush(tier)
		has(page, page)
		has(5*page-1, 2)
		hasNot(2*page, 2*page)
		if tier.Has(key) {
			t.Error("parts are taken for the block")
		}
		PutPart(t, tier, key, 2*page, 2*page)
		has(2*page, page)
		flush(tier)
		has(page, size-page)
		hasNot(0, page)
		tier.Remove(key)
		hasNot(page, page)
		flush(tier)
		hasNot(4*page, page)
		if s := tier.Stats(); s.Blocks != 0 || s.Bytes != 0 {
			t.Errorf("after the removal %d blocks, %d bytes", s.Blocks, s.Bytes)
		}
	}
	PutPart(t, tier, key, page, page)
	Put(t, tier, key)
	flush(tier)
	Check(t, tier, key, 0, size)
	PutPart(t, tier, key, 0, page)
	flush(tier)
	tier.Remove(key)
	CheckMiss(t, tier, key)
	small := block.Key{Slice: 4, Size: 2 * page}
	PutPart(t, tier, small, 0, page)
	if tier.HasPart(small, 0, 1) {
		t.Error("a block of two pages has parts")
	}
	PutPart(t, tier, key, -page, page)
	PutPart(t, tier, key, 5*page, page)
	if s := tier.Stats(); s.Blocks > 1 {
		t.Errorf("%d blocks are held", s.Blocks)
	}
}

func stats(t *testing.T, tier cache.Tier) {
	key := block.Key{Slice: 3, Size: 5000}
	CheckMiss(t, tier, key)
	Put(t, tier, key)
	Put(t, tier, key)
	Check(t, tier, key, 0, 5000)
	Check(t, tier, key, 1000, 100)
	flush(tier)
	s := tier.Stats()
	if s.Bytes < 5000 || s.Bytes > 16<<10 {
		t.Errorf("%d bytes are held for a block of 5000", s.Bytes)
	}
	s.Bytes = 0
	want := cache.Stats{Blocks: 1, Hits: 2, HitBytes: 5100, Misses: 1, MissBytes: 5000, Writes: 1, WriteBytes: 5000}
	if s != want {
		t.Errorf("stats %+v, want %+v", s, want)
	}
	tier.Remove(key)
	flush(tier)
	if s := tier.Stats(); s.Blocks != 0 || s.Bytes != 0 {
		t.Errorf("after the removal %d blocks, %d bytes", s.Blocks, s.Bytes)
	}
}

// references: what a tier holds, it gives back.
func references(t *testing.T, tier cache.Tier) {
	pool := bytepool.New(0)
	for i := range uint64(32) {
		key := block.Key{Slice: i, Size: 64 << 10}
		buf := Buf(t, pool, key)
		tier.Put(key, buf)
		buf.Release()
		Check(t, tier, key, 0, int(key.Size))
		if i%2 == 0 {
			tier.Remove(key)
		}
	}
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	if n := pool.Used(); n != 0 {
		t.Errorf("%d bytes are still held after close", n)
	}
	if s := tier.Stats(); s.Blocks != 0 || s.Bytes != 0 {
		t.Errorf("after close %d blocks, %d bytes", s.Blocks, s.Bytes)
	}
}

// concurrent: hits are right while blocks come and go.
func concurrent(t *testing.T, tier cache.Tier) {
	const size, blocks = 40_000, 8
	pool := bytepool.New(0)
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			dst := make([]byte, 1000)
			for i := range 100 {
				key := block.Key{Slice: uint64((i*7 + w) % blocks), Size: size}
				switch (i + w) % 5 {
				case 0:
					buf := Buf(t, pool, key)
					tier.Put(key, buf)
					buf.Release()
				case 1:
					if i%10 == 0 {
						tier.Remove(key)
					}
				default:
					off := (i * 331) % (size - len(dst))
					if tier.ReadAt(key, dst, off) && !bytes.Equal(dst, Data(key)[off:off+len(dst)]) {
						t.Errorf("wrong bytes of %v at %d", key, off)
					}
				}
			}
		})
	}
	wg.Wait()
}

func closed(t *testing.T, tier cache.Tier) {
	key := block.Key{Slice: 3, Size: 5000}
	Put(t, tier, key)
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	CheckMiss(t, tier, key)
	Put(t, tier, key)
	CheckMiss(t, tier, key)
	tier.Remove(key)
}

// flush waits for what the tier does later.
func flush(tier cache.Tier) {
	if f, ok := tier.(interface{ Flush() }); ok {
		f.Flush()
	}
}
