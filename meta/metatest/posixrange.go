package metatest

import (
	"context"
	"slices"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

var rangeTests = []posixTest{
	{"Fallocate", rangeFallocate},
	{"FallocateErrors", rangeFallocateErrors},
	{"CopyRange", rangeCopy},
	{"CopyRangeBorders", rangeCopyBorders},
	{"CopyRangeErrors", rangeCopyErrors},
	{"CopyRangeLong", rangeCopyLong},
	{"CopyRangeWhileCompacting", rangeCopyCompacting},
	{"RangeQuotas", rangeQuotas},
}

func (c *client) wantChunks(ino meta.Ino, want map[uint32][]meta.Slice) {
	c.t.Helper()
	for index, records := range want {
		got, err := c.Chunk(c.ctx, ino, index)
		c.noErr("chunk", err)
		if !slices.Equal(got, records) {
			c.t.Errorf("chunk %d of inode %d: %+v, want %+v", index, ino, got, records)
		}
	}
}

func rangeFallocate(t *testing.T, a, _ *client) {
	f := a.file(meta.RootIno, "f")
	s := a.wrote(f, 0, 16384)
	zero := func(pos, n uint32) meta.Slice { return meta.Slice{Pos: pos, Len: n} }
	do := func(mode uint32, off, size, length uint64) {
		t.Helper()
		before := a.attr(f)
		old, at, err := a.Fallocate(a.ctx, f, mode, off, size)
		a.noErr("fallocate", err)
		want := before
		want.Length, want.Mtime, want.Ctime = length, at.Ctime, at.Ctime
		if old != before || at != want || at.Ctime == before.Ctime || a.attr(f) != at {
			t.Errorf("mode %#x %d+%d: %+v and %+v, want %+v and %+v", mode, off, size, old, at, before, want)
		}
	}
	do(meta.FallocPunchHole|meta.FallocKeepSize, 100, 50, 16384)
	do(meta.FallocZero, 16000, 1000, 17000)
	a.wantChunks(f, map[uint32][]meta.Slice{0: {s, zero(100, 50), zero(16000, 384)}})
	do(0, 17000, 3000, 20000)
	do(0, 0, 100, 20000)
	do(meta.FallocKeepSize, 0, 1<<30, 20000)
	do(meta.FallocZero|meta.FallocKeepSize, 30000, 10, 20000)
	do(meta.FallocZero, 30000, 10, 30010)
	a.wantChunks(f, map[uint32][]meta.Slice{0: {s, zero(100, 50), zero(16000, 384)}})
	a.wantUsage(32768, 1)

	// over chunks, of which the one in the middle has no list
	s2 := a.wrote(f, 3*meta.ChunkSize+5, 100)
	s1 := a.wrote(f, meta.ChunkSize, 10)
	do(meta.FallocPunchHole|meta.FallocKeepSize, 40000, 3*meta.ChunkSize-40000+50, 3*meta.ChunkSize+105)
	a.wantChunks(f, map[uint32][]meta.Slice{
		0: {s, zero(100, 50), zero(16000, 384), zero(40000, meta.ChunkSize-40000)},
		1: {s1, zero(0, meta.ChunkSize)},
		2: nil,
		3: {s2, zero(0, 50)},
	})
}

func rangeFallocateErrors(t *testing.T, a, _ *client) {
	f := a.file(meta.RootIno, "f")
	do := func(ino meta.Ino, mode uint32) error { _, _, err := a.Fallocate(a.ctx, ino, mode, 0, 10); return err }
	_, _, err := a.Fallocate(a.ctx, f, 0, 0, 0)
	a.want("no bytes", err, posix.EINVAL)
	a.want("collapse", do(f, meta.FallocCollapse), posix.ENOTSUP)
	a.want("insert", do(f, meta.FallocInsert), posix.ENOTSUP)
	a.want("punch and grow", do(f, meta.FallocPunchHole), posix.EINVAL)
	_, _, err = a.Fallocate(a.ctx, f, 0, meta.MaxFileSize-5, 5)
	a.want("too big", err, posix.EFBIG)
	a.want("missing", do(4242, 0), posix.ENOENT)
	a.want("directory", do(a.dir(meta.RootIno, "d"), 0), posix.EPERM)
	a.want("pipe", do(a.make(meta.RootIno, "p", meta.TypeFIFO), 0), posix.EPIPE)
	flag := meta.FlagAppend
	_, _, err = a.SetAttr(a.ctx, meta.Root, f, meta.Change{Flags: &flag})
	a.noErr("set flags", err)
	a.want("append-only, zero", do(f, meta.FallocZero), posix.EPERM)
	a.want("append-only, keep size", do(f, meta.FallocKeepSize), nil)
	a.want("append-only, grow", do(f, 0), nil)
	flag = meta.FlagImmutable
	_, _, err = a.SetAttr(a.ctx, meta.Root, f, meta.Change{Flags: &flag})
	a.noErr("set flags", err)
	a.want("immutable", do(f, 0), posix.EPERM)
	a.remake(func(f *meta.Format) { f.Capacity = 1 << 20 })
	g := a.file(meta.RootIno, "g")
	_, _, err = a.Fallocate(a.ctx, g, 0, 0, 2<<20)
	a.want("full", err, posix.ENOSPC)
	_, _, err = a.Fallocate(a.ctx, g, meta.FallocKeepSize, 0, 2<<20)
	a.want("nothing needed", err, nil)
}

func rangeCopy(t *testing.T, a, _ *client) {
	in, out := a.file(meta.RootIno, "in"), a.file(meta.RootIno, "out")
	s := a.wrote(in, 0, 10<<20)
	other := a.wrote(out, 0, 4096)
	before := a.attr(out)
	n, old, at, err := a.CopyRange(a.ctx, in, 1<<20, out, 0, 5<<20, 0)
	a.noErr("copy", err)
	want := before
	want.Length, want.Mtime, want.Ctime = 5<<20, at.Ctime, at.Ctime
	if n != 5<<20 || old != before || at != want || a.attr(out) != at || at.Ctime == before.Ctime {
		t.Errorf("copied %d, %+v and %+v, want %+v and %+v", n, old, at, before, want)
	}
	part := meta.Slice{Pos: 0, ID: s.ID, Size: 10 << 20, Off: 1 << 20, Len: 5 << 20}
	a.wantChunks(out, map[uint32][]meta.Slice{0: {other, part}})
	equal(t, "references", a.refs(s, other), []int64{2, 1})
	a.wantUsage(15<<20, 2)

	// to the end of the source, and within one file
	n, _, _, err = a.CopyRange(a.ctx, in, 9<<20, in, 20<<20, 1<<40, 0)
	a.noErr("copy", err)
	equal(t, "bytes copied", n, 1<<20)
	a.wantChunks(in, map[uint32][]meta.Slice{0: {s, {Pos: 20 << 20, ID: s.ID, Size: 10 << 20, Off: 9 << 20, Len: 1 << 20}}})
	equal(t, "references", a.refs(s), []int64{3})
	before = a.attr(out)
	n, _, at, err = a.CopyRange(a.ctx, in, 21<<20, out, 0, 1, 0)
	if err != nil || n != 0 || at != before || a.attr(out) != before {
		t.Errorf("beyond the end of the source: %d, %v, %+v", n, err, at)
	}

	a.noErr("unlink", a.Unlink(a.ctx, meta.Root, meta.RootIno, "in"))
	a.noErr("unlink", a.Unlink(a.ctx, meta.Root, meta.RootIno, "out"))
	a.wantFreed(s, other)
	a.wantUsage(0, 0)
}

// rangeCopyBorders: pieces are cut at the borders of chunks on both sides, and holes are copied as zeros.
func rangeCopyBorders(t *testing.T, a, _ *client) {
	const cs = meta.ChunkSize
	in, out := a.file(meta.RootIno, "in"), a.file(meta.RootIno, "out")
	s0 := a.wrote(in, cs-100, 100)
	s1 := a.wrote(in, cs, 50)
	s2 := a.wrote(in, cs+1000, 10)
	n, _, _, err := a.CopyRange(a.ctx, in, cs-150, out, 2*cs-120, 150+1010, 0)
	a.noErr("copy", err)
	equal(t, "bytes copied", n, 1160)
	a.wantChunks(out, map[uint32][]meta.Slice{
		0: nil,
		1: {
			{Pos: cs - 120, Len: 50},
			{Pos: cs - 70, ID: s0.ID, Size: 100, Len: 70},
		},
		2: {
			{Pos: 0, ID: s0.ID, Size: 100, Off: 70, Len: 30},
			{Pos: 30, ID: s1.ID, Size: 50, Len: 50},
			{Pos: 80, Len: 950},
			{Pos: 1030, ID: s2.ID, Size: 10, Len: 10},
		},
	})
	equal(t, "references", a.refs(s0, s1, s2), []int64{3, 2, 2})
	equal(t, "length", a.attr(out).Length, 2*cs+1040)
}

func rangeCopyErrors(t *testing.T, a, _ *client) {
	in, out := a.file(meta.RootIno, "in"), a.file(meta.RootIno, "out")
	a.wrote(in, 0, 1000)
	do := func(in meta.Ino, offIn uint64, out meta.Ino, offOut, size uint64, flags uint32) error {
		_, _, _, err := a.CopyRange(a.ctx, in, offIn, out, offOut, size, flags)
		return err
	}
	a.want("flags", do(in, 0, out, 0, 10, 1), posix.EINVAL)
	a.want("overlap", do(in, 0, in, 9, 10, 0), posix.EINVAL)
	a.want("overlap", do(in, 9, in, 0, 10, 0), posix.EINVAL)
	a.want("neighbours", do(in, 0, in, 10, 10, 0), nil)
	a.want("into a directory", do(in, 0, meta.RootIno, 0, 10, 0), posix.EINVAL)
	a.want("from a directory", do(meta.RootIno, 0, out, 0, 10, 0), posix.EINVAL)
	a.want("missing source", do(4242, 0, out, 0, 10, 0), posix.ENOENT)
	a.want("missing target", do(in, 0, 4242, 0, 10, 0), posix.ENOENT)
	a.want("too big", do(in, 0, out, meta.MaxFileSize-5, 10, 0), posix.EFBIG)
	for _, flag := range []uint8{meta.FlagImmutable, meta.FlagAppend} {
		_, _, err := a.SetAttr(a.ctx, meta.Root, out, meta.Change{Flags: &flag})
		a.noErr("set flags", err)
		a.want("target that may not change", do(in, 0, out, 0, 10, 0), posix.EPERM)
	}
	a.remake(func(f *meta.Format) { f.Capacity = 1 << 20 })
	g := a.file(meta.RootIno, "g")
	a.want("full", do(in, 0, g, 2<<20, 1000, 0), posix.ENOSPC)
	equal(t, "length", a.attr(g).Length, 0)
}

// rangeCopyLong: a copy of very many chunks is done in several transactions, and all of it in the end.
func rangeCopyLong(t *testing.T, a, _ *client) {
	const cs, chunks = meta.ChunkSize, 150
	in, out := a.file(meta.RootIno, "in"), a.file(meta.RootIno, "out")
	var all []meta.Slice
	for i := range uint64(chunks) {
		all = append(all, a.wrote(in, i*cs+i, 10))
	}
	length := a.attr(in).Length
	calls := 0
	for done := uint64(0); done < length; calls++ {
		n, _, _, err := a.CopyRange(a.ctx, in, done, out, done, length-done, 0)
		a.noErr("copy", err)
		if n == 0 {
			t.Fatalf("no progress at %d of %d", done, length)
		}
		done += n
	}
	equal(t, "transactions", calls, 3)
	for i, s := range all {
		records, err := a.Chunk(a.ctx, out, uint32(i))
		a.noErr("chunk", err)
		seen := meta.View(records)
		if !slices.Contains(seen, s) {
			t.Fatalf("chunk %d shows %+v, which lacks %+v", i, seen, s)
		}
	}
	for i, n := range a.refs(all...) {
		equal(t, numbered("references of slice", i), n, 2)
	}
}

// rangeCopyCompacting: compactions replace and release the slices of a file that is being copied. A copy never
// shows a slice that nobody refers to.
func rangeCopyCompacting(t *testing.T, a, b *client) {
	const rounds = 20
	in := a.file(meta.RootIno, "in")
	last := a.wrote(in, 0, 5000)
	var outs []meta.Ino
	for i := range rounds {
		outs = append(outs, a.file(meta.RootIno, numbered("out", i)))
	}
	together(t, 2, func(ctx context.Context, side int) error {
		if side == 0 {
			for _, out := range outs {
				if _, _, _, err := a.CopyRange(ctx, in, 0, out, 0, 5000, 0); err != nil {
					return err
				}
			}
			return nil
		}
		for range rounds {
			id, err := b.NewSlice(ctx)
			if err != nil {
				return err
			}
			next := meta.Slice{ID: id, Size: 5000, Len: 5000}
			err = b.eng.Update(ctx, meta.Want{Chunks: []meta.ChunkID{{Ino: in}}}, func(tx meta.Tx) error {
				if _, err := tx.Chunk(in, 0); err != nil {
					return err
				}
				tx.ReplaceSlices(in, 0, 1, []meta.Slice{next})
				tx.NewRef(next.ID, next.Size)
				tx.AddRef(last.ID, last.Size, -1)
				return nil
			})
			if err != nil {
				return err
			}
			last = next
		}
		return nil
	})
	uses := map[meta.SliceRef]int64{}
	for _, ino := range append(outs, in) {
		records, err := a.Chunk(a.ctx, ino, 0)
		a.noErr("chunk", err)
		for _, s := range records {
			uses[meta.SliceRef{ID: s.ID, Size: s.Size}]++
		}
	}
	for ref, n := range uses {
		equal(t, "references of a slice in use", a.refs(meta.Slice{ID: ref.ID, Size: ref.Size}), []int64{n})
	}
}

// rangeQuotas: what grows a file is paid for by its directory, its owner and its group.
func rangeQuotas(_ *testing.T, a, _ *client) {
	a.noErr("owners", a.EnableOwnerQuotas(a.ctx))
	d := a.dir(meta.RootIno, "d")
	f, _, err := a.Mknod(a.ctx, meta.Cred{UID: 7, GID: 8, Checked: true}, d, "f", meta.New{Type: meta.TypeFile})
	a.noErr("create", err)
	in := a.file(meta.RootIno, "in")
	a.wrote(in, 0, 1<<20)
	a.limit(ofDir(d), 64<<10, 0)
	a.limit(ofUser(7), 40<<10, 3)

	grow := func(n uint64) error { _, _, err := a.Fallocate(a.ctx, f, 0, 0, n); return err }
	copied := func(at uint64) error { _, _, _, err := a.CopyRange(a.ctx, in, 0, f, at, 4096, 0); return err }
	a.want("allocate within", grow(16<<10), nil)
	a.want("allocate beyond the user's", grow(48<<10), posix.EDQUOT)
	a.want("copy within", copied(28<<10), nil)
	a.want("copy beyond the user's", copied(40<<10), posix.EDQUOT)
	a.limit(ofUser(7), 0, 3)
	a.want("allocate beyond the directory's", grow(68<<10), posix.EDQUOT)
	a.want("copy beyond the directory's", copied(64<<10), posix.EDQUOT)
	a.wantDirUsed("after growth", d, 8, 1)

	// A file without a name is its owner's, and no directory's until it gets one.
	who := meta.Cred{UID: 7, GID: 8, Checked: true}
	tmp, _, err := a.Tmpfile(a.ctx, who, d, meta.New{Mode: 0600})
	a.noErr("tmpfile", err)
	a.noErr("write", a.writeTo(tmp, 8192))
	a.wantUsed("with a file without a name", map[meta.QuotaKey][2]int64{
		ofDir(d): {32 << 10, 1}, ofUser(7): {40 << 10, 2}, ofGroup(8): {40 << 10, 2},
	})
	_, err = a.Link(a.ctx, meta.Root, tmp, d, "named")
	a.noErr("link", err)
	a.noErr("close", a.CloseFile(a.ctx, tmp))
	lost, _, err := a.Tmpfile(a.ctx, who, d, meta.New{Mode: 0600})
	a.noErr("tmpfile", err)
	_, _, err = a.Tmpfile(a.ctx, who, d, meta.New{Mode: 0600})
	a.want("one file too many", err, posix.EDQUOT)
	a.noErr("close", a.CloseFile(a.ctx, lost))
	a.wantUsed("at the end", map[meta.QuotaKey][2]int64{
		ofDir(d): {40 << 10, 2}, ofUser(7): {40 << 10, 2}, ofGroup(8): {40 << 10, 2},
	})
	a.wantQuotasRight("at the end")
}
