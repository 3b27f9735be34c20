package cache

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"jfs/block"
	"jfs/internal/bytepool"
)

// DefaultRecentBytes holds eight blocks of the usual 4 MiB: enough for a few sequential readers with their
// next block.
const DefaultRecentBytes = 32 << 20

// TieredOptions are the parts of a Tiered.
type TieredOptions struct {
	Memory Tier // nil: none
	Disk   Tier // nil: none
	// RecentBytes bounds the holding place of the blocks loaded last, in bytes; 0 means
	// DefaultRecentBytes. Without tiers it should hold what is read ahead. One block is always held.
	RecentBytes int64
	// WholeBlocks says that the source has to load a block to give a part of it, as one that decompresses or decrypts.
	// Then ReadRange is ReadAt.
	WholeBlocks bool
	// KeepBelow is the length from which on blocks are not kept whole in the tiers, only parts of them; 0: all are kept.
	KeepBelow int
}

// TieredStats is a snapshot of a Tiered. Recent is the holding place of the blocks loaded last; a miss of
// Memory and Recent is then a read of Disk, a miss of Disk a load or a range.
type TieredStats struct {
	Memory, Recent, Disk  Stats
	Loads, LoadBytes      int64 // whole blocks asked from the source
	LoadErrors            int64
	Ranges, RangeBytes    int64 // parts of blocks asked from the source
	Prefetched, Populated int64 // blocks that Fetch loaded, blocks that Put gave to the tiers
	// Bytes of the blocks that Fetch loaded, or is loading; and of those of them that somebody has wanted since then.
	PrefetchBytes, PrefetchUsed int64
}

var _ block.RangeSource = (*Tiered)(nil)

// Tiered is a source of blocks with a cache in front of it: memory, then disk, then the source.
//
// A block that is loaded is copied once, into a buffer of Tiered's own that all tiers share. It therefore
// gives the source's buffer back at once and holds nothing of the budget that readers and writers share;
// what it does hold is bounded by its tiers and by RecentBytes.
type Tiered struct {
	source block.Source
	memory Tier
	disk   Tier
	recent *recent
	pool   *bytepool.Pool // an allocator only, see above
	flying flights
	ahead  ahead

	wholeBlocks bool
	keepBelow   int

	loads, loadBytes, loadErrors, ranges, rangeBytes, prefetched, populated atomic.Int64
}

// holder is a tier that can share buffers instead of copying.
type holder interface {
	Adopt(key block.Key, buf *bytepool.Buf)
	Acquire(key block.Key) *bytepool.Buf
}

var _ holder = (*Memory)(nil)

// NewTiered puts the tiers in front of source. They belong to the Tiered from then on.
func NewTiered(source block.Source, o TieredOptions) *Tiered {
	if o.RecentBytes <= 0 {
		o.RecentBytes = DefaultRecentBytes
	}
	if m, ok := o.Memory.(*Memory); ok && m.max == 0 {
		o.Memory = nil // holds nothing, so nothing need be copied for it
	}
	return &Tiered{source: source, memory: o.Memory, disk: o.Disk,
		recent: newRecent(o.RecentBytes), pool: bytepool.New(0),
		wholeBlocks: o.WholeBlocks, keepBelow: o.KeepBelow}
}

// ReadAt implements block.Source. A block that is nowhere in the cache is loaded whole, and given to it.
func (t *Tiered) ReadAt(ctx context.Context, key block.Key, dst []byte, off int) error {
	t.ahead.read(key)
	if hit, err := t.cached(key, dst, off); hit || err != nil {
		return err
	}
	buf, err := t.load(ctx, key)
	if err != nil {
		return err
	}
	copy(dst, buf.B[off:])
	buf.Release()
	return nil
}

// Load implements block.Source. The buffer is shared with other readers and must not be written to.
func (t *Tiered) Load(ctx context.Context, key block.Key) (*bytepool.Buf, error) {
	t.ahead.read(key)
	if buf := t.whole(key); buf != nil {
		return buf, nil
	}
	return t.load(ctx, key)
}

