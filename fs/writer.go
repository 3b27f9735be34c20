package fs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"jfs/block"
	"jfs/internal/bytepool"
	"jfs/internal/posix"
	"jfs/meta"
	"jfs/upload"
)

// slice is a run of bytes in one chunk that is being written. It takes writes at its end, and inside where its
// blocks are not sealed yet, until it is frozen. All fields are guarded by the file's mu.
type slice struct {
	id     uint64
	index  uint32 // chunk
	pos    uint32 // in the chunk
	len    uint32
	blocks []piece
	frozen bool
	mtime  meta.Time // of the last write
	born   time.Time // of the first

	packed []meta.Written // the records of a pack; a slice that is none has one, which pos, index and len give

	uploads sync.WaitGroup // blocks on their way
	err     error          // of an upload since the last flush
	direct  bool           // a block has gone to the store, though there is a stage
}

// piece is a block of a slice.
type piece struct {
	buf   *bytepool.Buf // nil when the store or the stage has the block
	state pieceState
}

type pieceState uint8

const (
	filling pieceState = iota // in memory only
	sending
	stored
	onStage
)

// nearSlices is how many of the newest slices are tried for a write before a new one is begun.
const nearSlices = 8

// minBuffer is the first memory of a slice; it grows as the slice does.
const minBuffer = 4 << 10

func (s *slice) record() meta.Slice { return meta.Slice{Pos: s.pos, ID: s.id, Size: s.len, Len: s.len} }

func (s *slice) key(i int, blockSize uint32) block.Key {
	return block.KeyAt(s.id, s.len, uint32(i), blockSize)
}

// outgoing is a sealed block to be given to the uploader once the file is unlocked.
type outgoing struct {
	s   *slice
	i   int
	key block.Key
	buf *bytepool.Buf
}

// write takes bytes into memory. With atEnd they go to the present end of the file instead of off.
func (f *file) write(ctx context.Context, off uint64, src []byte, atEnd bool) error {
	wait, cancel := context.WithTimeout(ctx, f.fs.opt.Stall)
	err := f.fs.opt.Pool.Wait(wait)
	cancel()
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("no memory for writing in %v, the object store takes no data: %w", f.fs.opt.Stall, posix.EIO)
		}
		return err
	}

	f.mu.Lock()
	if atEnd {
		off = f.length()
	}
	if off >= meta.MaxFileSize || uint64(len(src)) >= meta.MaxFileSize-off {
		f.mu.Unlock()
		return posix.EFBIG
	}
	if f.known {
		if err := f.fs.vol.Grow(ctx, f.ino, &f.attr, &f.promise, max(f.length(), off+uint64(len(src)))); err != nil {
			f.mu.Unlock()
			return err
		}
	}
	var sealed []outgoing
	first := len(f.pending) == f.staged
	for len(src) > 0 {
		pos := uint32(off % meta.ChunkSize)
		n := uint32(min(uint64(len(src)), uint64(meta.ChunkSize-pos)))
		var s *slice
		if s, err = f.sliceFor(ctx, uint32(off>>meta.ChunkBits), pos, n); err != nil {
			break
		}
		s.put(f.fs, pos-s.pos, src[:n])
		s.mtime = meta.TimeOf(f.fs.now())
		f.written = s.mtime
		sealed = f.seal(s, sealed, false)
		off += uint64(n)
		src = src[n:]
		f.end = max(f.end, off)
	}
	f.writes++
	some := len(f.pending) > f.staged
	f.mu.Unlock()

	if first && some {
		f.fs.setDirty(f, true)
	}
	f.submit(ctx, sealed)
	return err
}

