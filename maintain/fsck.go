package maintain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"

	"jfs/block"
	"jfs/meta"
	"jfs/object"
)

// ErrBroken: a check has found what it could not or was not to repair.
var ErrBroken = errors.New("the volume is damaged")

// FsckOptions say what Fsck looks at. The zero value checks that every block is there.
type FsckOptions struct {
	Threads  int // requests at a time; 0 means DefaultThreads
	Progress Progress
	Log      *slog.Logger // is told each missing object and each damaged file as an error; nil: nobody is
}

// FsckResult is what Fsck has found.
type FsckResult struct {
	Blocks  Count // objects that are there, of those that are needed
	Slices  Count // that need them
	Missing Count // objects that are not there, and the bytes of their blocks
	Files   int64 // that have lost data
}

// String is what fsck prints: two lines.
func (r FsckResult) String() string {
	return fmt.Sprintf("Found %d blocks (%d bytes)\nUsed by %d slices (%d bytes)", r.Blocks.N, r.Blocks.Bytes, r.Slices.N, r.Slices.Bytes)
}

// Fsck checks that the object store has every block that the metadata refer to, except those of removed files. store
// shows the objects below the volume's prefix. When something is missing the error is ErrBroken, and the result is
// complete. Memory is 16 bytes for each slice of the volume.
func Fsck(ctx context.Context, v *meta.Volume, store object.Store, o FsckOptions) (FsckResult, error) {
	f := &fsck{v: v, store: store, o: o, log: logger(o.Log), format: v.Format()}
	err := f.run(ctx, nil)
	return f.r, err
}

// FsckTree is Fsck of the data below one inode, a file or a directory.
func FsckTree(ctx context.Context, v *meta.Volume, store object.Store, top meta.Ino, o FsckOptions) (FsckResult, error) {
	f := &fsck{v: v, store: store, o: o, log: logger(o.Log), format: v.Format()}
	err := f.run(ctx, &top)
	return f.r, err
}

// fsck is one run.
type fsck struct {
	v      *meta.Volume
	store  object.Store
	o      FsckOptions
	log    *slog.Logger
	format meta.Format

	needed sliceSet

	mu     sync.Mutex // guards r and broken
	r      FsckResult
	broken map[meta.SliceRef]bool
}

func (f *fsck) run(ctx context.Context, top *meta.Ino) error {
	each := f.eachChunk
	if top != nil {
		each = func(ctx context.Context, fn func(meta.ChunkRecord) error) error {
			return chunksBelow(ctx, f.v, *top, fn)
		}
	}
	if err := f.listSlices(ctx, each, top == nil); err != nil {
		return fmt.Errorf("list slices: %w", err)
	}
	if err := f.checkBlocks(ctx); err != nil {
		return err
	}
	if len(f.broken) == 0 {
		return nil
	}
	if err := f.nameFiles(ctx, each); err != nil {
		return err
	}
	return fmt.Errorf("%d objects are missing, %d files have lost data: %w", f.r.Missing.N, f.r.Files, ErrBroken)
}

// eachChunk gives the chunks of all files but removed ones.
func (f *fsck) eachChunk(ctx context.Context, fn func(meta.ChunkRecord) error) error {
	var removed once
	err := f.v.Engine().View(ctx, meta.Want{}, func(r meta.Reader) error {
		files, err := r.DelFiles(math.MaxInt64, everything)
		for _, d := range files {
			removed.add(uint64(d.Ino))
		}
		return err
	})
	if err != nil {
		return err
	}
	return scanChunks(ctx, f.v, func(c meta.ChunkRecord) error {
		if removed.has(uint64(c.Ino)) {
			return nil
		}
		return fn(c)
	})
}

// chunksBelow gives the chunks of the files below an inode.
func chunksBelow(ctx context.Context, v *meta.Volume, top meta.Ino, fn func(meta.ChunkRecord) error) error {
	a, err := v.GetAttr(ctx, top)
	if err != nil {
		return fmt.Errorf("inode %d: %w", top, err)
	}
	return walkFiles(ctx, v, top, a.Type, func(ino meta.Ino) error {
		indexes, err := v.ChunkIndexes(ctx, ino)
		if err != nil {
			return err
		}
		for _, index := range indexes {
			records, err := v.Chunk(ctx, ino, index)
			if err != nil {
				return err
			}
			if err := fn(meta.ChunkRecord{ChunkID: meta.ChunkID{Ino: ino, Index: index}, Slices: records}); err != nil {
				return err
			}
		}
		return nil
	})
}

