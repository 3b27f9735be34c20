package fs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
	"jfs/object"
	"jfs/object/faulty"
)

// sparse is the model of a file: its bytes, and which of them are data and not a hole.
type sparse struct {
	bytes []byte
	data  []bool
}

func (s *sparse) grow(n int) {
	if more := n - len(s.bytes); more > 0 {
		s.bytes = append(s.bytes, make([]byte, more)...)
		s.data = append(s.data, make([]bool, more)...)
	}
}

func (s *sparse) write(off int, b []byte) {
	s.grow(off + len(b))
	for i := range copy(s.bytes[off:], b) {
		s.data[off+i] = true
	}
}

func (s *sparse) zero(off, end int) {
	if end = min(end, len(s.bytes)); off < end {
		clear(s.bytes[off:end])
		clear(s.data[off:end])
	}
}

func (s *sparse) copyFrom(src *sparse, offIn, off, n int) int {
	n = min(n, max(len(src.bytes)-offIn, 0))
	if n > 0 {
		s.grow(off + n)
		copy(s.bytes[off:off+n], src.bytes[offIn:])
		copy(s.data[off:off+n], src.data[offIn:])
	}
	return n
}

func (s *sparse) seek(off int, data bool) (int, bool) {
	for i := off; i < len(s.data); i++ {
		if s.data[i] == data {
			return i, true
		}
	}
	return len(s.data), !data && off < len(s.data)
}

// TestSparseModel compares allocation, copies of ranges and the search for holes with two byte arrays.
func TestSparseModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 11))
			r := newRig(t, nil)
			f := r.mount(2 << 20)
			ctx := t.Context()
			const most = 4 * testBlock
			base := uint64(0)
			if seed%2 == 1 {
				base = meta.ChunkSize - 2*testBlock // over a chunk border
			}
			hs := [2]*Handle{create(t, f, "a"), create(t, f, "b")}
			var models [2]*sparse
			for i, h := range hs {
				defer h.Release(ctx)
				models[i] = &sparse{}
				if _, err := h.Truncate(ctx, meta.Root, base); err != nil {
					t.Fatal(err)
				}
			}
			for step := range 200 {
				k := rnd.IntN(2)
				h, m := hs[k], models[k]
				off := rnd.IntN(most)
				n := 1 + rnd.IntN(most-off)
				at := base + uint64(off)
				var err error
				switch op := rnd.IntN(9); op {
				case 0, 1:
					b := make([]byte, n)
					for i := range b {
						b[i] = byte(rnd.Uint32())
					}
					write(t, h, int(at), b)
					m.write(off, b)
				case 2:
					err = h.Fallocate(ctx, meta.FallocPunchHole|meta.FallocKeepSize, at, uint64(n))
					m.zero(off, off+n)
				case 3:
					err = h.Fallocate(ctx, meta.FallocZero, at, uint64(n))
					m.zero(off, off+n)
					m.grow(off + n)
				case 4:
					err = h.Fallocate(ctx, 0, at, uint64(n))
					m.grow(off + n)
				case 5, 6:
					from := rnd.IntN(2)
					to := rnd.IntN(most)
					n = min(n, most-to)
					cut := min(n, max(len(models[from].bytes)-off, 0))
					var done uint64
					done, err = f.CopyRange(ctx, hs[from], at, h, base+uint64(to), uint64(n), 0)
					if from == k && cut > 0 && off < to+cut && to < off+cut {
						if !errors.Is(err, posix.EINVAL) {
							t.Fatalf("step %d: copy onto itself: %v", step, err)
						}
						err = nil
						break
					}
					if want := m.copyFrom(models[from], off, to, n); int(done) != want {
						t.Fatalf("step %d: copied %d bytes, want %d", step, done, want)
					}
				case 7:
					flushed(t, h)
				case 8:
					_, err = h.Truncate(ctx, meta.Root, at)
					m.grow(off)
					m.bytes, m.data = m.bytes[:off:off], m.data[:off:off]
				}
				if err != nil {
					t.Fatalf("step %d: %v", step, err)
				}
				if len(m.bytes) > 0 {
					off := rnd.IntN(len(m.bytes))
					wantBytes(t, h, int(base)+off, m.bytes[off:min(len(m.bytes), off+20_000)])
				}
				for _, data := range []bool{true, false} {
					from := rnd.IntN(most)
					wantSeek(t, step, h, m, base, from, data)
				}
			}
			// another mount sees the same
			other := r.mount(0)
			for i, name := range []string{"a", "b"} {
				flushed(t, hs[i])
				g, _ := open(t, other, name, syscall.O_RDONLY)
				if len(models[i].bytes) > 0 {
					wantBytes(t, g, int(base), models[i].bytes)
				}
				for off := 0; off < most; off += 5000 {
					wantSeek(t, -1, g, models[i], base, off, off%10_000 == 0)
				}
				g.Release(ctx)
			}
		})
	}
}

