package cache

import (
	"context"
	"errors"
	"os"
	"slices"

	"jfs/block"
)

// Open gives the backing of a file as it is laid out now, verified, and makes it from the blocks on the disk if they are
// all there. nil without an error: they are not, or there is no room. It may take long. The caller calls Done.
func (b *Backed) Open(ctx context.Context, l Layout) (*Backing, error) {
	b.one.Lock()
	defer b.one.Unlock()
	if bk := b.same(&l); bk != nil {
		if bk.verified {
			return bk, nil
		}
		err := bk.verify(ctx)
		if err == nil {
			b.mu.Lock()
			bk.verified = true
			b.mu.Unlock()
			return bk, nil
		}
		if ctx.Err() == nil {
			b.unreadable(bk, err)
		}
		bk.Done()
		return nil, ctx.Err()
	}
	if !b.complete(&l) || !b.room(&l) {
		return nil, nil
	}
	return b.make(ctx, l)
}

// same gives the backing that is there, held, and drops that of another state of the file.
func (b *Backed) same(l *Layout) *Backing {
	b.mu.Lock()
	defer b.mu.Unlock()
	bk := b.known[l.Ino]
	if bk == nil || b.closed {
		return nil
	}
	if !bk.layout.Equal(l) || b.hold(bk) != nil {
		b.drop(bk)
		return nil
	}
	bk.used = b.dirs[0].o.Now()
	return bk
}

// parts calls each for every block of a layout, with the part of it that the file shows and where.
func (l *Layout) parts(blockSize uint32, each func(key block.Key, off, n uint32, pos uint64) bool) bool {
	for _, e := range l.Extents {
		for at, end := e.Off, e.Off+e.Len; at < end; {
			i := at / blockSize
			n := min(end, (i+1)*blockSize) - at
			if !each(block.KeyAt(e.Slice, e.Size, i, blockSize), at-i*blockSize, n, e.Pos+uint64(at-e.Off)) {
				return false
			}
			at += n
		}
	}
	return true
}

func (b *Backed) complete(l *Layout) bool {
	return l.parts(b.o.BlockSize, func(key block.Key, _, _ uint32, _ uint64) bool { return b.Has(key) })
}

// Missing gives the blocks of a file that are not on the disk.
func (b *Backed) Missing(l *Layout) (keys []block.Key) {
	l.parts(b.o.BlockSize, func(key block.Key, _, _ uint32, _ uint64) bool {
		if !b.Has(key) && (len(keys) == 0 || keys[len(keys)-1] != key) {
			keys = append(keys, key)
		}
		return true
	})
	return keys
}

// room makes room for a backing if there can be any.
func (b *Backed) room(l *Layout) bool {
	need := int64(l.Length) + l.headerSize() + int64(4*pagesOf(l.Length)) + 2*allocUnit
	bytes, files := b.dirs[0].shortage()
	if need > b.o.MaxBytes || bytes > 0 || files > 0 || !b.dirs[0].writable() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.space+need > b.o.MaxBytes {
		old := b.oldest(func(*Backing) bool { return true })
		if old == nil || b.dirs[0].o.Eviction == evictNone {
			return false
		}
		b.drop(old)
		b.evictions.Add(1)
	}
	return !b.closed
}

// makeUnit is how much of a backing is made at a time, in bytes: a block of the usual size.
const makeUnit = 4 << 20

// make moves a file's blocks into a backing. A block that is in it is read from there at once and goes from its own file,
// so that nothing is kept twice; blocks of which the file shows a part only stay.
func (b *Backed) make(ctx context.Context, l Layout) (*Backing, error) {
	bk := &Backing{in: b, layout: l, held: 1, verified: true, used: b.dirs[0].o.Now()}
	_ = bk.unlinkFiles()
	mode := b.dirs[0].o.Mode
	data, err := os.OpenFile(bk.path(), os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		b.dirs[0].trouble(err)
		return nil, nil
	}
	temp := bk.path() + sumsSuffix + tempSuffix
	sums, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		_ = data.Close()
		_ = os.Remove(data.Name())
		b.dirs[0].trouble(err)
		return nil, nil
	}
	bk.data, bk.sums = data, sums
	b.mu.Lock()
	b.open++
	b.mu.Unlock()
	err = bk.fill(ctx)
	if err == nil {
		err = bk.publish(temp)
	}
	if err != nil {
		_ = os.Remove(temp)
		bk.Detach()
		bk.Done()
		if ctx.Err() == nil && !errors.Is(err, errMissing) {
			b.dirs[0].trouble(err)
		}
		return nil, ctx.Err()
	}
	return bk, nil
}