// sliceFor gives the slice that takes n bytes at pos of a chunk. f.mu is held.
func (f *file) sliceFor(ctx context.Context, index, pos, n uint32) (*slice, error) {
	tried := 0
	for i := len(f.pending) - 1; i >= 0 && tried < nearSlices; i-- {
		s := f.pending[i]
		if s.packed != nil {
			break // it is frozen, and so is what is older
		}
		if s.index != index {
			continue
		}
		tried++
		if !s.frozen && pos >= s.pos+s.open(f.fs.blockSize) && pos <= s.pos+s.len {
			return s, nil
		}
		if pos < s.pos+s.len && s.pos < pos+n {
			break // what is older must not be written over what is newer
		}
	}
	id, err := f.fs.vol.NewSlice(ctx)
	if err != nil {
		return nil, err
	}
	if len(f.pending) == 0 {
		f.end = 0
	}
	s := &slice{id: id, index: index, pos: pos, born: f.fs.now()}
	f.pending = append(f.pending, s)
	f.byID[id] = s
	return s, nil
}

// open is the offset in the slice from which on its bytes may still change.
func (s *slice) open(blockSize uint32) uint32 {
	for i := range s.blocks {
		if s.blocks[i].state == filling {
			return uint32(i) * blockSize
		}
	}
	return s.len
}

// put copies bytes to off of the slice, which lies in its open part or at its end.
func (s *slice) put(fs *FS, off uint32, src []byte) {
	for len(src) > 0 {
		i, at := int(off/fs.blockSize), int(off%fs.blockSize)
		n := min(len(src), int(fs.blockSize)-at)
		if i == len(s.blocks) {
			size := int(fs.blockSize) // a slice that has filled a block goes on in whole ones
			if i == 0 {
				size = max(n, minBuffer)
			}
			b := fs.opt.Pool.Take(size)
			b.B = b.B[:0]
			s.blocks = append(s.blocks, piece{buf: b})
		}
		p := &s.blocks[i]
		if need := at + n; need > cap(p.buf.B) {
			p.buf = grown(fs.opt.Pool, p.buf, min(max(need, 4*cap(p.buf.B)), int(fs.blockSize)))
		}
		p.buf.B = p.buf.B[:max(len(p.buf.B), at+n)]
		copy(p.buf.B[at:], src[:n])
		off += uint32(n)
		src = src[n:]
		s.len = max(s.len, off)
	}
}

func grown(pool *bytepool.Pool, old *bytepool.Buf, size int) *bytepool.Buf {
	b := pool.Take(size)
	b.B = b.B[:copy(b.B, old.B)]
	old.Release()
	return b
}

// seal marks the blocks of s that are complete, or all if the slice ends, for upload. f.mu is held.
func (f *file) seal(s *slice, out []outgoing, all bool) []outgoing {
	for i := range s.blocks {
		p := &s.blocks[i]
		if p.state != filling || !all && uint32(len(p.buf.B)) < f.fs.blockSize {
			continue
		}
		p.state = sending
		s.uploads.Add(1)
		key := block.Key{Slice: s.id, Index: uint32(i), Size: uint32(len(p.buf.B))}
		out = append(out, outgoing{s, i, key, p.buf.Retain()})
	}
	return out
}

// submit gives sealed blocks to the stage or the uploader.
func (f *file) submit(ctx context.Context, blocks []outgoing) {
	rest := blocks[:0]
	for _, o := range blocks {
		if !f.stageBlock(ctx, o) {
			rest = append(rest, o)
		}
	}
	f.give(ctx, rest)
}

// give gives sealed blocks to the uploader. When ctx ends first the rest is given in the background: the bytes were
// accepted.
func (f *file) give(ctx context.Context, blocks []outgoing) {
	for i, o := range blocks {
		// The uploader takes a reference even when it does not take the block.
		err := f.fs.opt.Uploader.Submit(ctx, o.key, o.buf.Retain(), func(err error) { f.uploaded(o, err) })
		if err != nil && ctx.Err() != nil && f.fs.ctx.Err() == nil {
			rest := blocks[i:]
			f.fs.work.Go(func() { f.give(f.fs.ctx, rest) })
			return
		}
		o.buf.Release()
		if err != nil {
			f.uploaded(o, err)
		}
	}
}