func wantSeek(t *testing.T, step int, h *Handle, m *sparse, base uint64, from int, data bool) {
	t.Helper()
	whence := SeekHole
	if data {
		whence = SeekData
	}
	got, err := h.Seek(t.Context(), base+uint64(from), whence)
	want, ok := m.seek(from, data)
	switch {
	case !ok && !errors.Is(err, posix.ENXIO):
		t.Fatalf("step %d: seek (data %v) from %d gives %d, %v; want nothing", step, data, from, got, err)
	case ok && (err != nil || got != base+uint64(want)):
		t.Fatalf("step %d: seek (data %v) from %d gives %d, %v; want %d", step, data, from, int(got-base), err, want)
	}
}

// TestSeekFar: data behind a hole of very many chunks is found without a look at each of them.
func TestSeekFar(t *testing.T) {
	r := newRig(t, nil)
	h := create(t, r.mount(0), "f")
	defer h.Release(t.Context())
	const far = 1 << 50
	write(t, h, 0, []byte("x"))
	write(t, h, far, []byte("y"))
	seek := func(h *Handle, off uint64, whence uint32, want uint64) {
		t.Helper()
		if got, err := h.Seek(t.Context(), off, whence); err != nil || got != want {
			t.Errorf("seek %d from %d: %d, %v; want %d", whence, off, got, err, want)
		}
	}
	seek(h, 1, SeekData, far)
	flushed(t, h)
	seek(h, 1, SeekData, far)
	g, _ := open(t, r.mount(0), "f", syscall.O_RDONLY)
	defer g.Release(t.Context())
	seek(g, 1, SeekData, far)
	seek(g, 0, SeekHole, 1)
	seek(g, far, SeekHole, far+1)
	if _, err := g.Seek(t.Context(), far+1, SeekHole); !errors.Is(err, posix.ENXIO) {
		t.Errorf("from the end: %v", err)
	}
	if _, err := g.Seek(t.Context(), 0, 2); !errors.Is(err, posix.EINVAL) {
		t.Errorf("another direction: %v", err)
	}
}

// TestCopyRangeCost: a copy moves no data, whatever its size.
func TestCopyRangeCost(t *testing.T) {
	var counts *faulty.Store
	r := newRig(t, func(s object.Store) object.Store { counts = faulty.New(s); return counts })
	f := r.mount(0)
	in, out := create(t, f, "in"), create(t, f, "out")
	defer in.Release(t.Context())
	defer out.Release(t.Context())
	data := bytes.Repeat([]byte{1, 2, 3, 4, 5}, testBlock)
	write(t, in, 0, data)
	n, err := f.CopyRange(t.Context(), in, 1, out, 7, 1<<60, 0)
	if err != nil || n != uint64(len(data)-1) {
		t.Fatalf("copied %d, %v", n, err)
	}
	if puts, gets := counts.Calls(faulty.Put), counts.Calls(faulty.Get); puts != 5 || gets != 0 {
		t.Errorf("%d PUTs and %d GETs, want the 5 of the source and none", puts, gets)
	}
	wantBytes(t, out, 7, data[1:])
	wantBytes(t, out, 0, make([]byte, 7))
}

