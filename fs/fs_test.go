package fs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"jfs/block"
	"jfs/cache"
	"jfs/internal/bytepool"
	"jfs/internal/posix"
	"jfs/meta"
	"jfs/meta/tkv"
	memkv "jfs/meta/tkv/mem"
	"jfs/object"
	"jfs/object/faulty"
	"jfs/object/mem"
	"jfs/prefetch"
	"jfs/upload"
)

const testBlock = 64 << 10

// rig is a store and a database in memory, on which any number of mounts work.
type rig struct {
	t       *testing.T
	kv      tkv.Store
	objects object.Store
	block   int                        // size of blocks; 0: testBlock
	tiers   func() cache.TieredOptions // of mounts made from now on; nil: none

	maxDeletes int
	atime      meta.AtimeMode
	edit       func(*Options) // of mounts made from now on; nil: nothing
}

func newRig(t *testing.T, wrap func(object.Store) object.Store) *rig {
	return newRigOf(t, wrap, testBlock)
}

func newRigOf(t *testing.T, wrap func(object.Store) object.Store, size int) *rig {
	r := &rig{t: t, kv: memkv.New(), objects: mem.New(), block: size}
	if wrap != nil {
		r.objects = wrap(r.objects)
	}
	f := meta.NewFormat("test", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	f.BlockSize, f.TrashDays = size>>10, 0
	e := tkv.New(r.kv, tkv.Options{})
	if err := meta.Create(t.Context(), e, f, meta.Time{Sec: 1}); err != nil {
		t.Fatal(err)
	}
	return r
}

// mount makes a client with a memory budget of its own.
func (r *rig) mount(budget int64) *FS {
	r.t.Helper()
	eng := tkv.New(r.kv, tkv.Options{})
	r.t.Cleanup(func() { _ = eng.Close() })
	return r.mountOn(eng, budget)
}

func (r *rig) mountOn(eng meta.Engine, budget int64) *FS {
	r.t.Helper()
	if r.objects == nil {
		r.objects = mem.New()
	}
	ctx := context.WithoutCancel(r.t.Context())
	pool := bytepool.New(budget)
	size := r.block
	if size == 0 {
		size = testBlock
	}
	store := block.New(r.objects, block.Options{BlockSize: size, Pool: pool})
	var to cache.TieredOptions
	if r.tiers != nil {
		to = r.tiers()
	}
	tiers := cache.NewTiered(store, to)
	up := upload.New(store, upload.Options{Cache: tiers})
	ahead := prefetch.New(tiers.FetchRange, prefetch.Options{Has: tiers.HasRange})
	v, err := meta.Open(ctx, eng, meta.Options{MaxDeletes: r.maxDeletes, Atime: r.atime, Heartbeat: -1, FreeSlices: func(ctx context.Context, slices []meta.SliceRef) []error {
		errs := make([]error, len(slices))
		for n, s := range slices {
			var keys []block.Key
			for i := range block.Count(s.Size, uint32(size)) {
				keys = append(keys, block.KeyAt(s.ID, s.Size, i, uint32(size)))
			}
			errs[n] = store.Delete(ctx, keys...)
		}
		return errs
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := v.StartSession(ctx, meta.SessionInfo{Version: meta.CompatVersion}); err != nil {
		r.t.Fatal(err)
	}
	opt := Options{Blocks: tiers, Uploader: up, Prefetch: ahead, Pool: pool, Stall: 10 * time.Second}
	if r.edit != nil {
		r.edit(&opt)
	}
	f := New(v, opt)
	r.t.Cleanup(func() {
		errs := []error{f.Close(ctx), up.Close(ctx), ahead.Close(), v.Close(ctx), tiers.Close(), store.Close()}
		if err := errors.Join(errs...); err != nil {
			r.t.Errorf("close: %v", err)
		}
		if used := pool.Used(); used != 0 {
			r.t.Errorf("%d bytes of the pool were not given back", used)
		}
	})
	return f
}

func create(t *testing.T, f *FS, name string) *Handle {
	t.Helper()
	_, h, err := f.Create(t.Context(), meta.Root, meta.RootIno, name, meta.New{Mode: 0644}, syscall.O_RDWR|syscall.O_EXCL)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func open(t *testing.T, f *FS, name string, flags int) (*Handle, bool) {
	t.Helper()
	n, err := f.Lookup(t.Context(), meta.Root, meta.RootIno, name)
	if err != nil {
		t.Fatal(err)
	}
	h, keep, err := f.Open(t.Context(), meta.Root, n.Ino, flags)
	if err != nil {
		t.Fatal(err)
	}
	return h, keep
}

func write(t *testing.T, h *Handle, off int, b []byte) {
	t.Helper()
	if n, err := h.Write(t.Context(), uint64(off), b); n != len(b) || err != nil {
		t.Fatalf("write %d bytes at %d: %d, %v", len(b), off, n, err)
	}
}

func flushed(t *testing.T, h *Handle) {
	t.Helper()
	if err := h.Flush(t.Context()); err != nil {
		t.Fatalf("flush: %v", err)
	}
}

func wantBytes(t *testing.T, h *Handle, off int, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := h.Read(t.Context(), uint64(off), got)
	if err != nil || n != len(want) {
		t.Fatalf("read %d bytes at %d: %d, %v", len(want), off, n, err)
	}
	if i := firstDiff(got, want); i >= 0 {
		t.Fatalf("read at %d: byte %d is %d, want %d", off, off+i, got[i], want[i])
	}
}

func firstDiff(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// TestModel compares random reads, writes, truncations and flushes with a byte array.
func TestModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			f := newRig(t, nil).mount(2 << 20)
			h := create(t, f, "f")
			defer h.Release(t.Context())
			var model []byte
			const most = 5 * testBlock
			base := uint64(0)
			if seed%2 == 1 {
				base = meta.ChunkSize - 2*testBlock // over a chunk border
				if _, err := h.Truncate(t.Context(), meta.Root, base); err != nil {
					t.Fatal(err)
				}
			}
			for step := range 400 {
				off := rnd.IntN(most)
				n := 1 + rnd.IntN(most-off)
				if rnd.IntN(2) == 0 {
					n = 1 + rnd.IntN(min(4096, most-off))
				}
				switch rnd.IntN(8) {
				case 0, 1, 2, 3:
					b := make([]byte, n)
					for i := range b {
						b[i] = byte(rnd.Uint32())
					}
					write(t, h, int(base)+off, b)
					if off+n > len(model) {
						model = append(model, make([]byte, off+n-len(model))...)
					}
					copy(model[off:], b)
				case 4, 5:
					got := make([]byte, n)
					k, err := h.Read(t.Context(), base+uint64(off), got)
					want := model[min(off, len(model)):min(off+n, len(model))]
					if err != nil || k != len(want) || !bytes.Equal(got[:k], want) {
						t.Fatalf("step %d: read %d at %d gives %d bytes, %v; want %d; first difference %d", step, n, off, k, err, len(want), firstDiff(got[:min(k, len(want))], want))
					}
				case 6:
					flushed(t, h)
				case 7:
					size := rnd.IntN(most)
					if _, err := h.Truncate(t.Context(), meta.Root, base+uint64(size)); err != nil {
						t.Fatal(err)
					}
					if size <= len(model) {
						model = model[:size:size]
					} else {
						model = append(model, make([]byte, size-len(model))...)
					}
				}
			}
			flushed(t, h)
			a, err := f.GetAttr(t.Context(), h.Ino())
			if err != nil || a.Length != base+uint64(len(model)) {
				t.Fatalf("length %d, %v; want %d", a.Length, err, base+uint64(len(model)))
			}
		})
	}
}

// TestCloseToOpen: what one mount has closed the next open of another sees, bytes and size.
func TestCloseToOpen(t *testing.T) {
	r := newRig(t, nil)
	a, b := r.mount(0), r.mount(0)
	h := create(t, a, "f")
	write(t, h, 0, bytes.Repeat([]byte{1}, 100_000))
	flushed(t, h)

	g, keep := open(t, b, "f", syscall.O_RDONLY)
	if keep {
		t.Error("the first open keeps pages that cannot be there")
	}
	wantBytes(t, g, 0, bytes.Repeat([]byte{1}, 100_000))
	g.Release(t.Context())
	g, keep = open(t, b, "f", syscall.O_RDONLY)
	if !keep {
		t.Error("the pages of an unchanged file are not kept")
	}
	g.Release(t.Context())

	write(t, h, 50_000, bytes.Repeat([]byte{2}, 10))
	flushed(t, h)
	g, keep = open(t, b, "f", syscall.O_RDONLY)
	if keep {
		t.Error("the pages of a changed file are kept")
	}
	wantBytes(t, g, 49_999, []byte{1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1})
	g.Release(t.Context())

	h.Release(t.Context())
	h, keep = open(t, a, "f", syscall.O_RDONLY)
	if !keep {
		t.Error("the writer's own pages are not kept")
	}
	h.Release(t.Context())
}

// TestCloseToOpenTruncated: a mount that truncates a file by its name, which another one has changed since it was open
// here, does not keep the pages that it has of the file before that.
func TestCloseToOpenTruncated(t *testing.T) {
	r := newRig(t, nil)
	a, b := r.mount(0), r.mount(0)
	h := create(t, a, "f")
	write(t, h, 0, bytes.Repeat([]byte{1}, 100_000))
	flushed(t, h)
	g, _ := open(t, b, "f", syscall.O_RDWR)
	write(t, g, 50_000, bytes.Repeat([]byte{2}, 10))
	flushed(t, g)
	g.Release(t.Context())
	size := uint64(90_000)
	if _, err := a.SetAttr(t.Context(), meta.Root, h.Ino(), SetAttr{Size: &size}, nil); err != nil {
		t.Fatal(err)
	}
	h.Release(t.Context())
	h, keep := open(t, a, "f", syscall.O_RDONLY)
	if keep {
		t.Error("the pages from before the change of the other mount are kept")
	}
	h.Release(t.Context())
	h, keep = open(t, a, "f", syscall.O_RDONLY)
	if !keep {
		t.Error("the pages of an unchanged file are not kept")
	}
	if _, err := a.SetAttr(t.Context(), meta.Root, h.Ino(), SetAttr{Size: &size}, nil); err != nil {
		t.Fatal(err)
	}
	size = 80_000
	if _, err := a.SetAttr(t.Context(), meta.Root, h.Ino(), SetAttr{Size: &size}, nil); err != nil {
		t.Fatal(err)
	}
	h.Release(t.Context())
	h, keep = open(t, a, "f", syscall.O_RDONLY)
	if !keep {
		t.Error("the pages of a file that only this mount has truncated are not kept")
	}
	h.Release(t.Context())
}

// TestAttributeMeetsPublication: an attribute that was read from the database before pending writes were published does
// not hide them from who is told of it afterwards.
func TestAttributeMeetsPublication(t *testing.T) {
	f := newRig(t, nil).mount(0)
	h := create(t, f, "f")
	defer h.Release(t.Context())
	write(t, h, 0, make([]byte, 1000))
	flushed(t, h)
	fl, all, own := h.file, f.stamp(), h.file.stamp()
	old, err := f.vol.GetAttr(t.Context(), h.Ino())
	if err != nil || old.Length != 1000 {
		t.Fatal(old.Length, err)
	}
	dir, err := f.OpenDir(t.Context(), meta.Root, meta.RootIno)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	err = dir.Read(t.Context(), 0, true, func(e DirEntry) bool { return e.Name != "f" }) // it is read, and given later
	if err != nil {
		t.Fatal(err)
	}
	write(t, h, 1000, make([]byte, 500))
	flushed(t, h)
	for what, a := range map[string]meta.Attr{"asked for": fl.observe(old, own), "looked up": f.local(h.Ino(), old, all)} {
		if a.Length != 1500 {
			t.Errorf("%s: %d bytes", what, a.Length)
		}
	}
	err = dir.Read(t.Context(), dots, true, func(e DirEntry) bool {
		if e.Name == "f" && e.Attr.Length != 1500 {
			t.Errorf("listed: %d bytes", e.Attr.Length)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	// What another client has made of the file since is newer.
	newer := old
	newer.Length, newer.Ctime = 2000, meta.TimeOf(time.Now().Add(time.Minute))
	if a := fl.observe(newer, own); a.Length != 2000 {
		t.Errorf("changed elsewhere: %d bytes", a.Length)
	}
}

// TestSequentialCost: 64 MiB written from front to back are whole blocks and one commit.
func TestSequentialCost(t *testing.T) {
	var counts *faulty.Store
	r := newRig(t, func(s object.Store) object.Store { counts = faulty.New(s); return counts })
	f := r.mount(0)
	h := create(t, f, "f")
	b := make([]byte, 128<<10)
	for off := 0; off < meta.ChunkSize; off += len(b) {
		write(t, h, off, b)
	}
	flushed(t, h)
	if n := counts.Calls(faulty.Put); n != meta.ChunkSize/testBlock {
		t.Errorf("%d PUTs, want %d", n, meta.ChunkSize/testBlock)
	}
	records, err := f.vol.Chunk(t.Context(), h.Ino(), 0)
	if err != nil || len(records) != 1 || records[0].Len != meta.ChunkSize {
		t.Errorf("records %+v, %v", records, err)
	}
	h.Release(t.Context())
}

// TestRandomWriteCost: scattered small writes are few objects and one commit, and what was written twice is stored
// once.
func TestRandomWriteCost(t *testing.T) {
	var counts *faulty.Store
	r := newRig(t, func(s object.Store) object.Store { counts = faulty.New(s); return counts })
	f := r.mount(0)
	h := create(t, f, "f")
	rnd := rand.New(rand.NewPCG(1, 1))
	model := make([]byte, 8<<20)
	page := make([]byte, 4096)
	distinct := map[int]bool{}
	for range 1024 {
		off := rnd.IntN(len(model)/len(page)) * len(page)
		for i := range page {
			page[i] = byte(rnd.Uint32())
		}
		distinct[off] = true
		write(t, h, off, page)
		copy(model[off:], page)
	}
	flushed(t, h)
	bytes := len(distinct) * len(page)
	if n, want := counts.Calls(faulty.Put), (bytes+testBlock-1)/testBlock; n != want {
		t.Errorf("%d PUTs for %d distinct pages, want %d", n, len(distinct), want)
	}
	records, err := f.vol.Chunk(t.Context(), h.Ino(), 0)
	if err != nil || len(records) > len(distinct) {
		t.Errorf("%d records for %d distinct pages, %v", len(records), len(distinct), err)
	}
	for _, s := range records {
		if s.ID != records[0].ID || int(s.Size) != bytes {
			t.Fatalf("record %+v, want all of one slice of %d bytes", s, bytes)
		}
	}
	a, err := f.GetAttr(t.Context(), h.Ino())
	if err != nil {
		t.Fatal(err)
	}
	g, _ := open(t, r.mount(0), "f", syscall.O_RDONLY)
	wantBytes(t, g, 0, model[:a.Length])
	wantBytes(t, h, 0, model[:a.Length])
	g.Release(t.Context())
	h.Release(t.Context())

	// With the last reference the objects go.
	if err := f.Unlink(t.Context(), meta.Root, meta.RootIno, "f"); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		left, _, err := r.objects.List(t.Context(), "", "", 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("objects left: %v", left)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestStoreFails: a failed upload is told to whoever waits, and the data is written when the store is back.
func TestStoreFails(t *testing.T) {
	broken := errors.New("broken")
	var store *faulty.Store
	r := newRig(t, func(s object.Store) object.Store {
		store = faulty.New(s, faulty.Nth(1, faulty.Put, broken), faulty.Nth(2, faulty.Put, broken))
		return store
	})
	f := r.mount(0)
	h := create(t, f, "f")
	data := bytes.Repeat([]byte{7}, testBlock+10)
	write(t, h, 0, data)
	if err := h.Flush(t.Context()); !errors.Is(err, broken) {
		t.Errorf("flush on a broken store: %v", err)
	}
	wantBytes(t, h, 0, data)
	flushed(t, h)
	wantBytes(t, h, 0, data)
	h.Release(t.Context())
}

// TestRemovedElsewhere: the writer of a file that another client removes is told, and leaves no objects.
func TestRemovedElsewhere(t *testing.T) {
	r := newRig(t, nil)
	a, b := r.mount(0), r.mount(0)
	h := create(t, a, "f")
	write(t, h, 0, make([]byte, 100))
	if err := b.Unlink(t.Context(), meta.Root, meta.RootIno, "f"); err != nil {
		t.Fatal(err)
	}
	if err := h.Flush(t.Context()); !errors.Is(err, posix.EBADF) {
		t.Errorf("flush: %v, want EBADF", err)
	}
	if left, _, err := r.objects.List(t.Context(), "", "", 10); err != nil || len(left) > 0 {
		t.Errorf("objects left: %v, %v", left, err)
	}
	h.Release(t.Context())
}

// TestBudget: many writers with more data than memory finish, and what they wrote is there.
func TestBudget(t *testing.T) {
	f := newRig(t, nil).mount(8 * testBlock)
	var wg sync.WaitGroup
	for i := range 8 {
		h := create(t, f, fmt.Sprint("f", i))
		wg.Go(func() {
			b := bytes.Repeat([]byte{byte(i)}, 10_000)
			for k := range 40 {
				if _, err := h.Write(context.Background(), uint64(k*len(b)), b); err != nil {
					t.Error(err)
					return
				}
			}
			if err := h.Flush(context.Background()); err != nil {
				t.Error(err)
			}
			got := make([]byte, 400_000)
			if n, err := h.Read(context.Background(), 0, got); n != len(got) || err != nil || got[399_999] != byte(i) {
				t.Errorf("file %d: read %d, %v", i, n, err)
			}
			h.Release(context.Background())
		})
	}
	wg.Wait()
}

// TestInterrupted: a caller that goes away does not lose what it has written.
func TestInterrupted(t *testing.T) {
	var store *faulty.Store
	r := newRig(t, func(s object.Store) object.Store { store = faulty.New(s); return store })
	f := r.mount(0)
	h := create(t, f, "f")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	write(t, h, 0, []byte("hello"))
	if err := h.Flush(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("flush: %v", err)
	}
	flushed(t, h)
	wantBytes(t, h, 0, []byte("hello"))
	h.Release(t.Context())
}

func TestReadDir(t *testing.T) {
	f := newRig(t, nil).mount(0)
	const n = 2500
	for i := range n {
		if _, err := f.Mknod(t.Context(), meta.Root, meta.RootIno, fmt.Sprint("n", i), meta.New{Type: meta.TypeFile}); err != nil {
			t.Fatal(err)
		}
	}
	d, err := f.OpenDir(t.Context(), meta.Root, meta.RootIno)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, plus := range []bool{false, true} {
		seen := map[string]bool{}
		var off uint64
		for more := true; more; {
			more = false
			room := 37
			err := d.Read(t.Context(), off, plus, func(e DirEntry) bool {
				if room == 0 {
					more = true
					return false
				}
				room--
				if seen[e.Name] {
					t.Errorf("%s is given twice", e.Name)
				}
				if plus && e.Attr == nil && e.Name[0] != '.' {
					t.Errorf("%s has no attribute", e.Name)
				}
				seen[e.Name], off = true, e.Off
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if len(seen) != n+2 {
			t.Errorf("%d names, want %d", len(seen), n+2)
		}
	}
}
