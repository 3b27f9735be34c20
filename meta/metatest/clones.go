package metatest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// refs gives the references to slices as the engine counts them.
func (c *client) refs(ss ...meta.Slice) []int64 {
	c.t.Helper()
	return read(c.t, c.eng, func(r meta.Reader) ([]int64, error) {
		var refs []meta.SliceRef
		for _, s := range ss {
			refs = append(refs, meta.SliceRef{ID: s.ID, Size: s.Size})
		}
		return r.Refs(refs)
	})
}

func (c *client) detached() []meta.Ino {
	c.t.Helper()
	all := read(c.t, c.eng, func(r meta.Reader) ([]meta.Ino, error) {
		return r.Detached(time.Now().Add(time.Hour).Unix(), 100)
	})
	return append([]meta.Ino(nil), all...) // none is nil
}

func treeClone(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	sub := c.dir(d, "sub")
	f := c.file(sub, "f")
	ss := []meta.Slice{c.wrote(f, 0, 100), c.wrote(f, 50, 100), c.wrote(f, 3*meta.ChunkSize, 7)}
	_, err := c.Link(c.ctx, meta.Root, f, d, "link")
	c.noErr("link", err)
	c.make(d, "s", meta.TypeSymlink)
	c.make(d, "p", meta.TypeFIFO)
	long := c.file(d, "long") // with more chunks than are asked for one by one
	far := c.wrote(long, 40*meta.ChunkSize, 5)
	for i := range 250 { // more than a batch
		c.file(sub, fmt.Sprint("n", i))
	}
	c.noErr("xattr", c.SetXattr(c.ctx, meta.Root, f, "user.a", []byte("1"), 0))
	c.noErr("xattr", c.SetXattr(c.ctx, meta.Root, sub, "user.b", []byte("2"), 0))
	c.noErr("dangling", c.eng.Update(c.ctx, meta.Want{}, func(tx meta.Tx) error {
		tx.SetEntry(sub, "lost", meta.Entry{Type: meta.TypeFile, Ino: 1 << 40})
		return nil
	}))
	var n atomic.Int64
	to := c.dir(meta.RootIno, "to")
	ino, err := c.Clone(c.ctx, meta.Root, d, to, "copy", meta.CloneOptions{Preserve: true, Threads: 3, Progress: func(k int) { n.Add(int64(k)) }})
	c.noErr("clone", err)
	equal(t, "cloned inodes", n.Load(), 257)
	equal(t, "root of the clone", c.lookupPath("to", "copy"), ino)
	equal(t, "detached inodes", c.detached(), nil)
	c.wantNames(ino, "link", "long", "p", "s", "sub")
	copied := c.lookupPath("to", "copy", "sub", "f")
	equal(t, "references", c.refs(append(ss, far)...), []int64{3, 3, 3, 2})
	for i, want := range map[uint32][]meta.Slice{0: ss[:2], 1: nil, 3: ss[2:]} {
		got, err := c.Chunk(c.ctx, copied, i)
		c.noErr("chunk", err)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("chunk %d: %v, want %v", i, got, want)
		}
	}
	got, err := c.Chunk(c.ctx, c.lookupPath("to", "copy", "long"), 40)
	c.noErr("chunk", err)
	equal(t, "far chunk", got, []meta.Slice{far})
	value, err := c.GetXattr(c.ctx, copied, "user.a")
	c.noErr("xattr", err)
	equal(t, "xattr", string(value), "1")
	target, err := c.Readlink(c.ctx, c.lookupPath("to", "copy", "s"))
	c.noErr("readlink", err)
	equal(t, "target", target, "target")
	c.wantSummary("clone", ino, meta.Totals{Length: 2*(3*meta.ChunkSize+7) + 40*meta.ChunkSize + 5,
		Space: 2*(3*meta.ChunkSize+4096) + 40*meta.ChunkSize + 4096 + 254*4096, Files: 255, Dirs: 2})
	if n := c.attr(to).Nlink; n != 3 {
		t.Errorf("directory of the clone has %d links, want 3", n)
	}
	c.noErr("forget the dangling", c.Unlink(c.ctx, meta.Root, sub, "lost"))
	Check(t, c.Volume)
	c.removeTree(meta.RootIno, "d", true)
	c.noErr("read", c.readable(copied))
	c.removeTree(to, "copy", true)
	c.wantFreed(append(ss, far)...)
	c.wantUsage(4096, 1)
}

// readable says whether all slices of a small file have references.
func (c *client) readable(ino meta.Ino) error {
	i, err := c.Info(c.ctx, ino, meta.InfoOptions{})
	if err != nil {
		return err
	}
	for _, ch := range i.Chunks {
		for _, n := range c.refs(ch.Slices...) {
			if n < 1 {
				return fmt.Errorf("chunk %d has a slice with %d references", ch.Index, n)
			}
		}
	}
	return nil
}