func TestRangeHandles(t *testing.T) {
	f := newRig(t, nil).mount(0)
	ctx := t.Context()
	w := create(t, f, "f")
	defer w.Release(ctx)
	write(t, w, 0, []byte("data"))
	ro, _ := open(t, f, "f", syscall.O_RDONLY)
	defer ro.Release(ctx)
	wo, _ := open(t, f, "f", syscall.O_WRONLY)
	defer wo.Release(ctx)
	app, _ := open(t, f, "f", syscall.O_RDWR|syscall.O_APPEND)
	defer app.Release(ctx)
	if err := ro.Fallocate(ctx, 0, 0, 10); !errors.Is(err, posix.EBADF) {
		t.Errorf("allocate through a handle for reading: %v", err)
	}
	for name, c := range map[string][2]*Handle{"to reader": {w, ro}, "from writer": {wo, w}, "to appender": {w, app}} {
		if _, err := f.CopyRange(ctx, c[0], 0, c[1], 10, 1, 0); !errors.Is(err, posix.EBADF) {
			t.Errorf("copy %s: %v", name, err)
		}
	}
	if _, err := f.CopyRange(ctx, w, 0, w, 10, 1, 7); !errors.Is(err, posix.EINVAL) {
		t.Errorf("copy with flags: %v", err)
	}
}

// TestLocksOrderData: two mounts count up a number in a file, each under a lock and with the file open all the time.
func TestLocksOrderData(t *testing.T) {
	const rounds = 15
	r := newRig(t, nil)
	mounts := []*FS{r.mount(0), r.mount(0)}
	h := create(t, mounts[0], "f")
	write(t, h, 0, []byte("0000"))
	flushed(t, h)
	ino := h.Ino()
	h.Release(t.Context())
	ctx := t.Context()
	for _, lock := range map[string]func(f *FS, owner uint64, on bool) error{
		"flock": func(f *FS, owner uint64, on bool) error {
			typ := meta.FlockNone
			if on {
				typ = meta.FlockExclusive
			}
			_, err := f.Flock(ctx, ino, owner, typ, true)
			return err
		},
		"plock": func(f *FS, owner uint64, on bool) error {
			l := meta.Plock{Type: meta.PlockUnlock, End: meta.PlockEOF}
			if on {
				l.Type = meta.PlockWrite
			}
			_, err := f.Setlk(ctx, ino, owner, l, true)
			return err
		},
	} {
		var wg sync.WaitGroup
		for i, f := range mounts {
			g, _ := open(t, f, "f", syscall.O_RDWR)
			wg.Go(func() {
				defer g.Release(ctx)
				for range rounds {
					if err := errors.Join(lock(f, uint64(i), true), countUp(ctx, g), lock(f, uint64(i), false)); err != nil {
						t.Errorf("mount %d: %v", i, err)
						return
					}
				}
			})
		}
		wg.Wait()
		g, _ := open(t, mounts[0], "f", syscall.O_RDWR)
		want := fmt.Sprintf("%04d", 2*rounds)
		wantBytes(t, g, 0, []byte(want))
		write(t, g, 0, []byte("0000"))
		flushed(t, g)
		g.Release(ctx)
	}
}

func countUp(ctx context.Context, h *Handle) error {
	b := make([]byte, 4)
	if _, err := h.Read(ctx, 0, b); err != nil {
		return err
	}
	n, err := strconv.Atoi(string(b))
	if err != nil {
		return err
	}
	_, err = h.Write(ctx, 0, fmt.Appendf(nil, "%04d", n+1))
	return err
}

// TestLockStale: who gets a lock is told when the kernel's pages are old, and only then.
func TestLockStale(t *testing.T) {
	r := newRig(t, nil)
	a, b := r.mount(0), r.mount(0)
	ctx := t.Context()
	w := create(t, a, "f")
	defer w.Release(ctx)
	g, _ := open(t, b, "f", syscall.O_RDONLY)
	defer g.Release(ctx)
	locked := func(want bool) {
		t.Helper()
		stale, err := b.Flock(ctx, g.Ino(), 1, meta.FlockShared, true)
		if err != nil || stale != want {
			t.Errorf("stale %v, %v; want %v", stale, err, want)
		}
		if _, err := b.Flock(ctx, g.Ino(), 1, meta.FlockNone, false); err != nil {
			t.Error(err)
		}
	}
	locked(false)
	write(t, w, 0, []byte("new"))
	locked(false) // nothing is published
	flushed(t, w)
	locked(true)
	locked(false)
}

