package fstest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

var listingCases = cases{
	{"seek", listingSeek}, {"changes", listingChanges}, {"thousands", listingThousands}, {"buffers", listingBuffers},
	{"numbers", listingNumbers}, {"removed", listingRemoved}, {"removed-cwd", listingRemovedCwd}, {"moved-cwd", listingMovedCwd},
	{"raw-names", listingRawNames}, {"long-names", listingLongNames}, {"symlinks", listingSymlinks}, {"two-readers", listingTwo},
	{"deep", listingDeep}, {"umask", listingUmask}, {"inodes", listingInodes},
}

// entry is one of getdents64.
type entry struct {
	name string
	ino  uint64
	off  int64 // place behind it
	typ  byte
}

// getdents reads some entries at the place of the descriptor.
func getdents(b bed, d *os.File, size int) []entry {
	b.Helper()
	buf := make([]byte, size)
	n, err := unix.Getdents(int(d.Fd()), buf)
	must(b.T, err)
	var all []entry
	for buf = buf[:n]; len(buf) > 0; {
		size := binary.NativeEndian.Uint16(buf[16:])
		name, _, _ := bytes.Cut(buf[19:size], []byte{0})
		all = append(all, entry{string(name), binary.NativeEndian.Uint64(buf), int64(binary.NativeEndian.Uint64(buf[8:])), buf[18]})
		buf = buf[size:]
	}
	return all
}

// readAll reads on to the end.
func readAll(b bed, d *os.File, size int) []entry {
	b.Helper()
	var all []entry
	for {
		some := getdents(b, d, size)
		if len(some) == 0 {
			return all
		}
		all = append(all, some...)
	}
}

func (b bed) seek(f *os.File, off int64, whence int) int64 {
	b.Helper()
	at, err := unix.Seek(int(f.Fd()), off, whence)
	must(b.T, err)
	return at
}

// listingSeek: telldir gives places to which seekdir comes back.
func listingSeek(b bed) {
	for i := range 300 {
		b.file(fmt.Sprintf("name-%03d", i), "", 0644)
	}
	d := open(b.T, b.dir, os.O_RDONLY)
	all := readAll(b, d, 1000)
	equal(b.T, "entries", len(all), 302)
	for _, i := range []int{0, 1, 2, 50, 149, 299, 300, 301} {
		b.seek(d, all[i].off, unix.SEEK_SET)
		rest := readAll(b, d, 32768)
		want := all[i+1:]
		if len(rest) != len(want) || len(rest) > 0 && rest[0].name != want[0].name {
			b.Errorf("from entry %d on: %d entries, want %d", i, len(rest), len(want))
		}
	}
	b.seek(d, 0, unix.SEEK_SET)
	equal(b.T, "entries after rewinding", len(readAll(b, d, 5000)), 302)
	equal(b.T, "entries at the end", len(getdents(b, d, 5000)), 0)
	b.file("late", "", 0644)
	b.seek(d, 0, unix.SEEK_SET)
	equal(b.T, "entries after one more", len(readAll(b, d, 5000)), 303)
}

// listingChanges: what stays is listed once, whatever comes and goes meanwhile.
func listingChanges(b bed) {
	const n = 400
	for i := range n {
		b.file(fmt.Sprintf("stable-%03d", i), "", 0644)
		b.file(fmt.Sprintf("going-%03d", i), "", 0644)
	}
	d := open(b.T, b.dir, os.O_RDONLY)
	seen := map[string]int{}
	for round := 0; ; round++ {
		some := getdents(b, d, 2048)
		if len(some) == 0 {
			break
		}
		for _, e := range some {
			seen[e.name]++
		}
		if round >= n {
			continue
		}
		must(b.T, os.Remove(b.at(fmt.Sprintf("going-%03d", (round*7)%n))))
		b.file(fmt.Sprintf("coming-%03d", round), "", 0644)
		if round%3 == 0 {
			must(b.T, os.Rename(b.at(fmt.Sprintf("coming-%03d", round)), b.at(fmt.Sprintf("going-%03d", (round*7)%n))))
		}
	}
	for i := range n {
		if name := fmt.Sprintf("stable-%03d", i); seen[name] != 1 {
			b.Errorf("%s was listed %d times", name, seen[name])
		}
	}
}

