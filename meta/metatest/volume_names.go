package metatest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

func volumeCreate(t *testing.T, c *client) {
	for typ := meta.TypeFile; typ <= meta.TypeSocket; typ++ {
		name := fmt.Sprintf("t%d\xff\n", typ)
		n := meta.New{Type: typ, Mode: 0777, Umask: 022, Rdev: 0x103}
		if typ == meta.TypeSymlink {
			n.Target = "a/b"
		}
		ino, a, err := c.Mknod(c.ctx, user, meta.RootIno, name, n)
		c.noErr("create", err)
		want := meta.Attr{Type: typ, Mode: 0755, UID: 1000, GID: 1000, Nlink: 1, Parent: meta.RootIno, Atime: a.Atime, Mtime: a.Mtime, Ctime: a.Ctime}
		switch typ {
		case meta.TypeDirectory:
			want.Nlink, want.Length = 2, 4096
		case meta.TypeSymlink:
			want.Mode, want.Length = 0777, 3
		case meta.TypeBlockDev, meta.TypeCharDev:
			want.Rdev = 0x103
		}
		if a != want {
			t.Errorf("type %d: %+v, want %+v", typ, a, want)
		}
		found, b, err := c.Lookup(c.ctx, meta.Root, meta.RootIno, name)
		c.noErr("look-up", err)
		if found != ino || b != a {
			t.Errorf("type %d: look-up gives inode %d %+v, want %d %+v", typ, found, b, ino, a)
		}
	}
	if n := c.attr(meta.RootIno).Nlink; n != 3 {
		t.Errorf("root has %d links after one mkdir, want 3", n)
	}
	first, _, err := c.Lookup(c.ctx, meta.Root, meta.RootIno, "t1\xff\n")
	c.noErr("look-up", err)
	if first != 2 {
		t.Errorf("the first inode of a volume is %d, want 2", first)
	}
}

func volumeCreateErrors(t *testing.T, c *client) {
	f := c.file(meta.RootIno, "f")
	mk := func(dir meta.Ino, name string, n meta.New) error {
		_, _, err := c.Mknod(c.ctx, user, dir, name, n)
		return err
	}
	file := meta.New{Type: meta.TypeFile}
	c.want("existing", mk(meta.RootIno, "f", file), posix.EEXIST)
	c.want("in a file", mk(f, "x", file), posix.ENOTDIR)
	c.want("in nothing", mk(99999, "x", file), posix.ENOENT)
	c.want("in the trash", mk(meta.TrashIno, "x", file), posix.EPERM)
	c.want("long name", mk(meta.RootIno, strings.Repeat("n", 256), file), posix.ENAMETOOLONG)
	c.want("longest name", mk(meta.RootIno, strings.Repeat("n", 255), file), nil)
	c.want("slash", mk(meta.RootIno, "a/b", file), posix.EINVAL)
	c.want("empty", mk(meta.RootIno, "", file), posix.EINVAL)
	c.want("dot", mk(meta.RootIno, ".", file), posix.EEXIST)
	c.want("type 0", mk(meta.RootIno, "z", meta.New{}), posix.EINVAL)
	c.want("empty target", mk(meta.RootIno, "z", meta.New{Type: meta.TypeSymlink}), posix.EINVAL)
	d, _, err := c.Mknod(c.ctx, meta.Root, meta.RootIno, "d", meta.New{Type: meta.TypeDirectory, Mode: 0755})
	c.noErr("mkdir", err)
	c.want("no permission", mk(d, "x", file), posix.EACCES)
}

func volumeSetGID(t *testing.T, c *client) {
	d, _, err := c.Mknod(c.ctx, meta.Root, meta.RootIno, "d", meta.New{Type: meta.TypeDirectory, Mode: 02777})
	c.noErr("mkdir", err)
	gid := uint32(77)
	_, _, err = c.SetAttr(c.ctx, meta.Root, d, meta.Change{GID: &gid})
	c.noErr("chgrp", err)
	_, sub, err := c.Mknod(c.ctx, user, d, "sub", meta.New{Type: meta.TypeDirectory, Mode: 0755})
	c.noErr("mkdir", err)
	if sub.GID != 77 || sub.Mode != 02755 {
		t.Errorf("sub-directory has gid %d mode %o, want 77 2755", sub.GID, sub.Mode)
	}
	_, f, err := c.Mknod(c.ctx, user, d, "f", meta.New{Type: meta.TypeFile, Mode: 02755})
	c.noErr("create", err)
	if f.GID != 77 || f.Mode != 0755 {
		t.Errorf("file has gid %d mode %o, want 77 755", f.GID, f.Mode)
	}
}

