// Package metatest holds the suites that every metadata engine passes: the records of an engine, the operations
// of a volume on it, races between clients, and one random history that must come out equal everywhere.
package metatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// Database makes a fresh, empty database and gives what connects another client to it. Both register their
// cleaning with t. The suites may close an engine before that, so a second Close must do nothing.
type Database func(t *testing.T) (connect func() meta.Engine)

// Run is everything that an engine must pass.
func Run(t *testing.T, database Database) {
	open := func(t *testing.T) meta.Engine { return database(t)() }
	t.Run("Engine", func(t *testing.T) { RunEngine(t, open) })
	t.Run("Volume", func(t *testing.T) { RunVolume(t, open) })
	t.Run("Maintain", func(t *testing.T) { RunMaintain(t, database) })
	t.Run("Races", func(t *testing.T) { RunRaces(t, database) })
	t.Run("Posix", func(t *testing.T) { RunPosix(t, database) })
	t.Run("Quotas", func(t *testing.T) { RunQuotas(t, database) })
	t.Run("Trees", func(t *testing.T) { RunTrees(t, open) })
}

// RunVolume checks the operations of meta.Volume on an engine.
func RunVolume(t *testing.T, open func(*testing.T) meta.Engine) {
	for name, test := range map[string]func(*testing.T, *client){
		"Create":          volumeCreate,
		"CreateErrors":    volumeCreateErrors,
		"SetGID":          volumeSetGID,
		"Lookup":          volumeLookup,
		"Unlink":          volumeUnlink,
		"UnlinkCut":       volumeUnlinkCut,
		"UnlinkOpen":      volumeUnlinkOpen,
		"UnlinkTrash":     volumeUnlinkTrash,
		"UnlinkOpenRace":  volumeUnlinkOpenRace,
		"Rmdir":           volumeRmdir,
		"Rename":          volumeRename,
		"RenameOver":      volumeRenameOver,
		"RenameExchange":  volumeRenameExchange,
		"RenameCycle":     volumeRenameCycle,
		"Link":            volumeLink,
		"Symlink":         volumeSymlink,
		"Write":           volumeWrite,
		"WritePacked":     volumeWritePacked,
		"WriteAll":        volumeWriteAll,
		"WriteLate":       volumeWriteLate,
		"Truncate":        volumeTruncate,
		"SetAttr":         volumeSetAttr,
		"Xattr":           volumeXattr,
		"Readdir":         volumeReaddir,
		"Usage":           volumeUsage,
		"Capacity":        volumeCapacity,
		"DirStats":        volumeDirStats,
		"FreeData":        volumeFreeData,
		"Sessions":        volumeSessions,
		"ReadOnly":        volumeReadOnly,
		"FormatTwice":     volumeFormatTwice,
		"Sticky":          volumeSticky,
		"ImmutableAppend": volumeFlags,
	} {
		t.Run(name, func(t *testing.T) {
			c := format(t, open(t), nil)
			test(t, c)
		})
	}
}

// client is a volume under test; its methods fail the test on errors that are not asked for.
type client struct {
	*meta.Volume
	t     *testing.T
	ctx   context.Context
	eng   meta.Engine
	freed chan meta.SliceRef
}

var user = meta.Cred{UID: 1000, GID: 1000}

