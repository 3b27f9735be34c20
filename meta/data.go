package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"jfs/internal/posix"
)

// NewSlice gives a slice number that nobody has used.
func (v *Volume) NewSlice(ctx context.Context) (uint64, error) { return v.slices.take(ctx) }

// Chunk gives the slice records of a chunk in commit order.
func (v *Volume) Chunk(ctx context.Context, ino Ino, index uint32) ([]Slice, error) {
	defer v.timed("Read", v.began())
	var records []Slice
	want := Want{Chunks: []ChunkID{{ino, index}}}
	err := v.view(ctx, func() string { return fmt.Sprintf("read chunk %d of inode %d", index, ino) }, want, func(r Reader) (err error) {
		records, err = r.Chunk(ino, index)
		return err
	})
	if err == nil {
		v.compact.read(ChunkID{ino, index}, records)
	}
	return records, err
}

// Written is a slice whose blocks are stored, to be published at the end of a chunk's list.
type Written struct {
	Index uint32 // chunk
	Slice Slice
}

// appendMost is how many records are appended to a chunk at a time; engines pass them on as one command.
const appendMost = 4000

// commitTries bounds how often a commit of unknown outcome is tried again.
const commitTries = 5

// Commit is what Write publishes.
type Commit struct {
	Slices  []Written // in the order in which they were written
	Mtime   Time      // time of the last write to them
	Promise *Promise  // what was promised to the writes; nil: nothing
	Again   bool      // an earlier Write of the same slices ended with an error and may have published them

	Late bool // the slices were acknowledged before: Mtime is set only where the file's is Base still
	Base Time // mtime of the file when they were written, with what was to be published before them
}

// Write publishes slices of one file in one transaction, and gives the attribute before and after it. On ENOENT,
// EPERM, ENOSPC and EDQUOT the slices are not published and their blocks are the caller's to remove; after any
// other error they may have been published, and the caller tries again with Again set.
func (v *Volume) Write(ctx context.Context, ino Ino, c Commit) (before, after Attr, err error) {
	defer v.timed("Write", v.began())
	look := c.Again
	for try := 1; ; try++ {
		if look {
			// Never append twice: see whether the records are there.
			there, a, err := v.hasWritten(ctx, ino, c.Slices[len(c.Slices)-1])
			if err != nil || there {
				return a, a, err
			}
		}
		before, after, err = v.write(ctx, ino, &c)
		if errors.Is(err, ErrChunkFull) && v.compact.all(ctx, ino, c.Slices) {
			before, after, err = v.write(ctx, ino, &c)
		}
		if err != nil && look && !errors.Is(err, ErrUnknown) {
			// The change of unknown outcome may have been under way still when its records were looked for.
			if there, a, e := v.hasWritten(ctx, ino, c.Slices[len(c.Slices)-1]); e == nil && there {
				return a, a, nil
			}
		}
		if look = errors.Is(err, ErrUnknown); !look || try == commitTries {
			return before, after, err
		}
	}
}

func (v *Volume) hasWritten(ctx context.Context, ino Ino, w Written) (there bool, a Attr, err error) {
	what := func() string { return fmt.Sprintf("look for slice %d in inode %d", w.Slice.ID, ino) }
	err = v.view(ctx, what, Want{Attrs: []Ino{ino}, Chunks: []ChunkID{{ino, w.Index}}}, func(r Reader) error {
		records, err := r.Chunk(ino, w.Index)
		if err != nil {
			return err
		}
		there = slices.Contains(records, w.Slice)
		a, _, err = r.Attr(ino)
		return err
	})
	return there, a, err
}

