package cache_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"jfs/block"
	"jfs/cache"
	"jfs/cache/cachetest"
	"jfs/internal/bytepool"
)

// clock is a time that stands still until it is told otherwise.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Now().UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) forward(d time.Duration) { c.ns.Add(int64(d)) }

// openDisk opens a cache that does not care for the free space of the machine that tests.
func openDisk(t testing.TB, dir string, o cache.DiskOptions) *cache.Disk {
	t.Helper()
	if o.FreeRatio == 0 {
		o.FreeRatio = -1
	}
	d, err := cache.OpenDisk(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	<-d.Scanned()
	return d
}

// put stores blocks, and waits for it.
func put(t testing.TB, d *cache.Disk, keys ...block.Key) {
	t.Helper()
	for _, k := range keys {
		cachetest.Put(t, d, k)
		d.Flush()
	}
}

func TestDiskConformance(t *testing.T) {
	for _, o := range []cache.DiskOptions{
		{}, {Eviction: "lru", OpenFiles: 1}, {Eviction: "none", OpenFiles: -1, Workers: 1},
	} {
		t.Run(o.Eviction, func(t *testing.T) {
			cachetest.Run(t, func(t *testing.T) cache.Tier { return openDisk(t, t.TempDir(), o) })
		})
	}
}

// TestDiskConformanceOnDisk is the same with every block written before it is read.
func TestDiskConformanceOnDisk(t *testing.T) {
	for _, mode := range []string{"none", "full", "shrink", "extend"} {
		t.Run(mode, func(t *testing.T) {
			cachetest.Run(t, func(t *testing.T) cache.Tier {
				return flushed{openDisk(t, t.TempDir(), cache.DiskOptions{Checksum: mode})}
			})
		})
	}
}

type flushed struct{ *cache.Disk }

func (f flushed) Put(k block.Key, b *bytepool.Buf) {
	f.Disk.Put(k, b)
	f.Flush()
}

func TestDiskFileFormat(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, cache.DiskOptions{Mode: 0o640})
	key := block.Key{Slice: 0x1ab, Index: 3, Size: 70_000}
	put(t, d, key)
	name := filepath.Join(dir, "blocks", "ab", "427_3_70000")
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	want := cachetest.Data(key)
	for i := 0; i < 70_000; i += 4 << 10 {
		sum := crc32.Checksum(want[i:min(i+4<<10, 70_000)], crc32.MakeTable(crc32.Castagnoli))
		want = binary.BigEndian.AppendUint32(want, sum)
	}
	if !bytes.Equal(got, want) {
		t.Error("the file is not data, then checksums")
	}
	if info, _ := os.Stat(name); info.Mode() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
	if names := files(t, dir); len(names) != 1 {
		t.Errorf("files %v", names)
	}
}

// files lists the block directories' files.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(filepath.Join(dir, "blocks"), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// space is what the blocks of a directory really take.
func space(t testing.TB, dir string) (bytes int64) {
	t.Helper()
	for _, name := range files(t, dir) {
		var st syscall.Stat_t
		if err := syscall.Stat(name, &st); err != nil {
			t.Fatal(err)
		}
		bytes += st.Blocks * 512
	}
	return bytes
}

func TestDiskRestartKeepsBlocks(t *testing.T) {
	for _, how := range []string{"closed", "unclean"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			d := openDisk(t, dir, cache.DiskOptions{})
			var keys []block.Key
			for i := range uint64(40) {
				keys = append(keys, block.Key{Slice: i * 97, Index: uint32(i), Size: 10_000})
			}
			put(t, d, keys...)
			if how == "closed" {
				d.Close()
			}
			d2 := openDisk(t, dir, cache.DiskOptions{})
			if a, b := d2.Stats(), space(t, dir); a.Blocks != 40 || a.Bytes != b {
				t.Errorf("%d blocks and %d bytes after the restart, want 40 and %d", a.Blocks, a.Bytes, b)
			}
			for _, k := range keys {
				cachetest.Check(t, d2, k, 100, 9000)
			}
		})
	}
}

