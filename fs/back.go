package fs

import (
	"context"
	"errors"
	"time"

	"jfs/block"
	"jfs/internal/posix"
	"jfs/meta"
	"jfs/upload/stage"
)

// In back mode a flush ends when the stage, a journal on a local disk, has the data. Slices stay pending until the
// drain has stored and published them; their memory is given back, and reads of this mount find them in the stage. What
// the stage does not take is stored and published at once, behind what it has of the file.

// Back says how files are staged. The zero value stages nothing.
type Back struct {
	Stage *stage.Stage    // nil: there is none
	Left  stage.Recovered // what it held when it was opened

	Through   bool                 // stage nothing, only bring in what was left
	Threshold int64                // flushes of so many bytes are stored at once; 0 means none
	Delay     time.Duration        // how long a flush waits before it is stored, unless somebody waits for that
	Hours     func(time.Time) bool // when data is stored that nobody waits for; nil means always
	// Linger is how long the first of few small flushes waits for others, to be stored and published together with
	// them; 0 means half a second.
	Linger time.Duration
}

// staged is a flush that is in the stage. Its slices are the first of the file's pending ones that do not belong to an
// earlier one.
type staged struct {
	file   *file
	commit *stage.Commit
	order  uint64 // of all flushes of the mount
	slices int

	// The drain's.
	renew   bool      // it may be stored under its own numbers, which are not to be used again
	notTill time.Time // refused, not to be tried before
	refused error
}

// unstaged says whether a file has writes that are neither published nor staged.
func (f *file) unstaged() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return len(f.pending) > f.staged
}

// mtimeAfter gives the mtime that the file is going to have when what is staged is published. f.mu is held.
func (f *file) mtimeAfter(now meta.Time) meta.Time {
	for _, st := range f.stages {
		if meta.Time(st.commit.Base) == now {
			now = meta.Time(st.commit.Mtime)
		}
	}
	return now
}

// stageBlock gives a sealed block to the stage, unless there is none that takes it.
func (f *file) stageBlock(ctx context.Context, o outgoing) bool {
	d := f.fs.drain
	if !d.takes(int64(o.i+1) * int64(f.fs.blockSize)) {
		return false
	}
	err := d.stage.Append(ctx, []stage.Block{{Key: o.key, Data: o.buf.B}}, nil)
	if d.told(err); err != nil {
		return false
	}
	o.buf.Release()
	f.taken(o, onStage, nil)
	return true
}

// stageAll stages a batch of frozen slices, whose blocks are in out as far as they are not on their way already, and
// gives what is left to be stored and published at once.
func (f *file) stageAll(batch []*slice, out []outgoing) ([]*slice, []outgoing) {
	var size int64
	for _, s := range batch {
		size += int64(s.len)
	}
	if !f.fs.drain.takes(size) {
		return batch, out
	}
	for len(batch) > 0 {
		n := commitLen(batch)
		mine := 0 // of out; they are in the order of the batch
		for mine < len(out) && out[mine].s != nil && contains(batch[:n], out[mine].s) {
			mine++
		}
		rest, err := f.stageOne(batch[:n], out[:mine])
		if err != nil {
			return batch, append(rest, out[mine:]...)
		}
		batch, out = batch[n:], out[mine:]
	}
	return nil, nil
}

func contains(batch []*slice, s *slice) bool {
	for _, one := range batch {
		if one == s {
			return true
		}
	}
	return false
}

var errDirect = errors.New("a part of it is in the store")

// stageOne stages slices as one commit. On an error it gives those of the blocks that were not staged.
func (f *file) stageOne(batch []*slice, out []outgoing) ([]outgoing, error) {
	d := f.fs.drain
	total := 0
	for _, s := range batch {
		total += len(s.blocks)
	}
	blocks := make([]stage.Block, 0, len(out))
	if len(out) == total {
		for _, o := range out {
			blocks = append(blocks, stage.Block{Key: o.key, Data: o.buf.B})
		}
	} else { // others are there, or on their way
		rest := out[:0:0]
		for _, o := range out {
			if !f.stageBlock(f.fs.ctx, o) {
				rest = append(rest, o)
			}
		}
		if len(rest) > 0 {
			return rest, errDirect
		}
		out = nil
		for _, s := range batch {
			s.uploads.Wait()
		}
	}
	f.mu.RLock()
	c := &stage.Commit{Ino: uint64(f.ino), Base: stage.Time(f.mtimeAfter(f.attr.Mtime))}
	direct := false
	for _, s := range batch {
		for _, w := range s.written() {
			c.Extents = append(c.Extents, stage.Extent{Chunk: w.Index, Pos: w.Slice.Pos, ID: w.Slice.ID, Size: w.Slice.Size, Off: w.Slice.Off, Len: w.Slice.Len})
		}
		if t := stage.Time(s.mtime); s.mtime.Sub(meta.Time(c.Mtime)) > 0 {
			c.Mtime = t
		}
		direct = direct || s.direct || s.err != nil
	}
	f.mu.RUnlock()
	if direct {
		return out, errDirect
	}
	err := d.stage.Append(f.fs.ctx, blocks, c)
	if d.told(err); err != nil {
		return out, err
	}
	for _, o := range out {
		o.buf.Release()
		f.taken(o, onStage, nil)
	}
	st := &staged{file: f, commit: c, slices: len(batch)}
	d.add(st)
	return nil, nil
}

