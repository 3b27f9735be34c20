package fstest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var allocTests = []test{
	{"fallocate", allocModes}, {"fallocate-errors", allocErrors}, {"copy", allocCopy}, {"copy-errors", allocCopyErrors},
	{"holes", allocHoles}, {"tmpfile", allocTmpfile},
}

func fallocate(f *os.File, mode uint32, off, n int64) error {
	return again(func() error { return unix.Fallocate(int(f.Fd()), mode, off, n) })
}

func allocModes(t *testing.T, dir string) {
	f := open(t, filepath.Join(dir, "f"), os.O_RDWR|os.O_CREATE)
	data := pattern(200_000, 5)
	writeAt(t, f, 0, data)
	must(t, fallocate(f, 0, 150_000, 100_000))
	equal(t, "size", fstat(t, f).Size, 250_000)
	must(t, fallocate(f, unix.FALLOC_FL_KEEP_SIZE, 0, 1<<20))
	equal(t, "size kept", fstat(t, f).Size, 250_000)
	want := append(bytes.Clone(data), make([]byte, 50_000)...)
	equal(t, "contents", bytes.Equal(readAt(t, f, 0, 300_000), want), true)
	must(t, fallocate(f, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 1000, 50_000))
	clear(want[1000:51_000])
	equal(t, "contents with a hole", bytes.Equal(readAt(t, f, 0, 300_000), want), true)
	switch err := fallocate(f, unix.FALLOC_FL_ZERO_RANGE, 240_000, 20_000); {
	case errors.Is(err, syscall.EOPNOTSUPP): // tmpfs
		return
	default:
		must(t, err)
	}
	want = append(want, make([]byte, 10_000)...)
	clear(want[240_000:])
	equal(t, "zeroed contents", bytes.Equal(readAt(t, f, 0, 300_000), want), true)
	must(t, f.Close())
	holds(t, f.Name(), string(want))
}

func allocErrors(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	f := open(t, path, os.O_RDWR|os.O_CREATE)
	wantErr(t, "no bytes", fallocate(f, 0, 0, 0), syscall.EINVAL)
	wantErr(t, "negative offset", fallocate(f, 0, -1, 1), syscall.EINVAL)
	wantErr(t, "read-only descriptor", fallocate(open(t, path, os.O_RDONLY), 0, 0, 1), syscall.EBADF)
	wantErr(t, "punch and grow", fallocate(f, unix.FALLOC_FL_PUNCH_HOLE, 0, 1), syscall.EOPNOTSUPP)
	equal(t, "size", fstat(t, f).Size, 0)
}

func copyRange(in *os.File, offIn int64, out *os.File, offOut int64, n int) (int, error) {
	got := 0
	err := again(func() (err error) {
		got, err = unix.CopyFileRange(int(in.Fd()), &offIn, int(out.Fd()), &offOut, n, 0)
		return err
	})
	return got, err
}

func allocCopy(t *testing.T, dir string) {
	in, out := open(t, filepath.Join(dir, "in"), os.O_RDWR|os.O_CREATE), open(t, filepath.Join(dir, "out"), os.O_RDWR|os.O_CREATE)
	data := pattern(500_000, 9)
	writeAt(t, in, 0, data)
	writeAt(t, out, 0, bytes.Repeat([]byte{7}, 100_000))
	readAt(t, out, 0, 100_000) // so that somebody has it in a cache
	for done := 0; done < 300_000; {
		n, err := copyRange(in, int64(1001+done), out, int64(50_003+done), 300_000-done)
		must(t, err)
		if n == 0 {
			t.Fatalf("copied nothing at %d", done)
		}
		done += n
	}
	want := append(bytes.Repeat([]byte{7}, 50_003), data[1001:301_001]...)
	equal(t, "contents", bytes.Equal(readAt(t, out, 0, 400_000), want), true)
	n, err := copyRange(in, 499_000, out, 0, 5000)
	must(t, err)
	equal(t, "bytes up to the end of the source", n, 1000)
	n, err = copyRange(in, 500_000, out, 0, 5000)
	must(t, err)
	equal(t, "bytes behind the end of the source", n, 0)
	copy(want, data[499_000:])
	writeAt(t, in, 2000, make([]byte, 100)) // the copy is its own
	equal(t, "contents", bytes.Equal(readAt(t, out, 0, 400_000), want), true)
	// within one file
	if n, err = copyRange(out, 0, out, 400_000, 1000); err != nil || n != 1000 {
		t.Errorf("copy within a file: %d, %v", n, err)
	}
	equal(t, "size", fstat(t, out).Size, 401_000)
	equal(t, "copied within a file", bytes.Equal(readAt(t, out, 400_000, 1000), want[:1000]), true)
}

func allocCopyErrors(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	f := open(t, path, os.O_RDWR|os.O_CREATE)
	writeAt(t, f, 0, make([]byte, 10_000))
	_, err := copyRange(f, 0, f, 100, 1000)
	wantErr(t, "onto itself", err, syscall.EINVAL)
	_, err = copyRange(f, 0, open(t, path, os.O_RDONLY), 20_000, 1000)
	wantErr(t, "to a read-only descriptor", err, syscall.EBADF)
	_, err = copyRange(open(t, path, os.O_WRONLY), 0, f, 20_000, 1000)
	wantErr(t, "from a write-only descriptor", err, syscall.EBADF)
	_, err = copyRange(f, 0, open(t, path, os.O_RDWR|os.O_APPEND), 20_000, 1000)
	wantErr(t, "to an appending descriptor", err, syscall.EBADF)
}

// allocHoles: file systems may take holes for data, and those of less than a page must be.
func allocHoles(t *testing.T, dir string) {
	f := open(t, filepath.Join(dir, "f"), os.O_RDWR|os.O_CREATE)
	const far = 100 << 20
	writeAt(t, f, 0, pattern(4096, 1))
	writeAt(t, f, far, pattern(4096, 2))
	seek := func(off int64, whence int) (at int64, err error) {
		err = again(func() error { at, err = unix.Seek(int(f.Fd()), off, whence); return err })
		return at, err
	}
	for _, c := range []struct {
		off         int64
		whence      int
		least, most int64
	}{
		{0, unix.SEEK_DATA, 0, 0}, {far, unix.SEEK_DATA, far, far}, {8192, unix.SEEK_DATA, 8192, far},
		{0, unix.SEEK_HOLE, 4096, far + 4096}, {far, unix.SEEK_HOLE, far + 4096, far + 4096},
	} {
		if at, err := seek(c.off, c.whence); err != nil || at < c.least || at > c.most {
			t.Errorf("seek %d from %d: %d, %v; want %d to %d", c.whence, c.off, at, err, c.least, c.most)
		}
	}
	for _, whence := range []int{unix.SEEK_DATA, unix.SEEK_HOLE} {
		_, err := seek(far+4096, whence)
		wantErr(t, "seek from the end", err, syscall.ENXIO)
	}
}

func allocTmpfile(t *testing.T, dir string) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0640)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return // some file systems have none
	}
	must(t, err)
	f := os.NewFile(uintptr(fd), "tmpfile")
	defer f.Close() //nolint:errcheck // nothing to report
	writeAt(t, f, 0, []byte("data"))
	st := fstat(t, f)
	equal(t, "links", st.Nlink, 0)
	equal(t, "names in the directory", len(names(t, dir)), 2) // . and ..
	path := filepath.Join(dir, "named")
	must(t, unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW))
	holds(t, path, "data")
	equal(t, "links of the named", lstat(t, path).Nlink, 1)
	equal(t, "inode", lstat(t, path).Ino, st.Ino)
}
