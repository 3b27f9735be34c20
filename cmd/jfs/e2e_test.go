package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"jfs/internal/mounts"
)

func TestE2ELife(t *testing.T) {
	w := newWorld(t)
	w.format("--compress", "lz4", "--block-size", "1M")
	w.mount()
	files := map[string][]byte{"mnt/empty": nil, "mnt/big": content(9<<20+17, 1)}
	for i := range 50 {
		files[fmt.Sprintf("mnt/dir%d/small%d", i%5, i)] = content(1000*i, byte(i))
	}
	for name, data := range files {
		w.write(name, data)
	}
	if err := os.Rename(w.path("mnt/dir0"), w.path("mnt/moved")); err != nil {
		t.Fatal(err)
	}
	ss := w.sessions("sqlite3://$/m.db")
	host, _ := os.Hostname()
	if len(ss) != 1 || ss[0].MountPoint != w.path("mnt") || ss[0].Version != sessionVersion() || ss[0].HostName != host {
		t.Fatalf("sessions: %+v", ss)
	}
	w.ok("umount", "$/mnt")
	if !ended(ss[0].ProcessID) {
		t.Error("umount came back while the mount process was there")
	}
	if ss := w.sessions("sqlite3://$/m.db"); len(ss) != 0 {
		t.Errorf("sessions after unmounting: %+v", ss)
	}
	if n := cachedBlocks(t, w.path("cache")); n != 50 { // 49 small files and the end of the big one
		t.Errorf("%d blocks in the cache after writing, want 50", n)
	}
	if err := os.RemoveAll(w.path("cache")); err != nil {
		t.Fatal(err)
	}
	w.mount("--verify-cache-checksum", "full")
	for name, data := range files {
		w.holds(strings.Replace(name, "dir0", "moved", 1), data)
	}
	w.ok("umount", "--flush", "$/mnt")
	w.mount("--cache-dir", "memory", "--cache-size", "64M")
	w.holds("mnt/big", files["mnt/big"])
	w.ok("umount", "mnt")
	w.mount("--cache-size", "0", "--memory-cache-size", "0", "--max-fuse-io", "128K", "--attr-cache", "0", "--heartbeat", "0")
	w.holds("mnt/big", files["mnt/big"])
	w.ok("umount", "mnt/")
}

func TestE2EReadOnlySubdir(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.mount()
	w.write("mnt/a/b/file", []byte("below"))
	w.write("mnt/top", []byte("top"))
	w.ok("umount", "$/mnt")
	w.mount("--subdir", "a/b", "--read-only")
	w.holds("mnt/file", []byte("below"))
	if _, err := os.Stat(w.path("mnt/top")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is above the directory is seen: %v", err)
	}
	if err := os.Remove(w.path("mnt/file")); !errors.Is(err, syscall.EROFS) {
		t.Errorf("remove in a read-only mount: %v", err)
	}
	w.ok("umount", "$/mnt")
	w.refused("--subdir /top: top is not a directory", "mount", "--no-agent", "--cache-dir", "$/cache", "--subdir", "/top", "sqlite3://$/m.db", "$/mnt")
}

func TestE2EBusyAndDead(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.mount()
	held, err := os.Create(w.path("mnt/held"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	w.refused(fmt.Sprintf("$/mnt is in use by process %d (", os.Getpid()), "umount", "$/mnt")
	pid := w.sessions("sqlite3://$/m.db")[0].ProcessID
	w.ok("umount", "--force", "$/mnt")
	if !ended(pid) {
		t.Error("the mount process is there after umount --force")
	}

	w.mount()
	kill := func() {
		t.Helper()
		ss := w.sessions("sqlite3://$/m.db")
		pid := ss[len(ss)-1].ProcessID
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), enough)
		defer cancel()
		if err := mounts.WaitExit(ctx, pid); err != nil {
			t.Fatal(err)
		}
	}
	kill()
	w.mount() // takes the dead mount away
	kill()
	w.ok("umount", "$/mnt")
	w.refused("$/mnt is not a mount point", "umount", "$/mnt")
}

func TestE2ESignal(t *testing.T) {
	w := newWorld(t)
	w.format()
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		f := w.mountForeground("sqlite3://m.db", "mnt")
		file, err := os.Create(w.path("mnt/open"))
		if err != nil {
			t.Fatal(err)
		}
		data := content(3<<20, 3)
		if _, err := file.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := f.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if code, log := f.end(t); code != 0 || strings.Contains(log, "ERROR") {
			t.Errorf("%v: exit code %d\n%s", sig, code, log)
		}
		_ = file.Close() // the mount is gone, and its answer does not matter
		if _, mounted, _ := mounts.At(w.path("mnt")); mounted {
			t.Errorf("%v: the mount is still there", sig)
		}
		w.mount()
		w.holds("mnt/open", data)
		w.ok("umount", "$/mnt")
	}
}

func TestE2EHelper(t *testing.T) {
	w := newWorld(t)
	w.format()
	for _, name := range []string{"mount.jfs", "mount.juicefs"} {
		helper := w.path(name)
		if err := os.Symlink(os.Getenv(programEnv), helper); err != nil {
			t.Fatal(err)
		}
		if r := w.runProgram(helper, "sqlite3://$/m.db", "$/mnt", "-f", "-o", "rw"); r.code != 0 {
			t.Errorf("fake mount: exit code %d\n%s", r.code, r.log)
		}
		if _, mounted, _ := mounts.At(w.path("mnt")); mounted {
			t.Error("the fake mount is real")
		}
		r := w.runProgram(helper, "sqlite3://$/m.db", "$/mnt", "-n", "-o", "ro,_netdev,noexec,no-agent,no-syslog,log=$/log,cache-dir=$/cache,max-uploads=50")
		if r.code != 0 {
			t.Fatalf("exit code %d\n%s", r.code, r.log)
		}
		if err := os.WriteFile(w.path("mnt/x"), nil, 0o644); !errors.Is(err, syscall.EROFS) {
			t.Errorf("write to a read-only mount: %v", err)
		}
		if ss := w.sessions("sqlite3://$/m.db"); len(ss) != 0 {
			t.Errorf("a read-only mount has sessions: %+v", ss)
		}
		w.ok("umount", "$/mnt")
	}
}
