package fstest

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bed is the place of one case: an empty directory of its own, in a file system that is as opt says.
type bed struct {
	*testing.T
	dir string
	opt *Options
}

func (b bed) at(name string) string { return b.dir + "/" + name }

// sub runs a part of a case in a directory of its own.
func (b bed) sub(name string, fn func(b bed)) {
	b.Run(name, func(t *testing.T) {
		own, err := os.MkdirTemp(b.dir, "sub")
		must(t, err)
		must(t, os.Chmod(own, 0777))
		fn(bed{t, own, b.opt})
	})
}

// file makes a file with a mode that no umask changes.
func (b bed) file(name, text string, mode uint32) string {
	b.Helper()
	must(b.T, os.WriteFile(b.at(name), []byte(text), 0600))
	must(b.T, unix.Chmod(b.at(name), mode))
	return b.at(name)
}

func (b bed) mkdir(name string, mode uint32) string {
	b.Helper()
	must(b.T, unix.Mkdir(b.at(name), 0700))
	must(b.T, unix.Chmod(b.at(name), mode))
	return b.at(name)
}

func (b bed) mode(name string) uint32 {
	b.Helper()
	return lstat(b.T, b.at(name)).Mode & 07777
}

// kinds are the types of inodes by name; make is called with a path that is free.
var kinds = []struct {
	name string
	typ  uint32
	make func(path string) error
}{
	{"file", unix.S_IFREG, func(p string) error { return unix.Mknod(p, unix.S_IFREG|0644, 0) }},
	{"dir", unix.S_IFDIR, func(p string) error { return unix.Mkdir(p, 0755) }},
	{"symlink", unix.S_IFLNK, func(p string) error { return unix.Symlink("none", p) }},
	{"fifo", unix.S_IFIFO, func(p string) error { return unix.Mkfifo(p, 0644) }},
	{"socket", unix.S_IFSOCK, func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0644, 0) }},
	{"char", unix.S_IFCHR, func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0644, int(unix.Mkdev(1, 3))) }},
	{"block", unix.S_IFBLK, func(p string) error { return unix.Mknod(p, unix.S_IFBLK|0644, int(unix.Mkdev(7, 99))) }},
}

// ofKinds runs a part for each type of inode that the caller may make.
func (b bed) ofKinds(fn func(b bed, name string, typ uint32, make func(path string) error)) {
	for _, k := range kinds {
		if (k.typ == unix.S_IFCHR || k.typ == unix.S_IFBLK) && !isRoot() {
			continue
		}
		b.sub(k.name, func(b bed) { fn(b, k.name, k.typ, k.make) })
	}
}

// user is somebody other than root.
type user struct {
	uid, gid int
	groups   []uint32
}

var (
	alice = user{54321, 54321, nil}
	bob   = user{54322, 54322, nil}
)

// as runs fn in the case's directory with the rights of a user; needs root. Directories above may be closed to the
// user, so fn uses relative paths. It runs in a thread of its own: it must not end the test.
func (b bed) as(u user, fn func()) {
	b.Helper()
	alone(b.T, func() {
		if err := become(b.dir, u); err != nil {
			b.Error("become another user:", err)
			return
		}
		fn()
	})
}

// alone runs fn in a thread that ends with it, and with it the directory and the rights which fn gave to the thread.
func alone(t *testing.T, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread of a process never ends, and would show its rights as those of the process. While it
			// is held here it takes nothing else.
			defer runtime.UnlockOSThread()
			alone(t, fn)
			return
		}
		if err := unix.Unshare(unix.CLONE_FS); err != nil { // without, the directory would be that of all threads
			t.Error("give a thread a directory of its own:", err)
			return
		}
		defer unix.Chdir("/") //nolint:errcheck // always there; the thread may end later than the mount
		fn()
	}()
	<-done
}

// become gives this thread, see alone, a directory, the rights of a user, and no umask.
func become(dir string, u user) error {
	if err := unix.Chdir(dir); err != nil {
		return err
	}
	unix.Umask(0)
	var groups unsafe.Pointer
	if len(u.groups) > 0 {
		groups = unsafe.Pointer(&u.groups[0])
	}
	// The functions of package unix would change every thread of the process.
	uid, gid := uintptr(u.uid), uintptr(u.gid)
	for _, call := range [...]func() syscall.Errno{
		func() syscall.Errno {
			_, _, no := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(u.groups)), uintptr(groups), 0)
			return no
		},
		func() syscall.Errno { _, _, no := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); return no },
		func() syscall.Errno { _, _, no := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); return no },
	} {
		if no := call(); no != 0 {
			return no
		}
	}
	return nil
}

// no checks that a call of a user fails with a number, or succeeds if that is 0.
func (b bed) no(what string, err error, want syscall.Errno) {
	b.Helper()
	switch {
	case want != 0:
		wantErr(b.T, what, err, want)
	case err != nil:
		b.Errorf("%s: %v", what, err)
	}
}

// openAs is open(2) for the sake of its error.
func openErr(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0644)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

// touches checks which times an operation changes: want gives for names below the directory the letters of those
// which do (a, m, c), and the others must stay. All names must be there before and after.
func (b bed) touches(what string, want map[string]string, do func() error) {
	b.Helper()
	type times struct{ a, m, c unix.Timespec }
	look := func(name string) times {
		st := lstat(b.T, filepath.Join(b.dir, name))
		return times{st.Atim, st.Mtim, st.Ctim}
	}
	before := map[string]times{}
	var last unix.Timespec
	for name := range want {
		old := []unix.Timespec{{Sec: 100, Nsec: 1}, {Sec: 200, Nsec: 2}}
		must(b.T, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(b.dir, name), old, unix.AT_SYMLINK_NOFOLLOW))
		at := look(name)
		before[name] = at
		if at.c.Nano() > last.Nano() {
			last = at.c
		}
	}
	b.pass(last)
	if err := again(do); err != nil {
		b.Errorf("%s: %v", what, err)
		return
	}
	for name, letters := range want {
		is, was, got := look(name), before[name], ""
		for _, t := range []struct {
			letter  string
			is, was unix.Timespec
		}{{"a", is.a, was.a}, {"m", is.m, was.m}, {"c", is.c, was.c}} {
			if t.is != t.was {
				got += t.letter
			}
		}
		if got != letters {
			b.Errorf("%s changes times %q of %s, want %q", what, got, name, letters)
		}
	}
}

// pass waits until the clock of the file system has gone on from a time, which may take a tick of the kernel's.
func (b bed) pass(from unix.Timespec) {
	b.Helper()
	f, err := os.CreateTemp(filepath.Dir(b.dir), "clock")
	must(b.T, err)
	defer os.Remove(f.Name()) //nolint:errcheck // goes with the directory
	defer f.Close()           //nolint:errcheck // holds nothing
	for mode := os.FileMode(0); ; mode ^= 1 {
		must(b.T, f.Chmod(0600|mode))
		if ct := fstat(b.T, f).Ctim; ct.Nano() > from.Nano() {
			return
		}
	}
}
