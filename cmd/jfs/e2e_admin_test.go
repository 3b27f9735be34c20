package main

import (
	"os"
	"strings"
	"testing"
)

const worldDB = "sqlite3://$/m.db"

func TestE2EQuota(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.mount()
	w.write("mnt/a/file", content(5000, 1))
	w.ok("umount", "$/mnt") // which flushes the statistics that are counted
	out := w.ok("quota", "set", worldDB, "--path", "/a", "--capacity", "1", "--inodes", "1000")
	want := `+---------+---------+---------+------+--------+-------+-------+
| Path/ID |   Size  |   Used  | Use% | Inodes | IUsed | IUse% |
+---------+---------+---------+------+--------+-------+-------+
| /a      | 1.0 GiB | 8.0 KiB |   0% |  1,000 |     1 |    0% |
+---------+---------+---------+------+--------+-------+-------+
`
	if out != want {
		t.Errorf("set:\n%s", out)
	}
	if got := w.ok("quota", "get", "--path=/a", worldDB); got != want {
		t.Errorf("get:\n%s", got)
	}
	w.ok("quota", "set", worldDB, "--path", "/new/sub", "--create", "--inodes", "2")
	w.mount()
	if info, err := os.Stat(w.path("mnt/new/sub")); err != nil || !info.IsDir() {
		t.Errorf("the directory of the quota was not made: %v", err)
	}
	if got := w.ok("quota", "list", worldDB); strings.Count(got, "\n") != 6 || !strings.Contains(got, "| /new/sub | unlimited |     0 B |      |") {
		t.Errorf("list:\n%s", got)
	}
	w.ok("quota", "check", "--strict", worldDB)
	w.ok("quota", "delete", "--path", "/a", worldDB)
	w.refused("directory ", "quota", "get", "--path", "/a", worldDB)
	w.refused("no quota is named", "quota", "get", worldDB)
	w.refused("give one of --path", "quota", "get", "--path", "/a", "--uid", "1", worldDB)
	w.refused("no limit is given", "quota", "set", "--path", "/a", worldDB)
	w.refused("no such file or directory", "quota", "set", "--path", "/none", "--inodes", "1", worldDB)
	w.refused("unknown command \"size\" of quota", "quota", "size")

	w.ok("config", "--user-group-quota", worldDB)
	if got := w.ok("quota", "set", "--uid", "1234", "--inodes", "7", worldDB); !strings.Contains(got, "| uid:1234 | unlimited |  0 B |      |      7 |     0 |    0% |") {
		t.Errorf("user:\n%s", got)
	}
	w.ok("umount", "$/mnt")
}

func TestE2ERestore(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.mount()
	w.write("mnt/tree/deep/file", []byte("lost"))
	if err := os.RemoveAll(w.path("mnt/tree")); err != nil {
		t.Fatal(err)
	}
	hours, err := os.ReadDir(w.path("mnt/.trash"))
	if err != nil || len(hours) == 0 {
		t.Fatalf("hours of the trash: %v, %v", hours, err)
	}
	args := []string{"restore", "--put-back", worldDB}
	for _, h := range hours {
		args = append(args, h.Name())
	}
	if got, want := w.ok(args...), "restored: 3, skipped: 0, failed: 0\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	eventually(t, "the tree is back", func() error { return same(w.path("mnt/tree/deep/file"), []byte("lost")) })
	w.refused("is not valid", "restore", worldDB, "yesterday")
	w.refused("restore takes at least 2 arguments and was given 1: jfs restore META-URL HOUR ...", "restore", worldDB)
	w.ok("umount", "$/mnt")
}