// listingThousands: a large directory, listed whole, by two sizes of buffers, and removed.
func listingThousands(b bed) {
	const n = 2500
	for i := range n {
		must(b.T, unix.Mknod(b.at(fmt.Sprint("f", i)), unix.S_IFREG|0644, 0))
	}
	d := open(b.T, b.dir, os.O_RDONLY)
	for _, size := range []int{512, 1 << 20} {
		b.seek(d, 0, unix.SEEK_SET)
		seen := map[string]bool{}
		for _, e := range readAll(b, d, size) {
			if seen[e.name] {
				b.Errorf("%s twice", e.name)
			}
			seen[e.name] = true
		}
		equal(b.T, "entries", len(seen), n+2)
	}
}

func listingBuffers(b bed) {
	long := strings.Repeat("l", 255)
	b.file(long, "", 0644)
	d := open(b.T, b.dir, os.O_RDONLY)
	_, err := unix.Getdents(int(d.Fd()), make([]byte, 10))
	wantErr(b.T, "a buffer for no entry at all", err, syscall.EINVAL)
	b.seek(d, 0, unix.SEEK_SET)
	equal(b.T, "entries in the smallest buffer", len(readAll(b, d, 280)), 3)
}

// listingNumbers: a listing has the inode numbers and types that stat has.
func listingNumbers(b bed) {
	for _, k := range kinds {
		if k.typ != unix.S_IFCHR && k.typ != unix.S_IFBLK || isRoot() {
			must(b.T, k.make(b.at(k.name)))
		}
	}
	for _, e := range readAll(b, open(b.T, b.dir, os.O_RDONLY), 4096) {
		st := lstat(b.T, b.at(e.name))
		equal(b.T, "type of "+e.name, uint32(e.typ)<<12, st.Mode&unix.S_IFMT)
		equal(b.T, "inode of "+e.name, e.ino, st.Ino)
	}
}