func volumeLookup(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	f := c.file(d, "f")
	look := func(dir meta.Ino, name string) error { _, _, err := c.Lookup(c.ctx, user, dir, name); return err }
	c.want("found", look(d, "f"), nil)
	c.want("missing", look(d, "g"), posix.ENOENT)
	c.want("below a file", look(f, "g"), posix.ENOTDIR)
	c.want("long", look(d, strings.Repeat("n", 256)), posix.ENAMETOOLONG)
}

func volumeUnlink(t *testing.T, c *client) {
	f := c.file(meta.RootIno, "f")
	c.dir(meta.RootIno, "d")
	before := c.attr(meta.RootIno)
	time.Sleep(time.Millisecond)
	c.want("directory", c.Unlink(c.ctx, meta.Root, meta.RootIno, "d"), posix.EPERM)
	c.want("missing", c.Unlink(c.ctx, meta.Root, meta.RootIno, "x"), posix.ENOENT)
	c.want("file", c.Unlink(c.ctx, meta.Root, meta.RootIno, "f"), nil)
	c.want("again", c.Unlink(c.ctx, meta.Root, meta.RootIno, "f"), posix.ENOENT)
	_, err := c.GetAttr(c.ctx, f)
	c.want("attribute of the removed", err, posix.ENOENT)
	c.wantNames(meta.RootIno, "d")
	if after := c.attr(meta.RootIno); after.Nlink != before.Nlink {
		t.Errorf("unlink changed the links of the directory from %d to %d", before.Nlink, after.Nlink)
	}
}

func volumeUnlinkOpen(t *testing.T, c *client) {
	c.session()
	f := c.file(meta.RootIno, "f")
	s := c.wrote(f, 0, 5000)
	_, err := c.Open(c.ctx, meta.Root, f, meta.OpenFor{Read: true})
	c.noErr("open", err)
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, meta.RootIno, "f"))
	if a := c.attr(f); a.Nlink != 0 || a.Length != 5000 {
		t.Errorf("open unlinked file: %+v", a)
	}
	_, err = c.Link(c.ctx, meta.Root, f, meta.RootIno, "again")
	c.want("link of an unlinked file", err, posix.ENOENT)
	c.noErr("close", c.CloseFile(c.ctx, f))
	_, err = c.GetAttr(c.ctx, f)
	c.want("attribute after the last close", err, posix.ENOENT)
	c.wantFreed(s)
}

// volumeUnlinkOpenRace: a file whose open succeeded is there until it is closed, whatever comes between.
func volumeUnlinkOpenRace(t *testing.T, c *client) {
	c.session()
	for round := range 100 {
		name := fmt.Sprint("f", round)
		f := c.file(meta.RootIno, name)
		var wg sync.WaitGroup
		wg.Go(func() { c.oneOf("unlink", c.Unlink(c.ctx, meta.Root, meta.RootIno, name), nil) })
		wg.Go(func() {
			_, err := c.Open(c.ctx, meta.Root, f, meta.OpenFor{Read: true})
			if c.oneOf("open", err, nil, posix.ENOENT) != nil {
				return
			}
			_, err = c.GetAttr(c.ctx, f)
			c.oneOf("attribute of an open file", err, nil)
			c.oneOf("close", c.CloseFile(c.ctx, f), nil)
		})
		wg.Wait()
		_, err := c.GetAttr(c.ctx, f)
		c.want("attribute of the unlinked and closed", err, posix.ENOENT)
	}
}

func volumeUnlinkTrash(t *testing.T, c *client) {
	c.remake(func(f *meta.Format) { f.TrashDays = 1 })
	d := c.dir(meta.RootIno, "d")
	f := c.file(d, "f")
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, d, "f"))
	c.noErr("rmdir", c.Rmdir(c.ctx, meta.Root, meta.RootIno, "d"))
	hours := c.names(meta.TrashIno)
	if len(hours) == 0 {
		t.Fatal("trash is empty")
	}
	hour, ha, err := c.Lookup(c.ctx, meta.Root, meta.TrashIno, hours[0])
	c.noErr("look-up", err)
	if hour != meta.TrashIno+1 || ha.Mode != 0555 || ha.Parent != meta.TrashIno {
		t.Errorf("hourly directory is inode %d %+v", hour, ha)
	}
	c.wantNames(hour, fmt.Sprintf("1-%d-d", d), fmt.Sprintf("%d-%d-f", d, f))
	if a := c.attr(f); a.Nlink != 1 || a.Parent != hour {
		t.Errorf("file in the trash: %+v", a)
	}
	c.want("user removes from trash", c.Unlink(c.ctx, user, hour, fmt.Sprintf("%d-%d-f", d, f)), posix.EPERM)
	c.noErr("root removes from trash", c.Unlink(c.ctx, meta.Root, hour, fmt.Sprintf("%d-%d-f", d, f)))
	_, err = c.GetAttr(c.ctx, f)
	c.want("attribute of the removed", err, posix.ENOENT)
}

