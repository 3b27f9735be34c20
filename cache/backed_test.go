package cache_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"jfs/block"
	"jfs/cache"
	"jfs/cache/cachetest"
)

const backedBlock = 256 << 10

// openBacked opens a cache with backing files in a directory.
func openBacked(t testing.TB, dir string, o cache.DiskOptions) *cache.Backed {
	t.Helper()
	if o.FreeRatio == 0 {
		o.FreeRatio = -1
	}
	var b *cache.Backed
	var mu sync.Mutex
	o.Beside = func() int64 {
		mu.Lock()
		defer mu.Unlock()
		if b == nil {
			return 0
		}
		return b.Bytes()
	}
	disks, err := cache.OpenDisks([]string{dir}, o)
	if err != nil {
		t.Fatal(err)
	}
	made, err := cache.OpenBacked(disks, cache.BackedOptions{BlockSize: backedBlock})
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	b = made
	mu.Unlock()
	t.Cleanup(func() { made.Close() })
	return made
}

// sample is a file of two slices over each other, with a hole, and its bytes.
func sample(ino uint64) (cache.Layout, []block.Key, []byte) {
	slice := ino * 10
	const first, second = 3*backedBlock + 77777, 2 * backedBlock
	l := cache.Layout{Ino: ino, Length: 6*backedBlock + 1234, Extents: []cache.Extent{
		{Pos: 0, Len: backedBlock + 5000, Slice: slice, Size: first},
		{Pos: backedBlock + 5000, Len: second, Slice: slice + 1, Size: second},
		{Pos: 3*backedBlock + 5000, Len: 70000, Slice: slice, Size: first, Off: 3*backedBlock + 5000},
		{Pos: 6 * backedBlock, Len: 1000, Slice: slice + 1, Size: second, Off: backedBlock - 500},
	}}
	var keys []block.Key
	want := make([]byte, l.Length)
	for _, e := range l.Extents {
		var data []byte
		for i := range block.Count(e.Size, backedBlock) {
			key := block.KeyAt(e.Slice, e.Size, i, backedBlock)
			keys = append(keys, key)
			data = append(data, cachetest.Data(key)...)
		}
		copy(want[e.Pos:], data[e.Off:e.Off+e.Len])
	}
	return l, keys, want
}

func putAll(t testing.TB, b *cache.Backed, keys []block.Key) {
	t.Helper()
	for _, k := range keys {
		cachetest.Put(t, b, k)
		b.Flush()
	}
}

// made gives the backing of a layout, which must be there or be made.
func made(t testing.TB, b *cache.Backed, l cache.Layout) *cache.Backing {
	t.Helper()
	bk, err := b.Open(t.Context(), l)
	if err != nil || bk == nil {
		t.Fatalf("no backing: %v", err)
	}
	return bk
}

func holdsFile(t testing.TB, bk *cache.Backing, want []byte) {
	t.Helper()
	got, err := os.ReadFile(bk.File().Name())
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the backing file is not the file: %d bytes, want %d, %v", len(got), len(want), err)
	}
}

func holdsBlocks(t testing.TB, b *cache.Backed, keys []block.Key) {
	t.Helper()
	for _, key := range keys {
		want := cachetest.Data(key)
		for _, r := range [][2]int{{0, int(key.Size)}, {4096, 8192}, {100, 5000}, {int(key.Size) - 1, int(key.Size)}} {
			dst := make([]byte, max(r[1]-r[0], 0))
			if r[1] <= int(key.Size) && (!b.ReadAt(key, dst, r[0]) || !bytes.Equal(dst, want[r[0]:r[1]])) {
				t.Fatalf("bytes %v of %v", r, key)
			}
		}
	}
}

func blockFiles(t testing.TB, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "blocks/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestBackedConformance(t *testing.T) {
	cachetest.Run(t, func(t *testing.T) cache.Tier { return openBacked(t, t.TempDir(), cache.DiskOptions{}) })
}

// TestBackingIsTheFile: the bytes and the length are the file's; whole blocks are not kept twice, and can be read as before,
// also after a restart.
func TestBackingIsTheFile(t *testing.T) {
	dir := t.TempDir()
	b := openBacked(t, dir, cache.DiskOptions{})
	l, keys, want := sample(7)
	if bk, err := b.Open(t.Context(), l); bk != nil || err != nil {
		t.Fatalf("a backing without blocks: %v, %v", bk, err)
	}
	putAll(t, b, keys)
	bk := made(t, b, l)
	holdsFile(t, bk, want)
	holdsBlocks(t, b, keys)
	// Of the first slice block 0 lies whole in the file, of the second both; the others are shown in part.
	if n := blockFiles(t, dir); n != 3 {
		t.Errorf("%d blocks have files of their own, want 3", n)
	}
	if !b.Has(keys[0]) || !b.Knows(7) || b.Knows(8) {
		t.Error("what lies in a backing is not known")
	}
	bk.Done()
	b.Close()

	b = openBacked(t, dir, cache.DiskOptions{})
	holdsBlocks(t, b, keys)
	bk = made(t, b, l)
	holdsFile(t, bk, want)
	bk.Done()
	other := l
	other.Length--
	if bk, err := b.Open(t.Context(), other); bk != nil || err != nil {
		t.Errorf("a backing of another state of the file: %v, %v", bk, err)
	}
	if b.Has(keys[0]) || b.Bytes() != 0 {
		t.Errorf("what the old state took is not given back: %d bytes", b.Bytes())
	}
}

