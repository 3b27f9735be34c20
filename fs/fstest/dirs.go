package fstest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var dirTests = []test{
	{"make-and-remove", dirMake}, {"errors", dirErrors}, {"thousand", dirThousand}, {"types", dirTypes},
	{"remove-while-reading", dirRemoveWhileReading}, {"removed", dirRemoved}, {"fresh", dirFresh},
}

var nameTests = []test{{"long", nameLong}, {"odd", nameOdd}}

// countsLinks says whether the file system counts sub-directories as links; some do not.
func countsLinks(t *testing.T, empty string) bool {
	t.Helper()
	return lstat(t, empty).Nlink == 2
}

func dirMake(t *testing.T, dir string) {
	d := filepath.Join(dir, "d")
	must(t, os.Mkdir(d, 0755))
	links := countsLinks(t, d)
	must(t, os.MkdirAll(filepath.Join(d, "a", "b"), 0755))
	must(t, os.Mkdir(filepath.Join(d, "c"), 0755))
	write(t, filepath.Join(d, "f"), "")
	if links {
		equal(t, "links with two sub-directories", lstat(t, d).Nlink, 4)
	}
	equal(t, "parent", lstat(t, filepath.Join(d, "a", "b", "..", "..")).Ino, lstat(t, d).Ino)
	must(t, unix.Rmdir(filepath.Join(d, "c")))
	if links {
		equal(t, "links with one sub-directory", lstat(t, d).Nlink, 3)
	}
	must(t, os.RemoveAll(d))
	gone(t, d)
}

func dirErrors(t *testing.T, dir string) {
	p := func(name string) string { return dir + "/" + name }
	must(t, os.Mkdir(p("full"), 0755))
	write(t, p("full/f"), "")
	must(t, os.Mkdir(p("empty"), 0755))
	wantErr(t, "rmdir of a full directory", unix.Rmdir(p("full")), syscall.ENOTEMPTY)
	wantErr(t, "rmdir of a file", unix.Rmdir(p("full/f")), syscall.ENOTDIR)
	wantErr(t, "rmdir of nothing", unix.Rmdir(p("none")), syscall.ENOENT)
	wantErr(t, "rmdir of .", unix.Rmdir(p("empty/.")), syscall.EINVAL)
	wantErr(t, "rmdir of ..", unix.Rmdir(p("empty/..")), syscall.ENOTEMPTY)
	wantErr(t, "mkdir of what is there", unix.Mkdir(p("empty"), 0755), syscall.EEXIST)
	wantErr(t, "mkdir at a file", unix.Mkdir(p("full/f"), 0755), syscall.EEXIST)
	wantErr(t, "mkdir below a file", unix.Mkdir(p("full/f/x"), 0755), syscall.ENOTDIR)
	wantErr(t, "mkdir below nothing", unix.Mkdir(p("none/x"), 0755), syscall.ENOENT)
	_, err := unix.Read(int(open(t, p("full"), os.O_RDONLY).Fd()), make([]byte, 10))
	wantErr(t, "read of a directory", err, syscall.EISDIR)
}

// names lists a directory with the kernel's own call, "." and ".." included.
func names(t *testing.T, dir string) []string {
	t.Helper()
	d := open(t, dir, os.O_RDONLY)
	var all []string
	buf := make([]byte, 4096) // small, so that long directories are read in many parts
	for {
		n, err := unix.Getdents(int(d.Fd()), buf)
		must(t, err)
		if n == 0 {
			slices.Sort(all)
			return all
		}
		for b := buf[:n]; len(b) > 0; {
			size := int(b[16]) | int(b[17])<<8
			name, _, _ := strings.Cut(string(b[19:size]), "\x00")
			all = append(all, name)
			b = b[size:]
		}
	}
}

func dirThousand(t *testing.T, dir string) {
	want := []string{".", ".."}
	for i := range 1000 {
		name := fmt.Sprintf("file-%04d", i)
		write(t, filepath.Join(dir, name), name)
		want = append(want, name)
	}
	slices.Sort(want)
	equal(t, "each name once", strings.Join(names(t, dir), " "), strings.Join(want, " "))
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries[:50] {
		info, err := e.Info()
		must(t, err)
		equal(t, "length of "+e.Name(), info.Size(), int64(len(e.Name())))
	}
	for i := 0; i < 1000; i += 2 {
		must(t, os.Remove(filepath.Join(dir, fmt.Sprintf("file-%04d", i))))
	}
	equal(t, "names that are left", len(names(t, dir)), 502)
}

