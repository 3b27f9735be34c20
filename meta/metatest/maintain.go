package metatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// RunMaintain checks compaction and the background jobs of meta.Volume.
func RunMaintain(t *testing.T, database Database) {
	for name, test := range map[string]func(*testing.T, func() meta.Engine){
		"Compact":            compactCommit,
		"CompactTrash":       compactTrash,
		"CompactShared":      compactShared,
		"CompactUnknown":     compactUnknown,
		"CompactRemovedFile": compactRemovedFile,
		"CompactTriggers":    compactTriggers,
		"CompactRace":        compactRace,
		"DeletedFiles":       cleanDeletedFiles,
		"CutFiles":           cleanCutFiles,
		"DeadSlices":         cleanDeadSlices,
		"FreedTogether":      freedTogether,
		"Trash":              cleanTrash,
		"TrashKeepsYoung":    cleanTrashKeepsYoung,
		"Detached":           cleanDetached,
		"Orphan":             removeOrphan,
		"Guards":             jobGuards,
	} {
		t.Run(name, func(t *testing.T) { test(t, database(t)) })
	}
}

func (c *client) chunk(ino meta.Ino) []meta.Slice {
	c.t.Helper()
	records, err := c.Chunk(c.ctx, ino, 0)
	c.noErr("chunk", err)
	return records
}

// plan plans the compaction of a chunk, which must be possible, and gives the record that will stand for it.
func (c *client) plan(ino meta.Ino) (meta.Compaction, meta.Slice) {
	c.t.Helper()
	p, ok := meta.PlanCompaction(meta.ChunkID{Ino: ino}, c.chunk(ino))
	if !ok {
		c.t.Fatal("nothing to compact")
	}
	id, err := c.NewSlice(c.ctx)
	c.noErr("slice", err)
	return p, meta.Slice{Pos: p.Pos, ID: id, Size: p.Size, Len: p.Size}
}

func (c *client) refsOf(list ...meta.SliceRef) []int64 {
	c.t.Helper()
	return read(c.t, c.eng, func(r meta.Reader) ([]int64, error) { return r.Refs(list) })
}

func (c *client) delayed() []meta.Delayed {
	c.t.Helper()
	return read(c.t, c.eng, func(r meta.Reader) ([]meta.Delayed, error) { return r.DelayedSlices(1<<40, 100) })
}

// freedNow compares what was freed since the last call, without order. It must be complete already.
func (c *client) freedNow(want ...meta.Slice) {
	c.t.Helper()
	var got, refs []meta.SliceRef
	for len(c.freed) > 0 {
		got = append(got, <-c.freed)
	}
	for _, s := range want {
		refs = append(refs, meta.SliceRef{ID: s.ID, Size: s.Size})
	}
	byID := func(a, b meta.SliceRef) int { return int(int64(a.ID) - int64(b.ID)) }
	slices.SortFunc(got, byID)
	slices.SortFunc(refs, byID)
	if !slices.Equal(got, refs) {
		c.t.Errorf("freed %v, want %v", got, refs)
	}
}

func compactCommit(t *testing.T, connect func() meta.Engine) {
	c := format(t, connect(), nil)
	ino := c.file(meta.RootIno, "f")
	a, b := c.wrote(ino, 0, 100), c.wrote(ino, 50, 100)
	before := c.attr(ino)
	p, record := c.plan(ino)
	late := c.wrote(ino, 0, 10)
	c.noErr("commit", c.CommitCompaction(c.ctx, p, record.ID))
	wantChunk(t, c.eng, ino, 0, []meta.Slice{record, late})
	c.freedNow(a, b)
	after := c.attr(ino)
	if before.Length != after.Length || before.Ctime == after.Ctime && before.Mtime.Sec > after.Mtime.Sec {
		t.Errorf("attribute changed from %+v to %+v", before, after)
	}
	if n := c.refsOf(meta.SliceRef{ID: record.ID, Size: record.Size}); n[0] != 1 {
		t.Errorf("the new slice has %d references", n[0])
	}
	c.noErr("the same again", c.CommitCompaction(c.ctx, p, record.ID)) // as after a lost answer
	c.want("another one on the old records", c.CommitCompaction(c.ctx, p, record.ID+1), meta.ErrCompactLost)
	wantChunk(t, c.eng, ino, 0, []meta.Slice{record, late})
	c.freedNow()
}

