package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	mountfs "jfs/fs"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestE2EVirtualFiles(t *testing.T) {
	w := newWorld(t)
	w.format("--secret-key", "geheim")
	w.mount()
	if got, want := names(t, w.path("mnt")), []string{".accesslog", ".config", ".stats", ".trash"}; !slices.Equal(got, want) {
		t.Errorf("the root lists %q, want %q", got, want)
	}
	must(t, os.MkdirAll(w.path("mnt/d/e"), 0o755))
	for name, want := range map[string]struct {
		ino  uint64
		mode fs.FileMode
	}{
		".accesslog": {uint64(mountfs.AccessLogIno), 0o400}, ".control": {uint64(mountfs.ControlIno), 0o666},
		".stats": {uint64(mountfs.StatsIno), 0o444}, ".config": {uint64(mountfs.ConfigIno), 0o400}, "d/e/.control": {0x7FFFFFFF00000002, 0o666},
	} {
		info, err := os.Lstat(w.path("mnt/" + name))
		if err != nil || info.Mode() != want.mode || info.Sys().(*syscall.Stat_t).Ino != want.ino {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
	}
	must(t, gone(w.path("mnt/d/.config")))
	for _, name := range []string{".control", ".stats", ".config", ".accesslog", ".trash"} {
		path := w.path("mnt/" + name)
		if err := os.Mkdir(path, 0o755); !errors.Is(err, fs.ErrExist) {
			t.Errorf("mkdir %s: %v", name, err)
		}
		if err := os.Rename(w.path("mnt/d/e"), path); !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, fs.ErrExist) {
			t.Errorf("rename over %s: %v", name, err)
		}
		if err := os.Remove(path); !errors.Is(err, syscall.EPERM) {
			t.Errorf("remove %s: %v", name, err)
		}
	}
	if err := os.Chmod(w.path("mnt/.stats"), 0o600); !errors.Is(err, syscall.EPERM) {
		t.Errorf("chmod .stats: %v", err)
	}

	var config struct {
		Meta   struct{ MountPoint string }
		Format struct{ Name, SecretKey string }
		Chunk  struct{ BlockSize int }
		Pid    int
	}
	text, err := os.ReadFile(w.path("mnt/.config"))
	must(t, err)
	must(t, json.Unmarshal(text, &config))
	if config.Format.Name != "myjfs" || config.Format.SecretKey != "removed" || config.Chunk.BlockSize != 4<<20 || config.Meta.MountPoint != w.path("mnt") ||
		config.Pid != w.sessions(worldDB)[0].ProcessID || strings.Contains(string(text), "geheim") {
		t.Errorf(".config:\n%s", text)
	}

	log, err := os.Open(w.path("mnt/.accesslog"))
	must(t, err)
	w.write("mnt/d/file", content(5000, 1))
	lines := bufio.NewReader(log)
	want := regexp.MustCompile(fmt.Sprintf(`^\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d\.\d{6} \[uid:%d,gid:%d,pid:\d+\] create \((\d+),file,0100644\): \(\d+,\[-rw-r--r--:0100644,1,%d,%d,\d+,\d+,\d+,0\],fh:\d+\) - OK <\d+\.\d{6}>\n$`,
		os.Getuid(), os.Getgid(), os.Getuid(), os.Getgid()))
	for {
		line, err := lines.ReadString('\n')
		must(t, err)
		if strings.Contains(line, "create") {
			if !want.MatchString(line) {
				t.Errorf("line of the log: %q", line)
			}
			break
		}
	}
	must(t, log.Close())

	stats, err := os.ReadFile(w.path("mnt/.stats"))
	must(t, err)
	for _, line := range []string{"juicefs_fuse_ops_total_create 1\n", "juicefs_object_request_data_bytes_PUT 5000\n", "juicefs_used_inodes 3\n", "juicefs_object_request_errors 0\n"} {
		if !strings.Contains(string(stats), line) {
			t.Errorf(".stats lacks %q:\n%s", line, stats)
		}
	}
	w.ok("umount", "$/mnt")

	w.mount("--prefix-internal", "--subdir", "d")
	if got, want := names(t, w.path("mnt")), []string{".jfs.accesslog", ".jfs.config", ".jfs.stats", "e", "file"}; !slices.Equal(got, want) {
		t.Errorf("the root lists %q, want %q", got, want)
	}
	w.write("mnt/.config", []byte("my own"))
	w.holds("mnt/.config", []byte("my own"))
	must(t, gone(w.path("mnt/.jfs.trash")))
	if got := w.ok("info", "$/mnt/file"); !strings.Contains(got, "\n   path: /d/file\n") {
		t.Errorf("info in a mount of a directory:\n%s", got)
	}
	w.ok("umount", "$/mnt")
	w.mount("--hide-internal")
	if got, want := names(t, w.path("mnt")), []string{"d"}; !slices.Equal(got, want) {
		t.Errorf("the root lists %q, want %q", got, want)
	}
	if _, err := os.ReadFile(w.path("mnt/.stats")); err != nil {
		t.Error(err)
	}
	w.ok("umount", "$/mnt")
}

