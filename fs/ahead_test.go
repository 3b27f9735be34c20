package fs

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"jfs/cache"
	"jfs/object"
	"jfs/prefetch"
)

// tapped counts what is read of a store.
type tapped struct {
	object.Store
	gets, bytes atomic.Int64
}

func (c *tapped) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	body, err := c.Store.Get(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	c.gets.Add(1)
	return &tappedBody{body, c}, nil
}

type tappedBody struct {
	io.ReadCloser
	c *tapped
}

func (b *tappedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.c.bytes.Add(int64(n))
	return n, err
}

// since gives what was read since the last call.
func (c *tapped) since() (gets, bytes int64) { return c.gets.Swap(0), c.bytes.Swap(0) }

// rangeRig is a volume with blocks of 4 MiB and a file of 24 MiB in it, and a mount that has read nothing yet.
func rangeRig(t *testing.T, edit func(*Options)) (*tapped, *FS, []byte) {
	t.Helper()
	store := &tapped{}
	r := newRigOf(t, func(o object.Store) object.Store { store.Store = o; return store }, 4<<20)
	w := r.mount(0)
	data := make([]byte, 24<<20+5000)
	rnd := rand.NewChaCha8([32]byte{})
	_, _ = rnd.Read(data)
	h := create(t, w, "file")
	write(t, h, 0, data)
	flushed(t, h)
	h.Release(t.Context())
	r.tiers = func() cache.TieredOptions {
		m, err := cache.NewMemory(64 << 20)
		if err != nil {
			t.Fatal(err)
		}
		d, err := cache.OpenDisk(t.TempDir(), cache.DiskOptions{FreeRatio: -1, QueueBytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		return cache.TieredOptions{Memory: m, Disk: d}
	}
	r.edit = edit
	fs := r.mount(0)
	store.since()
	return store, fs, data
}

func readAt(t testing.TB, h *Handle, data []byte, off, n int) {
	t.Helper()
	dst := make([]byte, n)
	got, err := h.Read(context.Background(), uint64(off), dst)
	if want := data[off:min(off+n, len(data))]; err != nil || !bytes.Equal(dst[:got], want) {
		t.Fatalf("read %d bytes at %d: %d bytes, %v", n, off, got, err)
	}
}

// TestRandomReadsAreRanges: a cold read of 4 KiB fetches a page, one that lies near nothing, and a stream whole blocks.
func TestRandomReadsAreRanges(t *testing.T) {
	const page = cache.PageSize
	store, fs, data := rangeRig(t, func(o *Options) { o.Prefetch = nil })
	h, _ := open(t, fs, "file", syscall.O_RDONLY)
	defer h.Release(t.Context())
	for _, s := range []struct {
		name        string
		off, n      int
		gets, bytes int64
	}{
		{"4 KiB", 9<<20 + 4096, 4096, 1, page},
		{"before it", 9 << 20, 4096, 0, 0},
		{"the same page", 9<<20 + 50000, 4096, 0, 0},
		{"over two pages", 17<<20 - 1, 4096, 1, 2 * page},
		{"over two blocks", 20<<20 - 1, 4096, 2, 2 * page},
		{"end of the file", 24 << 20, 4096, 1, 5000}, // a small block is loaded whole
		{"128 KiB", 5 << 20, 128 << 10, 1, 128 << 10},
		{"1 MiB", 13 << 20, 1 << 20, 1, 1 << 20},
		{"goes on", 14 << 20, 1 << 20, 1, 4 << 20},
		{"and on", 15 << 20, 1 << 20, 0, 0},
	} {
		readAt(t, h, data, s.off, s.n)
		if gets, n := store.since(); gets != s.gets || n != s.bytes {
			t.Errorf("%s: %d requests, %d bytes; want %d, %d", s.name, gets, n, s.gets, s.bytes)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	pages, all := map[int]bool{}, int64(0)
	for range 200 {
		off := r.IntN(len(data)-4096) / 4096 * 4096
		readAt(t, h, data, off, 4096)
		pages[off/page] = true
		gets, n := store.since()
		if gets > 1 || n > 2*page {
			t.Errorf("4 KiB at %d: %d requests, %d bytes", off, gets, n)
		}
		all += n
	}
	if most := int64(len(pages)) * page; all > most {
		t.Errorf("%d bytes for %d pages", all, len(pages))
	}
}

// TestStreamLoadsEachBlockOnce: what is read ahead and what is read itself are one load, in either direction.
func TestStreamLoadsEachBlockOnce(t *testing.T) {
	for _, backwards := range []bool{false, true} {
		store, fs, data := rangeRig(t, nil)
		h, _ := open(t, fs, "file", syscall.O_RDONLY)
		const n = 128 << 10
		for off := 0; off < len(data); off += n {
			at := off
			if backwards {
				at = max(len(data)-off-n, 0)
			}
			readAt(t, h, data, at, min(n, len(data)-off))
		}
		gets, size := store.since()
		if want := int64(7); !backwards && (gets != want || size != int64(len(data))) {
			t.Errorf("%d requests, %d bytes; want %d, %d", gets, size, want, len(data))
		}
		// Backwards the first three reads are ranges: nobody can know yet.
		if most := int64(len(data) + 3*2*n); backwards && (gets > 7+6 || size > most) {
			t.Errorf("backwards: %d requests, %d bytes of %d", gets, size, len(data))
		}
		h.Release(t.Context())
	}
}

// noting is a Prefetcher that only remembers.
type noting struct {
	pieces []prefetch.Piece
	full   bool
}

func (n *noting) Submit(p ...prefetch.Piece) bool { n.pieces = append(n.pieces, p...); return !n.full }
func (n *noting) Delay() time.Duration            { return 0 } // not known, so that no window depends on the time

func TestReadAheadPieces(t *testing.T) {
	ahead := &noting{}
	_, fs, data := rangeRig(t, func(o *Options) { o.Prefetch = ahead })
	h, _ := open(t, fs, "file", syscall.O_RDONLY)
	defer h.Release(t.Context())
	sizes := func() (all []int) {
		for _, p := range ahead.pieces {
			all = append(all, p.Len)
		}
		ahead.pieces = nil
		return all
	}
	// From the begin on: the rest of the block and the next one; nothing again before another half block is read.
	readAt(t, h, data, 0, 4096)
	if s := sizes(); len(s) != 2 || s[0] != 4<<20 || s[1] != 4<<20 {
		t.Errorf("after the first read: %v", s)
	}
	for off := 4096; off < 2<<20; off += 4096 {
		readAt(t, h, data, off, 4096)
	}
	if s := sizes(); s != nil {
		t.Errorf("then: %v", s)
	}
	readAt(t, h, data, 2<<20, 4096)
	if s := sizes(); len(s) != 1 {
		t.Errorf("half a block later: %v", s)
	}
	ahead.full = true // what is refused is asked for again
	readAt(t, h, data, 2<<20+4096, 2<<20)
	first := len(sizes())
	readAt(t, h, data, 4<<20+4096, 4096)
	if again := len(sizes()); first == 0 || again != first {
		t.Errorf("%d pieces, then %d", first, again)
	}
	ahead.full = false

	// Strided: the pieces themselves.
	g, _ := open(t, fs, "file", syscall.O_RDONLY)
	defer g.Release(t.Context())
	for i := range 4 {
		readAt(t, g, data, 1<<20+i*3<<20, 4096)
	}
	if s := sizes(); len(s) != 4 || s[0] != 4096 {
		t.Errorf("pieces: %v", s)
	}
}

// TestCachedReadDoesNotAllocate: from Handle.Read down to the tiers.
func TestCachedReadDoesNotAllocate(t *testing.T) {
	for name, tier := range map[string]func(*cache.TieredOptions){
		"both": func(*cache.TieredOptions) {}, "disk": func(o *cache.TieredOptions) { o.Memory = nil }, "memory": func(o *cache.TieredOptions) { o.Disk = nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigOf(t, nil, 4<<20)
			r.tiers = func() cache.TieredOptions {
				m, err := cache.NewMemory(64 << 20)
				if err != nil {
					t.Fatal(err)
				}
				d, err := cache.OpenDisk(t.TempDir(), cache.DiskOptions{FreeRatio: -1})
				if err != nil {
					t.Fatal(err)
				}
				o := cache.TieredOptions{Memory: m, Disk: d, RecentBytes: 1}
				tier(&o)
				return o
			}
			fs := r.mount(0)
			h := create(t, fs, "file")
			write(t, h, 0, make([]byte, 16<<20))
			flushed(t, h)
			h.Release(t.Context())
			h, _ = open(t, fs, "file", syscall.O_RDONLY)
			defer h.Release(t.Context())
			ctx := context.Background()
			for _, n := range []int{4096, 128 << 10} {
				dst := make([]byte, n)
				off, step := 0, n
				read := func() {
					if _, err := h.Read(ctx, uint64(off), dst); err != nil {
						t.Fatal(err)
					}
					off = (off + step) % (16<<20 - n)
				}
				for range 16 << 20 / n {
					read()
				}
				step = 5<<20 + 3*4096 // at random, as far as anybody can see
				if a := testing.AllocsPerRun(1000, read); a != 0 {
					t.Errorf("%v allocations for a random read of %d bytes", a, n)
				}
				step = n
				if a := testing.AllocsPerRun(1000, read); a != 0 {
					t.Errorf("%v allocations for a sequential read of %d bytes", a, n)
				}
			}
		})
	}
}