func compactTrash(t *testing.T, connect func() meta.Engine) {
	now := time.Unix(1795429376, 0)
	c := format(t, connect(), func(f *meta.Format) { f.TrashDays = 1 })
	c.noErr("close", c.Volume.Close(c.ctx))
	c = openVolume(t, c.eng, meta.Options{Now: func() time.Time { return now }})
	ino := c.file(meta.RootIno, "f")
	a, b := c.wrote(ino, 0, 100), c.wrote(ino, 50, 100)
	p, record := c.plan(ino)
	c.noErr("commit", c.CommitCompaction(c.ctx, p, record.ID))
	refs := []meta.SliceRef{{ID: a.ID, Size: a.Size}, {ID: b.ID, Size: b.Size}}
	equal(t, "delayed", c.delayed(), []meta.Delayed{{ID: record.ID, At: now.Unix(), Slices: refs}})
	equal(t, "references", c.refsOf(refs...), []int64{1, 1})
	c.freedNow()

	cleaned, err := c.CleanDelayed(c.ctx, now.Unix(), nil)
	c.noErr("clean", err)
	equal(t, "cleaned too early", cleaned, meta.Cleaned{})
	cleaned, err = c.CleanDelayed(c.ctx, now.Unix()+1, nil)
	c.noErr("clean", err)
	equal(t, "cleaned", cleaned, meta.Cleaned{Files: 2, Bytes: 200})
	c.freedNow(a, b)
	equal(t, "delayed", len(c.delayed()), 0)
}

// compactShared: slices with more references than records of the chunk stay.
func compactShared(t *testing.T, connect func() meta.Engine) {
	c := format(t, connect(), nil)
	ino, other := c.file(meta.RootIno, "f"), c.file(meta.RootIno, "g")
	a, b := c.wrote(ino, 0, 100), c.wrote(ino, 50, 100)
	twice := a
	twice.Pos, twice.Off, twice.Len = 300, 10, 20
	update(t, c.eng, meta.Want{}, func(tx meta.Tx) error { // as copies make them
		tx.AppendSlices(ino, 0, []meta.Slice{twice})
		tx.AppendSlices(other, 0, []meta.Slice{b})
		tx.AddRef(a.ID, a.Size, 1)
		tx.AddRef(b.ID, b.Size, 1)
		return nil
	})
	p, record := c.plan(ino)
	c.noErr("commit", c.CommitCompaction(c.ctx, p, record.ID))
	c.freedNow(a)
	equal(t, "references of the shared one", c.refsOf(meta.SliceRef{ID: b.ID, Size: b.Size}), []int64{1})
}

// unknownEngine answers its next Update with meta.ErrUnknown, after or instead of carrying it out.
type unknownEngine struct {
	meta.Engine
	mu    sync.Mutex // guards next
	next  bool
	apply bool
}

func (u *unknownEngine) Update(ctx context.Context, want meta.Want, fn func(meta.Tx) error) error {
	u.mu.Lock()
	now := u.next
	u.next = false
	u.mu.Unlock()
	if !now {
		return u.Engine.Update(ctx, want, fn)
	}
	if u.apply {
		if err := u.Engine.Update(ctx, want, fn); err != nil {
			return err
		}
	}
	return meta.ErrUnknown
}

func compactUnknown(t *testing.T, connect func() meta.Engine) {
	for _, apply := range []bool{true, false} {
		u := &unknownEngine{Engine: connect(), apply: apply}
		var c *client
		if apply {
			c = format(t, u, nil)
		} else {
			c = openVolume(t, u, meta.Options{})
		}
		ino := c.file(meta.RootIno, fmt.Sprint("f", apply))
		c.wrote(ino, 0, 100)
		c.wrote(ino, 50, 100)
		p, record := c.plan(ino)
		u.mu.Lock()
		u.next = true
		u.mu.Unlock()
		c.noErr("commit", c.CommitCompaction(c.ctx, p, record.ID))
		wantChunk(t, c.eng, ino, 0, []meta.Slice{record})
		equal(t, "references", c.refsOf(meta.SliceRef{ID: record.ID, Size: record.Size}), []int64{1})
	}
}

func compactRemovedFile(t *testing.T, connect func() meta.Engine) {
	c := format(t, connect(), nil)
	ino := c.file(meta.RootIno, "f")
	c.wrote(ino, 0, 100)
	c.wrote(ino, 50, 100)
	p, record := c.plan(ino)
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, meta.RootIno, "f"))
	if err := c.CommitCompaction(c.ctx, p, record.ID); !errors.Is(err, posix.ENOENT) && !errors.Is(err, meta.ErrCompactLost) {
		t.Errorf("compaction of a removed file: %v", err)
	}
}

