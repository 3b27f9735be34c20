package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sourceTree makes a directory with what programs care about: modes, set-uid bits, times of the past, links, and files
// from none to some blocks.
func sourceTree(t *testing.T, dir string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o755))
	old := time.Date(2001, 2, 3, 4, 5, 6, 7000, time.UTC)
	for name, f := range map[string]struct {
		size int
		mode os.FileMode
	}{
		"empty": {0, 0o644}, "small": {100, 0o600}, "exe": {5000, 0o755}, "suid": {7000, 0o755 | os.ModeSetuid},
		"sub/a": {70_000, 0o640}, "sub/b": {4<<20 + 3, 0o444}, "sub/c": {9 << 20, 0o644},
	} {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, content(f.size, byte(f.size)), 0o600))
		must(t, os.Chmod(path, f.mode))
		must(t, os.Chtimes(path, old, old.Add(time.Duration(f.size)*time.Second)))
	}
	must(t, os.Symlink("small", filepath.Join(dir, "link")))
	must(t, os.Link(filepath.Join(dir, "small"), filepath.Join(dir, "sub", "hard")))
	must(t, os.Chtimes(filepath.Join(dir, "sub"), old, old))
	must(t, os.Chtimes(dir, old, old))
}

// untar copies a tree as tar does.
func untar(t *testing.T, from, to string) {
	t.Helper()
	must(t, os.MkdirAll(to, 0o755))
	if out, err := exec.Command("sh", "-c", `tar -C "$1" --format=posix -cf - . | tar -C "$2" -xpf -`, "sh", from, to).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
}

// TestE2EWritebackCrash: without a store, files are closed at once with --writeback; a crash loses nothing of them, and
// other machines see them, complete, once the store is there again.
func TestE2EWritebackCrash(t *testing.T) {
	c := newCluster(t, "--trash-days", "0")
	c.machine("a", append([]string{"--writeback"}, impatient...)...)
	c.machine("b", impatient...)
	a, b := c.path("a"), c.path("b")
	must(t, os.WriteFile(filepath.Join(a, "old"), content(3000, 1), 0o644))
	must(t, os.WriteFile(filepath.Join(a, "changed"), content(9000, 2), 0o644))
	eventually(t, "what was written reaches the other machine", func() error { return same(filepath.Join(b, "changed"), content(9000, 2)) })

	c.s3.Stop()
	src := c.path("src")
	sourceTree(t, src)
	untar(t, src, filepath.Join(a, "tree"))
	want := fingerprint(t, src)
	sameTree(t, fingerprint(t, filepath.Join(a, "tree")), want)
	f, err := os.OpenFile(filepath.Join(a, "changed"), os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(content(1000, 3), 500)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	changed := content(9000, 2)
	copy(changed[500:], content(1000, 3))
	must(t, same(filepath.Join(a, "changed"), changed))
	must(t, os.WriteFile(filepath.Join(a, "gone"), content(5000, 4), 0o644))
	must(t, os.Remove(filepath.Join(a, "gone")))
	must(t, os.WriteFile(filepath.Join(a, "new"), content(2000, 5), 0o644))
	if err := bounded(t, "rename", func() error { return os.Rename(filepath.Join(a, "new"), filepath.Join(a, "old")) }); !errors.Is(err, syscall.EIO) {
		t.Errorf("replace a file by one that cannot be published: %v", err)
	}
	must(t, same(filepath.Join(a, "old"), content(3000, 1)))
	stats, err := os.ReadFile(filepath.Join(a, ".stats"))
	must(t, err)
	if strings.Contains(string(stats), "staging_block_bytes 0\n") {
		t.Errorf("nothing is staged:\n%s", stats)
	}
	must(t, same(filepath.Join(b, "changed"), content(9000, 2))) // from its cache: the version before
	if info, err := os.Stat(filepath.Join(b, "tree", "sub", "b")); err != nil || info.Size() != 0 {
		t.Errorf("another machine sees what is not published: %v, %v", info, err)
	}

	c.kill("a")
	c.machine("a", append([]string{"--writeback"}, impatient...)...)
	sameTree(t, fingerprint(t, filepath.Join(a, "tree")), want) // at once, from the stage
	must(t, same(filepath.Join(a, "changed"), changed))
	c.s3.Start()
	eventually(t, "what was staged is published", func() error {
		return errors.Join(same(filepath.Join(b, "changed"), changed), same(filepath.Join(b, "tree", "sub", "c"), content(9<<20, 0)))
	})
	must(t, os.Rename(filepath.Join(a, "new"), filepath.Join(a, "old")))
	must(t, same(filepath.Join(b, "old"), content(2000, 5)))
	c.ok("umount", "$/a")
	c.machine("fresh", impatient...)
	sameTree(t, fingerprint(t, filepath.Join(c.path("fresh"), "tree")), want)
	must(t, same(filepath.Join(c.path("fresh"), "changed"), changed))
	c.ok("umount", "$/b")
	c.ok("umount", "$/fresh")
	c.ok("fsck", c.url)
}

// TestE2EWritebackUmount: umount brings in what is staged, and what cannot be is left for the next mount, which may be
// one without --writeback.
func TestE2EWritebackUmount(t *testing.T) {
	w := newWorld(t)
	w.format("--trash-days", "0")
	src := w.path("src")
	sourceTree(t, src)
	want := fingerprint(t, src)
	w.mount("--writeback", "--upload-delay", "1h")
	untar(t, src, w.path("mnt/tree"))
	stored := func() (n int) {
		must(t, filepath.WalkDir(w.path("objects"), func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && strings.Contains(path, "/chunks/") {
				n++
			}
			return err
		}))
		return n
	}
	if n := stored(); n != 0 {
		t.Errorf("%d objects before the delay is over", n)
	}
	staged := staging(t, w)
	if staged == nil || staged.Blocks == 0 || staged.Bytes < 13<<20 || staged.OldestSeconds <= 0 {
		t.Errorf("status tells of what is staged: %+v", staged)
	}
	// Somebody who needs the published state does not wait for it.
	must(t, os.Truncate(w.path("mnt/tree/small"), 50))
	must(t, os.Truncate(w.path("mnt/tree/small"), 0))
	must(t, os.WriteFile(w.path("mnt/tree/small"), content(100, 100), 0o600))
	old := time.Date(2001, 2, 3, 4, 5, 6, 7000, time.UTC)
	must(t, os.Chtimes(w.path("mnt/tree/small"), old, old.Add(100*time.Second)))
	w.ok("umount", "$/mnt")
	if n := stored(); n < 5 || n > 8 { // 2 + 3 blocks, and packs of the small files
		t.Errorf("%d objects", n)
	}
	w.mount("--cache-dir", "$/other")
	if staged := staging(t, w); staged != nil {
		t.Errorf("a mount without a stage has staged %+v", staged)
	}
	sameTree(t, fingerprint(t, w.path("mnt/tree")), want)
	w.ok("umount", "$/mnt")
	w.ok("fsck", "sqlite3://$/m.db")

	m := w.mountForeground("--writeback", "--upload-hours", hoursWithout(time.Now()), "sqlite3://$/m.db", "$/mnt")
	data := content(100_000, 9)
	must(t, os.WriteFile(w.path("mnt/late"), data, 0o644))
	must(t, m.cmd.Process.Kill())
	m.end(t)
	w.mount() // stages nothing itself
	must(t, same(w.path("mnt/late"), data))
	must(t, os.WriteFile(w.path("mnt/late"), data[:5], 0o644))
	must(t, same(w.path("mnt/late"), data[:5]))
	w.ok("umount", "$/mnt")
	w.mount("--cache-dir", "$/another")
	must(t, same(w.path("mnt/late"), data[:5]))
	w.ok("umount", "$/mnt")
	w.ok("fsck", "sqlite3://$/m.db")
}

