package metatest

import (
	"errors"
	"slices"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

// volumeWriteAll: files that share a slice are published together, and those that are refused drop out.
func volumeWriteAll(t *testing.T, c *client) {
	c.remake(func(f *meta.Format) { f.Capacity = 1 << 20 })
	d := c.dir(meta.RootIno, "d")
	f, g, big := c.file(d, "f"), c.file(d, "g"), c.file(d, "big")
	id, err := c.NewSlice(c.ctx)
	c.noErr("slice", err)
	const size = 3000
	one := func(ino meta.Ino, pos, off, n uint32) meta.FileCommit {
		return meta.FileCommit{Ino: ino, Commit: meta.Commit{Late: true, Mtime: meta.Time{Sec: 50}, Base: meta.Time{Sec: 1},
			Slices: []meta.Written{{Slice: meta.Slice{Pos: pos, ID: id, Size: size, Off: off, Len: n}}}}}
	}
	all := []meta.FileCommit{
		one(f, 0, 0, 1000), one(4242, 0, 0, 10), one(d, 0, 0, 10), one(g, 10, 1000, 500), one(big, 2<<20, 0, 10), one(f, 900, 1500, 1500),
		one(big, 0, 0, 10),
	}
	done, err := c.WriteAll(c.ctx, all)
	c.noErr("write all", err)
	for i, want := range []error{nil, posix.ENOENT, posix.EPERM, nil, posix.ENOSPC, nil, posix.ENOSPC} {
		if !errors.Is(done[i].Err, want) {
			t.Errorf("commit %d: %v, want %v", i, done[i].Err, want)
		}
	}
	if done[0].After != done[5].Before || done[0].After.Length != 1000 || done[5].After.Length != 2400 || done[5].After != c.attr(f) {
		t.Errorf("attributes of the file with two commits: %+v, %+v", done[0], done[5])
	}
	for ino, want := range map[meta.Ino][]meta.Slice{
		f: {all[0].Slices[0].Slice, all[5].Slices[0].Slice}, g: {all[3].Slices[0].Slice}, big: nil,
	} {
		got, err := c.Chunk(c.ctx, ino, 0)
		c.noErr("chunk", err)
		if !slices.Equal(got, want) {
			t.Errorf("chunk of %d: %+v, want %+v", ino, got, want)
		}
	}
	landed, err := c.Landed(c.ctx, all)
	c.noErr("landed", err)
	if want := []bool{true, false, false, true, false, true, false}; !slices.Equal(landed, want) {
		t.Errorf("landed: %v, want %v", landed, want)
	}
	ref := meta.SliceRef{ID: id, Size: size}
	refs := func() (n int64) {
		c.noErr("references", c.eng.View(c.ctx, meta.Want{}, func(r meta.Reader) error {
			all, err := r.Refs([]meta.SliceRef{ref})
			if err == nil {
				n = all[0]
			}
			return err
		}))
		return n
	}
	if n := refs(); n != 3 {
		t.Errorf("%d references to a slice with 3 records", n)
	}
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, d, "f"))
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, d, "g"))
	if got := <-c.freed; got != ref {
		t.Errorf("freed %+v", got)
	}
}

// volumeWriteLate: a late commit gives way to times that were set since the writes, and always changes the ctime.
func volumeWriteLate(t *testing.T, c *client) {
	f := c.file(meta.RootIno, "f")
	late := func(base, mtime meta.Time) meta.Attr {
		t.Helper()
		id, err := c.NewSlice(c.ctx)
		c.noErr("slice", err)
		_, a, err := c.Write(c.ctx, f, meta.Commit{Slices: []meta.Written{{Slice: meta.Slice{ID: id, Size: 10, Len: 10}}},
			Mtime: mtime, Late: true, Base: base})
		c.noErr("write", err)
		if a != c.attr(f) {
			t.Errorf("returned %+v, stored %+v", a, c.attr(f))
		}
		return a
	}
	made := c.attr(f)
	next := meta.Time{Sec: made.Ctime.Sec + 1, Nsec: 5}
	if a := late(made.Mtime, next); a.Mtime != next || a.Ctime != next {
		t.Errorf("after a write: mtime %v, ctime %v, want %v", a.Mtime, a.Ctime, next)
	}
	set := meta.Time{Sec: 77, Nsec: 7}
	_, before, err := c.SetAttr(c.ctx, meta.Root, f, meta.Change{Mtime: &set})
	c.noErr("set the mtime", err)
	if a := late(next, next); a.Mtime != set || a.Ctime.Sub(before.Ctime) <= 0 {
		t.Errorf("after a write before the mtime was set: mtime %v, ctime %v, before %v", a.Mtime, a.Ctime, before.Ctime)
	}
	after := meta.Time{Sec: next.Sec + 9}
	if a := late(set, after); a.Mtime != after {
		t.Errorf("after a write behind that: mtime %v", a.Mtime)
	}
}
