package mount

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/posixtest"
	"golang.org/x/sys/unix"

	"jfs/fs/fstest"
	"jfs/internal/mounts"
	"jfs/internal/posix"
	"jfs/meta"
)

func TestSuite(t *testing.T) {
	for name, c := range map[string]struct {
		set    func(*Options)
		groups []string // those that the setting concerns; none: all
	}{
		"default": {func(*Options) {}, nil},
		"no-cache": {func(o *Options) {
			o.AttrTimeout, o.EntryTimeout, o.DirEntryTimeout, o.EnableXattr = -1, -1, -1, true
		}, []string{"open", "unlink", "link", "rename", "name", "attr", "time", "xattr", "effect", "pair", "io", "special"}},
		"writeback-cache": {func(o *Options) { o.WritebackCache = true },
			[]string{"open", "data", "truncate", "map", "unlink", "time", "io", "process"}},
		"trash": {func(*Options) {}, []string{"open", "io", "listing"}},
	} {
		t.Run(name, func(t *testing.T) {
			opt := patient()
			opt.EnableACL, opt.EnableIoctl = true, true
			want := fstest.Volume()
			want.Groups, want.Patient, want.LateErrors = c.groups, true, name == "writeback-cache"
			c.set(&opt)
			acls := newClients(t, 1, func(f *meta.Format) {
				f.TurnOnACL()
				if want.KeptLinks = name == "trash"; want.KeptLinks {
					f.TrashDays = 1
				}
			})[0]
			fstest.Run(t, serve(t, volume{acls}, opt).MountPoint(), want)
		})
	}
}

// TestWriteBackOfTrashed: with the kernel's write-back cache, a file that is unlinked while it is open can be written,
// truncated, synced, read and closed without an error when it has got into the trash, where its times cannot be changed.
func TestWriteBackOfTrashed(t *testing.T) {
	opt := patient()
	opt.WritebackCache = true
	client := newClients(t, 1, func(f *meta.Format) { f.TrashDays = 1 })[0]
	path := filepath.Join(serve(t, volume{client}, opt).MountPoint(), "f")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := f.WriteAt([]byte("text"), int64(5000*i)); err != nil {
			t.Errorf("write: %v", err)
		}
		if i == 1 {
			continue
		}
		if err := f.Sync(); err != nil {
			t.Errorf("sync: %v", err)
		}
	}
	if err := f.Truncate(10_004); err != nil {
		t.Errorf("truncate: %v", err)
	}
	if err := f.Truncate(20_000); err != nil {
		t.Errorf("truncate: %v", err)
	}
	b := make([]byte, 4)
	if _, err := other.ReadAt(b, 10_000); err != nil || string(b) != "text" {
		t.Errorf("read: %q, %v", b, err)
	}
	for _, file := range []*os.File{other, f} {
		if err := file.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

// TestWriteBackHoles: with the kernel's write-back cache, what was written and not synced is no hole.
func TestWriteBackHoles(t *testing.T) {
	opt := patient()
	opt.WritebackCache = true
	f, err := os.Create(filepath.Join(serve(t, volume{newFS(t)}, opt).MountPoint(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{1}, 8192), 8192); err != nil {
		t.Fatal(err)
	}
	if at, err := f.Seek(8192, unix.SEEK_DATA); err != nil || at != 8192 {
		t.Errorf("data from 8192 on: %d, %v", at, err)
	}
	if at, err := f.Seek(8192, unix.SEEK_HOLE); err != nil || at < 16384 {
		t.Errorf("a hole from 8192 on: %d, %v", at, err)
	}
}

func TestPosixtest(t *testing.T) {
	left := []string{
		"FcntlFlockLocksFile", "OpenSymlinkRace", // fail in a local directory too
	}
	opt := patient()
	opt.EnableXattr = true
	for name, fn := range posixtest.All {
		if !slices.Contains(left, name) {
			t.Run(name, func(t *testing.T) { fn(t, serve(t, volume{newFS(t)}, opt).MountPoint()) })
		}
	}
}

// TestKernelView: what the kernel and its tools show of a mount.
func TestKernelView(t *testing.T) {
	opt := patient()
	opt.Volume, opt.ReadAhead, opt.EnableXattr = "my-volume", 2<<20, true
	if err := opt.Set("noexec"); err != nil {
		t.Fatal(err)
	}
	s := serve(t, volume{newFS(t)}, opt)
	m, ok, err := mounts.At(s.MountPoint())
	if err != nil || !ok || m.Source != "JuiceFS:my-volume" || m.Type != "fuse.juicefs" {
		t.Fatalf("%+v, %v, %v", m, ok, err)
	}
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(table), s.MountPoint()+" ")
	line, _, _ = strings.Cut(line, "\n")
	for _, word := range []string{"noexec", "default_permissions", "allow_other", "max_read=1048576"} {
		if !strings.Contains(line, word) {
			t.Errorf("the mount has no %s: %s", word, line)
		}
	}
	if kib, err := os.ReadFile("/sys/class/bdi/" + s.dev + "/read_ahead_kb"); err == nil && string(kib) != "2048\n" {
		t.Errorf("read-ahead is %s KiB, want 2048", kib)
	}
	path := filepath.Join(s.MountPoint(), "f")
	if err := os.WriteFile(path, make([]byte, 5000), 0644); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	if st.Blksize != 65536 || st.Blocks != 10 {
		t.Errorf("blksize %d, blocks %d; want 65536 and 10", st.Blksize, st.Blocks)
	}
	var root unix.Stat_t
	if err := unix.Stat(s.MountPoint(), &root); err != nil || root.Ino != 1 {
		t.Errorf("the root is inode %d, %v", root.Ino, err)
	}
	if err := unix.Setxattr(path, "security.capability", []byte("x"), 0); err == nil {
		t.Error("a capability was set without the option for it")
	}
	for _, e := range []string{"/proc/self/fd"} {
		fds, err := os.ReadDir(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if target, _ := os.Readlink(filepath.Join(e, fd.Name())); target != "/dev/fuse" {
				continue
			}
			var n int
			_, _ = fmt.Sscan(fd.Name(), &n)
			if flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
				t.Error("child processes inherit the connection")
			}
		}
	}
}

