package maintain

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"jfs/block"
	"jfs/internal/posix"
	"jfs/meta"
	"jfs/object"
)

// Warmable is a cache that can be filled in advance.
type Warmable interface {
	// Warm brings a block to where the cache keeps it longest.
	Warm(ctx context.Context, key block.Key) error
	// Warmed says whether it is there.
	Warmed(key block.Key) bool
	Remove(keys ...block.Key)
	// Near brings a block into memory, RemoveNear takes blocks out of memory only.
	Near(ctx context.Context, key block.Key) error
	RemoveNear(keys ...block.Key)
}

// WarmAction says what Warm does.
type WarmAction uint8

// The actions, with the numbers that the control file has for them.
const (
	WarmFill WarmAction = iota
	WarmEvict
	WarmCheck
	WarmNear      // into memory
	WarmEvictNear // from memory, so that the next read finds it on the disk
)

// WarmOptions say how Warm works. The zero value fills.
type WarmOptions struct {
	Action  WarmAction
	Threads int // files that are looked at, and blocks loaded, at a time; 0 means DefaultThreads
	// Progress is told of files and bytes that are done; nil: nobody is.
	Progress func(files, bytes uint64)
	Log      *slog.Logger // nil: no log
}

// WarmResult counts what the files below the given inodes consist of.
type WarmResult struct {
	Files   int64
	Slices  int64
	Bytes   int64 // of blocks
	Missing int64 // of these, bytes that were not in the cache: before they were loaded, removed or looked for
	Failed  int64 // blocks that could not be loaded; the log says why
}

// Warm fills the cache with the blocks of the files below inodes, or removes them from it, or looks whether they are
// there. Blocks of which no byte is seen any more are left out.
func Warm(ctx context.Context, v *meta.Volume, cache Warmable, tops []meta.Ino, o WarmOptions) (WarmResult, error) {
	w := &warmer{v: v, cache: cache, o: o, log: logger(o.Log), loads: semaphore.NewWeighted(int64(threads(o.Threads)))}
	p := newPool(ctx, o.Threads)
	var err error
	for _, top := range tops {
		var a meta.Attr
		if a, err = v.GetAttr(p.ctx, top); err != nil {
			break
		}
		err = walkFiles(p.ctx, v, top, a.Type, func(ino meta.Ino) error {
			p.Go(func(ctx context.Context) error { return w.file(ctx, ino) })
			return p.ctx.Err()
		})
		if err != nil {
			break
		}
	}
	err = p.end(err)
	return WarmResult{
		Files: w.files.Load(), Slices: w.slices.Load(), Bytes: w.bytes.Load(), Missing: w.missing.Load(), Failed: w.failed.Load(),
	}, err
}

type warmer struct {
	v     *meta.Volume
	cache Warmable
	o     WarmOptions
	log   *slog.Logger
	loads *semaphore.Weighted // for the blocks of all files

	files, slices, bytes, missing, failed atomic.Int64
}

func (w *warmer) file(ctx context.Context, ino meta.Ino) error {
	indexes, err := w.v.ChunkIndexes(ctx, ino)
	for _, index := range indexes {
		if err = w.chunk(ctx, ino, index); err != nil {
			break
		}
	}
	if errors.Is(err, posix.ENOENT) { // removed meanwhile
		return nil
	}
	if err == nil {
		w.files.Add(1)
		w.told()
	}
	return err
}

func (w *warmer) told() {
	if w.o.Progress != nil {
		w.o.Progress(uint64(w.files.Load()), uint64(w.bytes.Load()))
	}
}

// chunkTries bounds how often a chunk is looked at again because it changes meanwhile.
const chunkTries = 5

// chunk treats the blocks that are seen of a chunk. One that is not in the store is missing only if the chunk still
// names it: a compaction or a writer may have replaced it since the chunk was read.
func (w *warmer) chunk(ctx context.Context, ino meta.Ino, index uint32) error {
	f := w.v.Format()
	treated := map[block.Key]bool{}
	var gone []block.Key
	for try := 1; ; try++ {
		records, err := w.v.Chunk(ctx, ino, index)
		if err != nil {
			return err
		}
		all, n := visibleBlocks(records, f.BlockBytes())
		if try == 1 {
			w.slices.Add(int64(n))
		}
		for _, k := range gone {
			if slices.Contains(all, k) || try > chunkTries {
				w.failed.Add(1)
				w.log.Warn("load a block into the cache", "block", k.Name(false), "err", object.ErrNotFound)
			}
		}
		var fresh []block.Key
		for _, k := range all {
			if !treated[k] {
				treated[k] = true
				fresh = append(fresh, k)
			}
		}
		if gone, err = w.blocks(ctx, fresh); err != nil || len(gone) == 0 {
			return err
		}
	}
}

// blocks treats blocks, several at a time, and gives those that the store does not have.
func (w *warmer) blocks(ctx context.Context, keys []block.Key) (gone []block.Key, err error) {
	p := newPool(ctx, w.o.Threads)
	var mu sync.Mutex // guards gone
	for _, k := range keys {
		if err = w.loads.Acquire(p.ctx, 1); err != nil {
			break
		}
		p.g.Go(func() error {
			defer w.loads.Release(1)
			err := w.block(p.ctx, k)
			if errors.Is(err, object.ErrNotFound) {
				mu.Lock()
				gone = append(gone, k)
				mu.Unlock()
				err = nil
			}
			return err
		})
	}
	return gone, p.end(err)
}

// block treats a block. The error is that it is not in the store, or the end of ctx; others are counted.
func (w *warmer) block(ctx context.Context, k block.Key) error {
	there := w.cache.Warmed(k)
	w.bytes.Add(int64(k.Size))
	if !there {
		w.missing.Add(int64(k.Size))
	}
	switch w.o.Action {
	case WarmEvict:
		w.cache.Remove(k)
	case WarmEvictNear:
		w.cache.RemoveNear(k)
	case WarmFill, WarmNear:
		load := w.cache.Near
		if w.o.Action == WarmFill {
			load = w.cache.Warm
		}
		if there && w.o.Action == WarmFill {
			break
		}
		if err := load(ctx, k); err != nil {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.Is(err, object.ErrNotFound):
				return err
			}
			w.failed.Add(1)
			w.log.Warn("load a block into the cache", "block", k.Name(false), "err", err)
		}
	}
	w.told()
	return nil
}

// visibleBlocks lists the blocks in which the bytes of a chunk lie, each once, and counts their slices.
func visibleBlocks(records []meta.Slice, blockSize uint32) (keys []block.Key, slices int) {
	seen := map[block.Key]bool{}
	ids := map[uint64]bool{}
	for _, s := range meta.View(records) {
		if s.ID == 0 || s.Len == 0 {
			continue
		}
		ids[s.ID] = true
		for i := s.Off / blockSize; i <= (s.Off+s.Len-1)/blockSize && i < block.Count(s.Size, blockSize); i++ {
			if k := block.KeyAt(s.ID, s.Size, i, blockSize); !seen[k] {
				seen[k] = true
				keys = append(keys, k)
			}
		}
	}
	return keys, len(ids)
}
