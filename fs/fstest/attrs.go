package fstest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var attrTests = []test{{"mode", attrMode}, {"umask", attrUmask}, {"size-and-inode", attrSize}}

var timeTests = []test{{"set", timeSet}, {"changes", timeChanges}}

var ownerTests = []test{{"chown", ownerChown}, {"setgid-dir", ownerSetgid}, {"permissions", ownerPermissions}, {"sticky", ownerSticky}}

func attrMode(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	write(t, path, "")
	for _, mode := range []uint32{0, 0644, 0777, 01644, 02755, 04755, 07777} {
		must(t, unix.Chmod(path, mode))
		equal(t, "mode", lstat(t, path).Mode, unix.S_IFREG|mode)
	}
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0700))
	must(t, unix.Chmod(filepath.Join(dir, "d"), 01777))
	equal(t, "mode of a directory", lstat(t, filepath.Join(dir, "d")).Mode, unix.S_IFDIR|01777)
	wantErr(t, "chmod of nothing", unix.Chmod(filepath.Join(dir, "none"), 0), syscall.ENOENT)
}

func attrUmask(t *testing.T, dir string) {
	old := unix.Umask(027)
	defer unix.Umask(old)
	for name, c := range map[string]struct {
		make func(path string) error
		want uint32
	}{
		"file": {func(p string) error { return os.WriteFile(p, nil, 0666) }, 0640},
		"dir":  {func(p string) error { return unix.Mkdir(p, 0777) }, 0750},
		"fifo": {func(p string) error { return unix.Mkfifo(p, 0666) }, 0640},
		"link": {func(p string) error { return unix.Symlink("x", p) }, 0777},
	} {
		path := filepath.Join(dir, name)
		must(t, c.make(path))
		equal(t, "mode of a new "+name, lstat(t, path).Mode&07777, c.want)
	}
}

func attrSize(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	write(t, path, "12345")
	st, top := lstat(t, path), lstat(t, dir)
	equal(t, "size", st.Size, 5)
	equal(t, "links", st.Nlink, 1)
	equal(t, "device", st.Dev, top.Dev)
	equal(t, "blocks are counted", st.Blocks > 0, true)
	equal(t, "preferred size of I/O", st.Blksize >= 512, true)
	equal(t, "owner", st.Uid, uint32(os.Geteuid()))
	if st.Ino == 0 || st.Ino == top.Ino {
		t.Errorf("inode %d in directory %d", st.Ino, top.Ino)
	}
}

func timeSet(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	write(t, path, "")
	set := func(a, m unix.Timespec) {
		t.Helper()
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{a, m}, 0))
	}
	set(unix.Timespec{Sec: 1_000_000_000, Nsec: 123_456_789}, unix.Timespec{Sec: 1_500_000_000, Nsec: 987_654_321})
	st := lstat(t, path)
	equal(t, "atime", st.Atim, unix.Timespec{Sec: 1_000_000_000, Nsec: 123_456_789})
	equal(t, "mtime", st.Mtim, unix.Timespec{Sec: 1_500_000_000, Nsec: 987_654_321})
	set(unix.Timespec{Nsec: unix.UTIME_OMIT}, unix.Timespec{Sec: -86_400, Nsec: 5})
	st = lstat(t, path)
	equal(t, "atime left alone", st.Atim, unix.Timespec{Sec: 1_000_000_000, Nsec: 123_456_789})
	equal(t, "mtime before 1970", st.Mtim, unix.Timespec{Sec: -86_400, Nsec: 5})
	before := time.Now().Add(-time.Minute)
	set(unix.Timespec{Sec: 7}, unix.Timespec{Nsec: unix.UTIME_NOW})
	st = lstat(t, path)
	equal(t, "atime", st.Atim.Sec, 7)
	equal(t, "mtime is now", time.Unix(st.Mtim.Unix()).After(before), true)
	must(t, os.Symlink("none", filepath.Join(dir, "s")))
	times := []unix.Timespec{{Sec: 11}, {Sec: 12}}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, "s"), times, unix.AT_SYMLINK_NOFOLLOW))
	equal(t, "mtime of a symlink", lstat(t, filepath.Join(dir, "s")).Mtim.Sec, 12)
}

// timeChanges: which change touches which time.
func timeChanges(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	old := []unix.Timespec{{Sec: 100}, {Sec: 200}}
	steps := []struct {
		name  string
		do    func() error
		mtime bool
	}{
		{"write", func() error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("text")
				_ = f.Close()
			}
			return err
		}, true},
		{"truncate", func() error { return os.Truncate(path, 1) }, true},
		{"chmod", func() error { return os.Chmod(path, 0600) }, false},
		{"link", func() error { return os.Link(path, path+"2") }, false},
		{"unlink of one name", func() error { return os.Remove(path + "2") }, false},
	}
	write(t, path, "")
	for _, s := range steps {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, old, 0))
		before := lstat(t, path)
		must(t, s.do())
		after := lstat(t, path)
		equal(t, "mtime changed by "+s.name, after.Mtim != before.Mtim, s.mtime)
		equal(t, "ctime goes back with "+s.name, after.Ctim.Nano() < before.Ctim.Nano(), false)
	}
}