func TestReadOnly(t *testing.T) {
	both := newClients(t, 2, func(f *meta.Format) {})
	opt := patient()
	opt.EnableXattr = true
	fstest.Prepare(t, serve(t, volume{both[0]}, opt).MountPoint())
	if err := opt.Set("ro"); err != nil {
		t.Fatal(err)
	}
	fstest.RunReadOnly(t, serve(t, volume{both[1]}, opt).MountPoint())
}

// TestSecondMount: a mount point that is taken is refused with the way out.
func TestSecondMount(t *testing.T) {
	s := serve(t, volume{newFS(t)}, patient())
	_, err := start(t.Context(), newFake(), Options{MountPoint: s.MountPoint(), Volume: "other"})
	if err == nil || !strings.Contains(err.Error(), "JuiceFS:test is already mounted there; unmount it with: jfs umount") {
		t.Error(err)
	}
}

func TestMountCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := start(ctx, newFake(), Options{MountPoint: dir, Volume: "v"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, ok, _ := mounts.At(dir); ok {
		t.Error("mounted all the same")
	}
}

// TestUnmountBusy: an unmount says that files are in use, and goes through when they are not.
func TestUnmountBusy(t *testing.T) {
	b := newFake()
	s := serve(t, b, patient())
	f, err := os.Open(filepath.Join(s.MountPoint(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Unmount(false); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "fuser -vm "+s.MountPoint()) {
		t.Error("unmount of a mount in use:", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Unmount(false); err != nil {
		t.Fatal(err)
	}
	s.Wait()
	if err := s.Unmount(false); err != nil {
		t.Error("second unmount:", err)
	}
	if released, _ := b.counts(); released != 1 {
		t.Errorf("%d files released, want 1", released)
	}
}

// TestUnmountLazy: users of the mount do not keep it, and what they had open is released.
func TestUnmountLazy(t *testing.T) {
	b := newFake()
	s := serve(t, b, patient())
	f, err := os.Open(filepath.Join(s.MountPoint(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // the file is gone by then
	d, err := os.Open(s.MountPoint())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // likewise
	if err := s.Unmount(true); err != nil {
		t.Fatal(err)
	}
	s.Wait()
	if _, err := f.ReadAt(make([]byte, 1), 0); err == nil || errors.Is(err, io.EOF) {
		t.Error("a file is still readable")
	}
	if released, closed := b.counts(); released != 1 || closed != 1 {
		t.Errorf("%d files and %d directories released, want 1 and 1", released, closed)
	}
}

const childEnv = "JFS_MOUNT_TEST_CHILD"

// child is what the test binary does in place of tests: read a file past the page cache. Reads into the page cache
// have a life of their own: the kernel lets go of who waits for them, and interrupts nothing.
func child() {
	f, err := os.OpenFile(os.Getenv(childEnv), os.O_RDONLY|syscall.O_DIRECT, 0)
	if err == nil {
		var page []byte
		if page, err = unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE); err == nil {
			_, err = unix.Read(int(f.Fd()), page)
		}
	}
	fmt.Println(err)
	os.Exit(0)
}

// reader starts a process that reads the file of a mount whose backend does not answer, and waits until it reads.
func reader(t *testing.T, s *Server, begun <-chan struct{}) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+filepath.Join(s.MountPoint(), "f"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	<-begun
	return cmd
}

// deadBackend mounts a file system whose file cannot be read.
func deadBackend(t *testing.T, opt Options) (s *Server, begun chan struct{}, ended chan syscall.Errno) {
	t.Helper()
	begun, ended = make(chan struct{}, 100), make(chan syscall.Errno, 100)
	b := newFake()
	wait := stuck(begun)
	b.read = func(ctx context.Context, _ uint64, _ []byte) (int, error) { return 0, wait(ctx) }
	opt.Observe = func(op string, _ time.Duration, no syscall.Errno) {
		if op == "read" {
			ended <- no
		}
	}
	return serve(t, b, opt), begun, ended
}

// TestInterrupt: a process that is killed gets out of a read that does not end.
func TestInterrupt(t *testing.T) {
	s, begun, ended := deadBackend(t, Options{})
	cmd := reader(t, s, begun)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if no := <-ended; no != syscall.EINTR {
		t.Errorf("the read ended with %v", no)
	}
	_ = cmd.Wait()
}

// TestDeadline: a read that does not end gives an error in the end.
func TestDeadline(t *testing.T) {
	s, begun, ended := deadBackend(t, Options{InterruptDelay: time.Hour, Timeout: 50 * time.Millisecond})
	cmd := reader(t, s, begun)
	if no := <-ended; no != syscall.EIO {
		t.Errorf("the read ended with %v", no)
	}
	_ = cmd.Wait()
}

// TestUnmountDead: every way to unmount ends Serve while a read waits for a backend that does not answer.
func TestUnmountDead(t *testing.T) {
	run := func(name string, args ...string) func(*Server) error {
		return func(s *Server) error { return exec.Command(name, append(args, s.MountPoint())...).Run() }
	}
	for name, unmount := range map[string]func(*Server) error{
		"lazy":           func(s *Server) error { return s.Unmount(true) },
		"other process":  func(s *Server) error { return Unmount(s.MountPoint(), true) },
		"umount -l":      run("umount", "-l"),
		"umount -f -l":   run("umount", "-f", "-l"),
		"fusermount -uz": run("fusermount3", "-uz"),
	} {
		t.Run(name, func(t *testing.T) {
			s, begun, _ := deadBackend(t, Options{DetachDelay: 20 * time.Millisecond})
			cmd := reader(t, s, begun)
			if err := s.Unmount(false); !errors.Is(err, ErrBusy) {
				t.Error("plain unmount:", err)
			}
			if err := unmount(s); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // its read gave an error
			s.Wait()
		})
	}
}

// TestStale: after the end of a connection the mount point is told of as left over, and --force removes it.
func TestStale(t *testing.T) {
	s := serve(t, newFake(), patient())
	f, err := os.Open(filepath.Join(s.MountPoint(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // its connection is gone
	// A forced unmount of what is in use cuts the connection and leaves the mount.
	if err := unix.Unmount(s.MountPoint(), unix.MNT_FORCE); !errors.Is(err, unix.EBUSY) {
		t.Fatal(err)
	}
	s.Wait()
	_, err = start(t.Context(), newFake(), Options{MountPoint: s.MountPoint(), Volume: "v"})
	if err == nil || !strings.Contains(err.Error(), "with --force if it answers \"transport endpoint is not connected\"") {
		t.Error("mount over what is left:", err)
	}
	_, err = start(t.Context(), newFake(), Options{MountPoint: s.MountPoint() + "/below", Volume: "v"})
	if err == nil || !strings.Contains(err.Error(), "jfs umount --force") {
		t.Error("mount below what is left:", err)
	}
	if err := Unmount(s.MountPoint(), true); err != nil {
		t.Error(err)
	}
}

// TestPanic: a request that panics is an I/O error, and the mount lives on.
func TestPanic(t *testing.T) {
	var text strings.Builder
	opt := patient()
	opt.Log = slog.New(slog.NewTextHandler(&text, nil))
	s := serve(t, newFake(), opt)
	if err := unix.Mkdir(s.MountPoint()+"/x", 0755); !errors.Is(err, syscall.EIO) { // which the fake does not have
		t.Error(err)
	}
	if _, err := os.Stat(s.MountPoint() + "/f"); err != nil {
		t.Error(err)
	}
	if err := s.Unmount(false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "a request panicked") {
		t.Errorf("the log does not tell: %s", text.String())
	}
}

// TestNotify: the kernel forgets what it is told to forget.
func TestNotify(t *testing.T) {
	b := newFake()
	lookups := make(chan meta.Ino, 100)
	b.getattr = func(_ context.Context, ino meta.Ino) (meta.Attr, error) {
		lookups <- ino
		return b.attr(ino), nil
	}
	s := serve(t, b, Options{AttrTimeout: time.Hour, EntryTimeout: time.Hour, DirEntryTimeout: time.Hour, InterruptDelay: time.Hour})
	path := filepath.Join(s.MountPoint(), "f")
	asked := func(ino meta.Ino) int {
		t.Helper()
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
		n := 0
		for len(lookups) > 0 {
			if <-lookups == ino {
				n++
			}
		}
		return n
	}
	asked(fakeFile)
	if n := asked(fakeFile); n != 0 {
		t.Errorf("%d requests for attributes that the kernel has", n)
	}
	if err := s.InodeNotify(fakeFile, 0, 0); err != nil {
		t.Fatal(err)
	}
	if n := asked(fakeFile); n != 1 {
		t.Errorf("%d requests after the inode was dropped, want 1", n)
	}
	if err := s.EntryNotify(b.root, "f"); err != nil {
		t.Fatal(err)
	}
	if err := s.EntryNotify(b.root, "unknown"); err != nil {
		t.Error("notification of an unknown name:", err)
	}
	if err := s.InodeNotify(12345, 0, 0); err != nil {
		t.Error("notification of an unknown inode:", err)
	}
}

// TestOwnCheck: without default_permissions the file system checks, and knows the groups of the caller.
func TestOwnCheck(t *testing.T) {
	b := &checker{fake: newFake(), who: make(chan meta.Cred, 100)}
	opt := patient()
	opt.NoDefaultPermissions = true
	s := serve(t, b, opt)
	path := filepath.Join(s.MountPoint(), "f")
	if err := unix.Access(path, unix.W_OK); !errors.Is(err, syscall.EACCES) {
		t.Error(err)
	}
	if who := <-b.who; who.Checked || who.UID != uint32(os.Geteuid()) {
		t.Errorf("asked for %+v", who)
	}
}

type checker struct {
	*fake
	who chan meta.Cred
}

func (c *checker) Access(_ context.Context, who meta.Cred, _ meta.Ino, mask uint16) error {
	if mask&meta.MayWrite == 0 {
		return nil
	}
	c.who <- who
	return posix.EACCES
}