// Until the scan is over, the files themselves answer. A FIFO in place of a directory keeps the scan waiting.
func TestDiskWorksDuringTheScan(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, cache.DiskOptions{})
	a, b, c := block.Key{Slice: 1, Size: 10_000}, block.Key{Slice: 2, Size: 10_000}, block.Key{Slice: 3, Size: 10_000}
	put(t, d, a, b)
	d.Close()
	fifo := filepath.Join(dir, "blocks", "00")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := cache.OpenDisk(dir, cache.DiskOptions{FreeRatio: -1})
	if err != nil {
		t.Fatal(err)
	}
	if !d.Has(a) || !d.Has(b) || d.Has(c) {
		t.Error("the blocks of the last run are not there")
	}
	cachetest.Check(t, d, a, 10, 9000)
	d.Remove(b)
	cachetest.CheckMiss(t, d, b)
	cachetest.CheckMiss(t, d, c)
	put(t, d, c)
	cachetest.Check(t, d, c, 0, 10_000)
	if s := d.Stats(); s.Blocks != 2 || s.Bytes != space(t, dir) {
		t.Errorf("%+v", s)
	}
	w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	<-d.Scanned()
	if s := d.Stats(); s.Blocks != 2 || s.Bytes != space(t, dir) {
		t.Errorf("after the scan %+v", s)
	}
	d.Close()
}

func TestDiskCloseWritesTheQueue(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, cache.DiskOptions{Workers: 1})
	for i := range uint64(20) {
		cachetest.Put(t, d, block.Key{Slice: i, Size: 10_000})
	}
	d.Close()
	if n := len(files(t, dir)); n != 20 {
		t.Errorf("%d files", n)
	}
}

func TestDiskScanRemovesLeftovers(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, cache.DiskOptions{})
	key := block.Key{Slice: 5, Size: 10_000}
	put(t, d, key)
	d.Close()
	sub := filepath.Join(dir, "blocks", "05")
	old := time.Now().Add(-2 * time.Hour)
	write := func(name string, n int, when time.Time) {
		if err := os.WriteFile(filepath.Join(sub, name), make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(sub, name), when, when); err != nil {
			t.Fatal(err)
		}
	}
	write(".5_1_9.x-1.tmp", 3, old)        // of a crash
	write(".5_2_9.y-1.tmp", 3, time.Now()) // maybe of another process
	write("5_7_1000", 1000, old)           // too short
	write("5_007_1000", 1000, old)         // not a name of ours
	write("6_0_996", 1000, old)            // right length, wrong directory
	d = openDisk(t, dir, cache.DiskOptions{})
	var left []string
	for _, f := range files(t, dir) {
		left = append(left, filepath.Base(f))
	}
	if got := strings.Join(left, " "); got != ".5_2_9.y-1.tmp 5_007_1000 5_0_10000 6_0_996" {
		t.Errorf("left: %s", got)
	}
	if s := d.Stats(); s.Blocks != 1 {
		t.Errorf("%d blocks", s.Blocks)
	}
}

