package mount

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jfs/meta"
)

// command runs a program as a user, whose group has the same number.
func command(t *testing.T, uid uint32, name string, args ...string) error {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Logf("%s %q as %d: %v: %s", name, args, uid, err, out)
	}
	return err
}

// open lets other users get to a mount point in a directory for tests.
func open(t *testing.T, s *Server) string {
	t.Helper()
	for dir := filepath.Dir(s.MountPoint()); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0755); err != nil {
			t.Fatal(err)
		}
	}
	return s.MountPoint()
}

func owner(t *testing.T, path string) [2]uint32 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return [2]uint32{st.Uid, st.Gid}
}

// TestRootSquash: root has no power in the mount, and others are who they are.
func TestRootSquash(t *testing.T) {
	clients := newClients(t, 2, func(*meta.Format) {})
	plain := serve(t, volume{clients[0]}, patient()).MountPoint()
	for name, mode := range map[string]os.FileMode{"roots": 0600, "all": 0666} {
		if err := os.WriteFile(filepath.Join(plain, name), []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(plain, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	opt := patient()
	opt.RootSquash = &Identity{1234, 5678}
	dir := open(t, serve(t, volume{clients[1]}, opt))
	if _, err := os.ReadFile(filepath.Join(dir, "roots")); !errors.Is(err, syscall.EACCES) {
		t.Errorf("root reads a file of mode 600 of root: %v", err)
	}
	if _, err := os.ReadFile(filepath.Join(dir, "all")); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(filepath.Join(dir, "all"), 0600); !errors.Is(err, syscall.EPERM) {
		t.Errorf("root changes the mode of another one's file: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "d", "new"), nil, 0600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(dir, "d", "new"), 0, 0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("root gives a file away: %v", err)
	}
	for _, name := range []string{"d", "d/new"} {
		if got := owner(t, filepath.Join(plain, name)); got != [2]uint32{1234, 5678} {
			t.Errorf("%s belongs to %v", name, got)
		}
	}
	for _, name := range []string{"d/new", "roots"} {
		if command(t, 4321, "cat", filepath.Join(dir, name)) == nil {
			t.Errorf("a stranger reads %s", name)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "d", "new"), 0644); err != nil {
		t.Fatal(err)
	}
	if command(t, 4321, "cat", filepath.Join(dir, "d", "new")) == nil {
		t.Error("a stranger reads a file in a directory of mode 700 whose name the kernel remembers")
	}
	if err := command(t, 4321, "touch", filepath.Join(dir, "others")); err != nil {
		t.Error("another user cannot make a file")
	}
	if got := owner(t, filepath.Join(plain, "others")); got != [2]uint32{4321, 4321} {
		t.Errorf("a file of another user belongs to %v", got)
	}
}

// TestAllSquash: everybody acts as one user, and may do with its files what it may.
func TestAllSquash(t *testing.T) {
	opt := patient()
	opt.AllSquash, opt.RootSquash = &Identity{1234, 5678}, &Identity{1, 1}
	dir := open(t, serve(t, volume{newFS(t)}, opt))
	path := filepath.Join(dir, "f")
	if err := command(t, 4321, "touch", path); err != nil {
		t.Fatal("a user cannot make a file")
	}
	if err := os.Chmod(path, 0600); err != nil {
		t.Errorf("root changes the mode of what another user has made: %v", err)
	}
	if err := command(t, 99, "tee", path); err != nil {
		t.Error("a third one cannot write to it")
	}
	if got := owner(t, path); got != [2]uint32{1234, 5678} {
		t.Errorf("the file belongs to %v", got)
	}
}

func TestUmask(t *testing.T) {
	opt, mask := patient(), uint16(0027)
	opt.Umask = &mask
	dir := serve(t, volume{newFS(t)}, opt).MountPoint()
	path := filepath.Join(dir, "f")
	for name, fn := range map[string]func() error{
		"create": func() error { return os.WriteFile(path, nil, 0666) },
		"mkdir":  func() error { return os.Mkdir(path, 0777) },
		"mknod":  func() error { return unix.Mkfifo(path, 0666) },
	} {
		if err := fn(); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		want := os.FileMode(0640)
		if st.IsDir() {
			want = 0750
		}
		if got := st.Mode().Perm(); got != want {
			t.Errorf("%s: mode %o, want %o", name, got, want)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestForce: a mount over another one leaves that one as it was, and takes nothing of it along when it goes.
func TestForce(t *testing.T) {
	files := newFS(t)
	below := serve(t, volume{files}, patient())
	if err := os.WriteFile(below.MountPoint()+"/f", []byte("x"), 0600); err != nil {
		t.Fatal(err)
	}
	opt := patient()
	opt.MountPoint, opt.Force = below.MountPoint(), true
	above := serve(t, newFake(), opt)
	if above.MountPoint() != below.MountPoint() || above.dev == below.dev {
		t.Fatalf("mounted at %s, device %s over %s", above.MountPoint(), above.dev, below.dev)
	}
	if st, err := os.Stat(opt.MountPoint + "/f"); err != nil || st.Size() != 1000 {
		t.Errorf("what is on top is not seen: %v, %v", st, err)
	}
	if err := below.Unmount(false); !errors.Is(err, ErrBusy) {
		t.Errorf("unmount of what is covered: %v", err)
	}
	if err := above.Unmount(false); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(opt.MountPoint + "/f"); err != nil || string(b) != "x" {
		t.Errorf("what was covered: %q, %v", b, err)
	}
}

// TestListings: a listing is kept when nothing can have changed unseen since it was made.
func TestListings(t *testing.T) {
	l := newListings()
	now := time.Unix(1000, 0)
	l.now = func() time.Time { return now }
	for i, step := range []struct {
		after time.Duration
		mtime int64
		keep  bool
	}{
		{0, 1, false},
		{900 * time.Millisecond, 1, false}, // listed too soon after the change was seen
		{200 * time.Millisecond, 1, false}, // the last one was as well
		{0, 1, true},
		{time.Hour, 1, true},
		{0, 2, false},
		{time.Second, 2, false},
		{0, 2, true},
		{0, 1, false},
	} {
		now = now.Add(step.after)
		if keep := l.open(7, meta.Time{Sec: step.mtime}); keep != step.keep {
			t.Errorf("step %d: keep %v", i, keep)
		}
	}
	for node := range uint64(2 * listingsMost) {
		l.open(node, meta.Time{})
	}
	if len(l.of) > listingsMost {
		t.Errorf("%d listings remembered", len(l.of))
	}
}

// TestCacheDirs: the kernel asks for a listing that it has only when the directory has changed, by whomever.
func TestCacheDirs(t *testing.T) {
	reads := make(chan string, 1000)
	clients := newClients(t, 2, func(*meta.Format) {})
	other := serve(t, volume{clients[1]}, patient()).MountPoint()
	opt := patient()
	opt.CacheDirs = true
	opt.AttrTimeout = -1
	opt.Observe = func(op string, _ time.Duration, _ syscall.Errno) {
		if op == "readdir" || op == "readdirplus" {
			reads <- op
		}
	}
	s := serve(t, volume{clients[0]}, opt)
	now := time.Unix(1000, 0)
	s.a.lists.mu.Lock()
	s.a.lists.now = func() time.Time { now = now.Add(time.Minute); return now }
	s.a.lists.mu.Unlock()
	list := func(want ...string) (asked bool) {
		t.Helper()
		entries, err := os.ReadDir(s.MountPoint())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Name())
		}
		if !slices.Equal(got, want) {
			t.Errorf("listing %q, want %q", got, want)
		}
		for len(reads) > 0 {
			<-reads
			asked = true
		}
		return asked
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(s.MountPoint()+"/a", nil, 0600))
	list("a")
	list("a")
	if list("a") {
		t.Error("the listing of an unchanged directory is asked for again")
	}
	must(os.WriteFile(s.MountPoint()+"/b", nil, 0600))
	list("a", "b")
	must(os.Remove(s.MountPoint() + "/a"))
	list("b")
	list("b")
	if list("b") {
		t.Error("the listing is asked for again")
	}
	must(os.WriteFile(other+"/c", nil, 0600))
	// Changes that follow each other closely may leave the time of the directory as it is; this one does not.
	must(os.Chtimes(other, time.Time{}, time.Unix(99, 0)))
	list("b", "c")
}