// uploadOnly uploads the only one of some blocks without handing it to another goroutine, and gives what is left. With
// more of them it would keep the others waiting.
func (f *file) uploadOnly(blocks []outgoing) []outgoing {
	inline, ok := f.fs.opt.Uploader.(upload.Inline)
	if len(blocks) != 1 || !ok {
		return blocks
	}
	o := blocks[0]
	if !inline.Upload(o.key, o.buf, func(err error) { f.uploaded(o, err) }) {
		return blocks
	}
	return nil
}

// uploaded takes the result of an upload. A block that failed stays in memory and is tried again by the next flush.
func (f *file) uploaded(o outgoing, err error) { f.taken(o, stored, err) }

// taken takes the result of giving a block away.
func (f *file) taken(o outgoing, state pieceState, err error) {
	f.mu.Lock()
	p := &o.s.blocks[o.i]
	var done *bytepool.Buf
	if err != nil {
		if p.state = filling; p.buf == nil {
			p.state = onStage // it came from there
		}
		o.s.frozen = true
		o.s.err = err
	} else {
		p.state = state
		o.s.direct = o.s.direct || state == stored
		p.buf, done = nil, p.buf
	}
	f.mu.Unlock()
	if done != nil {
		done.Release()
	}
	o.s.uploads.Done()
}

// flush is one run of writing out what is pending.
type flush struct {
	upto uint64 // writes that it covers
	done chan struct{}
	err  error
}

// commitMost is how many records one transaction publishes if they are not those of one pack.
const commitMost = 1000

// flush returns when everything that was written before it is stored and published, or staged. When ctx ends first the
// work goes on in the background.
func (f *file) flush(ctx context.Context) error {
	f.mu.Lock()
	writes := f.writes
	for {
		op := f.flushes
		if op == nil {
			if len(f.pending) == f.staged {
				err := f.lost
				f.lost = nil
				f.mu.Unlock()
				return err
			}
			op = f.startFlush()
		}
		f.mu.Unlock()
		select {
		case <-op.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		f.mu.Lock()
		if op.upto >= writes {
			f.lost = nil // told here
			f.mu.Unlock()
			return op.err
		}
	}
}

// flushOlder starts a flush if a pending slice was begun before the time, and says whether there is nothing to flush.
func (f *file) flushOlder(before time.Time) (clean bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flushes == nil && len(f.pending) > f.staged && !f.pending[f.staged].born.After(before) {
		f.startFlush()
	}
	return len(f.pending) == f.staged
}

// startFlush begins a flush of what is pending. f.mu is held.
func (f *file) startFlush() *flush {
	op := &flush{upto: f.writes, done: make(chan struct{})}
	f.flushes = op
	var out []outgoing
	batch := f.pending[f.staged:]
	for _, s := range batch {
		s.frozen = true
		s.err = nil
	}
	batch = f.pack(batch, func() (uint64, error) { return f.fs.vol.NewSlice(f.fs.ctx) })
	f.pending = append(f.pending[:f.staged:f.staged], batch...)
	batch = batch[:len(batch):len(batch)]
	for _, s := range batch {
		out = f.seal(s, out, true)
	}
	f.fs.work.Go(func() { f.run(op, batch, out) })
	return op
}

// run stages a batch of frozen slices, or stores and publishes it.
func (f *file) run(op *flush, batch []*slice, out []outgoing) {
	if batch, out = f.stageAll(batch, out); len(batch) > 0 {
		op.err = f.through(batch, out)
	}
	f.mu.Lock()
	f.flushes = nil
	clean := len(f.pending) == f.staged
	f.mu.Unlock()
	if op.err != nil {
		f.fs.log.Error("write out", "inode", f.ino, "err", op.err)
	}
	if clean {
		f.fs.settle(f)
	}
	close(op.done)
}

// through stores and publishes a batch.
func (f *file) through(batch []*slice, out []outgoing) error {
	// What was staged before comes first.
	err := f.published(f.fs.ctx)
	if err == nil {
		err = f.unstage(batch)
	}
	f.give(f.fs.ctx, f.uploadOnly(out))
	for _, s := range batch {
		s.uploads.Wait()
	}
	if err == nil {
		err = f.uploadError(batch)
	}
	for err == nil && len(batch) > 0 {
		n := commitLen(batch)
		err = f.publish(batch[:n])
		batch = batch[n:]
	}
	return err
}

// commitLen is how many slices of a batch one commit takes.
func commitLen(batch []*slice) (n int) {
	records := 0
	for n < len(batch) && (n == 0 || records+len(batch[n].packed) < commitMost) {
		records += max(len(batch[n].packed), 1)
		n++
	}
	return n
}

func (f *file) uploadError(batch []*slice) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, s := range batch {
		if s.err != nil {
			return fmt.Errorf("store slice %d: %w", s.id, s.err)
		}
	}
	return nil
}

