package metatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

func (c *client) removeTree(dir meta.Ino, name string, skipTrash bool) (removed int64) {
	c.t.Helper()
	var n atomic.Int64
	c.noErr("remove tree", c.RemoveTree(c.ctx, meta.Root, dir, name, skipTrash, 4, func(k int) { n.Add(int64(k)) }))
	return n.Load()
}

func treeRemove(t *testing.T, c *client) {
	keep := c.file(meta.RootIno, "keep")
	d := c.dir(meta.RootIno, "d")
	for i := range 5 {
		c.grow(d, fmt.Sprint("t", i), 3, 2)
	}
	for i := range 600 { // more than a batch
		c.file(d, fmt.Sprint("f", i))
	}
	c.make(d, "s", meta.TypeSymlink)
	c.noErr("dangling", c.eng.Update(c.ctx, meta.Want{}, func(tx meta.Tx) error {
		tx.SetEntry(d, "lost", meta.Entry{Type: meta.TypeFile, Ino: 1 << 40})
		return nil
	}))
	equal(t, "removed entries", c.removeTree(meta.RootIno, "d", false), 1+5*(3+6)+600+1+1)
	c.wantNames(meta.RootIno, "keep")
	_, err := c.GetAttr(c.ctx, d)
	c.want("attribute of the removed", err, posix.ENOENT)
	c.wantUsage(4096, 1)
	equal(t, "a file", c.removeTree(meta.RootIno, "keep", false), 1)
	_, err = c.GetAttr(c.ctx, keep)
	c.want("attribute of the removed", err, posix.ENOENT)
	c.want("missing", c.RemoveTree(c.ctx, meta.Root, meta.RootIno, "keep", false, 0, nil), posix.ENOENT)
	Check(t, c.Volume)
}

// treeRemoveLinks: an inode may lose several names in one transaction.
func treeRemoveLinks(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	in, out, open := c.file(d, "a"), c.file(d, "b"), c.file(d, "c")
	s := c.wrote(in, 0, 10)
	for i := range 3 {
		for j, f := range []meta.Ino{in, out, open} {
			_, err := c.Link(c.ctx, meta.Root, f, d, fmt.Sprintf("l%d-%d", i, j))
			c.noErr("link", err)
		}
	}
	_, err := c.Link(c.ctx, meta.Root, out, meta.RootIno, "out")
	c.noErr("link", err)
	c.session()
	_, err = c.Open(c.ctx, meta.Root, open, meta.OpenFor{Read: true})
	c.noErr("open", err)
	equal(t, "removed entries", c.removeTree(meta.RootIno, "d", false), 13)
	if n := c.attr(out).Nlink; n != 1 {
		t.Errorf("the file with a name elsewhere has %d links", n)
	}
	_, err = c.GetAttr(c.ctx, in)
	c.want("file without a name", err, posix.ENOENT)
	c.wantFreed(s)
	if n := c.attr(open).Nlink; n != 0 {
		t.Errorf("the open file has %d links", n)
	}
	c.noErr("close", c.CloseFile(c.ctx, open))
	c.wantUsage(4096, 1)
	Check(t, c.Volume)
}

func (c *client) inTrash() map[string]meta.Ino {
	c.t.Helper()
	all := map[string]meta.Ino{}
	for _, hour := range c.names(meta.TrashIno) {
		ino, _, err := c.Lookup(c.ctx, meta.Root, meta.TrashIno, hour)
		c.noErr("look-up", err)
		for name, e := range list(c.t, c.eng, ino, 100, false, nil) {
			all[name] = e.Ino
		}
	}
	return all
}

func treeRemoveToTrash(t *testing.T, c *client) {
	c.withTrash()
	d := c.grow(meta.RootIno, "d", 2, 3)
	space, inodes := int64(6*8192+2*4096), int64(8)
	c.wantUsage(space, inodes)
	equal(t, "removed entries", c.removeTree(meta.RootIno, "d", false), 8)
	all := c.inTrash()
	equal(t, "entries in the trash", len(all), 8)
	equal(t, "the top in the trash", all[fmt.Sprintf("1-%d-d", d)], d)
	c.wantUsage(space+4096*int64(len(c.names(meta.TrashIno))), inodes+int64(len(c.names(meta.TrashIno))))
	c.grow(meta.RootIno, "e", 2, 3)
	equal(t, "removed entries", c.removeTree(meta.RootIno, "e", true), 8)
	equal(t, "entries in the trash after a removal that skips it", len(c.inTrash()), 8)
}

// treeRemoveLinksTrash: each name goes to the trash and keeps its link.
func treeRemoveLinksTrash(t *testing.T, c *client) {
	c.withTrash()
	d := c.dir(meta.RootIno, "d")
	f := c.file(d, "a")
	for _, name := range []string{"b", "c"} {
		_, err := c.Link(c.ctx, meta.Root, f, d, name)
		c.noErr("link", err)
	}
	c.removeTree(meta.RootIno, "d", false)
	if n := c.attr(f).Nlink; n != 3 {
		t.Errorf("%d links in the trash, want 3", n)
	}
	all := c.inTrash()
	for _, name := range []string{"a", "b", "c"} {
		equal(t, "entry "+name, all[fmt.Sprintf("%d-%d-%s", d, f, name)], f)
	}
	parents := read(t, c.eng, func(r meta.Reader) (map[meta.Ino]int64, error) { return r.Parents(f) })
	links := int64(0)
	for dir, n := range parents {
		if !dir.IsTrash() {
			t.Errorf("%d links in directory %d", n, dir)
		}
		links += n
	}
	equal(t, "links in the trash", links, 3)
}

