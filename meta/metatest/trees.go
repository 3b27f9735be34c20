package metatest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// RunTrees checks what works on whole trees: summaries, paths, removal, clones, restoring.
func RunTrees(t *testing.T, open func(*testing.T) meta.Engine) {
	for name, test := range map[string]func(*testing.T, *client){
		"Summary":          treeSummary,
		"SummaryLargest":   treeLargest,
		"SummaryRepairs":   treeSummaryRepairs,
		"Info":             treeInfo,
		"PathsInTrash":     treePathsInTrash,
		"Remove":           treeRemove,
		"RemoveHardLinks":  treeRemoveLinks,
		"RemoveToTrash":    treeRemoveToTrash,
		"RemoveLinksTrash": treeRemoveLinksTrash,
		"RemoveErrors":     treeRemoveErrors,
		"RemoveCancelled":  treeRemoveCancelled,
		"Clone":            treeClone,
		"CloneAttrs":       treeCloneAttrs,
		"CloneFile":        treeCloneFile,
		"CloneErrors":      treeCloneErrors,
		"CloneFailure":     treeCloneFailure,
		"CloneQuota":       treeCloneQuota,
		"Restore":          treeRestore,
		"RestorePutBack":   treeRestorePutBack,
	} {
		t.Run(name, func(t *testing.T) { test(t, format(t, open(t), nil)) })
	}
}

// withTrash turns the trash on, in an hour that does not end.
func (c *client) withTrash() {
	c.t.Helper()
	f := c.Format()
	f.TrashDays = 1
	now := time.Now()
	c.noErr("store format", meta.Store(c.ctx, c.eng, f, meta.TimeOf(now)))
	*c = *openVolume(c.t, c.eng, meta.Options{Now: func() time.Time { return now }})
}

// grow makes a tree of dirs directories in a row, each with files files of 5,000 bytes, and gives the first one.
func (c *client) grow(at meta.Ino, name string, dirs, files int) meta.Ino {
	c.t.Helper()
	top := c.dir(at, name)
	for d, dir := 0, top; d < dirs; d++ {
		for i := range files {
			c.wrote(c.file(dir, fmt.Sprint("f", i)), 0, 5000)
		}
		if d < dirs-1 {
			dir = c.dir(dir, "sub")
		}
	}
	return top
}

func (c *client) wantSummary(when string, ino meta.Ino, want meta.Totals) {
	c.t.Helper()
	for _, strict := range []bool{false, true} {
		got, err := c.Summary(c.ctx, ino, strict)
		c.noErr("summary", err)
		equal(c.t, fmt.Sprintf("%s, strict %v", when, strict), got, want)
	}
}

func treeSummary(t *testing.T, c *client) {
	d := c.grow(meta.RootIno, "d", 3, 2)
	f := c.file(meta.RootIno, "f")
	c.wrote(f, 0, 5000)
	_, err := c.Link(c.ctx, meta.Root, f, d, "l")
	c.noErr("link", err)
	c.make(d, "s", meta.TypeSymlink)
	c.wantSummary("tree", d, meta.Totals{Length: 7 * 5000, Space: 7*8192 + 4*4096, Files: 8, Dirs: 3})
	c.wantSummary("root", meta.RootIno, meta.Totals{Length: 8 * 5000, Space: 8*8192 + 5*4096, Files: 9, Dirs: 4})
	c.wantSummary("file", f, meta.Totals{Length: 5000, Space: 8192, Files: 1})
	direct, err := c.DirectTotals(c.ctx, d)
	c.noErr("direct totals", err)
	equal(t, "direct", direct, meta.Totals{Length: 3 * 5000, Space: 3*8192 + 3*4096, Files: 4, Dirs: 2})
	_, err = c.Summary(c.ctx, 4242, false)
	c.want("missing", err, posix.ENOENT)
	c.remake(func(f *meta.Format) { f.DirStats = false })
	c.wantSummary("without statistics", d, meta.Totals{Length: 7 * 5000, Space: 7*8192 + 4*4096, Files: 8, Dirs: 3})
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	_, err = c.Summary(ctx, d, true)
	c.want("cancelled", err, context.Canceled)
}

// treeSummaryRepairs: a missing or negative record is no excuse for a wrong sum.
func treeSummaryRepairs(t *testing.T, c *client) {
	d := c.grow(meta.RootIno, "d", 3, 3)
	want := meta.Totals{Length: 9 * 5000, Space: 9*8192 + 3*4096, Files: 9, Dirs: 3}
	c.wantSummary("before", d, want)
	sub, _, err := c.Lookup(c.ctx, meta.Root, d, "sub")
	c.noErr("look-up", err)
	c.noErr("spoil", c.eng.Update(c.ctx, meta.Want{}, func(tx meta.Tx) error {
		tx.DropDirStat(d)
		tx.SetDirStat(sub, meta.DirStat{Length: -1, Space: 5, Inodes: 1})
		return nil
	}))
	c.wantSummary("spoilt", d, want)
}

