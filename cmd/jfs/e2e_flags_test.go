package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jfs/internal/mounts"
	"jfs/meta"
)

func statOf(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	return st
}

func ioctlFlags(path string, set int) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if set != 0 {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, set)
	}
	if err != nil {
		return 0, err
	}
	return unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
}

// TestE2EMountFlags: what flags turn on is there with them, and is not without.
func TestE2EMountFlags(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.mount("--attr-cache", "0", "--skip-dir-mtime", "1h")
	w.write("mnt/f", []byte("data"))
	path := w.path("mnt/f")
	if err := unix.Setxattr(path, "user.x", []byte("1"), 0); !errors.Is(err, unix.ENOTSUP) {
		t.Errorf("set an extended attribute: %v", err)
	}
	acl := meta.ACL{Owner: 6, Group: 4, Mask: 4, Users: []meta.ACLEntry{{ID: 1, Perm: 6}}}
	if err := unix.Setxattr(path, meta.XattrACLAccess, acl.Xattr(), 0); !errors.Is(err, unix.ENOTSUP) {
		t.Errorf("set an access control list: %v", err)
	}
	if _, err := ioctlFlags(path, 0); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("flags by ioctl: %v", err)
	}
	made := statOf(t, path).Atim
	w.holds("mnt/f", []byte("data"))
	if at := statOf(t, path).Atim; at != made {
		t.Errorf("the access time has changed from %v to %v", made, at)
	}
	root := statOf(t, w.path("mnt")).Mtim
	w.write("mnt/g", nil)
	if at := statOf(t, w.path("mnt")).Mtim; at != root {
		t.Error("the time of the directory has changed within --skip-dir-mtime")
	}
	w.ok("umount", "$/mnt")

	w.mount("--attr-cache", "0", "--skip-dir-mtime", "0", "--enable-xattr", "--enable-ioctl", "--atime-mode", "relatime", "--umask", "077",
		"--root-squash", "1234:5678", "--sort-dir", "--hide-internal", "--subdir", "new/sub", "--open-cache", "1h", "--readdir-cache")
	for _, name := range []string{"c", "a", "d", "b"} {
		w.write("mnt/"+name, []byte(name))
	}
	path = w.path("mnt/a")
	must(t, unix.Setxattr(path, "user.x", []byte("1"), 0))
	if flags, err := ioctlFlags(path, unix.STATX_ATTR_APPEND); !errors.Is(err, syscall.EPERM) {
		t.Errorf("append-only flag set without root's power: %#x, %v", flags, err)
	}
	if flags, err := ioctlFlags(path, 0); err != nil || flags != 0 {
		t.Errorf("flags %#x, %v", flags, err)
	}
	made = statOf(t, w.path("mnt/b")).Atim
	w.holds("mnt/b", []byte("b"))
	if at := statOf(t, w.path("mnt/b")).Atim; at == made {
		t.Error("the access time has not changed")
	}
	if st := statOf(t, path); st.Mode&0o777 != 0o600 || st.Uid != 1234 || st.Gid != 5678 {
		t.Errorf("mode %o, owner %d:%d", st.Mode, st.Uid, st.Gid)
	}
	root = statOf(t, w.path("mnt")).Mtim
	w.write("mnt/e", nil)
	if at := statOf(t, w.path("mnt")).Mtim; at == root {
		t.Error("the time of the directory has not changed")
	}
	d, err := os.Open(w.path("mnt"))
	must(t, err)
	got, err := d.Readdirnames(-1)
	must(t, errors.Join(err, d.Close()))
	if !slices.Equal(got, []string{"a", "b", "c", "d", "e"}) {
		t.Errorf("the directory lists %q", got)
	}
	up, err := os.Stat(w.path("mnt/.."))
	must(t, err)
	here, err := os.Stat(w.dir)
	must(t, err)
	if !os.SameFile(up, here) {
		t.Error("\"..\" of the root is not the directory that holds the mount point")
	}
	w.ok("umount", "$/mnt")

	w.mount("--all-squash", "1234", "--enable-ioctl")
	if st := statOf(t, w.path("mnt/new/sub")); st.Mode&0o777 != 0o777 {
		t.Errorf("mode %o of a directory that --subdir has made", st.Mode)
	}
	w.write("mnt/new/h", nil)
	if st := statOf(t, w.path("mnt/new/h")); st.Uid != 1234 || st.Gid != nobody {
		t.Errorf("owner %d:%d", st.Uid, st.Gid)
	}
	w.ok("umount", "$/mnt")
	w.mount("--enable-ioctl")
	if flags, err := ioctlFlags(w.path("mnt/f"), unix.STATX_ATTR_APPEND); err != nil || flags != unix.STATX_ATTR_APPEND {
		t.Errorf("append-only flag: %#x, %v", flags, err)
	}
	if err := os.Remove(w.path("mnt/f")); !errors.Is(err, syscall.EPERM) {
		t.Errorf("removal of an append-only file: %v", err)
	}
	w.refused("--subdir /.trash: .trash is no directory", "mount", "--no-agent", "--subdir", "/.trash", "--cache-dir", "$/cache", worldDB, "$/other")
}

