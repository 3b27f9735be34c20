package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jfs/meta"
	"jfs/meta/metatest"
)

// TestE2EDumpIdentity moves a volume that has everything between databases: from SQLite to each other one and back, from Redis
// to SQLite, and in full size from each to each. It must be the same there: for who looks at the records, for who looks
// through a mount, and for who dumps it again.
func TestE2EDumpIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := allDatabases()
	var fresh []func() string
	for _, db := range all {
		fresh = append(fresh, db.fresh(t, w))
	}
	for i, from := range databases() {
		t.Run("from "+from.name, func(t *testing.T) {
			own := *w
			own.t = t
			c := &crash{world: &own, url: fresh[i](), rnd: rand.New(rand.NewPCG(1, 1))}
			source := c.url
			was := c.original(from.name)
			for j, to := range all {
				if i > 0 && j > 1 && !*soak {
					continue
				}
				form := []string{"json", "json.gz", "json.zstd"}[(i+j)%3]
				c.move(source, fresh[j](), "$/dump."+form)
				c.unchanged("in "+to.name, was)
				if i == j { // what a mount shows was written by the same engine
					continue
				}
				c.mount("--enable-xattr", "--read-only")
				sameTree(t, fingerprint(t, c.path("mnt")), was.files)
				if got := attributes(t, c.path("mnt")); !reflect.DeepEqual(got, was.attributes) {
					t.Errorf("attributes in %s:\n%v\nwant\n%v", to.name, got, was.attributes)
				}
				c.ok("umount", "$/mnt")
				if i > 0 && !*soak { // that way was taken above
					continue
				}
				c.move(c.url, fresh[i](), "$/back."+form)
				c.unchanged("back from "+to.name, was)
			}
			c.url = source
			c.subdir(fresh[i])
		})
	}
}

// contents is all that a load keeps of a volume.
type contents struct {
	files       map[string]string // through a mount
	attributes  []string          // through a mount
	tree, trash string            // records
	quotas      string
	dump        map[string]any
}

// original makes the volume that is moved.
func (c *crash) original(name string) (was contents) {
	t := c.t
	t.Helper()
	c.ok("format", "--bucket", "$/objects-"+name, "--block-size", "256K", "--trash-days", "1", "--enable-acl", c.url, "myjfs")
	c.mount("--enable-xattr")
	c.everything()
	gone, err := os.Create(c.path("mnt/unlinked"))
	must(t, err)
	_, err = gone.Write(content(100_000, 1))
	must(t, err)
	must(t, gone.Sync())
	must(t, os.Remove(c.path("mnt/unlinked")))
	must(t, gone.Close())
	was.files, was.attributes = fingerprint(t, c.path("mnt")), attributes(t, c.path("mnt"))
	c.ok("umount", "$/mnt")
	c.ok("quota", "set", "--path", "/d", "--capacity", "1", "--inodes", "9999", c.url)
	c.ok("quota", "set", "--uid", "1000", "--capacity", "2", c.url)
	c.ok("quota", "set", "--gid", "1001", "--inodes", "77", c.url)
	was.tree, was.trash = c.trees("of the source")
	if was.trash == "" {
		t.Fatal("the trash is empty")
	}
	was.quotas = c.ok("quota", "list", c.url)
	was.dump = c.canonicalDump()
	c.clean()
	return was
}

// trees checks all records and gives those of files and directories, in the volume and in its trash.
func (c *crash) trees(when string) (tree, trash string) {
	c.t.Helper()
	c.faults(when, metatest.Checks{}, func(_ context.Context, v *meta.Volume) error {
		tree, trash = forgetParents(metatest.Tree(c.t, v)), forgetParents(metatest.TreeBelow(c.t, v, meta.TrashIno))
		return nil
	})
	return tree, trash
}

// clean lets fsck look for faults.
func (c *crash) clean() {
	c.t.Helper()
	c.ok("fsck", c.url)
	c.ok("fsck", "--path", "/", "-r", "--sync-dir-stat", c.url)
}