func TestDiskStaysWithinItsSize(t *testing.T) {
	for _, o := range []cache.DiskOptions{
		{MaxBytes: 1 << 20, Eviction: "2-random"}, {MaxBytes: 1 << 20, Eviction: "lru"},
		{MaxBytes: 1 << 20, Eviction: "none"}, {MaxItems: 20, Eviction: "2-random"},
	} {
		t.Run(o.Eviction, func(t *testing.T) {
			dir := t.TempDir()
			d := openDisk(t, dir, o)
			for i := range uint64(300) {
				cachetest.Put(t, d, block.Key{Slice: i, Size: 1000 + uint32(i)*100})
			}
			d.Flush()
			s, real := d.Stats(), space(t, dir)
			if o.MaxBytes > 0 && real > o.MaxBytes || real != s.Bytes {
				t.Errorf("%d bytes on the disk, %d known, of %d", real, s.Bytes, o.MaxBytes)
			}
			if n := len(files(t, dir)); o.MaxItems > 0 && n != 20 || int64(n) != s.Blocks {
				t.Errorf("%d files, %d blocks", n, s.Blocks)
			}
			if s.Blocks+s.Evictions+s.Drops != 300 || s.Writes != s.Blocks+s.Evictions {
				t.Errorf("blocks do not add up: %+v", s)
			}
			if o.Eviction == "none" && s.Evictions != 0 {
				t.Errorf("%d evictions", s.Evictions)
			}
			cachetest.Put(t, d, block.Key{Slice: 999, Size: 2 << 20})
			d.Flush()
			if o.MaxBytes > 0 && d.Stats().Blocks != s.Blocks {
				t.Error("a block larger than the cache was not refused outright")
			}
			d.Close()

			small := o
			small.MaxBytes = 300_000
			openDisk(t, dir, small)
			if real := space(t, dir); o.Eviction != "none" && real > 300_000 {
				t.Errorf("%d bytes after a restart with less room", real)
			}
		})
	}
}

func TestDiskLRUOrder(t *testing.T) {
	dir := t.TempDir()
	c := newClock()
	o := cache.DiskOptions{MaxItems: 4, Eviction: "lru", Now: c.now}
	d := openDisk(t, dir, o)
	key := func(i uint64) block.Key { return block.Key{Slice: i, Size: 1000} }
	for i := range uint64(4) {
		put(t, d, key(i))
		c.forward(time.Second)
	}
	cachetest.Check(t, d, key(0), 0, 10)
	put(t, d, key(4))
	if d.Has(key(1)) || !d.Has(key(0)) {
		t.Error("not the block that was unused for longest went")
	}
	// After a restart the times of the files count.
	for i, n := range []uint64{3, 0, 4, 2} {
		when := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(d.Path(key(n)), when, when); err != nil {
			t.Fatal(err)
		}
	}
	d.Close()
	d = openDisk(t, dir, o)
	put(t, d, key(5), key(6))
	if d.Has(key(3)) || d.Has(key(0)) || !d.Has(key(4)) || !d.Has(key(2)) {
		t.Error("after a restart not the oldest two went")
	}
}

func TestDiskExpiry(t *testing.T) {
	c := newClock()
	d := openDisk(t, t.TempDir(), cache.DiskOptions{Expire: time.Hour, Now: c.now})
	a, b := block.Key{Slice: 1, Size: 1000}, block.Key{Slice: 2, Size: 1000}
	put(t, d, a, b)
	c.forward(50 * time.Minute)
	cachetest.Check(t, d, a, 0, 10)
	c.forward(50 * time.Minute)
	cachetest.Check(t, d, a, 0, 10)
	cachetest.CheckMiss(t, d, b)
	c.forward(2 * time.Hour)
	d.Sweep()
	if s := d.Stats(); s.Blocks != 0 || s.Evictions != 2 {
		t.Errorf("%+v", s)
	}
}

func TestDiskRescanSeesOthers(t *testing.T) {
	dir := t.TempDir()
	d, other := openDisk(t, dir, cache.DiskOptions{}), openDisk(t, dir, cache.DiskOptions{})
	a, b := block.Key{Slice: 1, Size: 1000}, block.Key{Slice: 2, Size: 1000}
	put(t, d, a)
	put(t, other, b)
	d.Scan()
	other.Scan()
	for _, k := range []block.Key{a, b} {
		cachetest.Check(t, d, k, 0, 1000)
		cachetest.Check(t, other, k, 0, 1000)
	}
	other.Remove(a)
	d.Scan()
	cachetest.CheckMiss(t, d, a)
	if s := d.Stats(); s.Blocks != 1 || s.Bytes != space(t, dir) {
		t.Errorf("%+v", s)
	}
	// Both write and remove the same blocks at the same time.
	done := make(chan struct{})
	for _, x := range []*cache.Disk{d, other} {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range uint64(200) {
				k := block.Key{Slice: i % 10, Size: 5000}
				cachetest.Put(t, x, k)
				dst := make([]byte, 5000)
				if x.ReadAt(k, dst, 0) && !bytes.Equal(dst, cachetest.Data(k)) {
					t.Errorf("wrong bytes of %v", k)
				}
				if i%7 == 0 {
					x.Remove(k)
				}
			}
			x.Flush()
		}()
	}
	<-done
	<-done
}