func (v *Volume) write(ctx context.Context, ino Ino, c *Commit) (old, a Attr, err error) {
	var dirs holders
	what := func() string { return fmt.Sprintf("write %d slices to inode %d", len(c.Slices), ino) }
	err = v.update(ctx, what, Want{Attrs: []Ino{ino}}, func(tx Tx) error {
		var err error
		if old, err = existing(tx, ino); err != nil {
			return err
		}
		if old.Type != TypeFile {
			return posix.EPERM
		}
		a = grownBy(old, c.Slices)
		if dirs, err = v.resize(tx, ino, &old, &a); err != nil {
			return err
		}
		c.stamp(&a, v.time())
		tx.SetAttr(ino, &a)
		appendWritten(tx, ino, c.Slices)
		countRefs(tx, c.Slices)
		return nil
	})
	if err != nil {
		return Attr{}, Attr{}, err
	}
	v.kept(c.Promise, a.Space()) // before it is counted as used: counted twice it could refuse a write
	v.resized(ctx, dirs, &old, &a)
	for _, w := range c.Slices {
		v.compact.wrote(ctx, ChunkID{ino, w.Index}, 1)
	}
	return old, a, nil
}

// countRefs records the references to new slices, to each as many as there are records of it.
func countRefs(tx Tx, ws []Written) {
	refs := make(map[SliceRef]int64, 1)
	for _, w := range ws {
		if w.Slice.ID == 0 {
			continue
		}
		ref := SliceRef{w.Slice.ID, w.Slice.Size}
		if refs[ref]++; refs[ref] == 1 {
			tx.NewRef(ref.ID, ref.Size)
		}
	}
	for ref, n := range refs {
		if n > 1 {
			tx.AddRef(ref.ID, ref.Size, n-1)
		}
	}
}

// Truncate sets the length of a file. opened says that it comes through an open descriptor, whose rights were
// checked when it was opened.
func (v *Volume) Truncate(ctx context.Context, who Cred, ino Ino, length uint64, opened bool) (Attr, error) {
	_, a, err := v.Resize(ctx, who, ino, length, opened)
	return a, err
}

// Resize is Truncate that gives the attribute before and after.
func (v *Volume) Resize(ctx context.Context, who Cred, ino Ino, length uint64, opened bool) (old, a Attr, err error) {
	defer v.timed("Truncate", v.began())
	if length >= MaxFileSize {
		return Attr{}, Attr{}, posix.EFBIG
	}
	var dirs holders
	what := func() string { return fmt.Sprintf("truncate inode %d to %d", ino, length) }
	err = v.update(ctx, what, Want{Attrs: []Ino{ino}}, func(tx Tx) error {
		var err error
		if a, err = existing(tx, ino); err != nil {
			return err
		}
		if a.Type != TypeFile || a.Flags&(FlagImmutable|FlagAppend) != 0 || a.Parent > TrashIno && !opened {
			return posix.EPERM
		}
		old, dirs = a, holders{}
		if !opened {
			if err := access(tx, who, &a, MayWrite); err != nil {
				return err
			}
		}
		if length == a.Length {
			return nil
		}
		a.Length = length
		if dirs, err = v.resize(tx, ino, &old, &a); err != nil {
			return err
		}
		if err := zeroRange(tx, ino, min(old.Length, length), max(old.Length, length)); err != nil {
			return err
		}
		a.Mtime = v.time()
		a.Ctime = a.Mtime
		tx.SetAttr(ino, &a)
		return nil
	})
	if err != nil {
		return Attr{}, Attr{}, err
	}
	v.resized(ctx, dirs, &old, &a)
	return old, a, nil
}

// zeroRange appends zero records over [left, right) of a file, as a truncation from one to the other does:
// always to the chunk of left, and to those behind it only if they have a list or are cut by right.
func zeroRange(tx Tx, ino Ino, left, right uint64) error {
	first, last := left>>ChunkBits, right>>ChunkBits
	pos := uint32(left % ChunkSize)
	if right <= (first+1)*ChunkSize {
		tx.AppendSlices(ino, uint32(first), []Slice{{Pos: pos, Len: uint32(right - left)}})
		return nil
	}
	tx.AppendSlices(ino, uint32(first), []Slice{{Pos: pos, Len: ChunkSize - pos}})
	if last > first+1 {
		have, err := tx.Chunks(ino, right)
		if err != nil {
			return err
		}
		for _, index := range have {
			if uint64(index) > first && uint64(index) < last {
				tx.AppendSlices(ino, index, []Slice{{Len: ChunkSize}})
			}
		}
	}
	if n := uint32(right % ChunkSize); n > 0 {
		tx.AppendSlices(ino, uint32(last), []Slice{{Len: n}})
	}
	return nil
}