// staging gives what status tells of the stage of the only mount.
func staging(t *testing.T, w *world) *stagingReport {
	t.Helper()
	var all struct {
		Sessions []struct{ Staging *stagingReport }
	}
	must(t, json.Unmarshal([]byte(w.ok("status", worldDB)), &all))
	if len(all.Sessions) != 1 {
		t.Fatalf("%d sessions", len(all.Sessions))
	}
	return all.Sessions[0].Staging
}

// hoursWithout gives hours of the day that are not now, nor soon.
func hoursWithout(now time.Time) string {
	from := (now.Hour() + 12) % 24
	h := hours{from, (from + 1) % 24}
	return h.String()
}

// TestE2EWritebackSignals: a signal ends a mount after its data is stored, a second one leaves it in the stage.
func TestE2EWritebackSignals(t *testing.T) {
	c := newCluster(t)
	m := c.mountForeground("--writeback", "--put-timeout", "2s", "--io-retries", "2", c.url, "$/mnt")
	c.s3.Stop()
	data := content(50_000, 1)
	must(t, os.WriteFile(c.path("mnt/f"), data, 0o644))
	must(t, m.cmd.Process.Signal(syscall.SIGTERM))
	ended := make(chan struct{})
	var code int
	var log string
	go func() { code, log = m.end(t); close(ended) }()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for waiting := true; waiting; { // until it has unmounted, and then at once
		select {
		case <-ended:
			waiting = false
		case <-tick.C:
			if _, err := os.Lstat(c.path("mnt/f")); errors.Is(err, os.ErrNotExist) {
				must(t, m.cmd.Process.Signal(syscall.SIGTERM))
			}
		}
	}
	if code != 0 || !strings.Contains(log, "data stays in the stage") {
		t.Errorf("exit code %d\n%s", code, log)
	}
	c.s3.Start()
	m = c.mountForeground("--writeback", c.url, "$/mnt")
	must(t, same(c.path("mnt/f"), data))
	must(t, m.cmd.Process.Signal(syscall.SIGTERM))
	if code, log := m.end(t); code != 0 || strings.Contains(log, "stays in the stage") {
		t.Errorf("exit code %d\n%s", code, log)
	}
	m = c.mountForeground("--cache-dir", "$/other", c.url, "$/mnt")
	must(t, same(c.path("mnt/f"), data))
	must(t, m.cmd.Process.Signal(syscall.SIGTERM))
	m.end(t)
}

func TestHours(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 1, 1, hour, 30, 0, 0, time.Local) }
	for in, want := range map[string]string{
		"0,6": "111111..................", "22,2": "11....................11", "18,24": "..................111111", "5,5": "111111111111111111111111",
	} {
		var h hours
		must(t, h.Set(in))
		open, got := h.open(), ""
		for hour := range 24 {
			if open == nil || open(at(hour)) {
				got += "1"
			} else {
				got += "."
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