// TestBackingDamaged: what a crash or a disk leaves is never given out.
func TestBackingDamaged(t *testing.T) {
	for name, spoil := range map[string]func(data, sums string) error{
		"a byte":  func(data, _ string) error { return flip(data, 2*backedBlock+5) },
		"a hole":  func(data, _ string) error { return flip(data, 5*backedBlock) },
		"cut":     func(data, _ string) error { return os.Truncate(data, 4*backedBlock) },
		"longer":  func(data, _ string) error { return os.Truncate(data, 7*backedBlock) },
		"header":  func(_, sums string) error { return flip(sums, 30) },
		"sum":     func(_, sums string) error { return flip(sums, 500) },
		"no sums": func(_, sums string) error { return os.Remove(sums) },
		"no data": func(data, _ string) error { return os.Remove(data) },
		"cut sums": func(_, sums string) error {
			return os.Truncate(sums, 600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := openBacked(t, dir, cache.DiskOptions{})
			l, keys, _ := sample(7)
			putAll(t, b, keys)
			bk := made(t, b, l)
			data := bk.File().Name()
			bk.Done()
			b.Close()
			if err := spoil(data, data+".sums"); err != nil {
				t.Fatal(err)
			}
			b = openBacked(t, dir, cache.DiskOptions{})
			for _, key := range keys { // right or a miss
				dst := make([]byte, key.Size)
				if b.ReadAt(key, dst, 0) && !bytes.Equal(dst, cachetest.Data(key)) {
					t.Errorf("wrong bytes of %v", key)
				}
			}
			if bk, err := b.Open(t.Context(), l); bk != nil || err != nil {
				t.Errorf("a damaged backing is given out: %v", err)
			}
			left, _ := filepath.Glob(filepath.Join(dir, "passthrough/0/[0-9]*")) //nolint:errcheck // the pattern is good
			if len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

func flip(name string, at int64) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 1
	_, err = f.WriteAt(b[:], at)
	return err
}

// TestBackingsMakeRoom: they stay within their share, the oldest goes first, and never one that somebody has.
func TestBackingsMakeRoom(t *testing.T) {
	dir := t.TempDir()
	b := openBacked(t, dir, cache.DiskOptions{MaxBytes: 32 * backedBlock}) // half of it for backings: two and a half
	var all []*cache.Backing
	for ino := uint64(1); ino <= 3; ino++ {
		l, keys, want := sample(ino)
		putAll(t, b, keys)
		if ino == 2 {
			all[0].Done()
		}
		bk := made(t, b, l)
		holdsFile(t, bk, want)
		all = append(all, bk)
		if n := b.Stats().Bytes; n > 33*backedBlock || b.Bytes() > 16*backedBlock {
			t.Errorf("%d bytes, %d of them in backings", n, b.Bytes())
		}
	}
	if b.Knows(1) || !b.Knows(2) || !b.Knows(3) {
		t.Error("not the one that nobody has went")
	}
	l, keys, _ := sample(4)
	putAll(t, b, keys)
	if bk, err := b.Open(t.Context(), l); bk != nil || err != nil {
		t.Errorf("a backing without room: %v", err)
	}
	_, keys, want := sample(2)
	b.Remove(keys[0]) // its file stays for who has it
	if b.Knows(2) || b.Has(keys[0]) || all[1].Kept() {
		t.Error("a backing outlives its block")
	}
	got := make([]byte, len(want))
	if _, err := all[1].File().ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("what somebody has is not there any more: %v", err)
	}
	before := b.Bytes()
	all[1].Done()
	if b.Bytes() >= before {
		t.Error("the space of a backing that went does not come back")
	}
	all[2].Done()
}

// TestBackingInUse: another descriptor, and a mapping without one, show.
func TestBackingInUse(t *testing.T) {
	b := openBacked(t, t.TempDir(), cache.DiskOptions{})
	l, keys, _ := sample(7)
	putAll(t, b, keys)
	bk := made(t, b, l)
	defer bk.Done()
	if bk.InUse() {
		t.Error("in use by nobody")
	}
	f, err := os.Open(bk.File().Name())
	if err != nil {
		t.Fatal(err)
	}
	if !bk.InUse() {
		t.Error("a descriptor is not seen")
	}
	m := mapFile(t, f)
	f.Close()
	if !bk.InUse() {
		t.Error("a mapping is not seen")
	}
	m()
	if bk.InUse() {
		t.Error("in use by nobody any more")
	}
}

// TestBackingsOfProcesses: each has a directory for itself, and takes over what a dead one has left.
func TestBackingsOfProcesses(t *testing.T) {
	dir := t.TempDir()
	a := openBacked(t, dir, cache.DiskOptions{})
	l, keys, want := sample(7)
	putAll(t, a, keys)
	made(t, a, l).Done()
	b := openBacked(t, dir, cache.DiskOptions{})
	if b.Knows(7) {
		t.Error("two have the same backing")
	}
	putAll(t, b, keys)
	made(t, b, l).Done()
	a.Close()
	b.Close()
	c := openBacked(t, dir, cache.DiskOptions{})
	bk := made(t, c, l)
	holdsFile(t, bk, want)
	bk.Done()
	if _, err := os.Stat(filepath.Join(dir, "passthrough/1")); !os.IsNotExist(err) {
		t.Errorf("what nobody needs is left: %v", err)
	}
}

// TestBackingStopped: a making that is broken off leaves nothing, and the blocks that are gone are misses.
func TestBackingStopped(t *testing.T) {
	dir := t.TempDir()
	b := openBacked(t, dir, cache.DiskOptions{})
	l, keys, _ := sample(7)
	putAll(t, b, keys)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if bk, err := b.Open(ctx, l); bk != nil || err == nil {
		t.Errorf("made nevertheless: %v", err)
	}
	if b.Knows(7) || b.Bytes() != 0 {
		t.Errorf("left: %d bytes", b.Bytes())
	}
	holdsBlocks(t, b, keys)
}
