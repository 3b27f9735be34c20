package cache_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"jfs/block"
	"jfs/cache"
	"jfs/cache/cachetest"
)

func TestDiskDamagedFileIsAMiss(t *testing.T) {
	key := block.Key{Slice: 9, Size: 100_000}
	flip := func(at int64) func(*testing.T, string) {
		return func(t *testing.T, name string) {
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var b [1]byte
			if _, err := f.ReadAt(b[:], at); err != nil {
				t.Fatal(err)
			}
			b[0] ^= 0x40
			if _, err := f.WriteAt(b[:], at); err != nil {
				t.Fatal(err)
			}
		}
	}
	resize := func(n int64) func(*testing.T, string) {
		return func(t *testing.T, name string) {
			if err := os.Truncate(name, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, damage := range map[string]func(*testing.T, string){
		"first byte": flip(0), "middle": flip(50_000), "last byte": flip(99_999),
		"first checksum": flip(100_000), "last checksum": flip(100_015),
		"empty": resize(0), "data cut": resize(60_000), "checksums cut": resize(100_010), "longer": resize(100_020),
		"replaced by a directory": func(t *testing.T, name string) {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(name, 0o700); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := openDisk(t, dir, cache.DiskOptions{})
			put(t, d, key)
			damage(t, d.Path(key))
			cachetest.CheckMiss(t, d, key)
			info, err := os.Lstat(d.Path(key))
			if err == nil && info.Mode().IsRegular() {
				t.Error("the damaged file is still there")
			}
			if name == "replaced by a directory" {
				return
			}
			put(t, d, key) // and it can be cached again
			cachetest.Check(t, d, key, 0, int(key.Size))
		})
	}
}

// What a read touches decides what it verifies.
func TestDiskChecksumModes(t *testing.T) {
	const piece = 4 << 10
	key := block.Key{Slice: 9, Size: 4 * piece}
	for _, c := range []struct {
		mode        string
		off, n, bad int // bad: the damaged byte
		hit         bool
	}{
		{"extend", 0, 100, 200, false}, {"extend", 0, 100, piece, true}, {"extend", piece - 1, 2, piece + 9, false},
		{"extend", 0, piece, piece, true}, {"extend", 100, 3 * piece, 3*piece + 200, false},
		{"extend", 100, 3 * piece, 2 * piece, false},
		{"shrink", 0, 100, 200, true}, {"shrink", 0, piece, 200, false}, {"shrink", 1, 2 * piece, 200, true},
		{"shrink", 1, 2 * piece, piece, false}, {"shrink", 3*piece + 1, 100, 3 * piece, true},
		{"full", 0, 100, 3*piece + 5, false}, {"full", piece, piece, 0, false},
		{"none", 0, 4 * piece, 200, true},
	} {
		d := openDisk(t, t.TempDir(), cache.DiskOptions{Checksum: c.mode})
		put(t, d, key)
		f, err := os.OpenFile(d.Path(key), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{^cachetest.Data(key)[c.bad]}, int64(c.bad)); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if hit := d.ReadAt(key, make([]byte, c.n), c.off); hit != c.hit {
			t.Errorf("%s: read %d at %d with byte %d damaged: hit %v", c.mode, c.n, c.off, c.bad, hit)
		}
		d.Close()
	}
}

// Damage below a file that is open is found too.
func TestDiskDamageWhileOpen(t *testing.T) {
	d := openDisk(t, t.TempDir(), cache.DiskOptions{})
	key := block.Key{Slice: 9, Size: 100_000}
	put(t, d, key)
	cachetest.Check(t, d, key, 0, 100)
	if err := os.Truncate(d.Path(key), 40_000); err != nil {
		t.Fatal(err)
	}
	if d.ReadAt(key, make([]byte, 100), 70_000) {
		t.Error("a hit beyond the end of a truncated file")
	}
	if n := d.OpenFiles(); n != 0 {
		t.Errorf("%d files open", n)
	}
}

func TestDiskFilesDeletedBeneath(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, cache.DiskOptions{})
	a, b := block.Key{Slice: 1, Size: 1000}, block.Key{Slice: 2, Size: 1000}
	put(t, d, a, b)
	if err := os.Remove(d.Path(a)); err != nil {
		t.Fatal(err)
	}
	cachetest.CheckMiss(t, d, a)
	cachetest.Check(t, d, b, 0, 1000)

	// Everything below the directory, then the directory itself.
	for _, gone := range []string{filepath.Join(dir, "blocks"), dir} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
		d.Scan()
		if s := d.Stats(); s.Blocks != 0 || s.Bytes != 0 {
			t.Errorf("after a scan %+v", s)
		}
		put(t, d, a, b)
		cachetest.Check(t, d, a, 0, 1000)
		cachetest.Check(t, d, b, 0, 1000)
		if d.Stats().Drops != 0 {
			t.Errorf("drops after %s was removed", gone)
		}
	}
}