func TestDiskQueueIsBounded(t *testing.T) {
	pool := bytepool.New(0)
	d := openDisk(t, t.TempDir(), cache.DiskOptions{QueueBytes: 1 << 20, Workers: 1})
	var peak int64
	for i := range uint64(200) {
		key := block.Key{Slice: i, Size: 256 << 10}
		buf := cachetest.Buf(t, pool, key)
		d.Put(key, buf)
		buf.Release()
		peak = max(peak, pool.Used())
	}
	d.Flush()
	if peak > 1<<20 {
		t.Errorf("%d bytes were held by the queue", peak)
	}
	if s := d.Stats(); s.Writes+s.Drops != 200 {
		t.Errorf("%+v", s)
	}
}

func TestDiskKeepsFewFilesOpen(t *testing.T) {
	d := openDisk(t, t.TempDir(), cache.DiskOptions{OpenFiles: 8})
	for i := range uint64(30) {
		k := block.Key{Slice: i, Size: 1000}
		put(t, d, k)
		cachetest.Check(t, d, k, 0, 1000)
	}
	if n := d.OpenFiles(); n != 8 {
		t.Errorf("%d files open", n)
	}
	d.Remove(block.Key{Slice: 29, Size: 1000})
	if n := d.OpenFiles(); n != 7 {
		t.Errorf("%d files open after a removal", n)
	}
}

func TestDiskReadDoesNotAllocate(t *testing.T) {
	d := openDisk(t, t.TempDir(), cache.DiskOptions{})
	key := block.Key{Slice: 1, Size: 4 << 20}
	put(t, d, key)
	dst := make([]byte, 128<<10)
	for _, r := range []struct{ n, off int }{{128 << 10, 0}, {4096, 8192}, {100_000, 77}} {
		if n := testing.AllocsPerRun(200, func() {
			if !d.ReadAt(key, dst[:r.n], r.off) {
				t.Fatal("a miss")
			}
		}); n > 1 { // the pool of scratch pieces may be emptied at any time
			t.Errorf("%v allocations for a read of %d bytes at %d", n, r.n, r.off)
		}
	}
}

func TestDiskOptionsAreChecked(t *testing.T) {
	for want, o := range map[string]cache.DiskOptions{
		"none, full, shrink or extend": {Checksum: "crc"},
		"2-random, lru or none":        {Eviction: "fifo"},
		"positive number of bytes":     {MaxBytes: -1},
		"number below 1":               {FreeRatio: 1},
	} {
		if _, err := cache.OpenDisk(t.TempDir(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v", o, err)
		}
	}
}

func BenchmarkDiskReadAt(b *testing.B) {
	for _, mode := range []string{"none", "extend"} {
		b.Run(mode, func(b *testing.B) {
			d := openDisk(b, b.TempDir(), cache.DiskOptions{Checksum: mode})
			key := block.Key{Slice: 1, Size: 4 << 20}
			put(b, d, key)
			b.SetBytes(128 << 10)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				dst := make([]byte, 128<<10)
				for off := 0; pb.Next(); off = (off + len(dst)) % (4 << 20) {
					if !d.ReadAt(key, dst, off) {
						b.Error("a miss")
					}
				}
			})
		})
	}
}