// errMissing: a block has gone while it was wanted.
var errMissing = errors.New("block is not in the cache any more")

// fill writes the data, and collects the checksums.
func (bk *Backing) fill(ctx context.Context) error {
	b, l := bk.in, &bk.layout
	if err := bk.data.Truncate(int64(l.Length)); err != nil {
		return err
	}
	bk.fresh = make([]byte, 4*pagesOf(l.Length)) // nobody else sees it yet
	type piece struct {
		key    block.Key
		off, n uint32
		pos    uint64
	}
	var pieces []piece
	l.parts(b.o.BlockSize, func(key block.Key, off, n uint32, pos uint64) bool {
		pieces = append(pieces, piece{key, off, n, pos})
		return true
	})
	var whole []place // blocks that go when the file is made up to their end
	var keys []block.Key
	l.blocks(b.o.BlockSize, func(key block.Key, pos uint64) {
		whole, keys = append(whole, place{bk, pos}), append(keys, key)
	})
	buf := make([]byte, min(makeUnit, l.Length))
	for done := uint64(0); done < l.Length; {
		if err := ctx.Err(); err != nil {
			return err
		}
		buf = buf[:min(makeUnit, l.Length-done)]
		clear(buf)
		end := done + uint64(len(buf))
		data := false
		for _, p := range pieces {
			from, to := max(p.pos, done), min(p.pos+uint64(p.n), end)
			if from >= end {
				break
			}
			if from >= to {
				continue
			}
			if !b.ReadAt(p.key, buf[from-done:to-done], int(p.off)+int(from-p.pos)) {
				return errMissing
			}
			data = true
		}
		for len(pieces) > 0 && pieces[0].pos+uint64(pieces[0].n) <= end {
			pieces = pieces[1:]
		}
		if data { // else it stays a hole
			if _, err := bk.data.WriteAt(buf, int64(done)); err != nil {
				return err
			}
		}
		appendSums(bk.fresh[4*done/pieceSize:4*done/pieceSize], buf)
		done = end
		n := 0
		for n < len(keys) && whole[n].pos+uint64(keys[n].Size) <= done {
			n++
		}
		b.moved(bk, keys[:n], whole[:n], data, len(buf))
		keys, whole = keys[n:], whole[n:]
	}
	return nil
}

// moved lets blocks be read from a backing, and removes their own files.
func (b *Backed) moved(bk *Backing, keys []block.Key, to []place, data bool, n int) {
	b.mu.Lock()
	if data {
		bk.space += int64(n)
		b.space += int64(n)
	}
	for i, key := range keys {
		b.places[key] = to[i]
	}
	b.mu.Unlock()
	for _, key := range keys {
		b.Disks.Remove(key)
	}
}

// publish writes the checksums, which make the backing one.
func (bk *Backing) publish(temp string) error {
	b := bk.in
	if _, err := bk.sums.Write(slices.Concat(bk.layout.header(), bk.fresh)); err != nil {
		return err
	}
	var space int64
	for _, f := range [...]*os.File{bk.data, bk.sums} {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		space += allocated(info)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.space += space - bk.space
	bk.space = space
	if bk.gone { // a block of it was removed meanwhile
		return errMissing
	}
	if err := os.Rename(temp, bk.path()+sumsSuffix); err != nil {
		return err
	}
	bk.fresh = nil
	b.known[bk.layout.Ino] = bk
	return nil
}
