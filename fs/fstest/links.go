package fstest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var unlinkTests = []test{{"while-open", unlinkOpen}, {"errors", unlinkErrors}, {"recreated", unlinkRecreated}}

var linkTests = []test{{"hard", linkHard}, {"hard-errors", linkErrors}, {"symlinks", linkSymlinks}, {"symlink-errors", linkSymlinkErrors}}

func unlinkOpen(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	data := pattern(200_000, 6)
	must(t, os.WriteFile(path, data, 0644))
	f := open(t, path, os.O_RDWR)
	must(t, os.Remove(path))
	gone(t, path)
	equal(t, "links", fstat(t, f).Nlink, 0)
	equal(t, "read after unlink", string(readAt(t, f, 0, len(data))) == string(data), true)
	writeAt(t, f, 100, []byte("still writable"))
	must(t, f.Sync())
	equal(t, "read of what was written after unlink", string(readAt(t, f, 100, 14)), "still writable")
	must(t, f.Truncate(50))
	equal(t, "length", fstat(t, f).Size, 50)
	must(t, f.Chmod(0600))
	equal(t, "mode", fstat(t, f).Mode&0777, 0600)
	must(t, f.Close())
	gone(t, path)
}

func unlinkErrors(t *testing.T, dir string) {
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0755))
	write(t, filepath.Join(dir, "f"), "")
	wantErr(t, "unlink a directory", unix.Unlink(filepath.Join(dir, "d")), syscall.EISDIR)
	wantErr(t, "unlink nothing", unix.Unlink(filepath.Join(dir, "none")), syscall.ENOENT)
	wantErr(t, "unlink below a file", unix.Unlink(filepath.Join(dir, "f", "x")), syscall.ENOTDIR)
}

// unlinkRecreated: a new file under an old name is a new file.
func unlinkRecreated(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	write(t, path, "old")
	old := open(t, path, os.O_RDONLY)
	must(t, os.Remove(path))
	write(t, path, "new")
	holds(t, path, "new")
	equal(t, "read of the old file", string(readAt(t, old, 0, 10)), "old")
	if fstat(t, old).Ino == lstat(t, path).Ino {
		t.Error("old and new file have the same inode number")
	}
}

func linkHard(t *testing.T, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "d", "b")
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0755))
	write(t, a, "text")
	equal(t, "links of a new file", lstat(t, a).Nlink, 1)
	must(t, os.Link(a, b))
	equal(t, "links", lstat(t, a).Nlink, 2)
	equal(t, "inode", lstat(t, a).Ino, lstat(t, b).Ino)
	write(t, b, "changed through the other name")
	holds(t, a, "changed through the other name")
	must(t, os.Remove(a))
	equal(t, "links after unlink", lstat(t, b).Nlink, 1)
	holds(t, b, "changed through the other name")
	must(t, os.Symlink("nowhere", a))
	must(t, unix.Linkat(unix.AT_FDCWD, a, unix.AT_FDCWD, filepath.Join(dir, "c"), 0))
	equal(t, "links of a symlink", lstat(t, a).Nlink, 2)
}

func linkErrors(t *testing.T, dir string) {
	a := filepath.Join(dir, "a")
	write(t, a, "")
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0755))
	wantErr(t, "link a directory", unix.Link(filepath.Join(dir, "d"), filepath.Join(dir, "x")), syscall.EPERM)
	wantErr(t, "link over a file", unix.Link(a, a), syscall.EEXIST)
	wantErr(t, "link over a directory", unix.Link(a, filepath.Join(dir, "d")), syscall.EEXIST)
	wantErr(t, "link nothing", unix.Link(filepath.Join(dir, "none"), filepath.Join(dir, "x")), syscall.ENOENT)
	wantErr(t, "link into nothing", unix.Link(a, filepath.Join(dir, "none", "x")), syscall.ENOENT)
	equal(t, "links", lstat(t, a).Nlink, 1)
}

func linkSymlinks(t *testing.T, dir string) {
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0755))
	write(t, filepath.Join(dir, "d", "f"), "text")
	long := strings.Repeat("x/", 2000) + "end" // 4003 bytes
	for name, target := range map[string]string{"abs": filepath.Join(dir, "d"), "rel": "d", "dangling": "none", "long": long} {
		path := filepath.Join(dir, name)
		must(t, os.Symlink(target, path))
		got, err := os.Readlink(path)
		must(t, err)
		equal(t, "target of "+name, got, target)
		st := lstat(t, path)
		equal(t, "length of "+name, st.Size, int64(len(target)))
		equal(t, "mode of "+name, st.Mode, unix.S_IFLNK|0777)
	}
	holds(t, filepath.Join(dir, "abs", "f"), "text")
	holds(t, filepath.Join(dir, "rel", "f"), "text")
	_, err := os.Stat(filepath.Join(dir, "dangling"))
	wantErr(t, "stat through a dangling symlink", err, syscall.ENOENT)
	must(t, os.Remove(filepath.Join(dir, "rel")))
	holds(t, filepath.Join(dir, "d", "f"), "text")
}

func linkSymlinkErrors(t *testing.T, dir string) {
	write(t, filepath.Join(dir, "f"), "")
	wantErr(t, "empty target", unix.Symlink("", filepath.Join(dir, "s")), syscall.ENOENT)
	wantErr(t, "name that is there", unix.Symlink("x", filepath.Join(dir, "f")), syscall.EEXIST)
	wantErr(t, "target of 4096 bytes", unix.Symlink(strings.Repeat("x", 4096), filepath.Join(dir, "s")), syscall.ENAMETOOLONG)
	_, err := unix.Readlink(filepath.Join(dir, "f"), make([]byte, 10))
	wantErr(t, "readlink of a file", err, syscall.EINVAL)
}
