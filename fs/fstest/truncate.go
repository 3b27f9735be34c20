package fstest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var truncateTests = []test{{"down-and-up", truncateDownUp}, {"errors", truncateErrors}, {"fallocate", truncateFallocate}}

// truncateDownUp: what was cut off does not come back when the file grows again.
func truncateDownUp(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	f := open(t, path, os.O_RDWR|os.O_CREATE)
	data := pattern(5<<20, 9)
	writeAt(t, f, 0, data)
	for _, flushed := range []bool{false, true} {
		must(t, f.Truncate(1<<20+10))
		equal(t, "length after cutting", lstat(t, path).Size, 1<<20+10)
		if flushed {
			must(t, f.Sync())
		}
		must(t, os.Truncate(path, 5<<20))
		equal(t, "length after growing", fstat(t, f).Size, 5<<20)
		equal(t, "what was kept", string(readAt(t, f, 0, 1<<20+10)) == string(data[:1<<20+10]), true)
		equal(t, "what was cut off is zero", zeros(readAt(t, f, 1<<20+10, 4<<20)), true)
		writeAt(t, f, 0, data)
	}
	must(t, f.Truncate(0))
	must(t, f.Truncate(130<<20)) // over two chunk borders
	equal(t, "grown from nothing", zeros(readAt(t, f, 128<<20-500, 1000)), true)
}

func truncateErrors(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	write(t, path, "text")
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0755))
	wantErr(t, "truncate a directory", again(func() error { return unix.Truncate(filepath.Join(dir, "d"), 0) }), syscall.EISDIR)
	wantErr(t, "truncate nothing", again(func() error { return unix.Truncate(filepath.Join(dir, "none"), 0) }), syscall.ENOENT)
	wantErr(t, "truncate to less than nothing", again(func() error { return unix.Truncate(path, -1) }), syscall.EINVAL)
	r := open(t, path, os.O_RDONLY)
	wantErr(t, "truncate what is open for reading", again(func() error { return unix.Ftruncate(int(r.Fd()), 0) }), syscall.EINVAL)
	holds(t, path, "text")
}

// truncateFallocate: a file system has fallocate or says so in the way on which the C library writes zeros itself.
func truncateFallocate(t *testing.T, dir string) {
	f := open(t, filepath.Join(dir, "f"), os.O_RDWR|os.O_CREATE)
	writeAt(t, f, 0, []byte("text"))
	err := again(func() error { return unix.Fallocate(int(f.Fd()), 0, 0, 10_000) })
	if err != nil {
		wantErr(t, "fallocate", err, syscall.EOPNOTSUPP)
		return
	}
	equal(t, "length", fstat(t, f).Size, 10_000)
	equal(t, "text", string(readAt(t, f, 0, 4)), "text")
	equal(t, "zeros", zeros(readAt(t, f, 4, 10_000)), true)
}
