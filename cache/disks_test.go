package cache_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jfs/block"
	"jfs/cache"
	"jfs/cache/cachetest"
)

func openDisks(t testing.TB, dirs []string, o cache.DiskOptions) *cache.Disks {
	t.Helper()
	if o.FreeRatio == 0 {
		o.FreeRatio = -1
	}
	d, err := cache.OpenDisks(dirs, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	for _, disk := range d.Dirs() {
		<-disk.Scanned()
	}
	return d
}

func dirsBelow(root string, names ...string) []string {
	var dirs []string
	for _, n := range names {
		dirs = append(dirs, filepath.Join(root, n))
	}
	return dirs
}

func TestDisksConformance(t *testing.T) {
	cachetest.Run(t, func(t *testing.T) cache.Tier {
		return openDisks(t, dirsBelow(t.TempDir(), "a", "b", "c"), cache.DiskOptions{})
	})
}

func TestDisksShareAndMoveLittle(t *testing.T) {
	root := t.TempDir()
	four := openDisks(t, dirsBelow(root, "a", "b", "c", "d"), cache.DiskOptions{})
	three := openDisks(t, dirsBelow(root, "d", "c", "a"), cache.DiskOptions{})
	const n = 4000
	share := map[string]int{}
	for i := range uint64(n) {
		k := block.Key{Slice: i / 8, Index: uint32(i % 8), Size: 4 << 20}
		name := func(d *cache.Disks) string {
			path, _ := filepath.Rel(root, d.First(k).Path(k))
			return path[:1]
		}
		was, is := name(four), name(three)
		share[was]++
		if was != "b" && is != was {
			t.Fatalf("%v moved from %s to %s because b went", k, was, is)
		}
	}
	for dir, blocks := range share {
		if blocks < n/4*9/10 || blocks > n/4*11/10 {
			t.Errorf("%s has %d of %d blocks", dir, blocks, n)
		}
	}
}

// A block goes to its next directory while its first is out of order, and is found there afterwards.
func TestDisksFailedDirectory(t *testing.T) {
	root := t.TempDir()
	dirs := dirsBelow(root, "a", "b")
	if err := os.MkdirAll(dirs[0], 0o700); err != nil {
		t.Fatal(err)
	}
	unmount := mount(t, dirs[0], "size=4m")
	c := newClock()
	d := openDisks(t, dirs, cache.DiskOptions{Now: c.now})
	first, _ := d.Dirs()[0], d.Dirs()[1]
	var mine []block.Key // the blocks of the directory that fails
	for i := uint64(0); len(mine) < 10; i++ {
		if k := (block.Key{Slice: i, Size: 1000}); d.First(k) == first {
			mine = append(mine, k)
		}
	}
	unmount()
	cachetest.Put(t, d, mine[0]) // finds out
	d.Flush()
	for _, k := range mine {
		cachetest.Put(t, d, k)
		d.Flush()
		cachetest.Check(t, d, k, 0, 1000)
	}
	if s := d.Stats(); s.Blocks != 10 || s.Hits != 10 || s.Drops != 1 {
		t.Errorf("%+v", s)
	}
	if n := len(files(t, dirs[1])); n != 10 {
		t.Errorf("%d blocks in the directory that works", n)
	}
}

func TestOpenDisksLeavesOutWhatFails(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := openDisks(t, dirsBelow(root, "file", "good", "good"), cache.DiskOptions{})
	if len(d.Dirs()) != 1 {
		t.Fatalf("%d directories", len(d.Dirs()))
	}
	key := block.Key{Slice: 1, Size: 1000}
	cachetest.Put(t, d, key)
	cachetest.Check(t, d, key, 0, 1000)
	_, err := cache.OpenDisks(dirsBelow(root, "file"), cache.DiskOptions{})
	if err == nil || !strings.Contains(err.Error(), filepath.Join(root, "file")) {
		t.Errorf("only a bad directory: %v", err)
	}
	if _, err := cache.OpenDisks(nil, cache.DiskOptions{}); err == nil {
		t.Error("no directory: no error")
	}
}