// unstage stores the blocks of a batch that are in the stage, because the rest of it is stored at once.
func (f *file) unstage(batch []*slice) error {
	for _, s := range batch {
		for i := range s.blocks {
			f.mu.RLock()
			on := s.blocks[i].state == onStage
			f.mu.RUnlock()
			if !on {
				continue
			}
			key := s.key(i, f.fs.blockSize)
			buf, err := f.fs.opt.Pool.Get(f.fs.ctx, int(key.Size))
			if err != nil {
				return err
			}
			if err := f.fs.drain.stage.Load(key, buf.B); err != nil {
				buf.Release()
				return err
			}
			s.uploads.Add(1)
			f.give(f.fs.ctx, []outgoing{{s, i, key, buf}})
		}
	}
	return nil
}

// forget lets the stage forget the blocks of slices that were published without it.
func (f *file) forget(batch []*slice) {
	if d := f.fs.drain; d != nil {
		d.stage.Forget(f.keysOf(batch)...)
	}
}

// sync is flush after which a crash of the machine loses nothing.
func (f *file) sync(ctx context.Context) error {
	if err := f.flush(ctx); err != nil || f.fs.drain == nil {
		return err
	}
	f.mu.RLock()
	waiting := append([]*staged(nil), f.stages...)
	f.mu.RUnlock()
	if len(waiting) == 0 {
		return nil
	}
	err := f.fs.drain.stage.Sync(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && f.fs.drain.durable(waiting) {
		return nil
	}
	return f.published(ctx) // the disk has failed, so the store has to have it
}

// flushOut is flush for those who need what was written to be published.
func (f *file) flushOut(ctx context.Context) error {
	if err := f.flush(ctx); err != nil {
		return err
	}
	return f.published(ctx)
}

// published returns when everything that is staged of the file now is published. It does not wait for the hours or the
// delay of uploads, and ends with an error when an attempt fails.
func (f *file) published(ctx context.Context) error {
	d := f.fs.drain
	if d == nil {
		return nil
	}
	f.mu.RLock()
	if len(f.stages) == 0 {
		f.mu.RUnlock()
		return nil
	}
	done := d.await(f, f.stages[len(f.stages)-1].order)
	f.mu.RUnlock()
	defer d.leave(f, done)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-f.fs.ctx.Done():
		return posix.EIO
	}
}

// beforeMtime makes sure that what is pending does not change an mtime that is about to be set: what is staged gives way
// to any but the one that it was written on.
func (f *file) beforeMtime(ctx context.Context, to *meta.Time) error {
	if err := f.flush(ctx); err != nil || to == nil {
		return err
	}
	f.mu.RLock()
	same := false
	for _, st := range f.stages {
		same = same || meta.Time(st.commit.Base) == *to
	}
	f.mu.RUnlock()
	if same {
		return f.published(ctx)
	}
	return nil
}

// beforeReplace waits for the publication of a file that is about to take the place of another, which would be lost
// together with it if this mount came to an end.
func (f *FS) beforeReplace(ctx context.Context, who meta.Cred, from, to meta.Name, flags uint32) error {
	if f.drain.idle() || flags&meta.RenameNoReplace != 0 {
		return nil
	}
	ino, _, err := f.vol.Lookup(ctx, who, from.Dir, from.Name)
	if err != nil {
		return nil //nolint:nilerr // the rename finds out by itself
	}
	fl := f.peek(ino)
	if fl == nil {
		return nil
	}
	fl.mu.RLock()
	waits := len(fl.stages) > 0
	fl.mu.RUnlock()
	if !waits {
		return nil
	}
	if _, _, err := f.vol.Lookup(ctx, who, to.Dir, to.Name); errors.Is(err, posix.ENOENT) {
		return nil
	}
	return fl.published(ctx)
}

// restore makes the pending state of files from what was left in the stage.
func (f *FS) restore(left stage.Recovered) (all []*staged) {
	for _, c := range left.Commits {
		fl := f.get(meta.Ino(c.Ino))
		st := &staged{file: fl, commit: c}
		fl.mu.Lock()
		for _, e := range c.Slices() {
			s := &slice{id: e.ID, len: e.Size, frozen: true, mtime: meta.Time(c.Mtime), packed: []meta.Written{}}
			for range block.Count(e.Size, f.blockSize) {
				s.blocks = append(s.blocks, piece{state: onStage})
			}
			for _, x := range c.Extents {
				if x.ID == e.ID {
					s.packed = append(s.packed, written(x))
				}
			}
			fl.pending = append(fl.pending, s)
			fl.byID[s.id] = s
			st.slices++
		}
		for _, x := range c.Extents {
			fl.end = max(fl.end, uint64(x.Chunk)<<meta.ChunkBits+uint64(x.Pos)+uint64(x.Len))
		}
		fl.staged += st.slices
		fl.written = meta.Time(c.Mtime)
		fl.stages = append(fl.stages, st)
		fl.mu.Unlock()
		all = append(all, st)
	}
	return all
}

func written(e stage.Extent) meta.Written {
	return meta.Written{Index: e.Chunk, Slice: meta.Slice{Pos: e.Pos, ID: e.ID, Size: e.Size, Off: e.Off, Len: e.Len}}
}