func treeCloneAttrs(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	c.file(d, "f")
	c.dir(d, "sub")
	mode, uid, gid := uint16(0777), uint32(7), uint32(8)
	old := meta.Time{Sec: 1000, Nsec: 5}
	for _, ino := range []meta.Ino{d, c.lookupPath("d", "f")} {
		_, _, err := c.SetAttr(c.ctx, meta.Root, ino, meta.Change{Mode: &mode, UID: &uid, GID: &gid, Atime: &old, Mtime: &old})
		c.noErr("set attributes", err)
	}
	want := c.attr(c.lookupPath("d", "f"))
	kept, err := c.Clone(c.ctx, meta.Root, d, meta.RootIno, "kept", meta.CloneOptions{Preserve: true, Umask: 022})
	c.noErr("clone", err)
	got := c.attr(c.lookupPath("kept", "f"))
	want.Parent = kept
	equal(t, "preserved", got, want)
	if a := c.attr(kept); a.Mtime != old || a.UID != uid || a.Mode != mode || a.Nlink != 3 {
		t.Errorf("preserved directory: %+v", a)
	}
	caller := meta.Cred{UID: 1000, GID: 1001, Checked: true}
	own, err := c.Clone(c.ctx, caller, d, meta.RootIno, "own", meta.CloneOptions{Umask: 022})
	c.noErr("clone", err)
	for _, ino := range []meta.Ino{own, c.lookupPath("own", "f")} {
		if a := c.attr(ino); a.UID != 1000 || a.GID != 1001 || a.Mode != 0755 || a.Mtime == old {
			t.Errorf("clone of the caller: %+v", a)
		}
	}
	Check(t, c.Volume)
}

func treeCloneFile(t *testing.T, c *client) {
	f := c.file(meta.RootIno, "f")
	s := c.wrote(f, 0, 10000)
	_, err := c.Link(c.ctx, meta.Root, f, meta.RootIno, "l")
	c.noErr("link", err)
	ino, err := c.Clone(c.ctx, meta.Root, f, meta.RootIno, "g", meta.CloneOptions{})
	c.noErr("clone", err)
	if a := c.attr(ino); a.Nlink != 1 || a.Parent != meta.RootIno || a.Length != 10000 {
		t.Errorf("clone: %+v", a)
	}
	equal(t, "references", c.refs(s), []int64{2})
	c.wantUsage(2*12288, 2)
	Check(t, c.Volume)
}

func treeCloneErrors(t *testing.T, c *client) {
	c.withTrash()
	d := c.dir(meta.RootIno, "d")
	f := c.file(d, "f")
	sub, _, err := c.Mknod(c.ctx, meta.Root, d, "private", meta.New{Type: meta.TypeDirectory, Mode: 0700})
	c.noErr("mkdir", err)
	open, _, err := c.Mknod(c.ctx, meta.Root, meta.RootIno, "open", meta.New{Type: meta.TypeDirectory, Mode: 0777})
	c.noErr("mkdir", err)
	trashed := c.file(meta.RootIno, "t")
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, meta.RootIno, "t"))
	removed := c.dir(meta.RootIno, "r")
	c.noErr("rmdir", c.Rmdir(c.ctx, meta.Root, meta.RootIno, "r"))
	frozen := c.dir(meta.RootIno, "frozen")
	flags := meta.FlagImmutable
	_, _, err = c.SetAttr(c.ctx, meta.Root, frozen, meta.Change{Flags: &flags})
	c.noErr("set flags", err)
	before := Tree(t, c.Volume)
	for _, bad := range []struct {
		what     string
		who      meta.Cred
		src, dir meta.Ino
		name     string
		want     error
	}{
		{"missing source", meta.Root, 4242, open, "x", posix.ENOENT},
		{"name that is taken", meta.Root, d, meta.RootIno, "open", posix.EEXIST},
		{"into a file", meta.Root, d, f, "x", posix.ENOTDIR},
		{"into nothing", meta.Root, d, 4242, "x", posix.ENOENT},
		{"into a removed directory", meta.Root, d, removed, "x", posix.ENOENT},
		{"into a frozen directory", meta.Root, d, frozen, "x", posix.EPERM},
		{"into the trash", meta.Root, d, meta.TrashIno, "x", posix.EPERM},
		{"of the trash", meta.Root, meta.TrashIno, open, "x", posix.EPERM},
		{"out of the trash", meta.Root, trashed, open, "x", posix.EPERM},
		{"without a name", meta.Root, d, open, "", posix.ENOENT},
		{"bad name", meta.Root, d, open, "a/b", posix.EINVAL},
		{"long name", meta.Root, d, open, strings.Repeat("x", 256), posix.ENAMETOOLONG},
		{"into somebody else's directory", user, f, d, "x", posix.EACCES},
		{"of what may not be read", user, sub, open, "x", posix.EACCES},
		{"of a tree that may not be read whole", user, d, open, "x", posix.EACCES},
	} {
		_, err := c.Clone(c.ctx, bad.who, bad.src, bad.dir, bad.name, meta.CloneOptions{})
		c.want("clone "+bad.what, err, bad.want)
	}
	equal(t, "tree after all that was refused", Tree(t, c.Volume), before)
	equal(t, "detached inodes", c.detached(), nil)
	ro := openVolume(t, c.eng, meta.Options{ReadOnly: true})
	_, err = ro.Clone(c.ctx, meta.Root, d, open, "x", meta.CloneOptions{})
	c.want("read-only", err, posix.EROFS)
}