// Fetch brings a block into the cache unless it is there.
func (t *Tiered) Fetch(ctx context.Context, key block.Key) error {
	if t.Has(key) {
		return nil
	}
	own := !t.flying.has(key) // else a reader is waiting for it, who is not helped
	if own {
		t.ahead.begin(key)
	}
	buf, err := t.load(ctx, key)
	if err != nil {
		if own {
			t.ahead.failed(key)
		}
		return err
	}
	buf.Release()
	t.prefetched.Add(1)
	return nil
}

// Warm brings a block to the tier that keeps blocks longest. Unlike what Fetch loads, it is not dropped when the disk
// has more to write than it can keep up with: Warm waits then.
func (t *Tiered) Warm(ctx context.Context, key block.Key) error {
	if t.disk == nil {
		return t.Fetch(ctx, key)
	}
	if t.disk.Has(key) {
		return nil
	}
	buf, err := t.Load(ctx, key)
	if err != nil {
		return err
	}
	defer buf.Release()
	if w, ok := t.disk.(waiter); ok {
		w.PutWait(ctx, key, buf)
	} else {
		t.disk.Put(key, buf)
	}
	return ctx.Err()
}

// waiter is a tier that writes later, and can be waited for.
type waiter interface {
	PutWait(ctx context.Context, key block.Key, buf *bytepool.Buf)
}

var _, _ waiter = (*Disk)(nil), (*Disks)(nil)

// Warmed reports whether the tier that keeps blocks longest has the block.
func (t *Tiered) Warmed(key block.Key) bool {
	if t.disk == nil {
		return t.Has(key)
	}
	return t.disk.Has(key)
}

// Has reports whether a read of the block would probably not ask the source.
func (t *Tiered) Has(key block.Key) bool {
	return t.recent.has(key) || t.memory != nil && t.memory.Has(key) || t.disk != nil && t.disk.Has(key)
}

// Put gives a block that was written to the tiers. buf stays the caller's and is copied.
func (t *Tiered) Put(key block.Key, buf *bytepool.Buf) {
	if !t.keeps(key) || len(buf.B) != int(key.Size) {
		return
	}
	own := t.copied(buf)
	t.offer(key, own)
	own.Release()
	t.populated.Add(1)
}

// Near brings a block into memory, whatever tier has it. Without a tier in memory only the blocks loaded last stay.
func (t *Tiered) Near(ctx context.Context, key block.Key) error {
	buf, err := t.Load(ctx, key)
	if err != nil {
		return err
	}
	buf.Release()
	return nil
}

// RemoveNear forgets blocks in memory; the disk keeps them.
func (t *Tiered) RemoveNear(keys ...block.Key) {
	for _, key := range keys {
		t.recent.remove(key)
		if t.memory != nil {
			t.memory.Remove(key)
		}
	}
}

// Remove forgets blocks.
func (t *Tiered) Remove(keys ...block.Key) {
	t.RemoveNear(keys...)
	for _, key := range keys {
		t.ahead.forget(key)
		if t.disk != nil {
			t.disk.Remove(key)
		}
	}
}

// Stats returns a snapshot.
func (t *Tiered) Stats() TieredStats {
	s := TieredStats{Recent: t.recent.stats(),
		Loads: t.loads.Load(), LoadBytes: t.loadBytes.Load(), LoadErrors: t.loadErrors.Load(),
		Ranges: t.ranges.Load(), RangeBytes: t.rangeBytes.Load(),
		Prefetched: t.prefetched.Load(), Populated: t.populated.Load(),
		PrefetchBytes: t.ahead.bytes.Load(), PrefetchUsed: t.ahead.used.Load()}
	if t.memory != nil {
		s.Memory = t.memory.Stats()
	}
	if t.disk != nil {
		s.Disk = t.disk.Stats()
	}
	return s
}