// mount puts a small file system of its own at a directory.
func mount(t *testing.T, dir, options string) (unmount func()) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount a tmpfs for the test (needs root): %v", err)
	}
	done := false
	unmount = func() {
		if !done {
			done = true
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Errorf("unmount: %v", err)
			}
		}
	}
	t.Cleanup(unmount)
	return unmount
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "size=1m")
	c := newClock()
	var logged bytes.Buffer
	d := openDisk(t, dir, cache.DiskOptions{Now: c.now, Workers: 1, RetryAfter: time.Minute,
		Log: slog.New(slog.NewTextHandler(&logged, nil))})
	key := func(i uint64) block.Key { return block.Key{Slice: i, Size: 100_000} }
	for i := range uint64(30) {
		put(t, d, key(i))
	}
	s := d.Stats()
	if s.Blocks == 0 || s.Drops == 0 || s.Writes+s.Drops != 30 {
		t.Errorf("%+v", s)
	}
	for i := range uint64(s.Blocks) {
		cachetest.Check(t, d, key(i), 0, 100_000)
	}
	for _, f := range files(t, dir) {
		if strings.HasSuffix(f, ".tmp") {
			t.Errorf("left behind: %s", f)
		}
	}
	// Room comes back, but it is not tried before the time.
	d.Remove(key(0))
	d.Remove(key(1))
	put(t, d, key(0))
	cachetest.CheckMiss(t, d, key(0))
	c.forward(time.Minute)
	put(t, d, key(0))
	cachetest.Check(t, d, key(0), 0, 100_000)
	d.Close()
	if n := strings.Count(logged.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d errors logged:\n%s", n, logged.String())
	}
	if !strings.Contains(logged.String(), "works again") {
		t.Errorf("the recovery is not logged:\n%s", logged.String())
	}
}

func TestDiskLeavesSpaceFree(t *testing.T) {
	for _, options := range []string{"size=4m", "size=64m,nr_inodes=100"} {
		t.Run(options, func(t *testing.T) {
			dir := t.TempDir()
			mount(t, dir, options)
			c := newClock()
			d := openDisk(t, dir, cache.DiskOptions{FreeRatio: 0.5, Now: c.now})
			free := func() (bytes, inodes float64) {
				var st syscall.Statfs_t
				if err := syscall.Statfs(dir, &st); err != nil {
					t.Fatal(err)
				}
				return float64(st.Bavail) / float64(st.Blocks), float64(st.Ffree) / float64(st.Files)
			}
			for i := range uint64(80) {
				put(t, d, block.Key{Slice: i * 256, Size: 100_000})
			}
			if b, i := free(); b < 0.47 || i < 0.49 {
				t.Errorf("%.2f of the bytes and %.2f of the inodes are free", b, i)
			}
			s := d.Stats()
			if s.Drops == 0 || s.Blocks < 10 {
				t.Errorf("%+v", s)
			}
			// Somebody else takes space: the cache gives way, as far as it can.
			if err := os.WriteFile(filepath.Join(dir, "other"), make([]byte, 1<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			c.forward(time.Hour)
			if d.Relieve(); options == "size=4m" {
				if b, _ := free(); b < 0.47 {
					t.Errorf("%.2f of the bytes are free", b)
				}
				if after := d.Stats(); after.Blocks >= s.Blocks || after.Blocks == 0 {
					t.Errorf("%d blocks, %d before", after.Blocks, s.Blocks)
				}
			}
		})
	}
}

// A cache must not write below a mount point whose disk is gone.
func TestDiskUnmounted(t *testing.T) {
	dir := t.TempDir()
	unmount := mount(t, dir, "size=4m")
	c := newClock()
	d := openDisk(t, dir, cache.DiskOptions{Now: c.now})
	a, b := block.Key{Slice: 1, Size: 1000}, block.Key{Slice: 2, Size: 1000}
	put(t, d, a)
	unmount()
	cachetest.CheckMiss(t, d, a)
	for range 3 {
		put(t, d, a, b)
		c.forward(time.Hour)
	}
	cachetest.CheckMiss(t, d, b)
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("below the mount point: %v, %v", left, err)
	}
}

func TestDiskReadOnly(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "size=4m")
	d := openDisk(t, dir, cache.DiskOptions{})
	a, b := block.Key{Slice: 1, Size: 1000}, block.Key{Slice: 2, Size: 1000}
	put(t, d, a)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	put(t, d, b)
	cachetest.CheckMiss(t, d, b)
	cachetest.Check(t, d, a, 0, 1000)
	d.Close()
	_, err := cache.OpenDisk(dir, cache.DiskOptions{})
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("open on a read-only file system: %v", err)
	}
}

func TestOpenDiskErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(dir, "newer")
	if err := os.Mkdir(newer, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(newer, "jfs-cache"), []byte("jfs block cache, layout 99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{file, filepath.Join(file, "below"), newer} {
		_, err := cache.OpenDisk(bad, cache.DiskOptions{})
		if err == nil || !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "choose another") {
			t.Errorf("open %s: %v", bad, err)
		}
	}
}