func walkFiles(ctx context.Context, v *meta.Volume, ino meta.Ino, typ meta.Type, fn func(meta.Ino) error) error {
	switch typ {
	case meta.TypeFile:
		return fn(ino)
	case meta.TypeDirectory:
		return readDir(ctx, v, ino, false, func(page []meta.Dirent) error {
			for _, e := range page {
				if err := walkFiles(ctx, v, e.Ino, e.Type, fn); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return nil
}

// listSlices lists what is needed: by chunks, and with a trash also what compactions have replaced.
func (f *fsck) listSlices(ctx context.Context, each func(context.Context, func(meta.ChunkRecord) error) error, all bool) error {
	err := each(ctx, func(c meta.ChunkRecord) error {
		for _, s := range c.Slices {
			if s.ID != 0 {
				f.needed.add(s.ID, s.Size, inUse)
			}
		}
		f.o.Progress.add(StepSlices, len(c.Slices))
		return nil
	})
	if err != nil {
		return err
	}
	if all && f.format.TrashDays > 0 {
		err = f.v.Engine().View(ctx, meta.Want{}, func(r meta.Reader) error {
			sets, err := r.DelayedSlices(math.MaxInt64, everything)
			for _, d := range sets {
				for _, s := range d.Slices {
					f.needed.add(s.ID, s.Size, delayed)
				}
			}
			return err
		})
	}
	f.needed.settle()
	for _, s := range f.needed.sorted {
		f.r.Slices.add(int64(s.size))
	}
	return err
}

// checkBlocks finds the missing objects: with a list of all objects where that is fewer requests than asking for each,
// and then by asking for those that the list did not have, which may have been written meanwhile.
func (f *fsck) checkBlocks(ctx context.Context) error {
	var blocks int64
	for _, s := range f.needed.sorted {
		blocks += int64(block.Count(s.size, f.format.BlockBytes()))
	}
	space, inodes, err := f.usage(ctx)
	if err != nil {
		return err
	}
	if listIsCheaper(blocks, space, inodes, int64(f.format.BlockBytes())) {
		if err := f.listObjects(ctx); err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
	}
	whole := func(s sliceUse) bool { return uint32(s.blocks) == block.Count(s.size, f.format.BlockBytes()) }
	for _, s := range f.needed.sorted {
		if whole(s) {
			f.r.Blocks.N += int64(s.blocks)
			f.r.Blocks.Bytes += int64(s.size)
		}
	}
	p := newPool(ctx, f.o.Threads)
	for _, s := range f.needed.sorted {
		if whole(s) {
			continue
		}
		for _, k := range SliceKeys(s.id, s.size, f.format.BlockBytes()) {
			p.Go(func(ctx context.Context) error { return f.head(ctx, meta.SliceRef{ID: s.id, Size: s.size}, k) })
		}
	}
	return p.end(nil)
}

func (f *fsck) usage(ctx context.Context) (space, inodes int64, err error) {
	err = f.v.Engine().View(ctx, meta.Want{}, func(r meta.Reader) (err error) {
		space, inodes, err = r.Usage()
		return err
	})
	return space, inodes, err
}

// listIsCheaper compares the requests that a list of the whole volume takes with one for each block. How many objects a
// volume has is guessed from its usage.
func listIsCheaper(blocks, space, inodes, blockSize int64) bool {
	objects := max(space, 0)/blockSize + max(inodes, 0)
	return objects/listPage < blocks
}

// listObjects counts the blocks that are there by slice.
func (f *fsck) listObjects(ctx context.Context) error {
	return listObjects(ctx, f.store, chunksPrefix, func(infos []object.Info) error {
		for _, info := range infos {
			k, ok := parseName(info.Key, f.format.HashPrefix)
			if !ok {
				continue
			}
			found := f.needed.find(k.Slice)
			for i := range found {
				if fits(k, found[i].size, f.format.BlockBytes()) {
					found[i].blocks++
				}
			}
		}
		f.o.Progress.add(StepBlocks, len(infos))
		return nil
	})
}

// head asks for one block.
func (f *fsck) head(ctx context.Context, s meta.SliceRef, k block.Key) error {
	name := k.Name(f.format.HashPrefix)
	_, err := f.store.Head(ctx, name)
	f.o.Progress.add(StepBlocks, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.r.Blocks.add(int64(k.Size))
		return nil
	case !errors.Is(err, object.ErrNotFound):
		return fmt.Errorf("check %s: %w", name, err)
	}
	f.r.Missing.add(int64(k.Size))
	if f.broken == nil {
		f.broken = map[meta.SliceRef]bool{}
	}
	f.broken[s] = true
	f.log.Error("object is missing", "object", name, "slice", s.ID, "bytes", k.Size)
	return nil
}

// nameFiles tells which files the broken slices belong to.
func (f *fsck) nameFiles(ctx context.Context, each func(context.Context, func(meta.ChunkRecord) error) error) error {
	var told once
	paths := newPaths(f.v)
	return each(ctx, func(c meta.ChunkRecord) error {
		for _, s := range c.Slices {
			if !f.broken[meta.SliceRef{ID: s.ID, Size: s.Size}] {
				continue
			}
			if told.add(uint64(c.Ino)) {
				path, err := paths.of(ctx, c.Ino)
				if err != nil {
					return err
				}
				f.r.Files++
				f.log.Error("file has lost data", "path", path, "inode", c.Ino, "chunk", c.Index, "slice", s.ID)
			}
		}
		return nil
	})
}
