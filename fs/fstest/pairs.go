package fstest

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

var pairCases = cases{
	{"rename", pairRename}, {"exchange", pairExchange}, {"no-replace", pairNoReplace}, {"whiteout", pairWhiteout},
	{"flags", pairFlags}, {"dots", pairDots}, {"below-itself", pairBelow}, {"remove", pairRemove}, {"link", pairLink},
	{"same-inode", pairSame}, {"nlink", pairNlink}, {"mountpoint", pairDevice},
}

func renameat2(from, to string, flags uint) error {
	return again(func() error { return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags) })
}

// pairs runs a part for each type of inode moved onto each type.
func (b bed) pairs(fn func(b bed, from, to uint32)) {
	b.ofKinds(func(b bed, _ string, from uint32, mkFrom func(string) error) {
		b.ofKinds(func(b bed, _ string, to uint32, mkTo func(string) error) {
			b.mkdir("a", 0755)
			b.mkdir("b", 0755)
			must(b.T, mkFrom(b.at("a/x")))
			must(b.T, mkTo(b.at("b/y")))
			fn(b, from, to)
		})
	})
}

func (b bed) is(name string, st unix.Stat_t) {
	b.Helper()
	now := lstat(b.T, b.at(name))
	if now.Ino != st.Ino || now.Mode != st.Mode || now.Nlink != st.Nlink || now.Size != st.Size || now.Rdev != st.Rdev {
		b.Errorf("%s is inode %d, mode %o, %d links, %d bytes; want %d, %o, %d, %d", name, now.Ino, now.Mode, now.Nlink, now.Size, st.Ino, st.Mode, st.Nlink, st.Size)
	}
}

func pairRename(b bed) {
	b.pairs(func(b bed, from, to uint32) {
		x, y := lstat(b.T, b.at("a/x")), lstat(b.T, b.at("b/y"))
		err := unix.Rename(b.at("a/x"), b.at("b/y"))
		want := syscall.Errno(0)
		switch {
		case from == unix.S_IFDIR && to != unix.S_IFDIR:
			want = syscall.ENOTDIR
		case from != unix.S_IFDIR && to == unix.S_IFDIR:
			want = syscall.EISDIR
		}
		b.no("rename", err, want)
		if want != 0 {
			b.is("a/x", x)
			b.is("b/y", y)
			return
		}
		gone(b.T, b.at("a/x"))
		b.is("b/y", x)
	})
}

func pairExchange(b bed) {
	b.pairs(func(b bed, from, to uint32) {
		x, y := lstat(b.T, b.at("a/x")), lstat(b.T, b.at("b/y"))
		must(b.T, renameat2(b.at("a/x"), b.at("b/y"), unix.RENAME_EXCHANGE))
		b.is("b/y", x)
		b.is("a/x", y)
		for dir, typ := range map[string]uint32{"a": to, "b": from} {
			if typ == unix.S_IFDIR {
				name := map[string]string{"a": "x", "b": "y"}[dir]
				equal(b.T, "way up", lstat(b.T, b.at(dir+"/"+name+"/..")).Ino, lstat(b.T, b.at(dir)).Ino)
			}
		}
		must(b.T, renameat2(b.at("b/y"), b.at("a/x"), unix.RENAME_EXCHANGE))
		b.is("a/x", x)
		b.is("b/y", y)
	})
}

func pairNoReplace(b bed) {
	b.pairs(func(b bed, _, _ uint32) {
		x, y := lstat(b.T, b.at("a/x")), lstat(b.T, b.at("b/y"))
		wantErr(b.T, "rename onto what is there", renameat2(b.at("a/x"), b.at("b/y"), unix.RENAME_NOREPLACE), syscall.EEXIST)
		b.is("a/x", x)
		b.is("b/y", y)
		must(b.T, renameat2(b.at("a/x"), b.at("b/z"), unix.RENAME_NOREPLACE))
		b.is("b/z", x)
		wantErr(b.T, "rename onto itself", renameat2(b.at("b/z"), b.at("b/z"), unix.RENAME_NOREPLACE), syscall.EEXIST)
	})
}

