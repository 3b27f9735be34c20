package fs

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"jfs/block"
	"jfs/internal/posix"
	"jfs/meta"
	"jfs/object"
)

// part is a run of bytes that one block gives.
type part struct {
	key block.Key
	off int
	dst []byte
}

// read fills dst with the bytes from off on, up to the end of the file. stream says that what lies around them is going
// to be read too, so that blocks are loaded whole.
func (f *file) read(ctx context.Context, off uint64, dst []byte, stream bool) (int, error) {
	var dropped uint64 // the slice that was missing when the views were dropped
	for try := 1; ; try++ {
		stamp := f.stamp()
		n, missing, err := f.readOnce(ctx, off, dst, stream)
		if !errors.Is(err, object.ErrNotFound) {
			return n, err
		}
		// A block can be gone because another client has compacted or rewritten the chunk since the view was read,
		// or because a staged slice was published meanwhile under another number. It is lost only if a list that was read
		// afterwards names it still.
		switch {
		case try < readTries && f.stamp() != stamp:
			continue
		case try < readTries && missing != dropped:
			f.mu.Lock()
			f.dropViews()
			f.mu.Unlock()
			dropped = missing
			continue
		}
		f.fs.log.Error("data is missing in the object store", "inode", f.ino, "err", err)
		return n, posix.EIO
	}
}

// readTries bounds how often a read begins again because the file changes under it.
const readTries = 10

// readOnce reads with the views that are there. When a block cannot be read it gives the slice that it belongs to.
func (f *file) readOnce(ctx context.Context, off uint64, dst []byte, stream bool) (n int, slice uint64, err error) {
	f.mu.RLock()
	length := f.length()
	f.mu.RUnlock()
	if off >= length {
		return 0, 0, nil
	}
	if uint64(len(dst)) > length-off {
		dst = dst[:length-off]
	}
	var few [8]part // most reads touch one or two blocks
	parts := few[:0]
	for done := 0; done < len(dst); {
		pos := uint32(off % meta.ChunkSize)
		n := min(len(dst)-done, meta.ChunkSize-int(pos))
		if parts, err = f.plan(ctx, uint32(off>>meta.ChunkBits), pos, dst[done:done+n], parts); err != nil {
			return 0, 0, err
		}
		off += uint64(n)
		done += n
	}
	get := f.fs.opt.Blocks.ReadAt
	if !stream && f.fs.ranges != nil {
		get = f.fs.ranges.ReadRange
	}
	for _, p := range parts {
		if err := get(ctx, p.key, p.dst, p.off); err != nil {
			return 0, p.key.Slice, fmt.Errorf("read inode %d: %w", f.ino, err)
		}
	}
	return len(dst), 0, nil
}

// plan fills dst with what is in memory of a chunk from pos on, and with the zeros, and adds to parts what blocks
// have to give.
func (f *file) plan(ctx context.Context, index, pos uint32, dst []byte, parts []part) ([]part, error) {
	view, err := f.lockView(ctx, index)
	if err != nil {
		return nil, err
	}
	defer f.mu.RUnlock()
	i := sort.Search(len(view), func(k int) bool { return view[k].Pos+view[k].Len > pos })
	for ; len(dst) > 0; i++ {
		if i == len(view) {
			clear(dst)
			break
		}
		e := view[i] // views have no gaps, so e covers pos
		n := min(uint32(len(dst)), e.Pos+e.Len-pos)
		if e.ID == 0 {
			clear(dst[:n])
		} else {
			parts = f.blocks(e, e.Off+pos-e.Pos, dst[:n], parts)
		}
		pos += n
		dst = dst[n:]
	}
	return parts, nil
}

// lockView gives what is seen of a chunk, with f.mu held for reading if there is no error.
func (f *file) lockView(ctx context.Context, index uint32) ([]meta.Slice, error) {
	for {
		if err := f.loadView(ctx, index); err != nil {
			return nil, err
		}
		f.mu.RLock()
		if _, ok := f.views[index]; ok || f.fresh { // it may have been dropped meanwhile
			return f.seen(index), nil
		}
		f.mu.RUnlock()
	}
}

// blocks adds the blocks that give dst, which begins at off of the slice e, and copies what is still in memory.
func (f *file) blocks(e meta.Slice, off uint32, dst []byte, parts []part) []part {
	bs := f.fs.blockSize
	pending := f.byID[e.ID]
	for len(dst) > 0 {
		i, at := off/bs, off%bs
		n := min(uint32(len(dst)), bs-at)
		if pending != nil && pending.blocks[i].buf != nil {
			copy(dst[:n], pending.blocks[i].buf.B[at:])
		} else {
			parts = append(parts, part{key: block.KeyAt(e.ID, e.Size, i, bs), off: int(at), dst: dst[:n]})
		}
		off += n
		dst = dst[n:]
	}
	return parts
}

// seen is the view of a chunk with the pending slices over it. f.mu is held, and the view is loaded.
func (f *file) seen(index uint32) []meta.Slice {
	view := f.views[index]
	copied := false
	for _, s := range f.pending {
		for _, w := range s.written() {
			if w.Index != index {
				continue
			}
			if !copied {
				view = append([]meta.Slice(nil), view...)
				copied = true
			}
			view = append(view, w.Slice)
		}
	}
	if copied {
		view = meta.View(view)
	}
	return view
}

// loadView makes the published view of a chunk known.
func (f *file) loadView(ctx context.Context, index uint32) error {
	for {
		f.mu.RLock()
		_, ok := f.views[index]
		ok = ok || f.fresh
		gen, commits := f.gen, f.commits
		f.mu.RUnlock()
		if ok {
			return nil
		}
		records, err := f.fs.vol.Chunk(ctx, f.ino, index)
		if err != nil {
			return err
		}
		f.mu.Lock()
		if f.gen == gen && f.commits == commits { // else the records may lack what was published meanwhile
			f.views[index] = meta.View(records)
			f.mu.Unlock()
			return nil
		}
		f.mu.Unlock()
	}
}
