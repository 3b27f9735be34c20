package cache

import (
	"context"
	"fmt"

	"jfs/block"
	"jfs/internal/bytepool"
)

// ReadRange is ReadAt for a reader that is not expected to want the rest of the block. What the cache does not have is
// asked from the source in pages, one request for those that lie side by side, and kept. The whole block is loaded
// where a part would cost nearly as much. Without tiers exactly what is asked for is read.
func (t *Tiered) ReadRange(ctx context.Context, key block.Key, dst []byte, off int) error {
	t.ahead.read(key)
	if hit, err := t.cached(key, dst, off); hit || err != nil {
		return err
	}
	from, to := pageSpan(key, off, len(dst))
	if t.wholeBlocks || !worthPart(key, to-from) {
		return t.ReadAt(ctx, key, dst, off)
	}
	if t.memory == nil && t.disk == nil {
		t.ranges.Add(1)
		t.rangeBytes.Add(int64(len(dst)))
		return t.source.ReadAt(ctx, key, dst, off)
	}
	if to-from <= PageSize {
		return t.readPart(ctx, key, dst, off)
	}
	// Of several pages some may be there: what misses goes in runs.
	end, run := off+len(dst), off
	for at := off; at < end; {
		next := min(at/PageSize*PageSize+PageSize, end)
		if hit, err := t.cached(key, dst[at-off:next-off], at); err != nil {
			return err
		} else if hit {
			if run < at {
				if err := t.readPart(ctx, key, dst[run-off:at-off], run); err != nil {
					return err
				}
			}
			run = next
		}
		at = next
	}
	if run < end {
		return t.readPart(ctx, key, dst[run-off:], run)
	}
	return nil
}

// FetchRange brings the pages of n bytes at off of a block into the cache unless they are there, or the whole block
// where ReadRange would.
func (t *Tiered) FetchRange(ctx context.Context, key block.Key, off, n int) error {
	if !inside(key, off, n) {
		return fmt.Errorf("fetch %d bytes at %d of block %s: beyond its end", n, off, key.Name(false))
	}
	from, to := pageSpan(key, off, n)
	if t.wholeBlocks || !worthPart(key, to-from) {
		return t.Fetch(ctx, key)
	}
	if t.memory == nil && t.disk == nil || t.recent.has(key) {
		return nil // there is no place for parts
	}
	for from < to {
		if t.hasPart(key, from, min(PageSize, to-from)) {
			from += PageSize
			continue
		}
		next := from + PageSize
		for next < to && !t.hasPart(key, next, min(PageSize, to-next)) {
			next += PageSize
		}
		next = min(next, to)
		buf, err := t.loadPart(ctx, span{key, from, next - from})
		if err != nil {
			return err
		}
		buf.Release()
		from = next
	}
	return nil
}

// worthPart reports whether n bytes of a block are few enough to be asked for alone.
func worthPart(key block.Key, n int) bool { return hasParts(key) && n <= int(key.Size)/2 }

// readPart fills dst from pages that the cache does not have.
func (t *Tiered) readPart(ctx context.Context, key block.Key, dst []byte, off int) error {
	from, to := pageSpan(key, off, len(dst))
	buf, err := t.loadPart(ctx, span{key, from, to - from})
	if err != nil {
		return err
	}
	copy(dst, buf.B[off-from:])
	buf.Release()
	return nil
}

// loadPart asks the source for pages and gives them to the cache; concurrent loads of the same pages are one.
func (t *Tiered) loadPart(ctx context.Context, what span) (*bytepool.Buf, error) {
	found := func() *bytepool.Buf { // a flight may have ended since the caller's look
		if !t.hasPart(what.key, what.off, what.n) {
			return nil
		}
		own := t.pool.TryGet(what.n)
		if t.memory != nil && t.memory.ReadAt(what.key, own.B, what.off) || t.disk != nil && t.disk.ReadAt(what.key, own.B, what.off) {
			return own
		}
		own.Release()
		return nil
	}
	return t.flying.do(ctx, what, found, func() (*bytepool.Buf, error) {
		t.ranges.Add(1)
		own := t.pool.TryGet(what.n)
		if err := t.source.ReadAt(ctx, what.key, own.B, what.off); err != nil {
			t.loadErrors.Add(1)
			own.Release()
			return nil, err
		}
		t.rangeBytes.Add(int64(what.n))
		if t.memory != nil {
			t.memory.PutPart(what.key, own, what.off)
		}
		if t.disk != nil {
			t.disk.PutPart(what.key, own, what.off)
		}
		return own, nil
	})
}

// HasRange reports whether a read of n bytes at off of a block would probably not ask the source.
func (t *Tiered) HasRange(key block.Key, off, n int) bool {
	return t.recent.has(key) || t.hasPart(key, off, n)
}

func (t *Tiered) hasPart(key block.Key, off, n int) bool {
	return t.memory != nil && t.memory.HasPart(key, off, n) || t.disk != nil && t.disk.HasPart(key, off, n)
}
