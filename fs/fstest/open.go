package fstest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var openTests = []test{
	{"modes", openModes}, {"errors", openErrors}, {"exclusive", openExclusive}, {"truncate", openTruncate},
	{"append", openAppend}, {"direct", openDirect}, {"created-read-only", openCreatedReadOnly}, {"seen-by-others", openSeen},
}

func openModes(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	write(t, path, "hello")
	r := open(t, path, os.O_RDONLY)
	_, err := r.Write([]byte("x"))
	wantErr(t, "write to a file opened for reading", err, syscall.EBADF)
	w := open(t, path, os.O_WRONLY)
	_, err = w.Read(make([]byte, 1))
	wantErr(t, "read from a file opened for writing", err, syscall.EBADF)
	rw := open(t, path, os.O_RDWR)
	writeAt(t, rw, 1, []byte("E"))
	equal(t, "read back", string(readAt(t, rw, 0, 9)), "hEllo")
}

func openErrors(t *testing.T, dir string) {
	write(t, filepath.Join(dir, "f"), "")
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0755))
	must(t, os.Symlink("f", filepath.Join(dir, "s")))
	must(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	for _, c := range []struct {
		path  string
		flags int
		want  syscall.Errno
	}{
		{"none", os.O_RDONLY, syscall.ENOENT},
		{"none/f", os.O_RDWR | os.O_CREATE, syscall.ENOENT},
		{"f/x", os.O_RDONLY, syscall.ENOTDIR},
		{"f/", os.O_RDONLY, syscall.ENOTDIR},
		{"f", os.O_RDONLY | syscall.O_DIRECTORY, syscall.ENOTDIR},
		{"d", os.O_WRONLY, syscall.EISDIR},
		{"d", os.O_RDONLY | os.O_CREATE, syscall.EISDIR},
		{"s", os.O_RDONLY | syscall.O_NOFOLLOW, syscall.ELOOP},
		{"loop", os.O_RDONLY, syscall.ELOOP},
	} {
		f, err := os.OpenFile(dir+"/"+c.path, c.flags, 0644)
		wantErr(t, "open "+c.path, err, c.want)
		if err == nil {
			_ = f.Close()
		}
	}
}

func openExclusive(t *testing.T, dir string) {
	const flags = os.O_RDWR | os.O_CREATE | os.O_EXCL
	path := filepath.Join(dir, "f")
	open(t, path, flags)
	_, err := os.OpenFile(path, flags, 0644)
	wantErr(t, "exclusive create of a file that is there", err, syscall.EEXIST)
	must(t, os.Symlink("nowhere", filepath.Join(dir, "s")))
	_, err = os.OpenFile(filepath.Join(dir, "s"), flags, 0644)
	wantErr(t, "exclusive create at a symlink", err, syscall.EEXIST)
	gone(t, filepath.Join(dir, "nowhere"))
	open(t, filepath.Join(dir, "s"), os.O_RDWR|os.O_CREATE)
	lstat(t, filepath.Join(dir, "nowhere"))
}

func openTruncate(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	write(t, path, "to be lost")
	reader := open(t, path, os.O_RDONLY)
	readAt(t, reader, 0, 10) // pages in the kernel's cache
	f := open(t, path, os.O_RDWR|os.O_TRUNC)
	equal(t, "length after O_TRUNC", fstat(t, f).Size, 0)
	equal(t, "length by another descriptor", fstat(t, reader).Size, 0)
	equal(t, "bytes by another descriptor", len(readAt(t, reader, 0, 10)), 0)
	writeAt(t, f, 3, []byte("x"))
	holds(t, path, "\x00\x00\x00x")
	g := open(t, path, os.O_RDWR|os.O_TRUNC|os.O_CREATE)
	equal(t, "length after O_CREAT and O_TRUNC", fstat(t, g).Size, 0)
}

func openAppend(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	a := open(t, path, os.O_WRONLY|os.O_CREATE|os.O_APPEND)
	b := open(t, path, os.O_WRONLY|os.O_APPEND)
	for i := range 10 {
		for _, f := range []*os.File{a, b} {
			_, err := f.WriteString(string(rune('a' + i)))
			must(t, err)
		}
	}
	// Linux appends with pwrite too, whatever the offset.
	_, err := unix.Pwrite(int(a.Fd()), []byte("!"), 0)
	must(t, err)
	holds(t, path, "aabbccddeeffgghhiijj!")
}

// openDirect reads and writes past the page cache.
func openDirect(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	data := pattern(1<<20, 7)
	must(t, os.WriteFile(path, data, 0644))
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_DIRECT, 0)
	must(t, err)
	defer f.Close() //nolint:errcheck // only read at the end
	page, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	must(t, err)
	defer unix.Munmap(page) //nolint:errcheck // its own mapping
	n, err := f.ReadAt(page, 0)
	must(t, err)
	equal(t, "bytes read", n, len(data))
	equal(t, "direct read", string(page) == string(data), true)
	for i := range page {
		page[i] ^= 0xff
	}
	writeAt(t, f, 0, page[:64<<10])
	got, err := os.ReadFile(path)
	must(t, err)
	equal(t, "direct write", string(got[:64<<10]) == string(page[:64<<10]), true)
	equal(t, "rest after direct write", string(got[64<<10:]) == string(data[64<<10:]), true)
}

// openCreatedReadOnly: the mode of a new file does not bind the descriptor that creates it.
func openCreatedReadOnly(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0400)
	must(t, err)
	defer f.Close() //nolint:errcheck // checked by the read below
	writeAt(t, f, 0, []byte("text"))
	equal(t, "mode", fstat(t, f).Mode&07777, 0400)
	holds(t, path, "text")
}

// openSeen: what one descriptor wrote is seen by another before any close.
func openSeen(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	w := open(t, path, os.O_RDWR|os.O_CREATE)
	r := open(t, path, os.O_RDONLY)
	writeAt(t, w, 0, []byte("one"))
	equal(t, "first read", string(readAt(t, r, 0, 10)), "one")
	writeAt(t, w, 3, []byte("two"))
	equal(t, "second read", string(readAt(t, r, 0, 10)), "onetwo")
	writeAt(t, w, 0, []byte("ONE"))
	equal(t, "third read", string(readAt(t, r, 0, 10)), "ONEtwo")
	equal(t, "length by name", lstat(t, path).Size, 6)
}
