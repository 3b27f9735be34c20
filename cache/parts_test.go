package cache_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"jfs/block"
	"jfs/cache"
	"jfs/cache/cachetest"
)

const page = cache.PageSize

func readRange(t testing.TB, c *cache.Tiered, key block.Key, off, n int) {
	t.Helper()
	dst := make([]byte, n)
	if err := c.ReadRange(context.Background(), key, dst, off); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(dst, cachetest.Data(key)[off:off+n]) {
		t.Fatalf("wrong bytes of %v at %d", key, off)
	}
}

// TestRangesAreExact: what random reads cost, and that what lies near costs nothing more.
func TestRangesAreExact(t *testing.T) {
	for _, has := range [][2]bool{{true, false}, {false, true}, {true, true}} {
		src := newSource(0)
		c := tiered(t, src, has[0], has[1])
		key := block.Key{Slice: 1, Size: 4 << 20}
		for _, s := range []struct {
			name          string
			off, n        int
			ranges, bytes int64
			loads         int64
		}{
			{"4 KiB", 20 * page, 4096, 1, page, 0},
			{"near", 20*page + 30_000, 4096, 0, 0, 0},
			{"over two pages", 30*page - 1, 4096, 1, 2 * page, 0},
			{"over two, of which one is there", 21*page - 5, 4096, 1, page, 0},
			{"end", 4<<20 - 1, 1, 1, page, 0},
			{"around a page that is there", 19 * page, 4 * page, 2, 2 * page, 0},
			{"the same again", 19 * page, 4 * page, 0, 0, 0},
			{"many pages", 40*page + 1, 10 * page, 1, 11 * page, 0},
			{"most of the block", page, 33 * page, 0, 0, 1},
			{"rest", 0, 4096, 0, 0, 0},
		} {
			r, b, l := src.ranges.Load(), src.bytes.Load(), src.loads.Load()
			readRange(t, c, key, s.off, s.n)
			r, b, l = src.ranges.Load()-r, src.bytes.Load()-b, src.loads.Load()-l
			if r != s.ranges || b != s.bytes || l != s.loads {
				t.Errorf("%v, %s: %d ranges of %d bytes, %d loads; want %d of %d, %d", has, s.name, r, b, l, s.ranges, s.bytes, s.loads)
			}
		}
	}
}

// Any read of 4 KiB fetches 128 KiB at most; small blocks come whole.
func TestRangesAreSmall(t *testing.T) {
	src := newSource(0)
	c := tiered(t, src, false, true)
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		before := src.bytes.Load()
		readRange(t, c, block.Key{Slice: r.Uint64N(50), Size: 1<<20 - 1}, r.IntN(1<<20-4097), 4096)
		if n := src.bytes.Load() - before; n > 2*page {
			t.Fatalf("%d bytes for 4096", n)
		}
	}
	readRange(t, c, block.Key{Slice: 99, Size: 2 * page}, 5, 5)
	if n := src.loads.Load(); n != 1 {
		t.Errorf("%d loads of one small block", n)
	}
}

func TestRangesOfSourcesWithoutRanges(t *testing.T) {
	src := newSource(0)
	c := cache.NewTiered(src, cache.TieredOptions{Memory: newMemory(t, 32<<20), WholeBlocks: true})
	defer c.Close()
	key := block.Key{Slice: 1, Size: 4 << 20}
	readRange(t, c, key, 100, 100)
	if err := c.FetchRange(t.Context(), key, 3<<20, 100); err != nil {
		t.Error(err)
	}
	if l, r := src.loads.Load(), src.ranges.Load(); l != 1 || r != 0 {
		t.Errorf("%d loads, %d ranges", l, r)
	}
}

func TestRangesAreShared(t *testing.T) {
	src := newSource(0)
	src.block = make(chan struct{})
	c := tiered(t, src, false, true)
	key := block.Key{Slice: 1, Size: 4 << 20}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() { readRange(t, c, key, 7*page+i*1000, 1000) })
	}
	<-src.entered
	close(src.block)
	wg.Wait()
	if n := src.ranges.Load(); n != 1 {
		t.Errorf("%d ranges", n)
	}
}

