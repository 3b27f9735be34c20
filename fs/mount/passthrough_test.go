package mount

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jfs/block"
	"jfs/cache"
	"jfs/fs"
	"jfs/internal/bytepool"
	"jfs/meta"
	memkv "jfs/meta/tkv/mem"
	"jfs/object/mem"
	"jfs/prefetch"
	"jfs/upload"

	"jfs/meta/tkv"
)

// passMount is a mount of a volume with a cache on disk.
type passMount struct {
	t      testing.TB
	fs     *fs.FS
	server *Server
	tier   *cache.Backed
	root   string
}

// newPassMounts makes mounts of one volume whose database and store are in memory. Files of any length can be read by
// passthrough.
func newPassMounts(t testing.TB, n int, edit func(*fs.Options)) []*passMount {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	f := meta.NewFormat("test", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	f.BlockSize, f.TrashDays = testBlock>>10, 0
	kv, objects := memkv.New(), mem.New()
	var all []*passMount
	for i := range n {
		engine := tkv.New(kv, tkv.Options{})
		if i == 0 {
			if err := meta.Create(t.Context(), engine, f, meta.Time{Sec: 1}); err != nil {
				t.Fatal(err)
			}
		}
		pool := bytepool.New(64 << 20)
		store := block.New(objects, block.Options{BlockSize: testBlock, Pool: pool})
		var backed atomic.Pointer[cache.Backed]
		disks, err := cache.OpenDisks([]string{t.TempDir()}, cache.DiskOptions{FreeRatio: -1, Beside: func() int64 {
			if b := backed.Load(); b != nil {
				return b.Bytes()
			}
			return 0
		}})
		if err != nil {
			t.Fatal(err)
		}
		tier, err := cache.OpenBacked(disks, cache.BackedOptions{BlockSize: testBlock})
		if err != nil {
			t.Fatal(err)
		}
		backed.Store(tier)
		tiers := cache.NewTiered(store, cache.TieredOptions{Disk: tier})
		up := upload.New(store, upload.Options{Cache: tiers})
		ahead := prefetch.New(tiers.FetchRange, prefetch.Options{Has: tiers.HasRange})
		v, err := meta.Open(ctx, engine, meta.Options{Heartbeat: -1})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.StartSession(ctx, meta.SessionInfo{Version: meta.CompatVersion}); err != nil {
			t.Fatal(err)
		}
		o := fs.Options{Blocks: tiers, Uploader: up, Prefetch: ahead, Pool: pool, Backed: tier, PassthroughLeast: 1}
		if edit != nil {
			edit(&o)
		}
		out := fs.New(v, o)
		t.Cleanup(func() {
			errs := []error{out.Close(ctx), up.Close(ctx), ahead.Close(), v.Close(ctx), tiers.Close(), store.Close(), engine.Close()}
			if err := errors.Join(errs...); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		s := serve(t, volume{out}, patient())
		all = append(all, &passMount{t, out, s, tier, s.MountPoint()})
	}
	return all
}

func (m *passMount) path(name string) string { return filepath.Join(m.root, name) }

func (m *passMount) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *passMount) write(name string, data []byte) {
	m.t.Helper()
	m.must(os.WriteFile(m.path(name), data, 0o644))
}

func (m *passMount) open(name string, flags int) *os.File {
	m.t.Helper()
	f, err := os.OpenFile(m.path(name), flags, 0o644)
	m.must(err)
	return f
}

// passing is how many files the kernel reads by itself.
func (m *passMount) passing() int {
	b := m.server.a.backings
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.ids)
}

// await waits until something is so, which other processes and the kernel bring about.
func (m *passMount) await(what string, so func() bool) {
	m.t.Helper()
	for end := time.Now().Add(20 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// closed waits until the kernel has told of every close.
func (m *passMount) closed() {
	m.t.Helper()
	m.await("all is closed", func() bool { return m.server.OpenHandles() == 0 })
}

// pass opens a file for reading by passthrough, after it was read as a whole.
func (m *passMount) pass(name string) (f *os.File) {
	m.t.Helper()
	m.await("passthrough of "+name, func() bool {
		if f != nil {
			f.Close()
		}
		m.closed()
		_, err := os.ReadFile(m.path(name))
		m.must(err)
		m.closed()
		m.tier.Flush()
		before := m.passing()
		f = m.open(name, os.O_RDONLY)
		return m.passing() > before
	})
	return f
}

func (m *passMount) sees(f *os.File, want []byte) {
	m.t.Helper()
	got := make([]byte, len(want)+100)
	n, err := f.ReadAt(got, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		m.t.Fatal(err)
	}
	if !bytes.Equal(got[:n], want) {
		at := 0
		for at < min(n, len(want)) && got[at] == want[at] {
			at++
		}
		m.t.Fatalf("%s: %d bytes, want %d; they differ from %d on", f.Name(), n, len(want), at)
	}
	info, err := f.Stat()
	if err != nil || info.Size() != int64(len(want)) {
		m.t.Fatalf("%s: length %d, want %d, %v", f.Name(), info.Size(), len(want), err)
	}
}

func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(b) // never fails
	return b
}

// TestPassthroughReads: files of any length are read whole by the kernel alone.
func TestPassthroughReads(t *testing.T) {
	m := newPassMounts(t, 1, nil)[0]
	for i, n := range []int{1, 4095, 4096, 4097, testBlock, testBlock*3 + 777, 1<<20 + 1} {
		data := noise(n, uint64(i))
		m.write("f", data)
		if n > testBlock { // a hole
			w := m.open("f", os.O_RDWR)
			m.must(unix.Fallocate(int(w.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 8192, 50000))
			m.must(w.Close())
			clear(data[8192:58192])
		}
		f := m.pass("f")
		m.sees(f, data)
		g := m.open("f", os.O_RDONLY)
		m.sees(g, data)
		mem, err := syscall.Mmap(int(g.Fd()), 0, n, syscall.PROT_READ, syscall.MAP_SHARED)
		m.must(err)
		f.Close()
		g.Close()
		if !bytes.Equal(mem, data) {
			t.Fatal("the mapping differs")
		}
		m.must(syscall.Munmap(mem))
	}
}

// TestPassthroughFollowsWriters: what this mount changes while the kernel reads a file by itself is read at once, however
// it is changed, and is in the volume.
func TestPassthroughFollowsWriters(t *testing.T) {
	all := newPassMounts(t, 2, nil)
	m, other := all[0], all[1]
	data := noise(5*testBlock+123, 1)
	for name, change := range map[string]func(w *os.File) []byte{
		"write": func(w *os.File) []byte {
			_, err := w.WriteAt([]byte("hello"), 100)
			m.must(err)
			return append(append(append([]byte{}, data[:100]...), "hello"...), data[105:]...)
		},
		"write behind the end": func(w *os.File) []byte {
			_, err := w.WriteAt([]byte("hello"), int64(len(data)+5000))
			m.must(err)
			return append(append(append([]byte{}, data...), make([]byte, 5000)...), "hello"...)
		},
		"truncate": func(w *os.File) []byte {
			m.must(w.Truncate(70001))
			return data[:70001]
		},
		"truncate by name": func(w *os.File) []byte {
			m.must(os.Truncate(m.path("f"), 70001))
			m.must(os.Truncate(m.path("f"), 80001))
			return append(append([]byte{}, data[:70001]...), make([]byte, 10000)...)
		},
		"O_TRUNC": func(w *os.File) []byte {
			m.must(os.WriteFile(m.path("f"), []byte("new"), 0o644))
			return []byte("new")
		},
		"append": func(*os.File) []byte {
			a := m.open("f", os.O_WRONLY|os.O_APPEND)
			_, err := a.Write([]byte("tail"))
			m.must(err)
			m.must(a.Close())
			return append(append([]byte{}, data...), "tail"...)
		},
		"punch": func(w *os.File) []byte {
			m.must(unix.Fallocate(int(w.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 1000, 90000))
			return append(append(append([]byte{}, data[:1000]...), make([]byte, 90000)...), data[91000:]...)
		},
		"extend": func(w *os.File) []byte {
			m.must(unix.Fallocate(int(w.Fd()), 0, 0, int64(len(data)+9999)))
			return append(append([]byte{}, data...), make([]byte, 9999)...)
		},
		"copy": func(w *os.File) []byte {
			from, to := int64(10), int64(testBlock)
			src := m.open("src", os.O_RDONLY)
			n, err := unix.CopyFileRange(int(src.Fd()), &from, int(w.Fd()), &to, 30000, 0)
			m.must(src.Close())
			if n != 30000 {
				t.Fatalf("copied %d: %v", n, err)
			}
			want := append([]byte{}, data...)
			copy(want[testBlock:], noise(100000, 9)[10:30010])
			return want
		},
		"mapping": func(w *os.File) []byte {
			mem, err := syscall.Mmap(int(w.Fd()), 0, len(data), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
			m.must(err)
			copy(mem[5000:], "mapped")
			_, err = w.WriteAt([]byte("written"), 5010) // in the same page
			m.must(err)
			copy(mem[5020:], "again")
			mem[0]++
			m.must(w.Sync())
			mem[len(data)-1]++
			want := append([]byte{}, mem...)
			m.must(syscall.Munmap(mem))
			return want
		},
		"mapping of a closed file": func(*os.File) []byte {
			w := m.open("f", os.O_RDWR)
			mem, err := syscall.Mmap(int(w.Fd()), 0, len(data), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
			m.must(err)
			m.must(w.Close())
			m.closedBut(2)
			copy(mem[5000:], "mapped")
			want := append([]byte{}, mem...)
			m.must(syscall.Munmap(mem))
			return want
		},
	} {
		t.Run(name, func(t *testing.T) {
			m.write("src", noise(100000, 9))
			m.write("f", data)
			r := m.pass("f")
			w := m.open("f", os.O_RDWR)
			want := change(w)
			m.sees(r, want)
			if name != "mapping of a closed file" {
				m.sees(w, want)
			}
			late := m.open("f", os.O_RDONLY)
			m.sees(late, want)
			m.must(w.Close())
			m.must(late.Close())
			m.must(r.Close())
			m.closed()
			if name == "mapping of a closed file" { // nobody is told of the end of a mapping
				m.await("what was mapped is in the volume", func() bool {
					got, err := os.ReadFile(other.path("f"))
					m.must(err)
					return bytes.Equal(got, want)
				})
			}
			for _, p := range all {
				got, err := os.ReadFile(p.path("f"))
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("afterwards %d bytes, want %d, %v", len(got), len(want), err)
				}
			}
		})
	}
}

// closedBut waits until the kernel has told of every close but n.
func (m *passMount) closedBut(n int) {
	m.t.Helper()
	m.await("files are closed", func() bool { return m.server.OpenHandles() == n })
}

// TestPassthroughMapping: what was mapped by passthrough stays the file, also when the file is closed and opened otherwise.
func TestPassthroughMapping(t *testing.T) {
	m := newPassMounts(t, 1, nil)[0]
	data := noise(3*testBlock, 1)
	m.write("f", data)
	r := m.pass("f")
	mem, err := syscall.Mmap(int(r.Fd()), 0, len(data), syscall.PROT_READ, syscall.MAP_SHARED)
	m.must(err)
	m.must(r.Close())
	m.closed()
	w := m.open("f", os.O_RDWR)
	for i, at := range []int64{0, 70000, int64(len(data) - 6)} {
		_, err := w.WriteAt([]byte{'w', 'r', 'i', 't', 'e', byte(i)}, at)
		m.must(err)
		copy(data[at:], []byte{'w', 'r', 'i', 't', 'e', byte(i)})
		if !bytes.Equal(mem, data) {
			t.Fatalf("the mapping does not follow a write at %d", at)
		}
	}
	m.must(w.Close())
	m.must(syscall.Munmap(mem))
	m.closed()
	m.sees(m.pass("f"), data)
}

// TestPassthroughOtherMount: an open after another mount has closed its changes reads them, whoever has the file open.
func TestPassthroughOtherMount(t *testing.T) {
	all := newPassMounts(t, 2, nil)
	m, other := all[0], all[1]
	data := noise(5*testBlock+123, 1)
	m.write("f", data)
	for i := range 4 {
		r := m.pass("f")
		m.sees(r, data)
		w := other.open("f", os.O_RDWR)
		at := i * testBlock
		copy(data[at:], noise(3000, uint64(i)+50))
		_, err := w.WriteAt(data[at:at+3000], int64(at))
		m.must(err)
		if i%2 == 1 {
			data = append(data[:len(data)-1000], noise(i*2500, 3)...)
			m.must(w.Truncate(int64(len(data) - i*2500)))
			_, err := w.WriteAt(data[len(data)-i*2500:], int64(len(data)-i*2500))
			m.must(err)
		}
		m.must(w.Close())
		if i < 2 {
			late := m.open("f", os.O_RDONLY) // while r is open
			m.sees(late, data)
			m.sees(r, data)
			m.must(late.Close())
		}
		m.must(r.Close())
		m.closed()
		late := m.open("f", os.O_RDONLY)
		m.sees(late, data)
		m.must(late.Close())
	}
	// Without an open it comes when somebody has looked.
	r := m.pass("f")
	other.write("f", []byte("short"))
	m.await("what was open follows", func() bool {
		_, err := os.Stat(m.path("f"))
		m.must(err)
		got := make([]byte, 10)
		n, _ := r.ReadAt(got, 0) //nolint:errcheck // the end of the file
		return string(got[:n]) == "short"
	})
}

// TestPassthroughNames: files without a name, or with another one, are read on.
func TestPassthroughNames(t *testing.T) {
	m := newPassMounts(t, 1, nil)[0]
	data := noise(testBlock+5, 1)
	m.write("f", data)
	r := m.pass("f")
	m.write("new", []byte("new"))
	m.must(os.Rename(m.path("new"), m.path("f")))
	m.sees(r, data)
	got, err := os.ReadFile(m.path("f"))
	if string(got) != "new" || err != nil {
		t.Errorf("the new file: %q, %v", got, err)
	}
	m.must(r.Close())
	m.write("g", data)
	s := m.pass("g")
	m.must(os.Remove(m.path("g")))
	m.sees(s, data)
	m.must(s.Close())
	m.closed()
}

// TestPassthroughEviction: what goes from the cache is read on by who has it.
func TestPassthroughEviction(t *testing.T) {
	m := newPassMounts(t, 1, nil)[0]
	data := noise(3*testBlock, 1)
	m.write("f", data)
	r := m.pass("f")
	info, err := r.Stat()
	m.must(err)
	ino := info.Sys().(*syscall.Stat_t).Ino
	if !m.tier.Knows(ino) {
		t.Fatal("no backing")
	}
	for id := range uint64(100) {
		m.tier.Remove(block.Key{Slice: id, Size: testBlock})
	}
	if m.tier.Knows(ino) {
		t.Fatal("the backing is still there")
	}
	m.sees(r, data)
	late := m.open("f", os.O_RDONLY)
	m.sees(late, data)
	m.must(late.Close())
	m.must(r.Close())
	m.closed()
	got, err := os.ReadFile(m.path("f"))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("afterwards %d bytes, %v", len(got), err)
	}
}

// TestPassthroughNotBesideOthers: who was first decides, because the kernel takes no mixture.
func TestPassthroughNotBesideOthers(t *testing.T) {
	m := newPassMounts(t, 1, nil)[0]
	data := noise(3*testBlock, 1)
	m.write("f", data)
	m.must(m.pass("f").Close())
	m.closed()
	w := m.open("f", os.O_RDWR)
	r := m.open("f", os.O_RDONLY)
	if m.passing() != 0 {
		t.Error("passthrough beside a writer")
	}
	_, err := w.WriteAt([]byte("x"), 5)
	m.must(err)
	data[5] = 'x'
	m.sees(r, data)
	m.must(w.Close())
	m.must(r.Close())

	r = m.pass("f")
	direct := m.open("f", os.O_RDONLY|syscall.O_DIRECT)
	got := make([]byte, 100)
	if _, err := direct.ReadAt(got, 3); err != nil || !bytes.Equal(got, data[3:103]) { // as little aligned as ever
		t.Errorf("O_DIRECT: %v", err)
	}
	m.must(direct.Close())
	m.must(r.Close())
}