// format makes a volume without trash on the engine and opens it.
func format(t *testing.T, eng meta.Engine, edit func(*meta.Format)) *client {
	t.Helper()
	f := meta.NewFormat("test-volume", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	f.TrashDays = 0
	if edit != nil {
		edit(&f)
	}
	if err := meta.Create(t.Context(), eng, f, meta.Time{Sec: 1795429376}); err != nil {
		t.Fatalf("create volume: %v", err)
	}
	return openVolume(t, eng, meta.Options{})
}

func openVolume(t *testing.T, eng meta.Engine, opt meta.Options) *client {
	t.Helper()
	c := &client{t: t, ctx: context.WithoutCancel(t.Context()), eng: eng, freed: make(chan meta.SliceRef, 1000)}
	if opt.FreeSlices == nil {
		opt.FreeSlices = func(_ context.Context, slices []meta.SliceRef) []error {
			for _, s := range slices {
				c.freed <- s
			}
			return nil
		}
	}
	v, err := meta.Open(c.ctx, eng, opt)
	if err != nil {
		t.Fatalf("open volume: %v", err)
	}
	c.Volume = v
	t.Cleanup(func() {
		if err := v.Close(c.ctx); err != nil {
			t.Errorf("close volume: %v", err)
		}
	})
	return c
}

func (c *client) session() {
	c.t.Helper()
	info := meta.SessionInfo{Version: meta.CompatVersion + "+jfs-test", HostName: "h", MountPoint: "/mnt", ProcessID: 1}
	if err := c.StartSession(c.ctx, info); err != nil {
		c.t.Fatalf("start session: %v", err)
	}
}

func (c *client) make(dir meta.Ino, name string, typ meta.Type) meta.Ino {
	c.t.Helper()
	n := meta.New{Type: typ, Mode: 0755}
	if typ == meta.TypeSymlink {
		n.Target = "target"
	}
	ino, _, err := c.Mknod(c.ctx, meta.Root, dir, name, n)
	if err != nil {
		c.t.Fatalf("make %d/%s: %v", dir, name, err)
	}
	return ino
}

func (c *client) file(dir meta.Ino, name string) meta.Ino {
	c.t.Helper()
	return c.make(dir, name, meta.TypeFile)
}

func (c *client) dir(dir meta.Ino, name string) meta.Ino {
	c.t.Helper()
	return c.make(dir, name, meta.TypeDirectory)
}

func (c *client) attr(ino meta.Ino) meta.Attr {
	c.t.Helper()
	a, err := c.GetAttr(c.ctx, ino)
	if err != nil {
		c.t.Fatalf("attribute of %d: %v", ino, err)
	}
	return a
}

// wrote publishes a fresh slice of n bytes at off of a file, within one chunk.
func (c *client) wrote(ino meta.Ino, off uint64, n uint32) meta.Slice {
	c.t.Helper()
	id, err := c.NewSlice(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	s := meta.Slice{Pos: uint32(off % meta.ChunkSize), ID: id, Size: n, Len: n}
	w := []meta.Written{{Index: uint32(off >> meta.ChunkBits), Slice: s}}
	if _, _, err := c.Write(c.ctx, ino, meta.Commit{Slices: w, Mtime: meta.TimeOf(time.Now())}); err != nil {
		c.t.Fatalf("write to %d: %v", ino, err)
	}
	return s
}

func (c *client) names(dir meta.Ino) []string {
	c.t.Helper()
	var names []string
	for cursor := ""; ; {
		page, next, err := c.Readdir(c.ctx, dir, cursor, 100, false)
		if err != nil {
			c.t.Fatalf("list %d: %v", dir, err)
		}
		for _, e := range page {
			names = append(names, e.Name)
		}
		if cursor = next; cursor == "" {
			slices.Sort(names)
			return slices.Compact(names)
		}
	}
}

func (c *client) wantNames(dir meta.Ino, want ...string) {
	c.t.Helper()
	if got := c.names(dir); !slices.Equal(got, want) {
		c.t.Errorf("directory %d holds %q, want %q", dir, got, want)
	}
}

func (c *client) want(what string, got, want error) {
	c.t.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		c.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (c *client) noErr(what string, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
}

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

func (c *client) wantFreed(want ...meta.Slice) {
	c.t.Helper()
	got := map[uint64]bool{}
	for range want {
		select {
		case s := <-c.freed:
			got[s.ID] = true
		case <-time.After(10 * time.Second):
			c.t.Fatalf("freed only %v of %v", got, want)
		}
	}
	for _, s := range want {
		if !got[s.ID] {
			c.t.Errorf("freed %v, want slice %d", got, s.ID)
		}
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

// remake changes the format under the client and opens it anew.
func (c *client) remake(edit func(*meta.Format)) {
	c.t.Helper()
	f := c.Format()
	edit(&f)
	c.noErr("store format", meta.Store(c.ctx, c.eng, f, meta.TimeOf(time.Now())))
	*c = *openVolume(c.t, c.eng, meta.Options{})
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

func nm(dir meta.Ino, name string) meta.Name { return meta.Name{Dir: dir, Name: name} }

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

func volumeWrite(t *testing.T, c *client) {
	f := c.file(meta.RootIno, "f")
	s1 := c.wrote(f, 0, 1000)
	s2 := c.wrote(f, 500, 1000)
	s3 := c.wrote(f, meta.ChunkSize+10, 20)
	if a := c.attr(f); a.Length != meta.ChunkSize+30 {
		t.Errorf("length %d", a.Length)
	}
	for index, want := range map[uint32][]meta.Slice{0: {s1, s2}, 1: {s3}, 2: nil} {
		got, err := c.Chunk(c.ctx, f, index)
		c.noErr("chunk", err)
		if !slices.Equal(got, want) {
			t.Errorf("chunk %d: %+v, want %+v", index, got, want)
		}
	}
	w := []meta.Written{{Slice: meta.Slice{ID: 900000, Size: 1, Len: 1}}}
	_, _, err := c.Write(c.ctx, 4242, meta.Commit{Slices: w})
	c.want("missing", err, posix.ENOENT)
	_, _, err = c.Write(c.ctx, c.dir(meta.RootIno, "d"), meta.Commit{Slices: w})
	c.want("directory", err, posix.EPERM)
}

// volumeWritePacked: many records may share a slice, which goes with the last of them.
func volumeWritePacked(t *testing.T, c *client) {
	f, g := c.file(meta.RootIno, "f"), c.file(meta.RootIno, "g")
	kept := c.wrote(g, 0, 10)
	id, err := c.NewSlice(c.ctx)
	c.noErr("slice", err)
	write := func(first uint32) error {
		var ws []meta.Written
		for i := range uint32(5000) {
			ws = append(ws, meta.Written{Index: i / first, Slice: meta.Slice{Pos: i * 100, ID: id, Size: 500_000, Off: i * 100, Len: 100}})
		}
		_, _, err = c.Write(c.ctx, f, meta.Commit{Slices: ws})
		return err
	}
	lists := map[uint32]int{0: 4500, 1: 500}
	if err = write(4500); errors.Is(err, meta.ErrChunkFull) { // the format has a limit for one database
		lists = map[uint32]int{0: 2700, 1: 2300}
		err = write(2700)
	}
	c.noErr("write", err)
	for index, want := range lists {
		got, err := c.Chunk(c.ctx, f, index)
		c.noErr("chunk", err)
		if len(got) != want {
			t.Errorf("chunk %d has %d records, want %d", index, len(got), want)
		}
	}
	refs := func(s meta.SliceRef) (n int64) {
		c.noErr("references", c.eng.View(c.ctx, meta.Want{}, func(r meta.Reader) error {
			all, err := r.Refs([]meta.SliceRef{s})
			if err == nil {
				n = all[0]
			}
			return err
		}))
		return n
	}
	if n := refs(meta.SliceRef{ID: id, Size: 500_000}); n != 5000 {
		t.Errorf("%d references, want 5000", n)
	}
	if n := refs(meta.SliceRef{ID: kept.ID, Size: kept.Size}); n != 1 {
		t.Errorf("%d references to a slice of one record", n)
	}
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, meta.RootIno, "f"))
	c.wantFreed(meta.Slice{ID: id})
}

func volumeTruncate(t *testing.T, c *client) {
	f := c.file(meta.RootIno, "f")
	s := c.wrote(f, 0, 5000)
	cut := func(n uint64) meta.Attr {
		t.Helper()
		a, err := c.Truncate(c.ctx, meta.Root, f, n, false)
		c.noErr("truncate", err)
		return a
	}
	same := c.attr(f)
	if a := cut(5000); a != same {
		t.Errorf("truncate to the same length changed %+v to %+v", same, a)
	}
	cut(130 << 20)
	cut(1000)
	zero := func(pos, n uint32) meta.Slice { return meta.Slice{Pos: pos, Len: n} }
	for index, want := range map[uint32][]meta.Slice{
		0: {s, zero(5000, meta.ChunkSize-5000), zero(1000, meta.ChunkSize-1000)},
		1: nil,
		2: {zero(0, 2<<20), zero(0, 2<<20)},
	} {
		got, err := c.Chunk(c.ctx, f, index)
		c.noErr("chunk", err)
		if !slices.Equal(got, want) {
			t.Errorf("chunk %d: %+v, want %+v", index, got, want)
		}
	}
	_, err := c.Truncate(c.ctx, meta.Root, f, meta.MaxFileSize, false)
	c.want("too big", err, posix.EFBIG)
	_, err = c.Truncate(c.ctx, meta.Root, 4242, 0, false)
	c.want("missing", err, posix.ENOENT)
	_, err = c.Truncate(c.ctx, user, f, 0, false)
	c.want("no permission", err, posix.EACCES)
}

func volumeSetAttr(t *testing.T, c *client) {
	f := c.file(meta.RootIno, "f")
	before := c.attr(f)
	mode := uint16(0640)
	_, a, err := c.SetAttr(c.ctx, meta.Root, f, meta.Change{Mode: &mode})
	c.noErr("chmod", err)
	if a.Mode != 0640 || a.Mtime != before.Mtime {
		t.Errorf("chmod: %+v", a)
	}
	_, again, err := c.SetAttr(c.ctx, meta.Root, f, meta.Change{Mode: &mode})
	c.noErr("chmod", err)
	if again != a {
		t.Errorf("a change to the same value changed %+v to %+v", a, again)
	}
	_, _, err = c.SetAttr(c.ctx, user, f, meta.Change{Mode: &mode})
	c.want("chmod to the same mode by another user", err, nil)
	mode = 0777
	_, _, err = c.SetAttr(c.ctx, user, f, meta.Change{Mode: &mode})
	c.want("chmod by another user", err, posix.EPERM)
	uid := uint32(1000)
	_, _, err = c.SetAttr(c.ctx, user, f, meta.Change{UID: &uid})
	c.want("chown by another user", err, posix.EPERM)
	mode = 06755
	_, _, err = c.SetAttr(c.ctx, meta.Root, f, meta.Change{Mode: &mode})
	c.noErr("chmod", err)
	_, a, err = c.SetAttr(c.ctx, meta.Root, f, meta.Change{UID: &uid})
	c.noErr("chown", err)
	if a.UID != 1000 || a.Mode != 0755 {
		t.Errorf("chown of a set-uid program: %+v", a)
	}
	at, mt := meta.Time{Sec: -5, Nsec: 123456789}, meta.Time{Sec: 1 << 33, Nsec: 999999999}
	_, a, err = c.SetAttr(c.ctx, user, f, meta.Change{Atime: &at, Mtime: &mt})
	c.noErr("utimes", err)
	if got := c.attr(f); got.Atime != at || got.Mtime != mt || got != a {
		t.Errorf("times %+v %+v, want %+v %+v", got.Atime, got.Mtime, at, mt)
	}
	other := meta.Cred{UID: 2000, GID: 2000}
	_, _, err = c.SetAttr(c.ctx, other, f, meta.Change{Atime: &at})
	c.want("utimes by another user", err, posix.EPERM)
	_, _, err = c.SetAttr(c.ctx, other, f, meta.Change{AtimeNow: true, MtimeNow: true})
	c.want("touch by another user", err, posix.EACCES)
	_, _, err = c.SetAttr(c.ctx, meta.Root, 4242, meta.Change{MtimeNow: true})
	c.want("missing", err, posix.ENOENT)
}

func volumeXattr(t *testing.T, c *client) {
	f := c.file(meta.RootIno, "f")
	_, err := c.GetXattr(c.ctx, f, "user.a")
	c.want("missing", err, posix.ENODATA)
	big := make([]byte, 60000)
	c.noErr("set", c.SetXattr(c.ctx, meta.Root, f, "user.a", []byte("1\x00"), 0))
	c.noErr("set", c.SetXattr(c.ctx, meta.Root, f, "user.b", big, meta.XattrCreate))
	c.noErr("set", c.SetXattr(c.ctx, meta.Root, f, "user.empty", nil, 0))
	c.want("create", c.SetXattr(c.ctx, meta.Root, f, "user.a", nil, meta.XattrCreate), posix.EEXIST)
	c.want("replace", c.SetXattr(c.ctx, meta.Root, f, "user.c", nil, meta.XattrReplace), posix.ENODATA)
	c.want("long name", c.SetXattr(c.ctx, meta.Root, f, strings.Repeat("n", 256), nil, 0), posix.ERANGE)
	c.want("long value", c.SetXattr(c.ctx, meta.Root, f, "user.d", make([]byte, 65537), 0), posix.ERANGE)
	got, err := c.GetXattr(c.ctx, f, "user.a")
	c.noErr("get", err)
	if string(got) != "1\x00" {
		t.Errorf("value %q", got)
	}
	names, err := c.ListXattr(c.ctx, f)
	c.noErr("list", err)
	slices.Sort(names)
	if !slices.Equal(names, []string{"user.a", "user.b", "user.empty"}) {
		t.Errorf("names %q", names)
	}
	c.noErr("remove", c.RemoveXattr(c.ctx, meta.Root, f, "user.a"))
	c.want("remove again", c.RemoveXattr(c.ctx, meta.Root, f, "user.a"), posix.ENODATA)
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

func (c *client) usage() (space, inodes int64) {
	c.t.Helper()
	c.noErr("read usage", c.eng.View(c.ctx, meta.Want{}, func(r meta.Reader) (err error) {
		space, inodes, err = r.Usage()
		return err
	}))
	return space, inodes
}

func volumeUsage(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	f := c.file(d, "f")
	c.wrote(f, 0, 10000)
	_, err := c.Link(c.ctx, meta.Root, f, d, "l")
	c.noErr("link", err)
	c.wantUsage(4096+12288, 2)
	_, err = c.Truncate(c.ctx, meta.Root, f, 100, false)
	c.noErr("truncate", err)
	c.wantUsage(4096+4096, 2)
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, d, "f"))
	c.wantUsage(4096+4096, 2)
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, d, "l"))
	c.noErr("rmdir", c.Rmdir(c.ctx, meta.Root, meta.RootIno, "d"))
	c.wantUsage(0, 0)
}

// wantUsage waits for engines that apply changes of the usage a little later.
func (c *client) wantUsage(space, inodes int64) {
	c.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		s, i := c.usage()
		if s == space && i == inodes {
			return
		}
		if time.Now().After(deadline) {
			c.t.Errorf("volume holds %d bytes, %d inodes; want %d, %d", s, i, space, inodes)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func volumeCapacity(t *testing.T, c *client) {
	c.remake(func(f *meta.Format) { f.Capacity, f.Inodes = 16<<10, 3 })
	f := c.file(meta.RootIno, "f")
	w := []meta.Written{{Slice: meta.Slice{ID: 1 << 40, Size: 20000, Len: 20000}}}
	_, _, err := c.Write(c.ctx, f, meta.Commit{Slices: w})
	c.want("write beyond the capacity", err, posix.ENOSPC)
	_, err = c.Truncate(c.ctx, meta.Root, f, 1<<20, false)
	c.want("truncate beyond the capacity", err, posix.ENOSPC)
	c.file(meta.RootIno, "g")
	c.file(meta.RootIno, "h")
	_, _, err = c.Mknod(c.ctx, meta.Root, meta.RootIno, "i", meta.New{Type: meta.TypeFile})
	c.want("one inode too many", err, posix.ENOSPC)
	s := c.StatFS(c.ctx, meta.RootIno)
	if s.TotalBytes != 16<<10 || s.FreeBytes != 4<<10 || s.TotalInodes != 3 || s.FreeInodes != 0 {
		t.Errorf("statfs %+v", s)
	}
}

func volumeDirStats(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	f := c.file(d, "f")
	c.wrote(f, 0, 5000)
	c.dir(d, "sub")
	c.make(d, "s", meta.TypeSymlink)
	e := c.dir(meta.RootIno, "e")
	c.noErr("rename", c.Rename(c.ctx, meta.Root, nm(d, "f"), nm(e, "f"), 0))
	c.noErr("close", c.Volume.Close(c.ctx))
	var got map[meta.Ino]meta.DirStat
	c.noErr("read", c.eng.View(c.ctx, meta.Want{}, func(r meta.Reader) (err error) {
		got, err = r.DirStats([]meta.Ino{d, e, meta.RootIno, 4242})
		return err
	}))
	for dir, want := range map[meta.Ino]meta.DirStat{
		d: {Space: 8192, Inodes: 2}, e: {Length: 5000, Space: 8192, Inodes: 1}, meta.RootIno: {Space: 8192, Inodes: 2},
	} {
		if got[dir] != want {
			t.Errorf("statistics of %d: %+v, want %+v", dir, got[dir], want)
		}
	}
	if _, ok := got[4242]; ok {
		t.Error("statistics of a directory that never was")
	}
	*c = *openVolume(t, c.eng, meta.Options{})
}

func volumeFreeData(t *testing.T, c *client) {
	f := c.file(meta.RootIno, "f")
	ss := []meta.Slice{c.wrote(f, 0, 100), c.wrote(f, 50, 100), c.wrote(f, 3*meta.ChunkSize, 7)}
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, meta.RootIno, "f"))
	c.wantFreed(ss...)
	// wait for the records to go
	deadline := time.Now().Add(10 * time.Second)
	for {
		var left []meta.DelFile
		var refs []int64
		c.noErr("read", c.eng.View(c.ctx, meta.Want{}, func(r meta.Reader) (err error) {
			if left, err = r.DelFiles(time.Now().Unix()+10, 10); err != nil {
				return err
			}
			_, err = r.DeadSlices(10)
			return err
		}))
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("records left: %v %v", left, refs)
		}
		time.Sleep(10 * time.Millisecond)
	}
	for i := range uint32(4) {
		got, err := c.Chunk(c.ctx, f, i)
		c.noErr("chunk", err)
		if len(got) > 0 {
			t.Errorf("chunk %d is still there: %v", i, got)
		}
	}
}