// move loads a dump of one database into another, where c.url leads then.
func (c *crash) move(from, to, file string) {
	c.t.Helper()
	c.ok("dump", "--keep-secret-key", from, file)
	c.url = to
	c.ok("load", to, file)
}

// unchanged checks that the volume at c.url is what was moved there.
func (c *crash) unchanged(where string, was contents) {
	t := c.t
	t.Helper()
	tree, trash := c.trees(where)
	if tree != was.tree {
		t.Errorf("the tree %s is another one: %s", where, firstLine(was.tree, tree))
	}
	if trash != was.trash {
		t.Errorf("the trash %s is another one: %s", where, firstLine(was.trash, trash))
	}
	if got := c.ok("quota", "list", c.url); got != was.quotas {
		t.Errorf("quotas %s:\n%s\nwant\n%s", where, got, was.quotas)
	}
	if dump := c.canonicalDump(); !reflect.DeepEqual(was.dump, dump) {
		t.Errorf("the dump %s is another one", where)
		for k := range was.dump {
			if !reflect.DeepEqual(was.dump[k], dump[k]) {
				t.Errorf("%s:\n%.1000v\nwant\n%.1000v", k, dump[k], was.dump[k])
			}
		}
	}
	c.clean()
}

// everything makes what a volume can hold, through its mount.
func (c *crash) everything() {
	c.t.Helper()
	at := func(name string) string { return c.path("mnt/d/" + name) }
	must(c.t, os.MkdirAll(at("deep/er"), 0o2775))
	odd := at("odd %41\"\\\n\xff\xfe é <&>")
	must(c.t, os.WriteFile(odd, content(300_000, 1), 0o4755))
	for i, name := range []string{"hard1", "deep/hard2", "deep/er/hard3"} {
		must(c.t, os.Link(odd, at(name)))
		must(c.t, os.Symlink(strings.Repeat("../", i)+"a b/%41\xff", at(fmt.Sprint("soft", i))))
	}
	must(c.t, unix.Mkfifo(at("fifo"), 0o640))
	must(c.t, unix.Mknod(at("char"), unix.S_IFCHR|0o600, int(unix.Mkdev(5, 77))))
	must(c.t, unix.Mknod(at("block"), unix.S_IFBLK|0o660, int(unix.Mkdev(7, 3))))
	must(c.t, unix.Mknod(at("socket"), unix.S_IFSOCK|0o666, 0))
	for name, value := range map[string]string{"user.bin": "\x00\x01\xff%41", "user.empty": "", "trusted.large": strings.Repeat("v", 3000)} {
		must(c.t, unix.Setxattr(odd, name, []byte(value), 0))
	}
	acl := func(perm byte) []byte { // user::rw-, user:1000:perm, group::r--, mask::rwx, other::r--
		b := []byte{2, 0, 0, 0}
		for _, e := range [][6]byte{{1, 6, 0xff, 0xff, 0xff, 0xff}, {2, perm, 0xe8, 3, 0, 0}, {4, 4, 0xff, 0xff, 0xff, 0xff}, {16, 7, 0xff, 0xff, 0xff, 0xff}, {32, 4, 0xff, 0xff, 0xff, 0xff}} {
			b = append(b, e[0], 0, e[1], 0, e[2], e[3], e[4], e[5])
		}
		return b
	}
	must(c.t, unix.Setxattr(odd, "system.posix_acl_access", acl(6), 0))
	must(c.t, unix.Setxattr(at("deep"), "system.posix_acl_default", acl(7), 0))
	must(c.t, unix.Setxattr(at("deep"), "system.posix_acl_access", acl(5), 0))
	must(c.t, os.WriteFile(at("deep/inherits"), []byte("x"), 0o666))

	sparse, err := os.Create(at("sparse"))
	must(c.t, err)
	for _, off := range []int64{5, 64<<20 - 100, 66 << 20} {
		_, err := sparse.WriteAt(content(1000, byte(off)), off)
		must(c.t, err)
		must(c.t, sparse.Sync())
	}
	must(c.t, unix.Fallocate(int(sparse.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 64<<20-50, 30))
	must(c.t, sparse.Truncate(66<<20+500))
	must(c.t, sparse.Close())
	must(c.t, os.Mkdir(at("many"), 0o755))
	for i := range 1100 {
		must(c.t, os.WriteFile(at(fmt.Sprint("many/", i)), nil, 0o644))
	}
	c.ok("clone", "$/mnt/d/deep", "$/mnt/clone")
	for i, name := range []string{"char", "hard1", "many/7", "deep/er"} {
		must(c.t, os.Lchown(at(name), 1000+i, 1001))
		times := []unix.Timespec{{Sec: 1_000_000_000, Nsec: 123_456_789}, {Sec: -int64(i), Nsec: 987_654_321}}
		must(c.t, unix.UtimesNanoAt(unix.AT_FDCWD, at(name), times, unix.AT_SYMLINK_NOFOLLOW))
	}
	must(c.t, os.MkdirAll(c.path("mnt/trashed/sub"), 0o755))
	must(c.t, os.WriteFile(c.path("mnt/trashed/sub/f"), content(5000, 2), 0o644))
	must(c.t, os.RemoveAll(c.path("mnt/trashed")))
	must(c.t, os.Remove(at("hard1")))
}

// attributes lists the extended attributes, the lists of access, and the devices of a tree.
func attributes(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(root+"/d", func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		line := fmt.Sprintf("%q inode %d device %x mtime %v", strings.TrimPrefix(path, root), st.Ino, st.Rdev, time.Unix(st.Mtim.Unix()).UnixNano())
		list := make([]byte, 4096)
		n, err := unix.Llistxattr(path, list)
		if err != nil {
			return err
		}
		names := strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00")
		slices.Sort(names)
		for _, name := range names {
			if name == "" {
				continue
			}
			value := make([]byte, 4096)
			n, err := unix.Lgetxattr(path, name, value)
			if err != nil {
				return fmt.Errorf("%s of %s: %w", name, path, err)
			}
			line += fmt.Sprintf(" %s=%q", name, value[:n])
		}
		all = append(all, line)
		return nil
	}))
	return all
}