// pairWhiteout: what overlay file systems use to remember that a name was renamed away.
func pairWhiteout(b bed) {
	if !isRoot() {
		return
	}
	b.file("a", "text", 0644)
	for _, flags := range []uint{unix.RENAME_WHITEOUT, unix.RENAME_WHITEOUT | unix.RENAME_NOREPLACE} {
		err := renameat2(b.at("a"), b.at("b"), flags)
		if b.opt.NoWhiteout {
			wantErr(b.T, "whiteout", err, syscall.ENOTSUP)
			continue
		}
		must(b.T, err)
		st := lstat(b.T, b.at("a"))
		equal(b.T, "type of the whiteout", st.Mode&unix.S_IFMT, unix.S_IFCHR)
		equal(b.T, "device of the whiteout", st.Rdev, 0)
		holds(b.T, b.at("b"), "text")
		must(b.T, os.Remove(b.at("a")))
		must(b.T, os.Rename(b.at("b"), b.at("a")))
	}
	holds(b.T, b.at("a"), "text")
}

func pairFlags(b bed) {
	b.file("a", "", 0644)
	b.file("b", "", 0644)
	for _, flags := range []uint{
		unix.RENAME_NOREPLACE | unix.RENAME_EXCHANGE, unix.RENAME_EXCHANGE | unix.RENAME_WHITEOUT, 8, 16, 32, 33, 1 << 31,
	} {
		wantErr(b.T, fmt.Sprintf("flags %#x", flags), renameat2(b.at("a"), b.at("b"), flags), syscall.EINVAL)
	}
	wantErr(b.T, "exchange with nothing", renameat2(b.at("a"), b.at("none"), unix.RENAME_EXCHANGE), syscall.ENOENT)
	wantErr(b.T, "exchange of nothing", renameat2(b.at("none"), b.at("a"), unix.RENAME_EXCHANGE), syscall.ENOENT)
	must(b.T, renameat2(b.at("a"), b.at("a"), unix.RENAME_EXCHANGE))
}

// pairDots: . and .. can neither be renamed nor replaced nor removed nor made.
func pairDots(b bed) {
	b.mkdir("d", 0755)
	b.mkdir("e", 0755)
	b.file("f", "", 0644)
	for _, dot := range []string{"d/.", "d/.."} {
		wantErr(b.T, "rename "+dot, unix.Rename(b.at(dot), b.at("new")), syscall.EBUSY)
		wantErr(b.T, "rename onto "+dot, unix.Rename(b.at("e"), b.at(dot)), syscall.EBUSY)
		wantErr(b.T, "exchange "+dot, renameat2(b.at(dot), b.at("e"), unix.RENAME_EXCHANGE), syscall.EBUSY)
		wantErr(b.T, "rename onto "+dot+" without replacing", renameat2(b.at("e"), b.at(dot), unix.RENAME_NOREPLACE), syscall.EEXIST)
		wantErr(b.T, "mkdir "+dot, unix.Mkdir(b.at(dot), 0755), syscall.EEXIST)
		wantErr(b.T, "mkfifo "+dot, unix.Mkfifo(b.at(dot), 0755), syscall.EEXIST)
		wantErr(b.T, "symlink "+dot, unix.Symlink("x", b.at(dot)), syscall.EEXIST)
		wantErr(b.T, "link to "+dot, unix.Link(b.at("f"), b.at(dot)), syscall.EEXIST)
		wantErr(b.T, "unlink "+dot, unix.Unlink(b.at(dot)), syscall.EISDIR)
		wantErr(b.T, "create "+dot, openErr(b.at(dot), unix.O_CREAT|unix.O_RDWR), syscall.EISDIR)
	}
	wantErr(b.T, "rmdir of .", unix.Rmdir(b.at("d/.")), syscall.EINVAL)
	wantErr(b.T, "rmdir of ..", unix.Rmdir(b.at("d/..")), syscall.ENOTEMPTY)
	equal(b.T, "names", strings.Join(names(b.T, b.dir), " "), ". .. d e f")
}

