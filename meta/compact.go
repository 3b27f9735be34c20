package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"jfs/internal/posix"
)

// Numbers of the volume format's rules for compaction.
const (
	compactRecords = 1000    // records of a chunk that one compaction looks at
	compactSkipLen = 1 << 20 // a leading record of at least this many bytes may stay as it is
	compactSkipPer = 5       // ... if it is at least this part of all that would be copied
)

// Compaction is what is to take the place of the first records of a chunk.
type Compaction struct {
	ChunkID
	Origin []Slice // the first records of the chunk as they were read, all of which are replaced
	Skip   int     // how many of them stay in front
	// View is what the new slice is to hold: runs that follow each other without gaps, of slices and, with ID 0,
	// of zeros.
	View []Slice
	Pos  uint32 // where the new slice begins in the chunk
	Size uint32 // its bytes, the sum of the runs; at most ChunkSize
}

// PlanCompaction decides how the records of a chunk can be made fewer without a change of what is read. ok is false
// when there is nothing to gain.
func PlanCompaction(id ChunkID, records []Slice) (c Compaction, ok bool) {
	origin := records[:min(len(records), compactRecords)]
	skip := 0
	for ; skip < len(origin); skip++ {
		if !stays(origin[skip:]) {
			break
		}
	}
	rest := origin[skip:]
	if len(rest) < 2 {
		return Compaction{}, false
	}
	view, size := trimmedView(rest)
	if size == 0 {
		return Compaction{}, false
	}
	return Compaction{ChunkID: id, Origin: slices.Clone(origin), Skip: skip, View: view, Pos: view[0].Pos, Size: size}, true
}

// stays says whether the first of the records is large, and untouched by all that follow, so that copying it would
// be work for nothing.
func stays(records []Slice) bool {
	first := records[0]
	if first.Len < compactSkipLen {
		return false
	}
	view, size := trimmedView(records)
	if size == 0 || uint64(first.Len)*compactSkipPer < uint64(size) || view[0] != first {
		return false
	}
	return !slices.Contains(records[1:], first)
}

// trimmedView is the view without the zeros at its ends. Of zeros only, one byte is left, because there is no slice
// without bytes.
func trimmedView(records []Slice) (view []Slice, size uint32) {
	view = View(records)
	for len(view) > 1 && view[0].ID == 0 {
		view = view[1:]
	}
	for len(view) > 1 && view[len(view)-1].ID == 0 {
		view = view[:len(view)-1]
	}
	if len(view) == 1 && view[0].ID == 0 {
		view[0].Len = 1
	}
	for _, s := range view {
		size += s.Len
	}
	return view, size
}

// replaced are the slices of the records that go away, one item per record.
func (c *Compaction) replaced() []SliceRef {
	var refs []SliceRef
	for _, s := range c.Origin[c.Skip:] {
		if s.ID != 0 {
			refs = append(refs, SliceRef{s.ID, s.Size})
		}
	}
	return refs
}

var (
	// ErrCompactLost: the chunk has changed since the compaction was planned; the new slice is not used and the
	// caller removes its blocks.
	ErrCompactLost = errors.New("the chunk has changed meanwhile")
	// ErrCompactUnsure: it is unknown whether the new slice was ever used. Its blocks must stay; gc finds them if
	// they are not needed.
	ErrCompactUnsure = errors.New("the compaction may have been committed")
)

// CommitCompaction puts slice id, whose blocks hold the planned bytes, in the place of the planned records. With a
// trash the replaced slices stay for its time, otherwise those that nobody else refers to are freed. On
// ErrCompactLost, and on posix.ENOENT for a file that is gone, the new slice is not used. After any other error it may
// be in use and its blocks must stay.
func (v *Volume) CommitCompaction(ctx context.Context, c Compaction, id uint64) error {
	record := Slice{Pos: c.Pos, ID: id, Size: c.Size, Len: c.Size}
	var dead []SliceRef
	what := func() string { return fmt.Sprintf("compact chunk %d of inode %d", c.Index, c.Ino) }
	want := Want{Attrs: []Ino{c.Ino}, Chunks: []ChunkID{c.ChunkID}}
	unsure := false
	for try := 1; ; try++ {
		var done, lost, gone bool
		err := v.update(ctx, what, want, func(tx Tx) error {
			done, lost, gone, dead = false, false, false, nil
			records, err := tx.Chunk(c.Ino, c.Index)
			if err != nil {
				return err
			}
			if done = slices.Contains(records, record); done {
				return nil
			}
			_, ok, err := tx.Attr(c.Ino)
			if err != nil {
				return err
			}
			gone = !ok
			lost = len(records) < len(c.Origin) || !slices.Equal(records[:len(c.Origin)], c.Origin)
			if gone || lost {
				return nil
			}
			dead, err = v.replaceRecords(tx, &c, record)
			return err
		})
		switch {
		case err == nil && done:
			return nil // an earlier attempt was committed: what it freed is found by the hourly job
		case err == nil && unsure && (lost || gone):
			return fmt.Errorf("%s: %w", what(), ErrCompactUnsure)
		case err == nil && gone:
			return posix.ENOENT
		case err == nil && lost:
			return ErrCompactLost
		case err == nil:
			if err := v.freeSlices(ctx, dead); err != nil && ctx.Err() == nil { // the hourly job frees what is left
				v.log.Warn("free slices that a compaction has replaced", "inode", c.Ino, "err", err)
			}
			return nil
		}
		if !errors.Is(err, ErrUnknown) || try == commitTries {
			return err
		}
		unsure = true
	}
}

// replaceRecords makes the exchange and gives the slices that nobody refers to any more.
func (v *Volume) replaceRecords(tx Tx, c *Compaction, record Slice) (dead []SliceRef, err error) {
	tx.ReplaceSlices(c.Ino, c.Index, len(c.Origin), append(slices.Clone(c.Origin[:c.Skip]), record))
	tx.NewRef(record.ID, record.Size)
	old := c.replaced()
	if len(old) == 0 {
		return nil, nil
	}
	if v.format.Load().TrashDays > 0 {
		tx.SetDelayed(Delayed{ID: record.ID, At: v.now().Unix(), Slices: old})
		return nil, nil
	}
	return dropRefs(tx, old)
}

// dropRefs takes one reference from a slice for each time that it is listed, and gives those that are left without
// any.
func dropRefs(tx Tx, list []SliceRef) (dead []SliceRef, err error) {
	drops := map[SliceRef]int64{}
	var order []SliceRef
	for _, ref := range list {
		if drops[ref] == 0 {
			order = append(order, ref)
		}
		drops[ref]++
	}
	if len(order) == 0 {
		return nil, nil
	}
	refs, err := tx.Refs(order)
	if err != nil {
		return nil, err
	}
	for i, ref := range order {
		tx.AddRef(ref.ID, ref.Size, -drops[ref])
		if refs[i] <= drops[ref] {
			dead = append(dead, ref)
		}
	}
	return dead, nil
}
