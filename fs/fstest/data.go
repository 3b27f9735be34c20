package fstest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var dataTests = []test{
	{"offsets", dataOffsets}, {"sparse", dataSparse}, {"sizes", dataSizes}, {"model-at-chunk-border", dataModel},
	{"copy", dataCopy}, {"sync", dataSync}, {"seek-hole", dataSeek}, {"vectors", dataVectors},
}

// pattern gives n bytes that repeat nowhere near.
func pattern(n int, seed uint64) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

func dataOffsets(t *testing.T, dir string) {
	f := open(t, filepath.Join(dir, "f"), os.O_RDWR|os.O_CREATE)
	writeAt(t, f, 0, []byte("0123456789"))
	writeAt(t, f, 4, []byte("ab"))
	for _, c := range []struct {
		off  int64
		n    int
		want string
	}{{0, 10, "0123ab6789"}, {3, 4, "3ab6"}, {8, 10, "89"}, {10, 5, ""}, {1 << 40, 5, ""}} {
		equal(t, fmt.Sprintf("read %d at %d", c.n, c.off), string(readAt(t, f, c.off, c.n)), c.want)
	}
	_, err := unix.Pread(int(f.Fd()), make([]byte, 1), -1)
	wantErr(t, "read at a negative offset", err, syscall.EINVAL)
	n, err := f.Write(nil)
	must(t, err)
	equal(t, "empty write", n, 0)
	equal(t, "length", fstat(t, f).Size, 10)
}

func dataSparse(t *testing.T, dir string) {
	f := open(t, filepath.Join(dir, "f"), os.O_RDWR|os.O_CREATE)
	const far = 200<<20 + 123
	writeAt(t, f, far, []byte("end"))
	equal(t, "length", fstat(t, f).Size, far+3)
	for _, off := range []int64{0, 4<<20 - 10, 64<<20 - 100, 128 << 20, far - 1000} {
		b := readAt(t, f, off, 1000)
		equal(t, fmt.Sprintf("hole at %d", off), len(b) == 1000 && zeros(b), true)
	}
	equal(t, "data after the hole", string(readAt(t, f, far, 10)), "end")
	writeAt(t, f, 100<<20, []byte("mid"))
	b := readAt(t, f, 100<<20-3, 9)
	equal(t, "data inside the hole", string(b), "\x00\x00\x00mid\x00\x00\x00")
}

// dataSizes writes files whose sizes lie around the borders of pages and blocks, and reads them anew.
func dataSizes(t *testing.T, dir string) {
	for i, n := range []int{0, 1, 4095, 4096, 4097, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1<<20 + 1, 4<<20 - 1, 4 << 20, 4<<20 + 1, 9 << 20} {
		path := filepath.Join(dir, fmt.Sprint(n))
		data := pattern(n, uint64(i))
		must(t, os.WriteFile(path, data, 0644))
		got, err := os.ReadFile(path)
		must(t, err)
		if !bytes.Equal(got, data) {
			t.Errorf("file of %d bytes: read %d bytes that differ", n, len(got))
		}
	}
}

// dataModel compares a file with a byte array through random changes on both sides of a chunk border.
func dataModel(t *testing.T, dir string) {
	const (
		border = 64 << 20
		low    = border - 3<<20
		high   = border + 3<<20
		steps  = 300
	)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(dir, "f")
	f := open(t, path, os.O_RDWR|os.O_CREATE)
	model := make([]byte, 0, high)
	var history []string
	note := func(format string, args ...any) { history = append(history, fmt.Sprintf(format, args...)) }
	fail := func(what string) {
		t.Fatalf("%s; seed %d, last steps:\n%v", what, seed, history[max(0, len(history)-15):])
	}
	check := func(off, n int) {
		want := model[min(off, len(model)):min(off+n, len(model))]
		if got := readAt(t, f, int64(off), n); !bytes.Equal(got, want) {
			i := 0
			for i < min(len(got), len(want)) && got[i] == want[i] {
				i++
			}
			fail(fmt.Sprintf("read of %d at %d: %d bytes, want %d; they differ from byte %d on", n, off, len(got), len(want), off+i))
		}
	}
	for range steps {
		off := low + r.IntN(high-low)
		n := 1 + r.IntN(1<<(3+r.IntN(16)))
		switch k := r.IntN(20); {
		case k < 9:
			n = min(n, high-off)
			note("write %d at %d", n, off)
			data := pattern(n, r.Uint64())
			writeAt(t, f, int64(off), data)
			if off+n > len(model) {
				model = model[:off+n]
			}
			copy(model[off:], data)
		case k < 10:
			note("truncate to %d", off)
			must(t, f.Truncate(int64(off)))
			if off < len(model) {
				clear(model[off:])
			}
			model = model[:off]
		case k < 11:
			note("fsync")
			must(t, f.Sync())
		case k < 12:
			note("open anew")
			must(t, f.Close())
			f = open(t, path, os.O_RDWR)
		default:
			check(off, n)
		}
	}
	note("read all")
	equal(t, "length", fstat(t, f).Size, int64(len(model)))
	for off := 0; off < len(model); off += 1 << 20 {
		check(off, 1<<20)
	}
}

