package meta

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"jfs/internal/posix"
)

// Bounds of one transaction of CopyRange, so that it is short even for a file of many terabytes: chunks of the
// source, and records after which no further chunk is begun.
const (
	copyChunks  = 64
	copyRecords = 1000
)

// CopyRange lets a range of one file show the same data as a range of another, or of the same, without copying it. It
// gives how many bytes it has done, which are fewer than asked for at the end of the source and in a range that is
// too long for one transaction, and the attribute of out before and after.
func (v *Volume) CopyRange(ctx context.Context, in Ino, offIn uint64, out Ino, offOut, size uint64, flags uint32) (copied uint64, old, a Attr, err error) {
	defer v.timed("CopyFileRange", v.began())
	switch {
	case flags != 0:
		return 0, Attr{}, Attr{}, posix.EINVAL
	case offIn >= MaxFileSize || offOut >= MaxFileSize:
		return 0, Attr{}, Attr{}, posix.EFBIG
	}
	size = min(size, MaxFileSize-offIn)
	want := Want{Attrs: []Ino{in, out}}
	if in == out {
		want.Attrs = want.Attrs[:1]
	}
	for i := offIn >> ChunkBits; size > 0 && i <= (offIn+size-1)>>ChunkBits && len(want.Chunks) < copyChunks; i++ {
		want.Chunks = append(want.Chunks, ChunkID{in, uint32(i)})
	}
	var dirs holders
	what := func() string { return fmt.Sprintf("copy %d bytes of inode %d to %d", size, in, out) }
	err = v.update(ctx, what, want, func(tx Tx) error {
		copied, dirs = 0, holders{}
		src, err := existing(tx, in)
		if err != nil {
			return err
		}
		if old, err = existing(tx, out); err != nil {
			return err
		}
		switch {
		case src.Type != TypeFile || old.Type != TypeFile:
			return posix.EINVAL
		case old.Flags&(FlagImmutable|FlagAppend) != 0:
			return posix.EPERM
		}
		a = old
		if offIn >= src.Length || size == 0 {
			return nil
		}
		end := min(offIn+size, src.Length)
		n := end - offIn
		switch {
		case in == out && offIn < offOut+n && offOut < end:
			return posix.EINVAL
		case offOut+n >= MaxFileSize:
			return posix.EFBIG
		}
		c := rangeCopy{to: offOut}
		for _, id := range want.Chunks {
			first := uint64(id.Index) << ChunkBits
			if first >= end || c.records >= copyRecords {
				break
			}
			// The read is a promise: a compaction that has replaced and released slices of the source since
			// then makes the commit fail.
			records, err := tx.Chunk(in, id.Index)
			if err != nil {
				return err
			}
			c.chunk(View(records), uint32(max(offIn, first)-first), uint32(min(end, first+ChunkSize)-first))
		}
		copied = c.to - offOut
		a.Length = max(a.Length, c.to)
		if dirs, err = v.resize(tx, out, &old, &a); err != nil {
			return err
		}
		a.Mtime = v.time()
		a.Ctime = a.Mtime
		tx.SetAttr(out, &a)
		c.apply(tx, out)
		return nil
	})
	if err != nil {
		return 0, Attr{}, Attr{}, err
	}
	v.resized(ctx, dirs, &old, &a)
	return copied, old, a, nil
}

// rangeCopy gathers what a copy appends to its destination.
type rangeCopy struct {
	to      uint64 // offset in the destination of the next byte
	lists   []copyList
	refs    map[SliceRef]int64
	records int
}

// copyList is what is appended to one chunk.
type copyList struct {
	index   uint32
	records []Slice
}

// chunk adds what is seen of the bytes [from, to) of a chunk.
func (c *rangeCopy) chunk(view []Slice, from, to uint32) {
	for _, s := range view {
		left, right := max(s.Pos, from), min(s.Pos+s.Len, to)
		if left >= right {
			continue
		}
		if s.ID != 0 {
			s.Off += left - s.Pos
		}
		s.Len = right - left
		c.add(s)
		from = right
	}
	if from < to { // behind the last record is a hole
		c.add(Slice{Len: to - from})
	}
}

// add appends a run at the end of what is there, cut at the borders of the chunks of the destination.
func (c *rangeCopy) add(s Slice) {
	for s.Len > 0 {
		part := s
		part.Pos = uint32(c.to % ChunkSize)
		part.Len = min(s.Len, ChunkSize-part.Pos)
		index := uint32(c.to >> ChunkBits)
		if n := len(c.lists); n == 0 || c.lists[n-1].index != index {
			c.lists = append(c.lists, copyList{index: index})
		}
		list := &c.lists[len(c.lists)-1]
		list.records = append(list.records, part)
		c.records++
		if s.ID != 0 {
			if c.refs == nil {
				c.refs = map[SliceRef]int64{}
			}
			c.refs[SliceRef{s.ID, s.Size}]++
			s.Off += part.Len
		}
		s.Len -= part.Len
		c.to += uint64(part.Len)
	}
}

func (c *rangeCopy) apply(tx Tx, out Ino) {
	for _, l := range c.lists {
		tx.AppendSlices(out, l.index, l.records)
	}
	// In a fixed order, in which databases that lock rows cannot lock two copies against each other.
	order := slices.SortedFunc(maps.Keys(c.refs), func(x, y SliceRef) int {
		return cmp.Or(cmp.Compare(x.ID, y.ID), cmp.Compare(x.Size, y.Size))
	})
	for _, r := range order {
		tx.AddRef(r.ID, r.Size, c.refs[r])
	}
}