func dirTypes(t *testing.T, dir string) {
	want := map[string]os.FileMode{"file": 0, "dir": os.ModeDir, "link": os.ModeSymlink, "fifo": os.ModeNamedPipe, "socket": os.ModeSocket}
	write(t, filepath.Join(dir, "file"), "")
	must(t, os.Mkdir(filepath.Join(dir, "dir"), 0755))
	must(t, os.Symlink("file", filepath.Join(dir, "link")))
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0644))
	must(t, unix.Mknod(filepath.Join(dir, "socket"), unix.S_IFSOCK|0644, 0))
	if isRoot() {
		want["null"] = os.ModeDevice | os.ModeCharDevice
		want["block"] = os.ModeDevice
		must(t, unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0666, int(unix.Mkdev(1, 3))))
		must(t, unix.Mknod(filepath.Join(dir, "block"), unix.S_IFBLK|0600, int(unix.Mkdev(259, 70_000))))
		equal(t, "number of the character device", lstat(t, filepath.Join(dir, "null")).Rdev, unix.Mkdev(1, 3))
		equal(t, "number of the block device", lstat(t, filepath.Join(dir, "block")).Rdev, unix.Mkdev(259, 70_000))
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	equal(t, "entries", len(entries), len(want))
	for _, e := range entries {
		equal(t, "type of "+e.Name()+" in the listing", e.Type(), want[e.Name()])
		info, err := os.Lstat(filepath.Join(dir, e.Name()))
		must(t, err)
		equal(t, "type of "+e.Name(), info.Mode().Type(), want[e.Name()])
	}
}

// dirRemoveWhileReading is rm -r: entries go while the directory is being read, and none is missed.
func dirRemoveWhileReading(t *testing.T, dir string) {
	for i := range 400 {
		write(t, filepath.Join(dir, fmt.Sprint("f", i)), "")
	}
	d := open(t, dir, os.O_RDONLY)
	for {
		some, err := d.Readdirnames(7)
		if len(some) == 0 {
			break
		}
		must(t, err)
		for _, name := range some {
			must(t, os.Remove(filepath.Join(dir, name)))
		}
	}
	equal(t, "what is left", strings.Join(names(t, dir), " "), ". ..")
}

// dirRemoved: nothing can be made in a directory that is gone.
func dirRemoved(t *testing.T, dir string) {
	path := filepath.Join(dir, "d")
	must(t, os.Mkdir(path, 0755))
	d := open(t, path, os.O_RDONLY)
	must(t, os.Remove(path))
	_, err := unix.Openat(int(d.Fd()), "x", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0644)
	wantErr(t, "create in a removed directory", err, syscall.ENOENT)
	wantErr(t, "mkdir in a removed directory", unix.Mkdirat(int(d.Fd()), "x", 0755), syscall.ENOENT)
}

// dirFresh: a listing that is begun again shows what has changed.
func dirFresh(t *testing.T, dir string) {
	d := open(t, dir, os.O_RDONLY)
	for i := range 3 {
		write(t, filepath.Join(dir, fmt.Sprint(i)), "")
		_, err := d.Seek(0, 0)
		must(t, err)
		all, err := d.Readdirnames(-1)
		must(t, err)
		equal(t, "entries", len(all), i+1)
	}
}

func nameLong(t *testing.T, dir string) {
	name := strings.Repeat("n", 255)
	write(t, filepath.Join(dir, name), "text")
	holds(t, filepath.Join(dir, name), "text")
	equal(t, "listing", strings.Join(names(t, dir), " "), ". .. "+name)
	longer := filepath.Join(dir, name+"n")
	_, err := os.Create(longer)
	wantErr(t, "create", err, syscall.ENAMETOOLONG)
	_, err = os.Lstat(longer)
	wantErr(t, "lstat", err, syscall.ENAMETOOLONG)
	wantErr(t, "mkdir", unix.Mkdir(longer, 0755), syscall.ENAMETOOLONG)
	wantErr(t, "rename", unix.Rename(filepath.Join(dir, name), longer), syscall.ENAMETOOLONG)
	wantErr(t, "link", unix.Link(filepath.Join(dir, name), longer), syscall.ENAMETOOLONG)
	wantErr(t, "unlink", unix.Unlink(longer), syscall.ENAMETOOLONG)
}

func nameOdd(t *testing.T, dir string) {
	for _, name := range []string{" ", "new\nline", "tab\t", `back\slash`, "'\"", "...", "-rf", "grüße-你好", "\xff\xfe", "a:b*c?"} {
		path := dir + "/" + name
		write(t, path, name)
		holds(t, path, name)
		equal(t, "found in the listing", slices.Contains(names(t, dir), name), true)
		must(t, os.Rename(path, path+"2"))
		must(t, os.Remove(path+"2"))
	}
	write(t, filepath.Join(dir, "case"), "small")
	write(t, filepath.Join(dir, "CASE"), "large")
	holds(t, filepath.Join(dir, "case"), "small")
}