// dataCopy copies as the tools do: with copy_file_range and sendfile where the file system has them.
func dataCopy(t *testing.T, dir string) {
	data := pattern(3<<20+5, 1)
	must(t, os.WriteFile(filepath.Join(dir, "src"), data, 0644))
	src := open(t, filepath.Join(dir, "src"), os.O_RDONLY)
	dst := open(t, filepath.Join(dir, "dst"), os.O_WRONLY|os.O_CREATE)
	n, err := io.Copy(dst, src)
	must(t, err)
	equal(t, "bytes copied", n, int64(len(data)))
	got, err := os.ReadFile(filepath.Join(dir, "dst"))
	must(t, err)
	equal(t, "copy is equal", bytes.Equal(got, data), true)

	part := open(t, filepath.Join(dir, "part"), os.O_WRONLY|os.O_CREATE)
	from, to := int64(1<<20), int64(10)
	m, err := unix.CopyFileRange(int(src.Fd()), &from, int(part.Fd()), &to, 100_000, 0)
	must(t, err)
	got, err = os.ReadFile(filepath.Join(dir, "part"))
	must(t, err)
	equal(t, "part is equal", bytes.Equal(got, append(make([]byte, 10), data[1<<20:1<<20+m]...)), true)
}

func dataSync(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	f := open(t, path, os.O_RDWR|os.O_CREATE)
	writeAt(t, f, 0, []byte("durable"))
	must(t, f.Sync())
	must(t, unix.Fdatasync(int(f.Fd())))
	must(t, unix.Syncfs(int(f.Fd())))
	holds(t, path, "durable")
	d := open(t, dir, os.O_RDONLY)
	must(t, d.Sync())
}

// dataSeek: a file without holes, or in a file system that does not know them, is one extent.
func dataSeek(t *testing.T, dir string) {
	f := open(t, filepath.Join(dir, "f"), os.O_RDWR|os.O_CREATE)
	writeAt(t, f, 0, pattern(10_000, 3))
	must(t, f.Sync())
	for _, c := range []struct {
		off    int64
		whence int
		want   int64
	}{{5, unix.SEEK_DATA, 5}, {5, unix.SEEK_HOLE, 10_000}, {-1, unix.SEEK_END, 9_999}} {
		got, err := unix.Seek(int(f.Fd()), c.off, c.whence)
		must(t, err)
		equal(t, fmt.Sprintf("seek %d from %d", c.off, c.whence), got, c.want)
	}
	_, err := unix.Seek(int(f.Fd()), 10_000, unix.SEEK_DATA)
	wantErr(t, "SEEK_DATA at the end", err, syscall.ENXIO)
	_, err = unix.Seek(int(f.Fd()), -1, unix.SEEK_SET)
	wantErr(t, "seek before the start", err, syscall.EINVAL)
}

func dataVectors(t *testing.T, dir string) {
	f := open(t, filepath.Join(dir, "f"), os.O_RDWR|os.O_CREATE)
	n, err := unix.Pwritev(int(f.Fd()), [][]byte{[]byte("one,"), []byte("two,"), []byte("three")}, 2)
	must(t, err)
	equal(t, "bytes written", n, 13)
	a, b := make([]byte, 6), make([]byte, 20)
	n, err = unix.Preadv(int(f.Fd()), [][]byte{a, b}, 0)
	must(t, err)
	equal(t, "read", string(a)+string(b[:n-6]), "\x00\x00one,two,three")
}