func volumeSessions(t *testing.T, c *client) {
	c.session()
	all, err := c.Sessions(c.ctx)
	c.noErr("sessions", err)
	if len(all) != 1 || all[0].Sid != c.Sid() || !strings.Contains(string(all[0].Info), `"HostName":"h"`) {
		t.Fatalf("sessions %+v", all)
	}
	// a client that died long ago, with an unlinked open file
	past := func() time.Time { return time.Now().Add(-time.Hour) }
	dead, err := meta.Open(c.ctx, c.eng, meta.Options{Now: past, Heartbeat: time.Hour / 100})
	c.noErr("open", err)
	c.noErr("session", dead.StartSession(c.ctx, meta.SessionInfo{Version: meta.CompatVersion}))
	f := c.file(meta.RootIno, "f")
	s := c.wrote(f, 0, 10)
	_, err = dead.Open(c.ctx, meta.Root, f, meta.OpenFor{Read: true})
	c.noErr("open file", err)
	c.noErr("unlink", dead.Unlink(c.ctx, meta.Root, meta.RootIno, "f"))
	c.attr(f)
	c.noErr("clean", c.CleanStaleSessions(c.ctx))
	all, err = c.Sessions(c.ctx)
	c.noErr("sessions", err)
	if len(all) != 1 || all[0].Sid != c.Sid() {
		t.Errorf("sessions after cleaning: %+v", all)
	}
	_, err = c.GetAttr(c.ctx, f)
	c.want("unlinked file of a dead session", err, posix.ENOENT)
	c.wantFreed(s)
	c.noErr("close", dead.Close(c.ctx))
}