// listingRemoved: an open directory that is removed is empty, and nothing can be made or found in it.
func listingRemoved(b bed) {
	for _, how := range []string{"rmdir", "replaced"} {
		b.mkdir("d", 0755)
		d := open(b.T, b.at("d"), os.O_RDONLY)
		fd := int(d.Fd())
		ino := fstat(b.T, d).Ino
		if how == "rmdir" {
			must(b.T, unix.Rmdir(b.at("d")))
		} else {
			must(b.T, unix.Rename(b.mkdir("e", 0755), b.at("d")))
		}
		st := fstat(b.T, d)
		equal(b.T, how+": inode", st.Ino, ino)
		if !b.opt.KeptLinks {
			equal(b.T, how+": links", st.Nlink, 0)
		}
		if n, err := unix.Getdents(int(d.Fd()), make([]byte, 1000)); err != unix.ENOENT && (err != nil || n > 2*24) { //nolint:errorlint // a number
			b.Errorf("%s: list: %d bytes, %v; want nothing but . and ..", how, n, err)
		}
		_, err := unix.Openat(fd, "x", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0644)
		wantErr(b.T, how+": create", err, syscall.ENOENT)
		_, err = unix.Openat(fd, "x", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		wantErr(b.T, how+": open", err, syscall.ENOENT)
		wantErr(b.T, how+": mkdir", unix.Mkdirat(fd, "x", 0755), syscall.ENOENT)
		wantErr(b.T, how+": symlink", unix.Symlinkat("t", fd, "x"), syscall.ENOENT)
		wantErr(b.T, how+": mknod", unix.Mknodat(fd, "x", unix.S_IFIFO|0644, 0), syscall.ENOENT)
		wantErr(b.T, how+": unlink", unix.Unlinkat(fd, "x", 0), syscall.ENOENT)
		wantErr(b.T, how+": rename into", unix.Renameat(unix.AT_FDCWD, b.file("f", "", 0644), fd, "x"), syscall.ENOENT)
		wantErr(b.T, how+": link into", unix.Linkat(unix.AT_FDCWD, b.at("f"), fd, "x", 0), syscall.ENOENT)
		must(b.T, d.Sync())
		_ = unix.Rmdir(b.at("d")) // of the second turn
	}
}

// inDir runs fn in a thread whose working directory is dir.
func inDir(b bed, dir string, fn func()) {
	b.Helper()
	alone(b.T, func() {
		if err := unix.Chdir(dir); err != nil {
			b.Error(err)
			return
		}
		fn()
	})
}

func listingRemovedCwd(b bed) {
	if !isRoot() {
		return // only root gives a thread a directory of its own
	}
	b.mkdir("d", 0755)
	inDir(b, b.at("d"), func() {
		b.no("rmdir", unix.Rmdir(b.at("d")), 0)
		buf := make([]byte, 4096)
		_, err := unix.Getcwd(buf)
		b.no("getcwd", err, syscall.ENOENT)
		b.no("create", openErr("x", unix.O_CREAT|unix.O_RDWR), syscall.ENOENT)
		b.no("open", openErr("x", unix.O_RDWR), syscall.ENOENT)
		b.no("mkdir", unix.Mkdir("x", 0755), syscall.ENOENT)
		b.no("rmdir of .", unix.Rmdir("."), syscall.EINVAL)
		var st unix.Stat_t
		b.no("stat of .", unix.Stat(".", &st), 0)
		if !b.opt.KeptLinks {
			equal(b.T, "links", st.Nlink, 0)
		}
		b.no("the way out", unix.Chdir(b.dir), 0)
	})
}

func listingMovedCwd(b bed) {
	if !isRoot() {
		return // only root gives a thread a directory of its own
	}
	b.mkdir("d", 0755)
	b.mkdir("e", 0755)
	inDir(b, b.at("d"), func() {
		b.no("rename", unix.Rename(b.at("d"), b.at("e/moved")), 0)
		buf := make([]byte, 4096)
		n, err := unix.Getcwd(buf)
		b.no("getcwd", err, 0)
		equal(b.T, "directory", string(buf[:max(n-1, 0)]), b.at("e/moved"))
		b.no("create", openErr("x", unix.O_CREAT|unix.O_RDWR), 0)
		b.no("create above", openErr("../y", unix.O_CREAT|unix.O_RDWR), 0)
	})
	lstat(b.T, b.at("e/moved/x"))
	lstat(b.T, b.at("e/y"))
}

// listingRawNames: a name is any bytes but / and 0.
func listingRawNames(b bed) {
	var want []string
	for c := 1; c < 256; c++ {
		if c == '/' {
			continue
		}
		name := string([]byte{byte(c)})
		if c == '.' {
			name = "..."
		}
		b.file(name, fmt.Sprint(c), 0644)
		want = append(want, name)
	}
	for _, name := range []string{"\xf0\x9f\x98\x80", "e\u0301", "\u00e9", "%2f", "\x7f\x80\xfe\xff"} { // no two of them are the same
		b.file(name, "", 0644)
		want = append(want, name)
	}
	slices.Sort(want)
	var got []string
	for _, e := range readAll(b, open(b.T, b.dir, os.O_RDONLY), 4096) {
		if e.name != "." && e.name != ".." {
			got = append(got, e.name)
		}
	}
	slices.Sort(got)
	equal(b.T, "listing", fmt.Sprintf("%q", got), fmt.Sprintf("%q", want))
	for c := 1; c < 256; c++ {
		if c != '/' && c != '.' {
			holds(b.T, b.at(string([]byte{byte(c)})), fmt.Sprint(c))
		}
	}
}

// listingLongNames: 255 bytes, of one character or of several bytes each.
func listingLongNames(b bed) {
	for _, unit := range []string{"x", "\xff", "é", "語", "."} {
		name := strings.Repeat(unit, 255/len(unit)) + strings.Repeat("z", 255%len(unit))
		for _, k := range kinds[:5] {
			must(b.T, k.make(b.at(name)))
			equal(b.T, "listing", slices.Contains(names(b.T, b.dir), name), true)
			must(b.T, os.Rename(b.at(name), b.at(name[1:]+"y")))
			must(b.T, os.Rename(b.at(name[1:]+"y"), b.at(name)))
			wantErr(b.T, "256 bytes", k.make(b.at(name+"x")), syscall.ENAMETOOLONG)
			must(b.T, os.Remove(b.at(name)))
		}
	}
}

// listingSymlinks: targets of all lengths and bytes, and chains of as many as the kernel follows.
func listingSymlinks(b bed) {
	for i, target := range []string{
		"x", "/", ".", "..", "./none", "//double//slash", "with\nline", "\xff\x01", strings.Repeat("t", 255), strings.Repeat("a/", 1000),
		strings.Repeat("t", 4094), strings.Repeat("t", 4095),
	} {
		path := b.at(fmt.Sprint("s", i))
		must(b.T, os.Symlink(target, path))
		buf := make([]byte, 5000)
		n, err := unix.Readlink(path, buf)
		must(b.T, err)
		equal(b.T, "target", string(buf[:n]), target)
		equal(b.T, "size", lstat(b.T, path).Size, int64(len(target)))
		n, err = unix.Readlink(path, buf[:1])
		must(b.T, err)
		equal(b.T, "first byte", string(buf[:n]), target[:1])
	}
	wantErr(b.T, "4096 bytes", unix.Symlink(strings.Repeat("t", 4096), b.at("long")), syscall.ENAMETOOLONG)
	wantErr(b.T, "no byte", unix.Symlink("", b.at("empty")), syscall.ENOENT)
	b.file("link0", "end", 0644)
	for i := range 41 {
		must(b.T, os.Symlink(fmt.Sprint("link", i), b.at(fmt.Sprint("link", i+1))))
	}
	holds(b.T, b.at("link40"), "end")
	wantErr(b.T, "a chain of 41", openErr(b.at("link41"), unix.O_RDONLY), syscall.ELOOP)
}

// listingTwo: two readers of a directory do not disturb each other.
func listingTwo(b bed) {
	for i := range 100 {
		b.file(fmt.Sprint(i), "", 0644)
	}
	x, y := open(b.T, b.dir, os.O_RDONLY), open(b.T, b.dir, os.O_RDONLY)
	var nx, ny int
	for {
		a, c := getdents(b, x, 300), getdents(b, y, 700)
		nx, ny = nx+len(a), ny+len(c)
		if len(a)+len(c) == 0 {
			break
		}
	}
	equal(b.T, "entries", [2]int{nx, ny}, [2]int{102, 102})
}

// listingDeep: directories below directories, further than a path reaches.
func listingDeep(b bed) {
	if !isRoot() {
		return // only root gives a thread a directory of its own
	}
	name := strings.Repeat("d", 200)
	const depth = 30
	inDir(b, b.dir, func() {
		for range depth {
			b.no("mkdir", unix.Mkdir(name, 0755), 0)
			b.no("chdir", unix.Chdir(name), 0)
		}
		b.no("create", openErr("bottom", unix.O_CREAT|unix.O_RDWR), 0)
		buf := make([]byte, 4096)
		_, err := unix.Getcwd(buf)
		b.no("getcwd", err, syscall.ENAMETOOLONG)
		b.no("unlink", unix.Unlink("bottom"), 0)
		for range depth {
			b.no("chdir up", unix.Chdir(".."), 0)
			b.no("rmdir", unix.Rmdir(name), 0)
		}
	})
	equal(b.T, "names that are left", len(names(b.T, b.dir)), 2)
}

// listingUmask: every call that makes something heeds the umask.
func listingUmask(b bed) {
	if !isRoot() {
		return // only root gives a thread a umask of its own
	}
	inDir(b, b.dir, func() {
		for _, mask := range []int{0, 022, 077, 0777, 0137} {
			unix.Umask(mask)
			for what, mk := range map[string]func(p string) error{
				"open": func(p string) error {
					fd, err := unix.Open(p, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0777)
					_ = unix.Close(fd)
					return err
				},
				"mkdir": func(p string) error { return unix.Mkdir(p, 0777) },
				"fifo":  func(p string) error { return unix.Mkfifo(p, 0777) },
				"node":  func(p string) error { return unix.Mknod(p, unix.S_IFREG|0777, 0) },
			} {
				name := fmt.Sprintf("%s-%o", what, mask)
				b.no(what, mk(name), 0)
				equal(b.T, name, b.mode(name), uint32(0777&^mask))
			}
		}
	})
}

// listingInodes: an inode keeps its number under other names, in other places, and while others come and go.
func listingInodes(b bed) {
	b.ofKinds(func(b bed, _ string, typ uint32, mk func(string) error) {
		b.mkdir("d", 0755)
		must(b.T, mk(b.at("x")))
		ino := lstat(b.T, b.at("x")).Ino
		for i, to := range []string{"y", "d/z", "d/zz", "x"} {
			from := []string{"x", "y", "d/z", "d/zz"}[i]
			must(b.T, os.Rename(b.at(from), b.at(to)))
			must(b.T, mk(b.at(from)))
			equal(b.T, "inode", lstat(b.T, b.at(to)).Ino, ino)
			if lstat(b.T, b.at(from)).Ino == ino {
				b.Error("two inodes of one number")
			}
			must(b.T, os.Remove(b.at(from)))
		}
	})
}