func compactTriggers(t *testing.T, connect func() meta.Engine) {
	asked := make(chan meta.ChunkID, 100)
	c := format(t, connect(), nil)
	c.noErr("close", c.Volume.Close(c.ctx))
	left := 1
	c = openVolume(t, c.eng, meta.Options{Compact: func(_ context.Context, ino meta.Ino, index uint32) (int, error) {
		asked <- meta.ChunkID{Ino: ino, Index: index}
		return left, nil
	}})
	ino := c.file(meta.RootIno, "f")
	for i := range 4 {
		c.wrote(ino, uint64(i)*10, 10)
	}
	c.chunk(ino)
	equal(t, "asked for four records", len(asked), 0)
	c.wrote(ino, 40, 10)
	c.chunk(ino)
	equal(t, "asked by a reader", <-asked, meta.ChunkID{Ino: ino})

	// Few records, but a view of five items.
	other := c.file(meta.RootIno, "g")
	c.wrote(other, 0, 100)
	c.wrote(other, 20, 10)
	c.chunk(other)
	equal(t, "asked for three items", len(asked), 0)
	c.wrote(other, 60, 10)
	c.chunk(other)
	equal(t, "asked for five items", <-asked, meta.ChunkID{Ino: other})

	third := c.file(meta.RootIno, "h")
	for i := range 99 {
		c.wrote(third, uint64(i), 1)
	}
	equal(t, "asked for 99 writes", len(asked), 0)
	c.wrote(third, 99, 1)
	equal(t, "asked by the hundredth write", <-asked, meta.ChunkID{Ino: third})
}

// compactRace: compactions, writers and readers of the number of records at once; nothing that was written is lost, and
// every slice is either seen, delayed or freed.
func compactRace(t *testing.T, connect func() meta.Engine) {
	cs := []*client{format(t, connect(), nil)}
	for len(cs) < 3 {
		cs = append(cs, openVolume(t, connect(), meta.Options{}))
	}
	ino := cs[0].file(meta.RootIno, "f")
	const rounds = 25
	wrote := make([][]meta.Slice, len(cs))
	together(t, len(cs), func(ctx context.Context, i int) error {
		c := cs[i]
		for n := range rounds {
			id, err := c.NewSlice(ctx)
			if err != nil {
				return err
			}
			s := meta.Slice{Pos: uint32(i*rounds + n), ID: id, Size: 1, Len: 1}
			if _, _, err := c.Write(ctx, ino, meta.Commit{Slices: []meta.Written{{Slice: s}}, Mtime: t0}); err != nil {
				return err
			}
			wrote[i] = append(wrote[i], s)
			records, err := c.Chunk(ctx, ino, 0)
			if err != nil {
				return err
			}
			plan, ok := meta.PlanCompaction(meta.ChunkID{Ino: ino}, records)
			if !ok || n%3 != 0 {
				continue
			}
			if id, err = c.NewSlice(ctx); err != nil {
				return err
			}
			err = c.CommitCompaction(ctx, plan, id)
			if err != nil && !errors.Is(err, meta.ErrCompactLost) {
				return err
			}
		}
		return nil
	})
	covered := 0
	for _, s := range meta.View(cs[0].chunk(ino)) {
		if s.ID != 0 {
			covered += int(s.Len)
		}
	}
	equal(t, "bytes that are seen", covered, len(cs)*rounds)
	freed := map[meta.SliceRef]int{}
	for _, c := range cs {
		for len(c.freed) > 0 {
			freed[<-c.freed]++
		}
	}
	for ref, n := range freed {
		if n != 1 {
			t.Errorf("slice %d was freed %d times", ref.ID, n)
		}
	}
	for _, s := range cs[0].chunk(ino) {
		if freed[meta.SliceRef{ID: s.ID, Size: s.Size}] != 0 {
			t.Errorf("slice %d is in use and freed", s.ID)
		}
	}
	total := len(freed)
	for _, s := range cs[0].chunk(ino) {
		if s.Len == 1 {
			total++
		}
	}
	if total < len(cs)*rounds {
		t.Errorf("%d slices were freed or are in use, %d were written", total, len(cs)*rounds)
	}
}
