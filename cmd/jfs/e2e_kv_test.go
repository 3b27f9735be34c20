package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"jfs/internal/testenv"
)

// TestE2EKeySpaces: the life of a volume whose metadata is in etcd, and of one in badger.
func TestE2EKeySpaces(t *testing.T) {
	t.Run("etcd", func(t *testing.T) {
		server := testenv.StartEtcd(t)
		keySpace(t, "etcd://"+server.Addr+"/vol")
		w := newWorld(t)
		w.refused("database is not formatted", "status", "etcd://"+server.Addr+"/other")
		w.refused("give it in META_PASSWORD", "status", "etcd://tom@"+server.Addr+"/vol")
	})
	t.Run("badger", func(t *testing.T) {
		w := keySpace(t, "badger://$/meta")
		w.ok("mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache", "badger://meta", "$/mnt")
		w.refused("another process has it open", "status", "badger://$/meta")
		w.ok("umount", "$/mnt")
	})
}

func keySpace(t *testing.T, db string) *world {
	t.Helper()
	w := newWorld(t)
	w.ok("format", "--bucket", "$/objects", "--trash-days", "0", db, "myjfs")
	mount := func() {
		t.Helper()
		w.ok("mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache", db, "$/mnt")
	}
	mount()
	files := map[string][]byte{"empty": nil, "big": content(5<<20+17, 1)}
	for i := range 40 {
		files[fmt.Sprintf("dir%d/sub/small%d", i%4, i)] = content(100*i, byte(i))
	}
	for name, data := range files {
		w.write("source/"+name, data)
	}
	if out, err := w.command("cp", "-a", "$/source", "$/mnt/tree").CombinedOutput(); err != nil {
		t.Fatalf("copy: %v\n%s", err, out)
	}
	if err := os.Rename(w.path("mnt/tree/dir0"), w.path("mnt/tree/moved")); err != nil {
		t.Fatal(err)
	}
	w.ok("umount", "$/mnt")

	if got := w.ok("fsck", "--path", "/", "-r", "--sync-dir-stat", db); !strings.HasPrefix(got, "Checked 10 directories, 0 with faults, 0 repaired\n") {
		t.Errorf("fsck: %q", got)
	}
	w.ok("dump", db, "$/dump.json")
	if dump, err := os.ReadFile(w.path("dump.json")); err != nil || !strings.Contains(string(dump), `"small39"`) {
		t.Errorf("the dump lacks a file: %v", err)
	}
	copied := strings.Replace(strings.Replace(db, "$/meta", "$/meta2", 1), "/vol", "/vol2", 1)
	w.ok("load", copied, "$/dump.json")
	if got := w.ok("fsck", "--path", "/tree", "-r", copied); !strings.Contains(got, "Checked 9 directories, 0 with faults") {
		t.Errorf("fsck of the loaded volume: %q", got)
	}
	mount()
	for name, data := range files {
		w.holds("mnt/tree/"+strings.Replace(name, "dir0", "moved", 1), data)
	}
	w.ok("rmr", "$/mnt/tree")
	w.ok("umount", "$/mnt")
	if got := w.ok("fsck", "--path", "/", "-r", db); !strings.HasPrefix(got, "Checked 1 directories, 0 with faults") {
		t.Errorf("fsck of the empty volume: %q", got)
	}
	return w
}