// TestE2ENegativeEntryCache: a name that was not there is taken for missing within the time, and without the flag is
// looked for again.
func TestE2ENegativeEntryCache(t *testing.T) {
	w := newWorld(t)
	w.points = []string{"mnt", "mnt2", "mnt3"}
	w.format()
	w.mount()
	common := []string{"mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache", worldDB}
	w.ok(append(slices.Clone(common), "--negative-entry-cache", "1h", "$/mnt2")...)
	w.ok(append(slices.Clone(common), "$/mnt3")...)
	for _, point := range []string{"mnt2", "mnt3"} {
		must(t, gone(w.path(point+"/late")))
		must(t, gone(w.path(point+"/own")))
	}
	w.write("mnt/late", nil)
	must(t, gone(w.path("mnt2/late")))
	statOf(t, w.path("mnt3/late"))
	w.write("mnt2/own", nil)
	statOf(t, w.path("mnt2/own"))
}

// TestE2EForce: a mount over a mount of a volume.
func TestE2EForce(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.mount()
	w.write("mnt/dir/f", []byte("x"))
	below, ok, err := mounts.At(w.path("mnt"))
	if !ok || err != nil {
		t.Fatal(err)
	}
	w.mount("--force", "--subdir", "dir")
	above, ok, err := mounts.At(w.path("mnt"))
	if !ok || err != nil || above.Device == below.Device {
		t.Fatalf("%+v over %+v, %v", above, below, err)
	}
	w.holds("mnt/f", []byte("x"))
	w.ok("umount", "$/mnt")
	w.holds("mnt/dir/f", []byte("x"))
	w.ok("umount", "$/mnt")
	must(t, gone(w.path("mnt/dir")))
}