func volumeRmdir(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	c.file(d, "f")
	c.file(meta.RootIno, "file")
	c.want("not empty", c.Rmdir(c.ctx, meta.Root, meta.RootIno, "d"), posix.ENOTEMPTY)
	c.want("file", c.Rmdir(c.ctx, meta.Root, meta.RootIno, "file"), posix.ENOTDIR)
	c.want("missing", c.Rmdir(c.ctx, meta.Root, meta.RootIno, "x"), posix.ENOENT)
	c.want("dot", c.Rmdir(c.ctx, meta.Root, d, "."), posix.EINVAL)
	c.want("dot dot", c.Rmdir(c.ctx, meta.Root, d, ".."), posix.ENOTEMPTY)
	c.want("trash", c.Rmdir(c.ctx, meta.Root, meta.TrashIno, "2026-11-23-10"), posix.EPERM)
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, d, "f"))
	c.noErr("rmdir", c.Rmdir(c.ctx, meta.Root, meta.RootIno, "d"))
	if n := c.attr(meta.RootIno).Nlink; n != 2 {
		t.Errorf("root has %d links, want 2", n)
	}
	_, _, err := c.Mknod(c.ctx, meta.Root, d, "late", meta.New{Type: meta.TypeFile})
	c.want("create in the removed", err, posix.ENOENT)
}

func volumeLink(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	f := c.file(meta.RootIno, "f")
	s := c.wrote(f, 0, 10)
	a, err := c.Link(c.ctx, meta.Root, f, d, "l")
	c.noErr("link", err)
	if a.Nlink != 2 || a.Parent != 0 {
		t.Errorf("linked file: %+v", a)
	}
	_, err = c.Link(c.ctx, meta.Root, f, d, "l")
	c.want("existing", err, posix.EEXIST)
	_, err = c.Link(c.ctx, meta.Root, d, meta.RootIno, "x")
	c.want("directory", err, posix.EPERM)
	_, err = c.Link(c.ctx, meta.Root, 4242, meta.RootIno, "x")
	c.want("missing", err, posix.ENOENT)
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, meta.RootIno, "f"))
	if a := c.attr(f); a.Nlink != 1 || a.Parent != 0 {
		t.Errorf("after one unlink: %+v", a)
	}
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, d, "l"))
	c.wantFreed(s)
}

func volumeSymlink(t *testing.T, c *client) {
	target := strings.Repeat("t", 4095)
	ino, _, err := c.Mknod(c.ctx, user, meta.RootIno, "s", meta.New{Type: meta.TypeSymlink, Target: target})
	c.noErr("symlink", err)
	got, err := c.Readlink(c.ctx, ino)
	c.noErr("readlink", err)
	if got != target {
		t.Errorf("target of %d bytes, want %d", len(got), len(target))
	}
	_, err = c.Readlink(c.ctx, c.file(meta.RootIno, "f"))
	c.want("readlink of a file", err, posix.EINVAL)
	_, err = c.Readlink(c.ctx, 4242)
	c.want("readlink of nothing", err, posix.ENOENT)
}

func volumeReaddir(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	want := map[string]meta.Ino{}
	for i := range 700 {
		name := fmt.Sprintf("f%03d", i)
		want[name] = c.file(d, name)
	}
	got := map[string]meta.Ino{}
	for cursor := ""; ; {
		page, next, err := c.Readdir(c.ctx, d, cursor, 100, true)
		c.noErr("list", err)
		for _, e := range page {
			got[e.Name] = e.Ino
			if e.Attr == nil || e.Attr.Type != meta.TypeFile || e.Attr.Parent != d {
				t.Errorf("%s: attribute %+v", e.Name, e.Attr)
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if len(got) != len(want) {
		t.Fatalf("listed %d names, want %d", len(got), len(want))
	}
	for name, ino := range want {
		if got[name] != ino {
			t.Errorf("%s is inode %d, want %d", name, got[name], ino)
		}
	}
	c.wantNames(c.dir(meta.RootIno, "empty"))
}

func volumeSticky(t *testing.T, c *client) {
	d, _, err := c.Mknod(c.ctx, meta.Root, meta.RootIno, "tmp", meta.New{Type: meta.TypeDirectory, Mode: 01777})
	c.noErr("mkdir", err)
	other := meta.Cred{UID: 2000, GID: 2000, Checked: true}
	_, _, err = c.Mknod(c.ctx, user, d, "f", meta.New{Type: meta.TypeFile, Mode: 0666})
	c.noErr("create", err)
	c.want("unlink by another", c.Unlink(c.ctx, other, d, "f"), posix.EACCES)
	c.want("rename by another", c.Rename(c.ctx, other, nm(d, "f"), nm(d, "g"), 0), posix.EACCES)
	c.want("unlink by the owner", c.Unlink(c.ctx, user, d, "f"), nil)
}