func ownerChown(t *testing.T, dir string) {
	if !isRoot() {
		path := filepath.Join(dir, "f")
		write(t, path, "")
		wantErr(t, "giving a file away", unix.Chown(path, 0, 0), syscall.EPERM)
		return
	}
	path := filepath.Join(dir, "f")
	write(t, path, "")
	must(t, unix.Chown(path, 1234, 5678))
	st := lstat(t, path)
	equal(t, "owner", [2]uint32{st.Uid, st.Gid}, [2]uint32{1234, 5678})
	must(t, unix.Chown(path, -1, 42))
	st = lstat(t, path)
	equal(t, "owner after a change of group", [2]uint32{st.Uid, st.Gid}, [2]uint32{1234, 42})
	must(t, unix.Chmod(path, 06755))
	must(t, unix.Chown(path, 99, -1))
	equal(t, "mode after a change of owner", lstat(t, path).Mode&07777, 0755)
	must(t, os.Symlink("f", filepath.Join(dir, "s")))
	must(t, os.Lchown(filepath.Join(dir, "s"), 7, 8))
	equal(t, "owner of a symlink", lstat(t, filepath.Join(dir, "s")).Uid, 7)
	equal(t, "owner behind the symlink", lstat(t, path).Uid, 99)
}

func ownerSetgid(t *testing.T, dir string) {
	if isRoot() {
		must(t, unix.Chown(dir, -1, 4321))
	}
	must(t, unix.Chmod(dir, 02777))
	group := lstat(t, dir).Gid
	write(t, filepath.Join(dir, "f"), "")
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0755))
	equal(t, "group of a file", lstat(t, filepath.Join(dir, "f")).Gid, group)
	st := lstat(t, filepath.Join(dir, "d"))
	equal(t, "group of a directory", st.Gid, group)
	equal(t, "mode of a directory", st.Mode&07777, 02755)
}

// asUser runs fn in dir with the file system rights of a user who is nobody here. Directories above dir may be
// closed to that user, so fn uses relative paths.
func asUser(t *testing.T, dir string, fn func()) {
	t.Helper()
	alone(t, func() {
		for _, err := range []error{
			unix.Chdir(dir), unix.Setfsgid(54321), unix.Setfsuid(54321),
		} {
			if err != nil {
				t.Error("become another user:", err)
				return
			}
		}
		fn()
	})
}

func ownerPermissions(t *testing.T, dir string) {
	if !isRoot() {
		return // there is no other user to be
	}
	must(t, os.Mkdir(filepath.Join(dir, "closed"), 0755))
	write(t, filepath.Join(dir, "closed", "f"), "secret")
	must(t, unix.Chmod(filepath.Join(dir, "closed"), 0700))
	must(t, os.Mkdir(filepath.Join(dir, "readable"), 0755))
	write(t, filepath.Join(dir, "readable", "f"), "text")
	write(t, filepath.Join(dir, "readable", "own"), "")
	must(t, unix.Chmod(filepath.Join(dir, "readable", "own"), 0600))
	asUser(t, dir, func() {
		_, err := unix.Open("closed/f", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		wantErr(t, "open below a closed directory", err, syscall.EACCES)
		_, err = unix.Open("readable/own", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		wantErr(t, "open of a closed file", err, syscall.EACCES)
		_, err = unix.Open("readable/f", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		wantErr(t, "open for writing", err, syscall.EACCES)
		wantErr(t, "mkdir", unix.Mkdir("readable/x", 0755), syscall.EACCES)
		wantErr(t, "unlink", unix.Unlink("readable/f"), syscall.EACCES)
		wantErr(t, "chmod", unix.Chmod("readable/f", 0777), syscall.EPERM)
		wantErr(t, "chown", unix.Chown("readable/f", 54321, -1), syscall.EPERM)
		fd, err := unix.Open("mine", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0600)
		if err != nil {
			t.Error("create:", err)
			return
		}
		_ = unix.Close(fd)
	})
	st := lstat(t, filepath.Join(dir, "mine"))
	equal(t, "owner of a new file", [2]uint32{st.Uid, st.Gid}, [2]uint32{54321, 54321})
}

func ownerSticky(t *testing.T, dir string) {
	if !isRoot() {
		return // there is no other user to be
	}
	must(t, unix.Chmod(dir, 01777))
	write(t, filepath.Join(dir, "f"), "")
	write(t, filepath.Join(dir, "g"), "")
	asUser(t, dir, func() {
		wantErr(t, "unlink", unix.Unlink("f"), syscall.EPERM)
		wantErr(t, "rename", unix.Rename("f", "h"), syscall.EPERM)
		if err := unix.Mkdir("mine", 0755); err != nil {
			t.Error("mkdir:", err)
		}
		wantErr(t, "rename over", unix.Rename("mine", "g"), syscall.EPERM)
		if err := unix.Rmdir("mine"); err != nil {
			t.Error("rmdir:", err)
		}
	})
}
