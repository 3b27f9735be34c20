package bench

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// inMountNamespace runs test in a child process that may mount file systems which nobody else sees. Root is not
// needed where the kernel lets users have namespaces.
func inMountNamespace(t *testing.T, test func(t *testing.T)) {
	const child = "JFS_BENCH_TEST_CHILD"
	if os.Getenv(child) == t.Name() {
		// Else a mount would also appear outside.
		if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		test(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), child+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a mount namespace: %v\n%s", err, out)
	}
}

func mountTmpfs(t *testing.T, flags uintptr, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestDiskFull(t *testing.T) {
	inMountNamespace(t, func(t *testing.T) {
		for _, c := range []struct {
			phase   string
			threads int
			cfg     Config
		}{
			{"write big file", 1, Config{BigFileSize: 2 << 20, SkipSmall: true}},
			{"write big file", 3, Config{BigFileSize: 512 << 10, SkipSmall: true}},
			{"write small file", 1, Config{SkipBig: true}},
		} {
			dir := mountTmpfs(t, 0, "size=1m")
			c.cfg.Threads = c.threads
			r := runner(c.cfg)
			res, err := r.Run(t.Context(), dir)
			if !errors.Is(err, ErrSpace) || res != nil || strings.Count(err.Error(), "\n") != 0 {
				t.Errorf("%s: error %v, want ErrSpace before anything is written", c.phase, err)
			}
			// Somebody else may take the room meanwhile.
			r.free = func(string) (int64, int64, error) { return 1 << 40, 1 << 40, nil }
			res, err = r.Run(t.Context(), dir)
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), c.phase) {
				t.Errorf("%s: error %v, want ENOSPC", c.phase, err)
			}
			if got := res.Phases[0].Bytes(); got > 1<<20 {
				t.Errorf("%s: counted %d bytes on a disk of 1 MiB", c.phase, got)
			}
			assertEmpty(t, dir)
		}
	})
}

func TestReadOnly(t *testing.T) {
	inMountNamespace(t, func(t *testing.T) {
		dir := mountTmpfs(t, syscall.MS_RDONLY, "size=1m")
		res, err := runner(small()).Run(t.Context(), dir)
		if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "can be written to") || res != nil {
			t.Errorf("result %+v, error %v", res, err)
		}
	})
}

func TestMountRootOfNewMount(t *testing.T) {
	inMountNamespace(t, func(t *testing.T) {
		dir := mountTmpfs(t, 0, "size=1m")
		if err := os.MkdirAll(dir+"/a/b", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/.stats", []byte("juicefs_uptime 7\n"), 0o444); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{dir, dir + "/a", dir + "/a/b"} {
			if root, err := mountRoot(path); err != nil || root != dir {
				t.Errorf("mountRoot(%s) = %s, %v", path, root, err)
			}
			if c, err := mountCounters(path); err != nil || c["uptime"] != 7 {
				t.Errorf("mountCounters(%s) = %v, %v", path, c, err)
			}
		}
		if err := os.Symlink(dir+"/a/b", dir+"-link"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Remove(dir + "-link") }()
		if root, err := mountRoot(dir + "-link"); err != nil || root != dir {
			t.Errorf("mountRoot of a link = %s, %v", root, err)
		}
	})
}