// publish commits slices whose blocks are stored. If that fails they stay pending for the next flush, unless the
// answer is that they are not wanted.
func (f *file) publish(batch []*slice) error {
	f.mu.RLock()
	c := meta.Commit{Again: f.unsure, Promise: &f.promise, Slices: make([]meta.Written, 0, len(batch))}
	for _, s := range batch {
		c.Slices = append(c.Slices, s.written()...)
		if s.mtime.Sub(c.Mtime) > 0 {
			c.Mtime = s.mtime
		}
	}
	f.mu.RUnlock()
	before, after, err := f.fs.vol.Write(f.fs.commit, f.ino, c)
	refused := isRefusal(err)
	if refused {
		f.discard(batch)
	}
	if err == nil || refused {
		f.forget(batch)
	}
	if errors.Is(err, posix.ENOENT) || errors.Is(err, posix.EPERM) {
		err = fmt.Errorf("inode was removed by another client: %w", posix.EBADF)
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	f.unsure = err != nil && !refused
	if err != nil && !refused {
		return err
	}
	f.pending = append([]*slice(nil), f.pending[len(batch):]...)
	f.end = 0
	for _, s := range f.pending {
		for _, w := range s.written() {
			f.end = max(f.end, uint64(w.Index)<<meta.ChunkBits+uint64(w.Slice.Pos)+uint64(w.Slice.Len))
		}
	}
	for _, s := range batch {
		delete(f.byID, s.id)
		s.drop()
	}
	if refused {
		f.lost = err
		f.shown = version{} // the shadow has more
		f.settlePromise()
		return err
	}
	f.changed(&before, &after)
	f.settlePromise()
	if c.Again {
		f.dropViews() // the attribute before the change is not known
	}
	f.show(c.Slices)
	return nil
}

// show puts records that were published over the views that are known. Those of a chunk go together, because each view
// is made anew. f.mu is held.
func (f *file) show(records []meta.Written) {
	for len(records) > 0 {
		index, n := records[0].Index, 1
		for n < len(records) && records[n].Index == index {
			n++
		}
		if view, ok := f.views[index]; ok || f.fresh {
			list := make([]meta.Slice, 0, len(view)+n)
			list = append(list, view...)
			for _, w := range records[:n] {
				list = append(list, w.Slice)
			}
			f.views[index] = meta.View(list)
		}
		records = records[n:]
	}
}

// drop gives back the memory of a slice that was refused.
func (s *slice) drop() {
	for i := range s.blocks {
		if b := s.blocks[i].buf; b != nil {
			s.blocks[i].buf = nil
			b.Release()
		}
	}
}

// isRefusal says whether the database has answered that the slices are not to be published.
func isRefusal(err error) bool {
	return errors.Is(err, posix.ENOENT) || errors.Is(err, posix.EPERM) || errors.Is(err, posix.ENOSPC) || errors.Is(err, posix.EDQUOT)
}

// discard removes the blocks of slices that were refused.
func (f *file) discard(batch []*slice) {
	keys := f.keysOf(batch)
	if err := f.fs.opt.Uploader.Delete(f.fs.ctx, keys...); err != nil {
		f.fs.log.Warn("blocks of a refused write are left in the store", "inode", f.ino, "blocks", len(keys), "err", err)
	}
}

func (f *file) keysOf(batch []*slice) (keys []block.Key) {
	for _, s := range batch {
		for i := range s.blocks {
			keys = append(keys, s.key(i, f.fs.blockSize))
		}
	}
	return keys
}