// TestBackupOfMount: a mount stores backups of the metadata where the format wants them, one for all mounts; not when it
// may change nothing or leaves such work to others.
func TestBackupOfMount(t *testing.T) {
	w := newWorld(t)
	w.format()
	ctx := context.Background()
	start := func(point string, flags ...string) *client {
		t.Helper()
		set, opt, err := parseMount(t, append(flags, "--cache-dir", memoryOnly)...)
		must(t, err)
		must(t, opt.complete(set))
		a := newApp(io.Discard, io.Discard, func(string) string { return "" })
		must(t, os.Mkdir(w.path(point), 0o755))
		var parts closer
		t.Cleanup(func() { must(t, parts.close(ctx, a.log)) })
		c, err := a.openClient(ctx, "sqlite3://"+w.path("m.db"), w.path(point), opt, func(error) {}, &parts)
		must(t, err)
		served := make(chan struct{})
		go func() { defer close(served); c.server.Serve() }()
		t.Cleanup(func() { must(t, c.server.Unmount(true)); <-served })
		must(t, c.server.WaitMounted(ctx))
		return c
	}
	for i, flags := range [][]string{{"--read-only"}, {"--no-bgjob"}, {"--backup-meta", "0"}} {
		if start(string(rune('a'+i)), flags...).backup != nil {
			t.Errorf("a mount with %q makes backups", flags)
		}
	}
	one, two := start("one", "--backup-skip-trash"), start("two", "--backup-meta", "10s")
	if got := one.backup.Interval(); got != time.Hour {
		t.Errorf("a backup every %s", got)
	}
	if got := two.backup.Interval(); got != 5*time.Minute {
		t.Errorf("a backup every %s", got)
	}
	w.write("one/kept", []byte("x"))
	w.write("one/trashed", []byte("x"))
	must(t, os.Remove(w.path("one/trashed")))
	if made, err := one.backup.Run(ctx); !made || err != nil {
		t.Fatalf("the first backup: %v, %v", made, err)
	}
	if made, err := two.backup.Run(ctx); made || err != nil {
		t.Errorf("a second one at once: %v, %v", made, err)
	}
	found, err := filepath.Glob(w.path("objects/myjfs/meta/dump-????-??-??-??????.json.gz"))
	if err != nil || len(found) != 1 {
		t.Fatalf("backups %q, %v", found, err)
	}
	packed, err := os.ReadFile(found[0])
	must(t, err)
	z, err := gzip.NewReader(bytes.NewReader(packed))
	must(t, err)
	dump, err := io.ReadAll(z)
	must(t, err)
	if !strings.Contains(string(dump), `"kept": {`) || strings.Contains(string(dump), "trashed") {
		t.Errorf("the backup has:\n%s", dump)
	}
	text, err := os.ReadFile(w.path("one/.stats"))
	must(t, err)
	if !strings.Contains(string(text), "juicefs_last_successful_backup 1") && !strings.Contains(string(text), "juicefs_last_successful_backup 2") {
		t.Errorf("no time of the backup in\n%s", text)
	}
}

// TestE2EStatusSession: status shows what a session holds: locks, and files without a name.
func TestE2EStatusSession(t *testing.T) {
	w := newWorld(t)
	w.format("--trash-days", "0")
	w.mount()
	open := func(name string) *os.File {
		f, err := os.Create(w.path("mnt/" + name))
		must(t, err)
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	locked, gone := open("locked"), open("gone")
	must(t, unix.Flock(int(locked.Fd()), unix.LOCK_EX))
	must(t, unix.FcntlFlock(gone.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: 5, Len: 10}))
	ino := [2]uint64{statOf(t, locked.Name()).Ino, statOf(t, gone.Name()).Ino}
	must(t, os.Remove(gone.Name()))
	var got struct {
		Sid       uint64
		Sustained []uint64
		Flocks    []struct {
			Inode uint64
			Ltype string
		}
		Plocks []struct {
			Inode   uint64
			Records []struct{ Type, Pid, Start, End uint64 }
		}
	}
	sid := w.sessions(worldDB)[0].Sid
	text := w.ok("status", "--session", strconv.FormatUint(sid, 10), worldDB)
	must(t, json.Unmarshal([]byte(text), &got))
	if got.Sid != sid || !slices.Equal(got.Sustained, ino[1:]) ||
		len(got.Flocks) != 1 || got.Flocks[0].Inode != ino[0] || got.Flocks[0].Ltype != "W" ||
		len(got.Plocks) != 1 || got.Plocks[0].Inode != ino[1] || len(got.Plocks[0].Records) != 1 || got.Plocks[0].Records[0] != struct{ Type, Pid, Start, End uint64 }{1, uint64(os.Getpid()), 5, 14} {
		t.Errorf("inodes %d, process %d, status\n%s", ino, os.Getpid(), text)
	}
	w.refused("there is no session 99", "status", "-s", "99", worldDB)
}