// failing fails changes: the n-th of the foreground, all, or all after they were made and without saying so.
type failing struct {
	meta.Engine
	left            atomic.Int64
	always, unknown atomic.Bool
}

var errBroken = errors.New("broken on purpose")

func (e *failing) Update(ctx context.Context, want meta.Want, fn func(meta.Tx) error) error {
	if ctx.Value(foreground{}) != nil && e.left.Add(-1) == 0 || e.always.Load() {
		return errBroken
	}
	err := e.Engine.Update(ctx, want, fn)
	if err == nil && e.unknown.Load() {
		err = meta.ErrUnknown
	}
	return err
}

// treeCloneFailure: whatever step fails, no trace of the clone is left.
func treeCloneFailure(t *testing.T, c *client) {
	d := c.grow(meta.RootIno, "d", 4, 2)
	f := c.lookupPath("d", "f0")
	s := c.wrote(f, 0, 10)
	c.noErr("flush", c.Volume.Close(c.ctx))
	e := &failing{Engine: c.eng}
	*c = *openVolume(t, e, meta.Options{MaxDeletes: -1})
	c.inForeground()
	before := Tree(t, c.Volume)
	space, inodes := c.usage()
	failed := 0
	for n := int64(1); ; n++ {
		e.left.Store(n)
		_, err := c.Clone(c.ctx, meta.Root, d, meta.RootIno, "copy", meta.CloneOptions{Threads: 1})
		e.left.Store(0)
		if err == nil {
			break
		}
		c.want("clone", err, errBroken)
		failed++
		equal(t, "tree after a failure", Tree(t, c.Volume), before)
		equal(t, "detached inodes", c.detached(), nil)
		c.wantUsage(space, inodes)
	}
	if failed < 5 {
		t.Errorf("only %d steps failed", failed)
	}
	Check(t, c.Volume)

	// While the database does not answer, the remains cannot be removed: they are recorded, and found later.
	ctx, cancel := context.WithCancel(c.ctx)
	_, err := c.Clone(ctx, meta.Root, d, meta.RootIno, "again", meta.CloneOptions{Threads: 1, Progress: func(int) {
		cancel()
		e.always.Store(true)
	}})
	if err == nil {
		t.Error("clone without a database")
	}
	e.always.Store(false)
	left := c.detached()
	equal(t, "roots left behind", len(left), 1)
	for _, ino := range left {
		c.noErr("remove", c.RemoveDetached(c.ctx, ino))
	}
	equal(t, "roots left behind after the clean-up", c.detached(), nil)
	Check(t, c.Volume)
	if n := c.refs(s)[0]; n < 2 {
		t.Errorf("%d references", n)
	}
}

func treeCloneQuota(t *testing.T, c *client) {
	d := c.grow(meta.RootIno, "d", 2, 3)
	q := c.dir(meta.RootIno, "q")
	c.limit(ofDir(q), 0, 9)
	c.limit(ofUser(1000), 0, 9)
	caller := meta.Cred{UID: 1000, GID: 1000, Checked: true}
	_, err := c.Clone(c.ctx, caller, d, q, "a", meta.CloneOptions{})
	c.noErr("clone", err)
	c.wantDirUsed("cloned", q, 14, 8)
	_, err = c.Clone(c.ctx, caller, d, q, "b", meta.CloneOptions{})
	c.want("too much for the directory", err, posix.EDQUOT)
	_, err = c.Clone(c.ctx, caller, d, meta.RootIno, "b", meta.CloneOptions{})
	c.want("too much for the user", err, posix.EDQUOT)
	_, err = c.Clone(c.ctx, caller, d, meta.RootIno, "b", meta.CloneOptions{Preserve: true})
	c.noErr("clone that stays root's", err)
	_, err = c.Clone(c.ctx, caller, c.lookupPath("d", "f0"), q, "f", meta.CloneOptions{})
	c.noErr("clone of a file", err)
	c.wantDirUsed("cloned", q, 16, 9)
	c.wantQuotasRight("clones")
	c.remake(func(f *meta.Format) { f.Inodes = 30 })
	_, err = c.Clone(c.ctx, meta.Root, d, meta.RootIno, "full", meta.CloneOptions{})
	c.want("too much for the volume", err, posix.ENOSPC)
	equal(t, "detached inodes", c.detached(), nil)
}