// pairBelow: a directory does not come to lie below itself, by any way.
func pairBelow(b bed) {
	must(b.T, os.MkdirAll(b.at("a/b/c/d"), 0755))
	b.mkdir("x", 0755)
	for _, to := range []string{"a/x", "a/b/x", "a/b/c/x", "a/b/c/d/x"} {
		wantErr(b.T, "rename to "+to, unix.Rename(b.at("a"), b.at(to)), syscall.EINVAL)
	}
	for _, with := range []string{"a/b", "a/b/c", "a/b/c/d"} {
		wantErr(b.T, "exchange with "+with, renameat2(b.at("a"), b.at(with), unix.RENAME_EXCHANGE), syscall.EINVAL)
		wantErr(b.T, "exchange of "+with, renameat2(b.at(with), b.at("a"), unix.RENAME_EXCHANGE), syscall.EINVAL)
		wantErr(b.T, "rename onto what it lies in", unix.Rename(b.at(with), b.at("a")), syscall.ENOTEMPTY)
	}
	must(b.T, unix.Rename(b.at("a/b/c"), b.at("c")))
	must(b.T, unix.Rename(b.at("a"), b.at("c/d/a")))
	wantErr(b.T, "rename below what was below", unix.Rename(b.at("c"), b.at("c/d/a/b/c")), syscall.EINVAL)
	lstat(b.T, b.at("c/d/a/b"))
}