func TestFetchRange(t *testing.T) {
	src := newSource(0)
	c := tiered(t, src, true, true)
	key := block.Key{Slice: 1, Size: 4 << 20}
	for _, s := range []struct {
		off, n        int
		ranges, bytes int64
	}{{5*page + 7, 10, 1, page}, {5 * page, page, 0, 0}, {4 * page, 4 * page, 2, 3 * page}, {0, 10 * page, 2, 6 * page}} {
		r, b := src.ranges.Load(), src.bytes.Load()
		if err := c.FetchRange(t.Context(), key, s.off, s.n); err != nil {
			t.Fatal(err)
		}
		if r, b = src.ranges.Load()-r, src.bytes.Load()-b; r != s.ranges || b != s.bytes || !c.HasRange(key, s.off, s.n) {
			t.Errorf("%d bytes at %d: %d ranges, %d bytes", s.n, s.off, r, b)
		}
	}
	if err := c.FetchRange(t.Context(), key, 4<<20, 1); err == nil {
		t.Error("a piece beyond the end")
	}
	if err := c.FetchRange(t.Context(), key, 0, 4<<20); err != nil || src.loads.Load() != 1 || !c.Has(key) {
		t.Errorf("the whole block: %v, %d loads", err, src.loads.Load())
	}
}

// With KeepBelow the tiers have parts and small blocks only.
func TestTieredKeepsPartsOnly(t *testing.T) {
	src := newSource(0)
	m, d := newMemory(t, 32<<20), openDisk(t, t.TempDir(), cache.DiskOptions{})
	c := cache.NewTiered(src, cache.TieredOptions{Memory: m, Disk: d, KeepBelow: 1 << 20})
	defer c.Close()
	big, small, random := block.Key{Slice: 1, Size: 1 << 20}, block.Key{Slice: 2, Size: 1<<20 - 1}, block.Key{Slice: 3, Size: 1 << 20}
	check(t, c, big, 0, 4096)
	check(t, c, small, 0, 4096)
	readRange(t, c, random, 0, 4096)
	buf := cachetest.Buf(t, src.pool, block.Key{Slice: 4, Size: 1 << 20})
	c.Put(block.Key{Slice: 4, Size: 1 << 20}, buf)
	buf.Release()
	d.Flush()
	if m.Has(big) || d.Has(big) || !m.Has(small) || !d.Has(small) || !m.HasPart(random, 0, page) || !d.HasPart(random, 0, page) {
		t.Error("not what is to be kept")
	}
	if s := c.Stats(); s.Disk.Blocks != 2 || s.Memory.Blocks != 2 {
		t.Errorf("%+v", s)
	}
	check(t, c, big, 5000, 4096) // the reader that goes on finds it nevertheless
	if err := c.Warm(t.Context(), big); err != nil {
		t.Error(err)
	}
	d.Flush()
	if n := src.loads.Load(); n != 2 || !c.Warmed(big) {
		t.Errorf("%d loads, warmed %v", n, c.Warmed(big))
	}
}

func TestDiskPartsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	key := block.Key{Slice: 7, Size: 10*page + 5}
	d := openDisk(t, dir, cache.DiskOptions{})
	cachetest.PutPart(t, d, key, 2*page, page)
	cachetest.PutPart(t, d, key, 10*page, 5)
	d.Flush()
	before := d.Stats()
	if info, err := os.Stat(d.PartPath(key)); err != nil || before.Bytes > 5*page || info.Size() < 10*page {
		t.Errorf("the file: %v, %d bytes counted", err, before.Bytes)
	}
	d.Close()

	d = openDisk(t, dir, cache.DiskOptions{})
	if s := d.Stats(); s.Blocks != 1 || s.Bytes != before.Bytes {
		t.Errorf("%+v after the restart, %+v before", s, before)
	}
	cachetest.Check(t, d, key, 2*page+100, 100)
	cachetest.Check(t, d, key, 10*page, 5)
	if d.ReadAt(key, make([]byte, 1), 0) || d.ReadAt(key, make([]byte, 2), 3*page-1) {
		t.Error("a page that is not there was read")
	}
	d.Close()

	d = openDisk(t, dir, cache.DiskOptions{}) // a page more in a file of an earlier process, then all
	cachetest.PutPart(t, d, key, 3*page, page)
	d.Flush()
	cachetest.Check(t, d, key, 2*page, 2*page)
	cachetest.PutPart(t, d, key, 0, 2*page)
	d.Flush()
	if d.Has(key) {
		t.Error("parts are taken for the block")
	}
	cachetest.PutPart(t, d, key, 4*page, 6*page+5)
	d.Flush()
	if _, err := os.Stat(d.PartPath(key)); err == nil || !d.Has(key) {
		t.Error("all parts are not the block")
	}
	cachetest.Check(t, d, key, 0, int(key.Size))
	if s := d.Stats(); s.Blocks != 1 {
		t.Errorf("%+v", s)
	}
}