// Close closes the tiers. The source stays open.
func (t *Tiered) Close() error {
	t.recent.close()
	var errs []error
	if t.memory != nil {
		errs = append(errs, t.memory.Close())
	}
	if t.disk != nil {
		errs = append(errs, t.disk.Close())
	}
	return errors.Join(errs...)
}

// cached reads from the cache only; the error is the caller's mistake.
func (t *Tiered) cached(key block.Key, dst []byte, off int) (bool, error) {
	if !inside(key, off, len(dst)) {
		return false, fmt.Errorf("read %d bytes at %d of block %s: beyond its end", len(dst), off, key.Name(false))
	}
	if t.memory != nil && t.memory.ReadAt(key, dst, off) {
		return true, nil
	}
	if buf := t.recent.acquire(key, off, len(dst)); buf != nil {
		copy(dst, buf.B[off:])
		buf.Release()
		return true, nil
	}
	if t.disk == nil || !t.disk.ReadAt(key, dst, off) {
		return false, nil
	}
	if len(dst) == int(key.Size) && t.memory != nil {
		own := t.pool.TryGet(len(dst)) // the whole block is at hand, so keeping it nearer costs no reading
		copy(own.B, dst)
		t.keep(key, own)
		own.Release()
	}
	return true, nil
}

// whole returns the block from the cache, nil if it is not there.
func (t *Tiered) whole(key block.Key) *bytepool.Buf {
	if h, ok := t.memory.(holder); ok {
		if buf := h.Acquire(key); buf != nil {
			return buf
		}
	}
	if buf := t.recent.acquire(key, 0, int(key.Size)); buf != nil {
		return buf
	}
	own := t.pool.TryGet(int(key.Size))
	if _, ok := t.memory.(holder); !ok && t.memory != nil && t.memory.ReadAt(key, own.B, 0) {
		return own
	}
	if t.disk != nil && t.disk.ReadAt(key, own.B, 0) {
		t.keep(key, own)
		return own
	}
	own.Release()
	return nil
}

// load asks the source and gives the block to the cache; concurrent loads of a block are one.
func (t *Tiered) load(ctx context.Context, key block.Key) (*bytepool.Buf, error) {
	found := func() *bytepool.Buf { return t.recent.peek(key) }
	return t.flying.do(ctx, wholeOf(key), found, func() (*bytepool.Buf, error) {
		t.loads.Add(1)
		theirs, err := t.source.Load(ctx, key)
		if err != nil {
			t.loadErrors.Add(1)
			return nil, err
		}
		defer theirs.Release()
		if len(theirs.B) != int(key.Size) {
			t.loadErrors.Add(1)
			return nil, fmt.Errorf("load block %s: source gave %d bytes", key.Name(false), len(theirs.B))
		}
		t.loadBytes.Add(int64(key.Size))
		own := t.copied(theirs)
		t.recent.add(key, own)
		if t.keeps(key) {
			t.offer(key, own)
		}
		return own, nil
	})
}

// keeps reports whether the block is one for the tiers.
func (t *Tiered) keeps(key block.Key) bool {
	return (t.memory != nil || t.disk != nil) && (t.keepBelow <= 0 || int(key.Size) < t.keepBelow)
}

func (t *Tiered) copied(buf *bytepool.Buf) *bytepool.Buf {
	own := t.pool.TryGet(len(buf.B))
	copy(own.B, buf.B)
	return own
}

// offer shares a buffer of ours with the tiers.
func (t *Tiered) offer(key block.Key, own *bytepool.Buf) {
	if t.memory != nil {
		t.keep(key, own)
	}
	if t.disk != nil {
		t.disk.Put(key, own)
	}
}

// keep shares a buffer of ours with the memory tier.
func (t *Tiered) keep(key block.Key, own *bytepool.Buf) {
	if h, ok := t.memory.(holder); ok {
		h.Adopt(key, own)
	} else if t.memory != nil {
		t.memory.Put(key, own)
	}
}