// pairRemove: unlink is for all but directories, rmdir for directories alone.
func pairRemove(b bed) {
	b.ofKinds(func(b bed, _ string, typ uint32, mk func(string) error) {
		must(b.T, mk(b.at("x")))
		right, wrong, want := unix.Unlink, unix.Rmdir, syscall.ENOTDIR
		if typ == unix.S_IFDIR {
			right, wrong, want = unix.Rmdir, unix.Unlink, syscall.EISDIR
		}
		wantErr(b.T, "the wrong call", wrong(b.at("x")), want)
		if typ == unix.S_IFDIR {
			must(b.T, mk(b.at("x/y")))
			wantErr(b.T, "rmdir of a full one", right(b.at("x")), syscall.ENOTEMPTY)
			must(b.T, right(b.at("x/y")))
		}
		must(b.T, right(b.at("x")))
		gone(b.T, b.at("x"))
		wantErr(b.T, "once more", right(b.at("x")), syscall.ENOENT)
		must(b.T, mk(b.at("x")))
		fd, err := unix.Open(b.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(b.T, err)
		defer unix.Close(fd) //nolint:errcheck // only read
		wantErr(b.T, "unlinkat with unknown flags", unix.Unlinkat(fd, "x", 1), syscall.EINVAL)
		flags := 0
		if typ == unix.S_IFDIR {
			flags = unix.AT_REMOVEDIR
		}
		must(b.T, unix.Unlinkat(fd, "x", flags))
	})
}

// pairLink: all but directories have further names, through which they are the same.
func pairLink(b bed) {
	b.ofKinds(func(b bed, _ string, typ uint32, mk func(string) error) {
		b.mkdir("d", 0755)
		must(b.T, mk(b.at("x")))
		err := unix.Linkat(unix.AT_FDCWD, b.at("x"), unix.AT_FDCWD, b.at("d/y"), 0)
		if typ == unix.S_IFDIR {
			wantErr(b.T, "link of a directory", err, syscall.EPERM)
			gone(b.T, b.at("d/y"))
			return
		}
		must(b.T, err)
		for i := range 20 {
			must(b.T, unix.Link(b.at("d/y"), b.at(fmt.Sprint("d/", i))))
		}
		equal(b.T, "links", lstat(b.T, b.at("x")).Nlink, 22)
		b.is("d/7", lstat(b.T, b.at("x")))
		if typ != unix.S_IFLNK {
			must(b.T, unix.Chmod(b.at("d/3"), 0604))
			equal(b.T, "mode through another name", b.mode("x"), 0604)
		}
		must(b.T, os.Remove(b.at("x")))
		must(b.T, os.Rename(b.at("d/3"), b.at("d/4"))) // the same: both stay
		must(b.T, os.Rename(b.at("d/3"), b.at("x")))
		must(b.T, os.RemoveAll(b.at("d")))
		equal(b.T, "links in the end", lstat(b.T, b.at("x")).Nlink, 1)
	})
	b.file("f", "", 0644)
	must(b.T, os.Symlink("f", b.at("s")))
	must(b.T, unix.Linkat(unix.AT_FDCWD, b.at("s"), unix.AT_FDCWD, b.at("followed"), unix.AT_SYMLINK_FOLLOW))
	equal(b.T, "inode of a link through a symlink", lstat(b.T, b.at("followed")).Ino, lstat(b.T, b.at("f")).Ino)
	wantErr(b.T, "unknown flags", unix.Linkat(unix.AT_FDCWD, b.at("f"), unix.AT_FDCWD, b.at("z"), 1), syscall.EINVAL)
}

// pairSame: two names of one inode: a rename does nothing, an exchange neither.
func pairSame(b bed) {
	b.mkdir("d", 0755)
	b.file("a", "text", 0644)
	must(b.T, os.Link(b.at("a"), b.at("d/b")))
	b.touches("rename onto another name", map[string]string{"a": "", "d": "", ".": ""}, func() error { return unix.Rename(b.at("a"), b.at("d/b")) })
	must(b.T, renameat2(b.at("a"), b.at("d/b"), unix.RENAME_EXCHANGE))
	wantErr(b.T, "without replacing", renameat2(b.at("a"), b.at("d/b"), unix.RENAME_NOREPLACE), syscall.EEXIST)
	equal(b.T, "links", lstat(b.T, b.at("a")).Nlink, 2)
}

// pairNlink: a directory has a link from each of its sub-directories, wherever they come from.
func pairNlink(b bed) {
	links := func(name string, want uint64) {
		b.Helper()
		if got := uint64(lstat(b.T, b.at(name)).Nlink); got != want {
			b.Errorf("%s has %d links, want %d", name, got, want)
		}
	}
	b.mkdir("a", 0755)
	b.mkdir("b", 0755)
	if !countsLinks(b.T, b.at("a")) {
		return
	}
	b.mkdir("a/x", 0755)
	b.mkdir("a/y", 0755)
	b.file("a/f", "", 0644)
	links("a", 4)
	must(b.T, os.Rename(b.at("a/x"), b.at("b/x")))
	links("a", 3)
	links("b", 3)
	must(b.T, unix.Rename(b.at("b/x"), b.at("a/y"))) // replaces
	links("a", 3)
	links("b", 2)
	must(b.T, renameat2(b.at("a/y"), b.at("a/f"), unix.RENAME_EXCHANGE))
	links("a", 3)
	b.file("b/g", "", 0644)
	must(b.T, renameat2(b.at("a/f"), b.at("b/g"), unix.RENAME_EXCHANGE))
	links("a", 2)
	links("b", 3)
	must(b.T, unix.Rmdir(b.at("b/g")))
	links("b", 2)
}

// pairDevice: no rename and no link leads out of the file system.
func pairDevice(b bed) {
	b.file("f", "text", 0644)
	b.mkdir("d", 0755)
	const out = "/proc/self" // a file system that is never the one under test
	for _, name := range []string{"f", "d"} {
		wantErr(b.T, "rename out", unix.Rename(b.at(name), out+"/x"), syscall.EXDEV)
		wantErr(b.T, "exchange with outside", renameat2(b.at(name), out+"/status", unix.RENAME_EXCHANGE), syscall.EXDEV)
	}
	wantErr(b.T, "rename in", unix.Rename(out+"/status", b.at("status")), syscall.EXDEV)
	wantErr(b.T, "link in", unix.Link(out+"/status", b.at("status")), syscall.EXDEV)
	holds(b.T, b.at("f"), "text")
}