// canonicalDump dumps the volume without what a load does not keep.
func (c *crash) canonicalDump() map[string]any {
	c.t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(c.ok("dump", "--keep-secret-key", c.url))))
	d.UseNumber()
	var all map[string]any
	must(c.t, d.Decode(&all))
	delete(all["Counters"].(map[string]any), "nextSession")
	delete(all, "Sustained")
	return all
}

// subdir dumps one directory, which becomes the root of a volume of its own.
func (c *crash) subdir(fresh func() string) {
	c.t.Helper()
	c.ok("dump", "--keep-secret-key", "--skip-trash", "--subdir", "/d/deep", c.url, "$/sub.json.gz")
	c.mount("--read-only")
	want := fingerprint(c.t, c.path("mnt/d/deep"))
	c.ok("umount", "$/mnt")
	c.url = fresh()
	c.ok("load", c.url, "$/sub.json.gz")
	c.faults("of a directory that was dumped", metatest.Checks{}, nil)
	c.ok("fsck", c.url)
	c.mount("--read-only")
	links := regexp.MustCompile(` links \d+`) // other names are outside
	got := fingerprint(c.t, c.path("mnt"))
	for name, line := range want {
		if links.ReplaceAllString(got[name], "") != links.ReplaceAllString(line, "") {
			c.t.Errorf("%s is %s, not %s", name, got[name], line)
		}
	}
	c.ok("umount", "$/mnt")
}

var treeParent = regexp.MustCompile(` Parent:\d+| AccessACL:\d+| DefaultACL:\d+`)

// forgetParents leaves out of a tree what a load numbers anew. A file that had several names keeps its list of parents until
// a load.
func forgetParents(tree string) string { return treeParent.ReplaceAllString(tree, "") }

func firstLine(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return fmt.Sprintf("line %d\n- %.300s\n+ %.300s", i, as[i], bs[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(as), len(bs))
}
