package fstest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var renameTests = []test{
	{"file", renameFile}, {"over-file", renameOverFile}, {"dir", renameDir}, {"errors", renameErrors},
	{"same-file", renameSame}, {"no-replace", renameNoReplace}, {"exchange", renameExchange}, {"open", renameOpen},
}

func renameFile(t *testing.T, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "d", "b")
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0755))
	write(t, a, "text")
	ino := lstat(t, a).Ino
	must(t, os.Rename(a, b))
	gone(t, a)
	holds(t, b, "text")
	equal(t, "inode", lstat(t, b).Ino, ino)
	must(t, os.Symlink("none", a))
	must(t, os.Rename(a, filepath.Join(dir, "d", "s")))
	equal(t, "type of a moved symlink", lstat(t, filepath.Join(dir, "d", "s")).Mode&unix.S_IFMT, unix.S_IFLNK)
}

// renameOverFile is how programs save: write beside, then rename over.
func renameOverFile(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	write(t, path, "old")
	old := open(t, path, os.O_RDONLY)
	for _, text := range []string{"first", "second", "third"} {
		write(t, path+".tmp", text)
		must(t, os.Rename(path+".tmp", path))
		holds(t, path, text)
		gone(t, path+".tmp")
	}
	equal(t, "read of the replaced file", string(readAt(t, old, 0, 10)), "old")
	equal(t, "links of the replaced file", fstat(t, old).Nlink, 0)
}

func renameDir(t *testing.T, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	must(t, os.MkdirAll(filepath.Join(a, "x"), 0755))
	must(t, os.Mkdir(b, 0755))
	write(t, filepath.Join(a, "x", "f"), "text")
	links := countsLinks(t, b)
	must(t, os.Rename(filepath.Join(a, "x"), filepath.Join(b, "y")))
	holds(t, filepath.Join(b, "y", "f"), "text")
	equal(t, "parent of the moved directory", lstat(t, filepath.Join(b, "y", "..")).Ino, lstat(t, b).Ino)
	if links {
		equal(t, "links of the old parent", lstat(t, a).Nlink, 2)
		equal(t, "links of the new parent", lstat(t, b).Nlink, 3)
	}
	must(t, unix.Rename(b, a)) // over an empty directory
	gone(t, b)
	holds(t, filepath.Join(a, "y", "f"), "text")
}

func renameErrors(t *testing.T, dir string) {
	p := func(name string) string { return filepath.Join(dir, name) }
	write(t, p("f"), "")
	must(t, os.MkdirAll(p("d/e/g"), 0755))
	must(t, os.Mkdir(p("empty"), 0755))
	for _, c := range []struct {
		from, to string
		want     syscall.Errno
	}{
		{"none", "x", syscall.ENOENT},
		{"f", "none/x", syscall.ENOENT},
		{"f", "empty", syscall.EISDIR},
		{"empty", "f", syscall.ENOTDIR},
		{"f", "f/x", syscall.ENOTDIR},
		{"empty", "d", syscall.ENOTEMPTY},
		{"d", "d/x", syscall.EINVAL},
		{"d", "d/e/g/x", syscall.EINVAL},
		{"d/e", "d", syscall.ENOTEMPTY},
	} {
		wantErr(t, c.from+" to "+c.to, unix.Rename(p(c.from), p(c.to)), c.want)
	}
	lstat(t, p("f"))
	lstat(t, p("d/e/g"))
	lstat(t, p("empty"))
}

// renameSame: two names of one file both stay.
func renameSame(t *testing.T, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, a, "text")
	must(t, os.Link(a, b))
	must(t, unix.Rename(a, b))
	must(t, unix.Rename(a, a))
	equal(t, "links", lstat(t, a).Nlink, 2)
	holds(t, b, "text")
}

func renameNoReplace(t *testing.T, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, a, "a")
	write(t, b, "b")
	move := func() error { return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_NOREPLACE) }
	wantErr(t, "rename over a file", move(), syscall.EEXIST)
	must(t, os.Remove(b))
	must(t, move())
	holds(t, b, "a")
	gone(t, a)
}

func renameExchange(t *testing.T, dir string) {
	a, d := filepath.Join(dir, "a"), filepath.Join(dir, "d")
	must(t, os.MkdirAll(filepath.Join(d, "sub"), 0755))
	write(t, a, "text")
	swap := func(x, y string) error {
		return unix.Renameat2(unix.AT_FDCWD, x, unix.AT_FDCWD, y, unix.RENAME_EXCHANGE)
	}
	must(t, swap(a, d))
	holds(t, d, "text")
	lstat(t, filepath.Join(a, "sub"))
	wantErr(t, "exchange with nothing", swap(a, filepath.Join(dir, "none")), syscall.ENOENT)
	must(t, swap(d, filepath.Join(a, "sub"))) // across directories
	holds(t, filepath.Join(a, "sub"), "text")
	equal(t, "type", lstat(t, d).Mode&unix.S_IFMT, unix.S_IFDIR)
	equal(t, "parent", lstat(t, filepath.Join(d, "..")).Ino, lstat(t, dir).Ino)
}

// renameOpen: a descriptor follows its file.
func renameOpen(t *testing.T, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	f := open(t, a, os.O_RDWR|os.O_CREATE)
	writeAt(t, f, 0, []byte("before "))
	must(t, os.Rename(a, b))
	writeAt(t, f, 7, []byte("after"))
	must(t, f.Close())
	holds(t, b, "before after")
}