func treeRemoveErrors(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	sub := c.dir(d, "sub")
	f := c.file(sub, "f")
	c.want("without rights", c.RemoveTree(c.ctx, user, meta.RootIno, "d", true, 0, nil), posix.EACCES)
	flags := meta.FlagImmutable
	_, _, err := c.SetAttr(c.ctx, meta.Root, f, meta.Change{Flags: &flags})
	c.noErr("set flags", err)
	c.want("immutable", c.RemoveTree(c.ctx, meta.Root, meta.RootIno, "d", true, 0, nil), posix.EPERM)
	c.attr(f)
	c.want("trash", c.RemoveTree(c.ctx, meta.Root, meta.TrashIno, "2026-11-23-10", true, 0, nil), posix.EPERM)
	ro := openVolume(t, c.eng, meta.Options{ReadOnly: true})
	c.want("read-only", ro.RemoveTree(c.ctx, meta.Root, meta.RootIno, "d", true, 0, nil), posix.EROFS)
}

func treeRemoveCancelled(t *testing.T, c *client) {
	c.grow(meta.RootIno, "d", 4, 2)
	ctx, cancel := context.WithCancel(c.ctx)
	err := c.RemoveTree(ctx, meta.Root, meta.RootIno, "d", true, 1, func(int) { cancel() })
	c.want("cancelled", err, context.Canceled)
	c.wantNames(meta.RootIno, "d")
	Check(t, c.Volume)
	c.removeTree(meta.RootIno, "d", true)
	c.wantUsage(0, 0)
}

func treeRestore(t *testing.T, c *client) {
	c.withTrash()
	d := c.grow(meta.RootIno, "d", 3, 2)
	c.removeTree(meta.RootIno, "d", false)
	hours := c.names(meta.TrashIno)
	got, err := c.Restore(c.ctx, hours, meta.RestoreOptions{})
	c.noErr("restore", err)
	equal(t, "restored", got, meta.Restored{Moved: 8, Skipped: 1})
	c.wantNames(meta.RootIno)
	equal(t, "trash", c.inTrash(), map[string]meta.Ino{fmt.Sprintf("1-%d-d", d): d})
	c.wantNames(d, "f0", "f1", "sub")
	c.wantSummary("rebuilt", d, meta.Totals{Length: 6 * 5000, Space: 6*8192 + 3*4096, Files: 6, Dirs: 3})
	_, err = c.Restore(c.ctx, []string{"yesterday"}, meta.RestoreOptions{})
	if err == nil || errors.As(err, new(posix.Error)) {
		t.Errorf("hour that is none: %v", err)
	}
	_, err = c.Restore(c.ctx, []string{"1999-01-01-00"}, meta.RestoreOptions{})
	c.want("hour without trash", err, posix.ENOENT)
}

func treeRestorePutBack(t *testing.T, c *client) {
	c.withTrash()
	q := c.dir(meta.RootIno, "q")
	c.limit(ofDir(q), 0, 0)
	d := c.grow(q, "d", 3, 2)
	gone, taken := c.dir(meta.RootIno, "gone"), c.file(q, "taken")
	c.file(gone, "orphan")
	link := c.file(q, "link")
	_, err := c.Link(c.ctx, meta.Root, link, q, "link2")
	c.noErr("link", err)
	c.wantDirUsed("before", q, 18, 12)
	for _, name := range []string{"d", "link", "link2", "taken"} {
		c.removeTree(q, name, false)
	}
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, gone, "orphan"))
	c.noErr("rmdir", c.Rmdir(c.ctx, meta.Root, meta.RootIno, "gone"))
	c.removeForGood(gone, "gone")
	c.wantDirUsed("removed", q, 0, 0)
	c.file(q, "taken")
	got, err := c.Restore(c.ctx, c.names(meta.TrashIno), meta.RestoreOptions{PutBack: true, Threads: 3})
	c.noErr("restore", err)
	equal(t, "restored", got, meta.Restored{Moved: 11, Failed: 2})
	c.wantNames(q, "d", "link", "link2", "taken")
	c.wantNames(d, "f0", "f1", "sub")
	c.wantDirUsed("restored", q, 18, 12)
	c.wantQuotasRight("restored")
	if n := c.attr(link).Nlink; n != 2 {
		t.Errorf("restored file has %d links, want 2", n)
	}
	if a := c.attr(d); a.Nlink != 3 || a.Parent != q {
		t.Errorf("restored directory: %+v", a)
	}
	var kept []string
	for name := range c.inTrash() {
		kept = append(kept, name)
	}
	slices.Sort(kept)
	equal(t, "left in the trash", len(kept), 2)
	equal(t, "the one whose name is taken", c.inTrash()[fmt.Sprintf("%d-%d-taken", q, taken)], taken)
}

// removeForGood removes a directory that is in the trash.
func (c *client) removeForGood(ino meta.Ino, name string) {
	c.t.Helper()
	for _, hour := range c.names(meta.TrashIno) {
		in := c.lookupIn(meta.TrashIno, hour)
		if err := c.Rmdir(c.ctx, meta.Root, in, fmt.Sprintf("1-%d-%s", ino, name)); err == nil {
			return
		}
	}
	c.t.Fatalf("directory %d is not in the trash", ino)
}

func (c *client) lookupIn(dir meta.Ino, name string) meta.Ino {
	c.t.Helper()
	ino, _, err := c.Lookup(c.ctx, meta.Root, dir, name)
	c.noErr("look-up", err)
	return ino
}