// TestE2EWriteBeyondQuota: write(2) says that there is no room, before anything is closed.
func TestE2EWriteBeyondQuota(t *testing.T) {
	w := newWorld(t)
	w.format("--capacity", "10M")
	w.mount()
	must(t, os.Mkdir(w.path("mnt/d"), 0o755))
	w.ok("quota", "set", worldDB, "--path", "/d", "--capacity", "2M")
	w.ok("umount", "$/mnt")
	w.mount()
	for _, limit := range []struct {
		name string
		mib  int
		err  error
	}{{"mnt/d/f", 2, syscall.EDQUOT}, {"mnt/f", 7, syscall.ENOSPC}} {
		name := limit.name
		f, err := os.Create(w.path(name))
		must(t, err)
		taken := 0
		for err = nil; err == nil && taken < 20; taken++ {
			_, err = f.Write(make([]byte, 1<<20))
		}
		if taken--; !errors.Is(err, limit.err) || taken != limit.mib {
			t.Errorf("%s takes %d MiB, then %v; want %d, then %v", name, taken, err, limit.mib, limit.err)
		}
		if err := f.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestE2EStats: .stats has the figures under the names that dashboards of the official client know.
func TestE2EStats(t *testing.T) {
	w := newWorld(t)
	w.format("--trash-days", "0")
	w.mount()
	w.write("mnt/d/f", content(5000, 1))
	w.ok("umount", "$/mnt")
	must(t, os.RemoveAll(w.path("cache")))
	w.mount("--enable-xattr")
	w.holds("mnt/d/f", content(5000, 1))
	_, _ = unix.Getxattr(w.path("mnt/d/f"), "user.x", make([]byte, 10)) // there is none
	names(t, w.path("mnt/d"))
	var space unix.Statfs_t
	must(t, unix.Statfs(w.path("mnt"), &space))
	w.write("mnt/d/g", content(10, 1))
	must(t, os.RemoveAll(w.path("mnt/d")))
	open, err := os.Create(w.path("mnt/open"))
	must(t, err)
	defer open.Close()
	text, err := os.ReadFile(w.path("mnt/.stats"))
	must(t, err)
	got := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		n, err := strconv.ParseFloat(value, 64)
		must(t, err)
		got[strings.TrimPrefix(name, "juicefs_")] = n
	}
	for name := range strings.FieldsSeq(`blockcache_blocks blockcache_bytes blockcache_drops blockcache_evicts blockcache_hit_bytes
		blockcache_hits blockcache_miss blockcache_miss_bytes blockcache_write_bytes blockcache_writes cpu_usage dir_quota_max_inodes
		dir_quota_max_space_bytes dir_quota_used_inodes dir_quota_used_space_bytes fuse_open_handlers last_backup_duration
		last_successful_backup memory object_request_data_bytes_GET object_request_data_bytes_PUT object_request_errors
		object_request_uploading staging_block_bytes staging_block_delay_seconds staging_block_errors staging_blocks staging_write_bytes
		staging_writing_blocks store_cache_size_bytes subdir_info total_inodes total_space uptime used_buffer_size_bytes used_inodes
		used_read_buffer_size_bytes used_space`) {
		if _, ok := got[name]; !ok {
			t.Errorf(".stats lacks %s", name)
		}
	}
	for name := range strings.FieldsSeq("GetAttr GetXattr Lookup Mknod NewDirHandler Read Rmdir StatFS Unlink Write") {
		if got["meta_ops_total_"+name] < 1 || got["meta_ops_duration_seconds_"+name] <= 0 {
			t.Errorf("%s: %v operations in %v s", name, got["meta_ops_total_"+name], got["meta_ops_duration_seconds_"+name])
		}
	}
	for _, op := range []string{"create", "flush", "lookup", "open", "opendir", "read", "release", "rmdir", "statfs", "unlink", "write"} {
		if got["fuse_ops_total_"+op] < 1 {
			t.Errorf("no %s", op)
		}
	}
	if got["meta_ops_total_Write"] != 1 || got["fuse_open_handlers"] < 2 || got["transaction_durations_histogram_seconds_total"] < 5 ||
		got["object_request_data_bytes_GET"] != 5000 || got["object_request_data_bytes_PUT"] != 10 {
		t.Errorf("figures:\n%s", text)
	}
}
