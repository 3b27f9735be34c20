package metatest

import (
	"errors"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

func volumeRename(t *testing.T, c *client) {
	a, b := c.dir(meta.RootIno, "a"), c.dir(meta.RootIno, "b")
	f, sub := c.file(a, "f"), c.dir(a, "sub")
	mv := func(from, to meta.Name) error { return c.Rename(c.ctx, meta.Root, from, to, 0) }
	c.want("missing", mv(nm(a, "x"), nm(b, "x")), posix.ENOENT)
	c.want("same", mv(nm(a, "f"), nm(a, "f")), nil)
	c.noErr("within", mv(nm(a, "f"), nm(a, "g")))
	c.noErr("across", mv(nm(a, "g"), nm(b, "h")))
	if p := c.attr(f).Parent; p != b {
		t.Errorf("parent of the file is %d, want %d", p, b)
	}
	c.noErr("directory", mv(nm(a, "sub"), nm(b, "sub")))
	if p, na, nb := c.attr(sub).Parent, c.attr(a).Nlink, c.attr(b).Nlink; p != b || na != 2 || nb != 3 {
		t.Errorf("after moving a directory: parent %d, links %d and %d; want %d, 2 and 3", p, na, nb, b)
	}
	c.wantNames(a)
	c.wantNames(b, "h", "sub")
	c.want("whiteout", c.Rename(c.ctx, meta.Root, nm(b, "h"), nm(b, "i"), 4), posix.ENOTSUP)
	c.want("flags 3", c.Rename(c.ctx, meta.Root, nm(b, "h"), nm(b, "i"), 3), posix.EINVAL)
}

func volumeRenameOver(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	f, g := c.file(d, "f"), c.file(d, "g")
	gs := c.wrote(g, 0, 100)
	e, full := c.dir(d, "e"), c.dir(d, "full")
	c.file(full, "x")
	mv := func(from, to string, flags uint32) error {
		return c.Rename(c.ctx, meta.Root, nm(d, from), nm(d, to), flags)
	}
	c.want("noreplace", mv("f", "g", meta.RenameNoReplace), posix.EEXIST)
	c.want("file over directory", mv("f", "e", 0), posix.EISDIR)
	c.want("directory over file", mv("e", "f", 0), posix.ENOTDIR)
	c.want("over a full directory", mv("e", "full", 0), posix.ENOTEMPTY)
	c.noErr("file over file", mv("f", "g", 0))
	_, err := c.GetAttr(c.ctx, g)
	c.want("attribute of the replaced", err, posix.ENOENT)
	c.wantFreed(gs)
	if a := c.attr(f); a.Nlink != 1 {
		t.Errorf("the moved file has %d links", a.Nlink)
	}
	c.noErr("full over empty", mv("full", "e", 0))
	_, err = c.GetAttr(c.ctx, e)
	c.want("attribute of the replaced directory", err, posix.ENOENT)
	if n := c.attr(d).Nlink; n != 3 {
		t.Errorf("directory has %d links, want 3", n)
	}
	// two names of one inode: nothing happens
	_, err = c.Link(c.ctx, meta.Root, f, d, "l")
	c.noErr("link", err)
	c.noErr("over its own link", mv("l", "g", 0))
	c.wantNames(d, "e", "g", "l")
}

func volumeRenameExchange(t *testing.T, c *client) {
	a, b := c.dir(meta.RootIno, "a"), c.dir(meta.RootIno, "b")
	f, d := c.file(a, "f"), c.dir(b, "d")
	c.want("missing", c.Rename(c.ctx, meta.Root, nm(a, "f"), nm(b, "x"), meta.RenameExchange), posix.ENOENT)
	c.noErr("exchange", c.Rename(c.ctx, meta.Root, nm(a, "f"), nm(b, "d"), meta.RenameExchange))
	c.wantNames(a, "f")
	c.wantNames(b, "d")
	i, at, err := c.Lookup(c.ctx, meta.Root, a, "f")
	c.noErr("look-up", err)
	if i != d || at.Parent != a {
		t.Errorf("a/f is inode %d with parent %d, want %d with %d", i, at.Parent, d, a)
	}
	if p, na, nb := c.attr(f).Parent, c.attr(a).Nlink, c.attr(b).Nlink; p != b || na != 3 || nb != 2 {
		t.Errorf("parent %d links %d %d, want %d 3 2", p, na, nb, b)
	}
}

func volumeRenameCycle(t *testing.T, c *client) {
	a := c.dir(meta.RootIno, "a")
	b := c.dir(a, "b")
	d := c.dir(b, "d")
	for _, to := range []meta.Ino{a, b, d} {
		err := c.Rename(c.ctx, meta.Root, nm(meta.RootIno, "a"), nm(to, "x"), 0)
		if !errors.Is(err, posix.EINVAL) && !errors.Is(err, posix.EPERM) {
			t.Errorf("a directory into its own tree (%d): %v", to, err)
		}
	}
}