func treeLargest(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	for i := range 7 {
		c.wrote(c.file(d, fmt.Sprint("f", i)), 0, uint32(1+i)*4096)
	}
	c.grow(d, "big", 2, 5)
	for _, strict := range []bool{false, true} {
		n, err := c.SummaryTree(c.ctx, d, meta.TreeOptions{Depth: 2, Entries: 3, Strict: strict})
		c.noErr("tree", err)
		text := ""
		var show func(n meta.TreeNode, indent string)
		show = func(n meta.TreeNode, indent string) {
			text += fmt.Sprintf("%s%s %d %d %d\n", indent, n.Name, n.Space/4096, n.Dirs, n.Files)
			for _, child := range n.Children {
				show(child, indent+"-")
			}
		}
		show(n, "")
		want := ` 51 3 17
-big 22 2 10
--sub 11 1 5
--f0 2 0 1
--f1 2 0 1
--... 6 0 3
-f6 7 0 1
-f5 6 0 1
-... 15 0 5
`
		equal(t, fmt.Sprintf("tree, strict %v", strict), text, want)
	}
	n, err := c.SummaryTree(c.ctx, d, meta.TreeOptions{})
	c.noErr("tree", err)
	equal(t, "no depth", n, meta.TreeNode{Ino: d, Type: meta.TypeDirectory, Totals: n.Totals})
	equal(t, "no depth, inodes", n.Files+n.Dirs, 20)
}

func treeInfo(t *testing.T, c *client) {
	a := c.dir(meta.RootIno, "a")
	b := c.dir(a, "b")
	f := c.file(b, "f")
	first := c.wrote(f, 10, 100)
	far := c.wrote(f, 5*meta.ChunkSize, 7)
	for _, at := range []meta.Name{nm(b, "g"), nm(a, "f")} {
		_, err := c.Link(c.ctx, meta.Root, f, at.Dir, at.Name)
		c.noErr("link", err)
	}
	i, err := c.Info(c.ctx, f, meta.InfoOptions{})
	c.noErr("info", err)
	equal(t, "paths", i.Paths, []string{"/a/b/f", "/a/b/g", "/a/f"})
	equal(t, "chunks", i.Chunks, []meta.ChunkRecord{
		{ChunkID: meta.ChunkID{Ino: f, Index: 0}, Slices: []meta.Slice{first}},
		{ChunkID: meta.ChunkID{Ino: f, Index: 5}, Slices: []meta.Slice{far}},
	})
	equal(t, "totals", i.Totals, meta.Totals{Length: 5*meta.ChunkSize + 7, Space: 5*meta.ChunkSize + 4096, Files: 1})
	i, err = c.Info(c.ctx, a, meta.InfoOptions{Recursive: true})
	c.noErr("info", err)
	equal(t, "paths of a directory", i.Paths, []string{"/a"})
	equal(t, "inodes below", i.Totals.Files+i.Totals.Dirs, 5)
	i, err = c.Info(c.ctx, a, meta.InfoOptions{})
	c.noErr("info", err)
	equal(t, "direct inodes", i.Totals.Files+i.Totals.Dirs, 3)
	i, err = c.Info(c.ctx, meta.RootIno, meta.InfoOptions{})
	c.noErr("info", err)
	equal(t, "path of the root", i.Paths, []string{"/"})
	_, err = c.Info(c.ctx, 4242, meta.InfoOptions{})
	c.want("missing", err, posix.ENOENT)
}

func treePathsInTrash(t *testing.T, c *client) {
	c.withTrash()
	d := c.dir(meta.RootIno, "d")
	f := c.file(d, "f")
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, d, "f"))
	hour := c.names(meta.TrashIno)[0]
	got, err := c.Paths(c.ctx, f)
	c.noErr("paths", err)
	equal(t, "path in the trash", got, []string{fmt.Sprintf("%s/%s/%d-%d-f", meta.TrashPath, hour, d, f)})
	got, err = c.Paths(c.ctx, meta.TrashIno)
	c.noErr("paths", err)
	equal(t, "path of the trash", got, []string{meta.TrashPath})
}

// lookupPath finds an inode by names from the root.
func (c *client) lookupPath(names ...string) meta.Ino {
	c.t.Helper()
	at := meta.RootIno
	for _, name := range names {
		ino, _, err := c.Lookup(c.ctx, meta.Root, at, name)
		if err != nil {
			c.t.Fatalf("look up %q of %q: %v", name, names, err)
		}
		at = ino
	}
	return at
}
