package fs

import (
	"context"

	"jfs/block"
	"jfs/meta"
	"jfs/prefetch"
)

// readAhead asks for what the reader is going to want after n bytes at off, and says whether they belong to a stream.
func (h *Handle) readAhead(ctx context.Context, off uint64, n int) (stream bool) {
	f := h.file
	f.mu.RLock()
	end := int64(min(f.length(), 1<<62))
	f.mu.RUnlock()
	if off >= uint64(end) {
		return false
	}
	if f.loadView(ctx, uint32(off>>meta.ChunkBits)) != nil {
		return false // the read finds the same and says so
	}
	ahead := h.fs.opt.Prefetch
	h.mu.Lock()
	defer h.mu.Unlock()
	if ahead != nil {
		h.pace.Observe(h.fs.now(), int64(n))
		h.detector.Aim(h.pace.During(ahead.Delay()))
	}
	h.detector.Bound(end)
	w := h.detector.Observe(int64(off), int64(n))
	if ahead == nil || w.From == w.To && w.Strided.Count == 0 {
		return w.Len > 0
	}
	all := true
	h.pieces = h.pieces[:0]
	if w.From < w.To {
		h.pieces, all = f.pieces(uint64(w.From), uint64(w.To-w.From), true, h.pieces)
	}
	for i := range int64(w.Strided.Count) { // those that are not known are read when they are wanted
		h.pieces, _ = f.pieces(uint64(w.Strided.Off+i*w.Strided.Step), uint64(w.Strided.Len), false, h.pieces)
	}
	if !ahead.Submit(h.pieces...) || !all {
		h.detector.Refused()
	}
	return w.Len > 0
}

// lookAhead makes the view of a chunk known in the background. One at a time is enough: a chunk is large.
func (f *file) lookAhead(index uint32) {
	if f.looking.CompareAndSwap(false, true) {
		f.fs.work.Go(func() {
			defer f.looking.Store(false)
			if err := f.loadView(f.fs.ctx, index); err != nil {
				f.fs.log.Debug("look at the next chunk", "inode", f.ino, "err", err)
			}
		})
	}
}

// pieces adds what holds the published bytes [off, off+n) of the file: the pieces of blocks themselves, or whole blocks.
// Where a chunk's view is not known yet, it is being loaded, and pieces is not all.
func (f *file) pieces(off, n uint64, whole bool, pieces []prefetch.Piece) (_ []prefetch.Piece, all bool) {
	all = true
	f.mu.RLock()
	defer f.mu.RUnlock()
	end := min(off+n, f.attr.Length)
	bs := f.fs.blockSize
	for off < end {
		index := uint32(off >> meta.ChunkBits)
		chunk := uint64(index) << meta.ChunkBits
		stop := min(end, chunk+meta.ChunkSize)
		view, known := f.views[index]
		if !known && !f.fresh && all {
			all = false
			f.lookAhead(index)
		}
		for _, e := range view {
			from, to := max(off, chunk+uint64(e.Pos)), min(stop, chunk+uint64(e.Pos)+uint64(e.Len))
			if from >= to || e.ID == 0 {
				continue
			}
			at, last := e.Off+uint32(from-chunk)-e.Pos, e.Off+uint32(to-chunk)-e.Pos // in the slice
			for at < last {
				i := at / bs
				next := min((i+1)*bs, last)
				p := prefetch.Whole(block.KeyAt(e.ID, e.Size, i, bs))
				if !whole {
					p.Off, p.Len = int(at-i*bs), int(next-at)
				}
				pieces = append(pieces, p)
				at = next
			}
		}
		off = stop
	}
	return pieces, all
}
