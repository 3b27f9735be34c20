package metatest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

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
