package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// anyObject gives the path of an object of the world's volume, a block of a file.
func (w *world) anyObject() (name string) {
	w.t.Helper()
	err := filepath.WalkDir(w.path("objects/myjfs/chunks"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			name = path
		}
		return err
	})
	if err != nil || name == "" {
		w.t.Fatalf("no object: %v", err)
	}
	return name
}

func TestE2EFsckAndGC(t *testing.T) {
	w := newWorld(t)
	w.format("--trash-days", "0")
	w.mount()
	w.write("mnt/d/a", content(5<<20, 1))
	w.write("mnt/d/b", content(100, 2))
	w.ok("umount", "$/mnt")

	const found = "Found 3 blocks (5242980 bytes)\nUsed by 2 slices (5242980 bytes)\n"
	if got := w.ok("fsck", worldDB); got != found {
		t.Errorf("fsck: %q", got)
	}
	if got, want := w.ok("fsck", "--path", "/", "-r", "--sync-dir-stat", worldDB), "Checked 2 directories, 0 with faults, 0 repaired\n"+found; got != want {
		t.Errorf("fsck of the tree: %q, want %q", got, want)
	}
	if got, want := w.ok("fsck", "--path", "/d/b", worldDB), "Found 1 blocks (100 bytes)\nUsed by 1 slices (100 bytes)\n"; got != want {
		t.Errorf("fsck of a file: %q, want %q", got, want)
	}
	w.refused("--repair needs --path", "fsck", "--repair", worldDB)
	w.refused("no such file or directory", "fsck", "--path", "/none", worldDB)

	const clean = "0 pending delete (0 bytes), 0 compacted (0 bytes), 0 leaked (0 bytes), 0 delslices (0 bytes), 0 delfiles (0 bytes), "
	if got, want := w.ok("gc", worldDB), "scanned 3 objects, 0 valid, "+clean+"3 skipped (5242980 bytes)\n"; got != want {
		t.Errorf("gc of young objects: %q, want %q", got, want)
	}
	if got := w.ok("gc", "--delete", "--compact", worldDB); !strings.HasPrefix(got, "scanned 3 objects") {
		t.Errorf("gc --delete: %q", got)
	}

	if err := os.Remove(w.anyObject()); err != nil {
		t.Fatal(err)
	}
	r := w.run("fsck", worldDB)
	if r.code != 1 || !strings.Contains(r.out, "Used by 2 slices") || !strings.Contains(r.log, "/d/") {
		t.Errorf("fsck of a damaged volume: exit code %d\n%s%s", r.code, r.out, r.log)
	}
}

func TestE2EDumpLoadDestroy(t *testing.T) {
	w := newWorld(t)
	w.format("--secret-key", "geheim")
	w.mount()
	w.write("mnt/d/a", content(5000, 1))
	w.write("mnt/gone", content(100, 2))
	if err := os.Remove(w.path("mnt/gone")); err != nil {
		t.Fatal(err)
	}
	w.refused("the volume is in use at ", "destroy", "--yes", worldDB, w.uuid())
	w.ok("umount", "$/mnt")

	var s struct {
		Stat struct{ TrashFileCount, TrashFileSize, PendingDeletedFileCount, TrashSliceCount *int64 }
	}
	if err := json.Unmarshal([]byte(w.ok("status", "--more", worldDB)), &s); err != nil {
		t.Fatal(err)
	}
	if s.Stat.TrashFileCount == nil || *s.Stat.TrashFileCount != 1 || *s.Stat.TrashFileSize != 100 || *s.Stat.PendingDeletedFileCount != 0 || *s.Stat.TrashSliceCount != 0 {
		t.Errorf("status --more: %+v", s.Stat)
	}
	if strings.Contains(w.ok("status", worldDB), "TrashFileCount") {
		t.Error("status without --more counts the trash")
	}

	w.ok("dump", worldDB, "$/dump.json.gz")
	if info, err := os.Stat(w.path("dump.json.gz")); err != nil || info.Mode() != 0o600 {
		t.Errorf("dump: %v, %v", info, err)
	}
	out := w.ok("dump", "--skip-trash", "--subdir", "/d", worldDB)
	if !json.Valid([]byte(out)) || !strings.Contains(out, `"a"`) || strings.Contains(out, `"gone"`) {
		t.Errorf("dump of a directory:\n%s", out)
	}
	w.refused("no such file or directory", "dump", "--subdir", "/none", worldDB, "$/none.json")
	if left, err := filepath.Glob(w.path("none*")); err != nil || len(left) != 0 {
		t.Errorf("a dump that failed leaves %q, %v", left, err)
	}
	w.ok("load", "sqlite3://$/copy.db", "$/dump.json.gz")
	w.refused("not empty", "load", "sqlite3://$/copy.db", "$/dump.json.gz")
	w.refused("was removed by a dump", "gc", "sqlite3://$/copy.db")
	w.refused("give --secret-key", "config", "--trash-days", "3", "sqlite3://$/copy.db")
	w.ok("config", "--secret-key", "geheim", "sqlite3://$/copy.db")
	w.ok("fsck", "sqlite3://$/copy.db")

	w.refused("nothing is destroyed", "destroy", "--yes", worldDB, "00000000-0000-4000-8000-000000000000")
	w.refused("not confirmed", "destroy", worldDB, w.uuid())
	w.ok("destroy", "--yes", worldDB, w.uuid())
	w.refused("is not formatted", "status", worldDB)
	if left, err := filepath.Glob(w.path("objects/myjfs/*")); err != nil || len(left) != 1 { // the directory of the blocks
		t.Errorf("destroy leaves %q, %v", left, err)
	}
}

func (w *world) uuid() string {
	w.t.Helper()
	return volumeUUID(w.t, w.ok("status", worldDB))
}

// volumeUUID finds the UUID in what status prints.
func volumeUUID(t *testing.T, status string) string {
	t.Helper()
	var s struct{ Setting struct{ UUID string } }
	if err := json.Unmarshal([]byte(status), &s); err != nil {
		t.Fatal(err)
	}
	return s.Setting.UUID
}

func (w *world) objectCount() (n int) {
	w.t.Helper()
	err := filepath.WalkDir(w.path("objects/myjfs/chunks"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}
