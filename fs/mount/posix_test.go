package mount

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jfs/meta"
)

// again repeats a call that a signal interrupts; the runtime sends itself signals.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// twoMounts mounts a volume twice, with kernels' caches that do not run out within a test.
func twoMounts(t *testing.T, edit func(*Options)) (dirs [2]string) {
	for i, f := range newClients(t, 2, func(*meta.Format) {}) {
		opt := patient()
		opt.AttrTimeout, opt.EntryTimeout, opt.DirEntryTimeout = time.Hour, time.Hour, time.Hour
		edit(&opt)
		dirs[i] = serve(t, volume{f}, opt).MountPoint()
	}
	return dirs
}

func openIn(t *testing.T, dir string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "f"), flags, 0666)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func flock(f *os.File, how int) error {
	return again(func() error { return unix.Flock(int(f.Fd()), how) })
}

func setlk(f *os.File, cmd int, typ int16) error {
	l := unix.Flock_t{Type: typ, Start: 5, Len: 10}
	return again(func() error { return unix.FcntlFlock(f.Fd(), cmd, &l) })
}

// TestLocksBetweenMounts: locks hold among all mounts of a volume, and go with the descriptor.
func TestLocksBetweenMounts(t *testing.T) {
	dirs := twoMounts(t, func(*Options) {})
	a, b := openIn(t, dirs[0], os.O_RDWR|os.O_CREATE), openIn(t, dirs[1], os.O_RDWR)
	want := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	want("flock", flock(a, unix.LOCK_EX), nil)
	want("flock elsewhere", flock(b, unix.LOCK_SH|unix.LOCK_NB), syscall.EWOULDBLOCK)
	want("lock", setlk(a, unix.F_SETLK, unix.F_WRLCK), nil)
	want("lock elsewhere", setlk(b, unix.F_SETLK, unix.F_RDLCK), syscall.EAGAIN)
	probe := unix.Flock_t{Type: unix.F_WRLCK}
	want("query", unix.FcntlFlock(b.Fd(), unix.F_GETLK, &probe), nil)
	if probe.Type != unix.F_WRLCK || probe.Start != 5 || probe.Len != 10 || probe.Pid != 0 {
		t.Errorf("lock of another machine: %+v", probe)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	want("lock after close", setlk(b, unix.F_SETLK, unix.F_WRLCK), nil)
	want("flock after close", flock(b, unix.LOCK_EX), nil)

	// A lock for reading, through a descriptor for reading, ends with the first close of the process.
	want("unlock", setlk(b, unix.F_SETLK, unix.F_UNLCK), nil)
	r1, r2 := openIn(t, dirs[0], os.O_RDONLY), openIn(t, dirs[0], os.O_RDONLY)
	want("read lock", setlk(r1, unix.F_SETLK, unix.F_RDLCK), nil)
	want("write lock elsewhere", setlk(b, unix.F_SETLK, unix.F_WRLCK), syscall.EAGAIN)
	if err := r2.Close(); err != nil {
		t.Fatal(err)
	}
	want("write lock after close", setlk(b, unix.F_SETLK, unix.F_WRLCK), nil)
	// One of an open file description ends with that, when the kernel comes to tell.
	want("unlock", setlk(b, unix.F_SETLK, unix.F_UNLCK), nil)
	want("lock of the description", setlk(r1, unix.F_OFD_SETLK, unix.F_RDLCK), nil)
	if err := r1.Close(); err != nil {
		t.Fatal(err)
	}
	want("write lock after close", setlk(b, unix.F_SETLKW, unix.F_WRLCK), nil)
}

// TestLocksOrderData: the lock alone makes a mount see what another wrote before it gave the lock up, with the file
// open all the time and although the kernel has the old data and time to keep it.
func TestLocksOrderData(t *testing.T) {
	dirs := twoMounts(t, func(*Options) {})
	if err := os.WriteFile(filepath.Join(dirs[0], "f"), []byte("0000"), 0666); err != nil {
		t.Fatal(err)
	}
	w, r := openIn(t, dirs[0], os.O_RDWR), openIn(t, dirs[1], os.O_RDONLY)
	for name, lock := range map[string]func(f *os.File, shared, on bool) error{
		"flock": func(f *os.File, shared, on bool) error {
			switch {
			case !on:
				return flock(f, unix.LOCK_UN)
			case shared:
				return flock(f, unix.LOCK_SH)
			}
			return flock(f, unix.LOCK_EX)
		},
		"ranges": func(f *os.File, shared, on bool) error {
			switch {
			case !on:
				return setlk(f, unix.F_SETLK, unix.F_UNLCK)
			case shared:
				return setlk(f, unix.F_SETLKW, unix.F_RDLCK)
			}
			return setlk(f, unix.F_SETLKW, unix.F_WRLCK)
		},
	} {
		for round := range 10 {
			want := fmt.Sprintf("%s %d", name, round)
			_, err := w.WriteAt([]byte("not yet"), 0)
			if err := errors.Join(err, lock(w, false, true)); err != nil {
				t.Fatal(err)
			}
			_, err = w.WriteAt([]byte(want), 0)
			if err := errors.Join(err, lock(w, false, false), lock(r, true, true)); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(want))
			if _, err := r.ReadAt(got, 0); err != nil || string(got) != want {
				t.Errorf("read %q, %v; want %q", got, err, want)
			}
			if err := lock(r, true, false); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestLocalLocks: on request locks stay in the kernel.
func TestLocalLocks(t *testing.T) {
	dirs := twoMounts(t, func(o *Options) { o.LocalLocks = true })
	a, b := openIn(t, dirs[0], os.O_RDWR|os.O_CREATE), openIn(t, dirs[1], os.O_RDWR)
	if err := errors.Join(flock(a, unix.LOCK_EX), flock(b, unix.LOCK_EX|unix.LOCK_NB)); err != nil {
		t.Error(err)
	}
	if err := flock(openIn(t, dirs[0], os.O_RDWR), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("second lock on one mount: %v", err)
	}
}

// TestLockWaiterKilled: a process that waits for a lock can be killed, and leaves none behind.
func TestLockWaiterKilled(t *testing.T) {
	flockTool, err := exec.LookPath("flock")
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{}, 10)
	opt := Options{}
	ended := make(chan syscall.Errno, 10)
	opt.Observe = func(op string, _ time.Duration, no syscall.Errno) {
		if op == "setlkw" {
			ended <- no
		}
	}
	dir := serve(t, lockWatch{volume{newFS(t)}, begun}, opt).MountPoint()
	f := openIn(t, dir, os.O_RDWR|os.O_CREATE)
	if err := flock(f, unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	<-begun
	if no := <-ended; no != 0 {
		t.Fatal(no)
	}
	cmd := exec.Command(flockTool, f.Name(), "true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if no := <-ended; no != syscall.EINTR {
		t.Errorf("the waiting lock ended with %v", no)
	}
	if err := flock(f, unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if err := flock(openIn(t, dir, os.O_RDWR), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Errorf("lock that nobody has: %v", err)
	}
}

const immutableFlag = 0x10 // FS_IMMUTABLE_FL

func TestAttributeFlags(t *testing.T) {
	opt := patient()
	opt.EnableIoctl = true
	f := openIn(t, serve(t, volume{newFS(t)}, opt).MountPoint(), os.O_RDWR|os.O_CREATE)
	get := func() int {
		t.Helper()
		n := 0
		if err := again(func() (err error) { n, err = unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS); return err }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	set := func(flags int) error {
		return again(func() error { return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags) })
	}
	if n := get(); n != 0 {
		t.Errorf("flags %#x of a new file", n)
	}
	if err := set(immutableFlag); err != nil {
		t.Fatal(err)
	}
	if n := get(); n != immutableFlag {
		t.Errorf("flags %#x, want immutable", n)
	}
	if _, err := os.OpenFile(f.Name(), os.O_WRONLY, 0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("open of an immutable file for writing: %v", err)
	}
	if err := os.Remove(f.Name()); !errors.Is(err, syscall.EPERM) {
		t.Errorf("removal of an immutable file: %v", err)
	}
	if err := set(0x40); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Errorf("a flag that is not known: %v", err)
	}
	if err := set(0); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(f.Name()); err != nil {
		t.Error(err)
	}
}

// TestACL: the kernel heeds the lists, and the volume keeps them.
func TestACL(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root, for files and processes of other users")
	}
	const uid = 12345
	opt := patient()
	opt.EnableACL = true
	dir := serve(t, volume{newClients(t, 1, func(f *meta.Format) { f.TurnOnACL() })[0]}, opt).MountPoint()
	if err := os.Chmod(filepath.Dir(dir), 0755); err != nil { // other users have to get there
		t.Fatal(err)
	}
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("data"), 0600); err != nil {
		t.Fatal(err)
	}
	as := func(name string, args ...string) error {
		cmd := exec.Command(name, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		if err != nil && !strings.Contains(string(out), "ermission denied") {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		return err
	}
	if as("cat", path) == nil {
		t.Fatal("a stranger reads a file of mode 600")
	}
	acl := meta.ACL{Owner: 6, Group: 0, Mask: 4, Other: 0, Users: []meta.ACLEntry{{ID: uid, Perm: 6}}}
	if err := unix.Setxattr(path, meta.XattrACLAccess, acl.Xattr(), 0); err != nil {
		t.Fatal(err)
	}
	if err := as("cat", path); err != nil {
		t.Error("the named user cannot read")
	}
	if as("tee", path) == nil {
		t.Error("the named user writes against the mask")
	}
	mode := func(path string) os.FileMode {
		t.Helper()
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return st.Mode().Perm()
	}
	if m := mode(path); m != 0640 {
		t.Errorf("mode %o, want 640: the mask", m)
	}
	get := func(path, name string) []byte {
		t.Helper()
		b := make([]byte, 1000)
		n, err := unix.Getxattr(path, name, b)
		if err != nil {
			t.Fatal(err)
		}
		return b[:n]
	}
	if err := os.Chmod(path, 0660); err != nil {
		t.Fatal(err)
	}
	acl.Mask = 6
	if got := get(path, meta.XattrACLAccess); !bytes.Equal(got, acl.Xattr()) {
		t.Errorf("list after chmod: % x, want % x", got, acl.Xattr())
	}
	if err := as("tee", path); err != nil {
		t.Error("the named user cannot write")
	}

	def := meta.ACL{Owner: 7, Group: 5, Mask: 7, Other: 0, Users: []meta.ACLEntry{{ID: uid, Perm: 7}}}
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(sub, meta.XattrACLDefault, def.Xattr(), 0); err != nil {
		t.Fatal(err)
	}
	old := syscall.Umask(0077)
	err := os.WriteFile(filepath.Join(sub, "g"), nil, 0666)
	syscall.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	if m := mode(filepath.Join(sub, "g")); m != 0660 {
		t.Errorf("mode %o of a file under a default list, want 660: no umask", m)
	}
	if err := as("tee", filepath.Join(sub, "g")); err != nil {
		t.Error("the named user of the default list cannot write")
	}
	if err := unix.Removexattr(path, meta.XattrACLAccess); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Getxattr(path, meta.XattrACLAccess, nil); !errors.Is(err, syscall.ENODATA) {
		t.Errorf("list after its removal: %v", err)
	}
	if err := unix.Setxattr(path, meta.XattrACLAccess, []byte{9}, 0); !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Errorf("malformed list: %v", err)
	}
}

// lockWatch is a volume that tells of each attempt at a lock.
type lockWatch struct {
	volume
	begun chan<- struct{}
}

func (w lockWatch) Flock(ctx context.Context, ino meta.Ino, owner uint64, typ meta.FlockType, block bool) (bool, error) {
	if block {
		w.begun <- struct{}{}
	}
	return w.volume.Flock(ctx, ino, owner, typ, block)
}