func TestE2EInfoSummary(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.mount()
	w.write("mnt/big", content(5<<20, 1))
	w.write("mnt/d/x/one", content(100, 2))
	w.write("mnt/d/two", content(5000, 3))
	must(t, os.Link(w.path("mnt/d/two"), w.path("mnt/link")))
	got := w.ok("info", "$/mnt/big")
	want := w.path("mnt/big") + ` :
  inode: 2
  files: 1
   dirs: 0
 length: 5.00 MiB (5242880 Bytes)
   size: 5.00 MiB (5242880 Bytes)
   path: /big
 objects:
+------------+------------------------------+---------+--------+---------+---------+
| chunkIndex |          objectName          |   size  | offset |  length |   pos   |
+------------+------------------------------+---------+--------+---------+---------+
|          0 | myjfs/chunks/0/0/1_0_4194304 | 4194304 |      0 | 4194304 |       0 |
|          0 | myjfs/chunks/0/0/1_1_1048576 | 1048576 |      0 | 1048576 | 4194304 |
+------------+------------------------------+---------+--------+---------+---------+
`
	if got != want {
		t.Errorf("info:\n%s\nwant\n%s", got, want)
	}
	got = w.ok("info", "--raw", "$/mnt/big")
	if !strings.Contains(got, `  chunks:
+------------+---------+---------+--------+---------+-----+
| chunkIndex | sliceId |   size  | offset |  length | pos |
+------------+---------+---------+--------+---------+-----+
|          0 |       1 | 5242880 |      0 | 5242880 |   0 |
`) {
		t.Errorf("info --raw:\n%s", got)
	}
	if got := w.ok("info", "$/mnt/link", "$/mnt/d/x"); !strings.Contains(got, "  paths:\n\t/d/two\n\t/link\n") || !strings.Contains(got, "   dirs: 1\n length: 100 Bytes\n") {
		t.Errorf("info of two:\n%s", got)
	}
	if got := w.ok("info", "-r", "--strict", "$/mnt"); !strings.Contains(got, "  inode: 1\n  files: 4\n   dirs: 3\n") || !strings.Contains(got, "   path: /\n") {
		t.Errorf("info -r:\n%s", got)
	}
	w.refused("not in a mount of a volume: give a path in one", "info", "$/objects")
	w.refused("no such file or directory", "info", "$/mnt/none")
	w.refused("not in a mount", "info", "-i", "2")

	want = `+-----------+---------+------+-------+
|    PATH   |   SIZE  | DIRS | FILES |
+-----------+---------+------+-------+
| /         | 5.0 MiB |    3 |     4 |
| big       | 5.0 MiB |    0 |     1 |
| d/        |  20 KiB |    2 |     2 |
| d/two     | 8.0 KiB |    0 |     1 |
| d/x/      | 8.0 KiB |    1 |     1 |
| link      | 8.0 KiB |    0 |     1 |
+-----------+---------+------+-------+
`
	want = strings.ReplaceAll(strings.ReplaceAll(want, "-----------+--", "-------+--"), "|    PATH   |", "|  PATH |")
	want = regexp.MustCompile(`(?m)^(\| \S+ *)    \|`).ReplaceAllString(want, "$1|")
	if got := w.ok("summary", "--strict", "$/mnt"); got != want {
		t.Errorf("summary:\n%s\nwant\n%s", got, want)
	}
	if got, want := w.ok("summary", "--strict", "--csv", "-d", "1", "-e", "1", "$/mnt/d"), "PATH,SIZE,DIRS,FILES\n/,20480,2,2\ntwo,8192,0,1\n...,8192,1,1\n"; got != want {
		t.Errorf("summary --csv: %q, want %q", got, want)
	}
	w.ok("umount", "$/mnt")
}

func TestE2ERmrCloneCompact(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.mount()
	w.write("mnt/tree/a/file", content(5000, 1))
	f, err := os.OpenFile(w.path("mnt/tree/many"), os.O_CREATE|os.O_WRONLY, 0o640)
	must(t, err)
	for range 4 { // a slice each
		_, err := f.Write(content(1000, 7))
		must(t, err)
		must(t, f.Sync())
	}
	must(t, f.Close())
	many, err := os.ReadFile(w.path("mnt/tree/many"))
	must(t, err)

	slices := func(name string) int { return strings.Count(w.ok("info", "--raw", name), "\n|          0 |") }
	if n := slices("$/mnt/tree/many"); n != 4 {
		t.Errorf("%d slices before", n)
	}
	w.ok("compact", "$/mnt/tree")
	if n := slices("$/mnt/tree/many"); n != 1 {
		t.Errorf("%d slices after compact", n)
	}
	w.holds("mnt/tree/many", many)

	objects := w.objectCount()
	w.ok("clone", "--preserve", "$/mnt/tree", "$/mnt/copy")
	w.holds("mnt/copy/a/file", content(5000, 1))
	w.holds("mnt/copy/many", many)
	if info, err := os.Stat(w.path("mnt/copy/many")); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode of the copy: %v, %v", info, err)
	}
	w.ok("clone", "$/mnt/tree/many", "$/mnt/copy/a/")
	w.holds("mnt/copy/a/many", many)
	if n := w.objectCount(); n != objects {
		t.Errorf("%d objects after cloning, %d before", n, objects)
	}
	w.refused("exists already", "clone", "$/mnt/tree", "$/mnt/copy")
	w.refused("are not in the same mount", "clone", "$/mnt/tree", "$/elsewhere")

	w.ok("rmr", "$/mnt/copy", "$/mnt/tree/a")
	must(t, errors.Join(gone(w.path("mnt/copy")), gone(w.path("mnt/tree/a"))))
	w.holds("mnt/tree/many", many)
	w.refused("it is the root of a mount", "rmr", "$/mnt")
	w.refused("no such file or directory", "rmr", "$/mnt/none")
	w.refused("not in a mount", "rmr", "$/objects")
	w.ok("rmr", "--skip-trash", "$/mnt/tree")
	must(t, gone(w.path("mnt/tree")))
	w.ok("umount", "$/mnt")
	w.mount("--read-only")
	w.refused("read-only file system", "rmr", "$/mnt/.trash")
	w.ok("umount", "$/mnt")
}