// What a crash or a bad disk may leave of a file with parts is never served.
func TestDiskDamagedParts(t *testing.T) {
	key := block.Key{Slice: 7, Size: 4*page + 100}
	sums := int64(key.Size)
	for name, damage := range map[string]func(f *os.File) error{
		"data without checksums": func(f *os.File) error {
			_, err := f.WriteAt(make([]byte, 4*page/4096), sums+4*page/4096) // of page 1
			return err
		},
		"some checksums": func(f *os.File) error {
			_, err := f.WriteAt(make([]byte, 4), sums+4*page/4096+20)
			return err
		},
		"checksums without data": func(f *os.File) error { _, err := f.WriteAt(make([]byte, page), page); return err },
		"a bit":                  func(f *os.File) error { _, err := f.WriteAt([]byte{^cachetest.Data(key)[page+9]}, page+9); return err },
		"cut":                    func(f *os.File) error { return f.Truncate(2*page - 1) },
		"empty":                  func(f *os.File) error { return f.Truncate(0) },
	} {
		for _, open := range []bool{false, true} {
			dir := t.TempDir()
			d := openDisk(t, dir, cache.DiskOptions{})
			cachetest.PutPart(t, d, key, page, page)
			d.Flush()
			if !open {
				d.Close()
			} else if name == "data without checksums" || name == "some checksums" {
				continue // they are in memory
			}
			f, err := os.OpenFile(d.PartPath(key), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(f); err != nil {
				t.Fatal(err)
			}
			f.Close()
			if !open {
				d = openDisk(t, dir, cache.DiskOptions{})
			}
			if d.ReadAt(key, make([]byte, page), page) {
				t.Errorf("%s, open %v: a hit", name, open)
			}
			cachetest.PutPart(t, d, key, page, page) // it can be cached again
			d.Flush()
			cachetest.Check(t, d, key, page, page)
			d.Close()
		}
	}
}

func TestDiskPartsStayWithinTheSize(t *testing.T) {
	dir := t.TempDir()
	const limit = 2 << 20
	d := openDisk(t, dir, cache.DiskOptions{MaxBytes: limit, Workers: 2})
	r := rand.New(rand.NewPCG(3, 4))
	for range 400 {
		key := block.Key{Slice: r.Uint64N(20), Size: 1 << 20}
		cachetest.PutPart(t, d, key, r.IntN(16)*page, page)
		if r.IntN(10) == 0 {
			d.Flush()
			if n := space(t, dir); n > limit {
				t.Fatalf("%d bytes are used of %d", n, limit)
			}
		}
	}
	d.Flush()
	s := d.Stats()
	if n := space(t, dir); n > limit || s.Bytes != n || s.Evictions == 0 {
		t.Errorf("%d bytes are used of %d, counted %+v", n, limit, s)
	}
	for i := range uint64(20) {
		key := block.Key{Slice: i, Size: 1 << 20}
		for p := range 16 {
			dst := make([]byte, page)
			if d.ReadAt(key, dst, p*page) && !bytes.Equal(dst, cachetest.Data(key)[p*page:][:page]) {
				t.Error("wrong bytes")
			}
		}
		d.Remove(key)
	}
	if n := space(t, dir); n != 0 || d.Stats().Bytes != 0 {
		t.Errorf("%d bytes are left", n)
	}
}

func TestPartReadDoesNotAllocate(t *testing.T) {
	for name, has := range map[string][2]bool{"memory": {true, false}, "disk": {false, true}} {
		src := newSource(0)
		c := tiered(t, src, has[0], has[1])
		ctx, key, off := context.Background(), block.Key{Slice: 1, Size: 4 << 20}, 0
		dst := make([]byte, 4096)
		read := func() {
			if err := c.ReadRange(ctx, key, dst, off); err != nil {
				t.Fatal(err)
			}
			off = (off + 4096) % (4 * page)
		}
		for range 4 * page / 4096 {
			read()
		}
		if n := testing.AllocsPerRun(500, read); n != 0 || src.ranges.Load() != 4 {
			t.Errorf("%s: %v allocations, %d ranges", name, n, src.ranges.Load())
		}
	}
}