// TestUnlockKeepsError: a refused write is reported by close, although the unlock before it was the first to know.
func TestUnlockKeepsError(t *testing.T) {
	r := newRig(t, nil)
	f := r.mount(0)
	h := create(t, f, "f")
	defer h.Release(t.Context())
	if _, err := f.Flock(t.Context(), h.Ino(), 1, meta.FlockExclusive, false); err != nil {
		t.Fatal(err)
	}
	write(t, h, 2<<20, []byte("x"))
	root := meta.QuotaKey{Kind: meta.QuotaDir, ID: uint64(meta.RootIno)}
	if _, err := f.vol.SetQuota(t.Context(), root, meta.Limits{Space: 1 << 20, Inodes: -1}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Flock(t.Context(), h.Ino(), 1, meta.FlockNone, false); err != nil {
		t.Errorf("unlock: %v", err)
	}
	if err := h.Flush(t.Context()); !errors.Is(err, posix.EDQUOT) {
		t.Errorf("close: %v", err)
	}
	flushed(t, h)
}

// TestAtime: reading a file, a directory or a symlink sets the access time once.
func TestAtime(t *testing.T) {
	r := newRig(t, nil)
	r.atime = meta.RelAtime
	f := r.mount(0)
	ctx := t.Context()
	h := create(t, f, "f")
	write(t, h, 0, []byte("data"))
	flushed(t, h)
	defer h.Release(ctx)
	link, err := f.Mknod(ctx, meta.Root, meta.RootIno, "s", meta.New{Type: meta.TypeSymlink, Target: "f"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ino  meta.Ino
		read func() error
	}{
		"file": {h.Ino(), func() error { _, err := h.Read(ctx, 0, make([]byte, 4)); return err }},
		"open": {h.Ino(), func() error {
			g, _, err := f.Open(ctx, meta.Root, h.Ino(), syscall.O_RDONLY)
			if err == nil {
				g.Release(ctx)
			}
			return err
		}},
		"symlink": {link.Ino, func() error { _, err := f.Readlink(ctx, link.Ino); return err }},
		"directory": {meta.RootIno, func() error {
			d, err := f.OpenDir(ctx, meta.Root, meta.RootIno)
			if err != nil {
				return err
			}
			return d.Read(ctx, 0, false, func(DirEntry) bool { return true })
		}},
	} {
		old := meta.Time{Sec: 1000}
		if _, err := f.SetAttr(ctx, meta.Root, c.ino, SetAttr{Change: meta.Change{Atime: &old}}, nil); err != nil {
			t.Fatal(err)
		}
		before, err := f.vol.GetAttr(ctx, c.ino)
		if err != nil {
			t.Fatal(err)
		}
		var seen [2]meta.Attr
		for i := range seen {
			if err := c.read(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if seen[i], err = f.vol.GetAttr(ctx, c.ino); err != nil {
				t.Fatal(err)
			}
		}
		want := before
		want.Atime = seen[0].Atime
		if seen[0].Atime == old || seen[0] != want || seen[1] != seen[0] {
			t.Errorf("%s: before %+v, after one access %+v, after two %+v", name, before, seen[0], seen[1])
		}
	}
}

func TestTmpfile(t *testing.T) {
	f := newRig(t, nil).mount(0)
	ctx := t.Context()
	node, h, err := f.Tmpfile(ctx, meta.Root, meta.RootIno, meta.New{Mode: 0600}, syscall.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	write(t, h, 0, []byte("data"))
	flushed(t, h)
	wantBytes(t, h, 0, []byte("data"))
	if _, err := f.Link(ctx, meta.Root, node.Ino, meta.RootIno, "named"); err != nil {
		t.Fatal(err)
	}
	h.Release(ctx)
	g, _ := open(t, f, "named", syscall.O_RDONLY)
	defer g.Release(ctx)
	wantBytes(t, g, 0, []byte("data"))
}

func TestFlagsOfFiles(t *testing.T) {
	f := newRig(t, nil).mount(0)
	ctx := t.Context()
	h := create(t, f, "f")
	defer h.Release(ctx)
	write(t, h, 0, []byte("data"))
	flushed(t, h)
	if err := f.SetFlags(ctx, meta.Root, h.Ino(), meta.IflagAppend); err != nil {
		t.Fatal(err)
	}
	if got, err := f.GetFlags(ctx, h.Ino()); err != nil || got != meta.IflagAppend {
		t.Errorf("flags %#x, %v", got, err)
	}
	if _, keep := open(t, f, "f", syscall.O_RDONLY); !keep {
		t.Error("a change of flags drops the kernel's pages")
	}
}