func volumeReadOnly(t *testing.T, c *client) {
	c.file(meta.RootIno, "f")
	ro := openVolume(t, c.eng, meta.Options{ReadOnly: true})
	_, _, err := ro.Mknod(ro.ctx, meta.Root, meta.RootIno, "g", meta.New{Type: meta.TypeFile})
	c.want("create", err, posix.EROFS)
	c.want("unlink", ro.Unlink(ro.ctx, meta.Root, meta.RootIno, "f"), posix.EROFS)
	_, err = ro.Open(ro.ctx, meta.Root, 2, meta.OpenFor{Write: true})
	c.want("open for writing", err, posix.EROFS)
	_, err = ro.Open(ro.ctx, meta.Root, 2, meta.OpenFor{Read: true})
	c.want("open for reading", err, nil)
	c.noErr("session", ro.StartSession(ro.ctx, meta.SessionInfo{}))
	if ro.Sid() != 0 {
		t.Error("a read-only client has a session")
	}
}

func volumeFormatTwice(t *testing.T, c *client) {
	err := meta.Create(c.ctx, c.eng, c.Format(), meta.Time{})
	if err == nil {
		t.Error("a second volume in the same database")
	}
	f, err := meta.Load(c.ctx, c.eng)
	c.noErr("load", err)
	if f.Name != "test-volume" || f.BlockSize != 4096 || !f.DirStats {
		t.Errorf("format %+v", f)
	}
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

func volumeFlags(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	f := c.file(d, "f")
	set := func(ino meta.Ino, flags uint8) {
		t.Helper()
		_, _, err := c.SetAttr(c.ctx, meta.Root, ino, meta.Change{Flags: &flags})
		c.noErr("set flags", err)
	}
	set(f, meta.FlagImmutable)
	c.want("unlink", c.Unlink(c.ctx, meta.Root, d, "f"), posix.EPERM)
	c.want("rename", c.Rename(c.ctx, meta.Root, nm(d, "f"), nm(d, "g"), 0), posix.EPERM)
	_, err := c.Truncate(c.ctx, meta.Root, f, 5, false)
	c.want("truncate", err, posix.EPERM)
	_, err = c.Open(c.ctx, meta.Root, f, meta.OpenFor{Write: true})
	c.want("open for writing", err, posix.EPERM)
	set(f, meta.FlagAppend)
	_, err = c.Open(c.ctx, meta.Root, f, meta.OpenFor{Write: true})
	c.want("open without append", err, posix.EPERM)
	_, err = c.Open(c.ctx, meta.Root, f, meta.OpenFor{Write: true, Append: true})
	c.want("open for appending", err, nil)
	c.noErr("close", c.CloseFile(c.ctx, f))
	set(f, 0)
	set(d, meta.FlagAppend)
	c.want("unlink in an append-only directory", c.Unlink(c.ctx, meta.Root, d, "f"), posix.EPERM)
	c.file(d, "new")
	set(d, meta.FlagImmutable)
	_, _, err = c.Mknod(c.ctx, meta.Root, d, "x", meta.New{Type: meta.TypeFile})
	c.want("create in an immutable directory", err, posix.EPERM)
	set(d, 0)
}
