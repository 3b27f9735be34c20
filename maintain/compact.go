package maintain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"jfs/block"
	"jfs/internal/bytepool"
	"jfs/internal/posix"
	"jfs/meta"
	"jfs/object"
)

// CompactOptions say how a Compactor works. The zero value works.
type CompactOptions struct {
	// Pool is memory for the blocks being made, which are held while others are read: not that of a source whose ReadAt
	// waits for memory. nil: no limit.
	Pool     *bytepool.Pool
	Threads  int // files compacted at a time by Tree; 0 means DefaultThreads
	Progress Progress
	Log      *slog.Logger // nil: no log
	// OnCompact is told of each new slice that has taken the place of others, with its bytes; nil: nobody is. Many
	// goroutines call it at a time.
	OnCompact func(bytes uint32)
}

// Compactor copies the data of chunks with many slices into one new slice. One compaction holds two blocks in memory.
type Compactor struct {
	volume *meta.Volume
	source block.Source
	sink   block.Sink
	o      CompactOptions
	log    *slog.Logger
}

const (
	compactBlocks = 2 // blocks of the new slice that are made at the same time
	compactReads  = 8 // pieces read at the same time for one block
)

// NewCompactor makes a Compactor. What it writes must be in the object store when sink returns: a slice that lies in a
// stage only would be lost with this machine, and with it data that was safe before.
func NewCompactor(volume *meta.Volume, source block.Source, sink block.Sink, o CompactOptions) *Compactor {
	if o.Pool == nil {
		o.Pool = bytepool.New(0)
	}
	return &Compactor{volume: volume, source: source, sink: sink, o: o, log: logger(o.Log)}
}

// Chunk compacts one chunk as far as one pass goes, and gives the number of records that it has then. A chunk that
// changes meanwhile, or of which an object is missing, is left as it is.
func (c *Compactor) Chunk(ctx context.Context, ino meta.Ino, index uint32) (left int, err error) {
	records, err := c.volume.Chunk(ctx, ino, index)
	if err != nil {
		return 0, err
	}
	plan, ok := meta.PlanCompaction(meta.ChunkID{Ino: ino, Index: index}, records)
	if !ok {
		return len(records), nil
	}
	id, err := c.volume.NewSlice(ctx)
	if err != nil {
		return 0, err
	}
	log := c.log.With("inode", ino, "chunk", index, "slice", id)
	if err := c.copy(ctx, &plan, id); err != nil {
		c.remove(ctx, log, &plan, id)
		if errors.Is(err, object.ErrNotFound) {
			log.Debug("a chunk is not compacted, an object is missing", "err", err)
			return len(records), nil
		}
		return 0, fmt.Errorf("compact chunk %d of inode %d: %w", index, ino, err)
	}
	switch err := c.volume.CommitCompaction(ctx, plan, id); {
	case err == nil:
		if c.o.OnCompact != nil {
			c.o.OnCompact(plan.Size)
		}
		return len(records) - len(plan.Origin) + plan.Skip + 1, nil
	case errors.Is(err, meta.ErrCompactLost), errors.Is(err, posix.ENOENT):
		c.remove(ctx, log, &plan, id)
		log.Debug("a compaction is not used", "err", err)
		return len(records), nil
	default:
		return 0, err
	}
}

func (c *Compactor) blockSize() uint32 {
	f := c.volume.Format()
	return f.BlockBytes()
}

// copy writes the blocks of the new slice.
func (c *Compactor) copy(ctx context.Context, plan *meta.Compaction, id uint64) error {
	bs := c.blockSize()
	bufs, err := c.buffers(ctx, int(min(bs, plan.Size)), int(min(compactBlocks, block.Count(plan.Size, bs))))
	if err != nil {
		return err
	}
	defer release(bufs)
	free := make(chan *bytepool.Buf, len(bufs))
	for _, b := range bufs {
		free <- b
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(len(bufs))
	for i := range block.Count(plan.Size, bs) {
		key := block.KeyAt(id, plan.Size, i, bs)
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			buf := <-free // there are as many as goroutines
			defer func() { free <- buf }()
			data := buf.B[:key.Size]
			if err := c.fill(ctx, plan, i*bs, data); err != nil {
				return err
			}
			return c.sink.Put(ctx, key, data)
		})
	}
	return g.Wait()
}

// buffers takes the memory of one compaction. It waits for the first buffer only, with none in hand, so compactions
// never wait for each other.
func (c *Compactor) buffers(ctx context.Context, size, n int) ([]*bytepool.Buf, error) {
	first, err := c.o.Pool.Get(ctx, size)
	if err != nil {
		return nil, err
	}
	bufs := []*bytepool.Buf{first}
	for len(bufs) < n {
		b := c.o.Pool.TryGet(size)
		if b == nil {
			break
		}
		bufs = append(bufs, b)
	}
	return bufs, nil
}

func release(bufs []*bytepool.Buf) {
	for _, b := range bufs {
		b.Release()
	}
}

// fill reads bytes [off, off+len(dst)) of what the new slice is to hold.
func (c *Compactor) fill(ctx context.Context, plan *meta.Compaction, off uint32, dst []byte) error {
	bs := c.blockSize()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(compactReads)
	at := uint32(0) // of the run in the new slice
	for _, s := range plan.View {
		from, to := max(at, off), min(at+s.Len, off+uint32(len(dst)))
		skip := from - min(at, from)
		at += s.Len
		if from >= to {
			continue
		}
		part := dst[from-off : to-off]
		if s.ID == 0 {
			clear(part)
			continue
		}
		for in := s.Off + skip; len(part) > 0; {
			key := block.KeyAt(s.ID, s.Size, in/bs, bs)
			n := min(key.Size-in%bs, uint32(len(part)))
			piece, inBlock := part[:n], int(in%bs)
			g.Go(func() error { return c.source.ReadAt(ctx, key, piece, inBlock) })
			part = part[n:]
			in += n
		}
	}
	return g.Wait()
}

// remove deletes the blocks of a slice that is not used, those that were not written included.
func (c *Compactor) remove(ctx context.Context, log *slog.Logger, plan *meta.Compaction, id uint64) {
	if err := c.sink.Delete(context.WithoutCancel(ctx), SliceKeys(id, plan.Size, c.blockSize())...); err != nil {
		log.Warn("blocks of a compaction that is not used stay until gc --delete", "err", err)
	}
}

// SliceKeys lists the blocks of a slice.
func SliceKeys(id uint64, size, blockSize uint32) []block.Key {
	keys := make([]block.Key, block.Count(size, blockSize))
	for i := range keys {
		keys[i] = block.KeyAt(id, size, uint32(i), blockSize)
	}
	return keys
}

// FreeSlices makes a meta.Options.FreeSlices of a way to delete blocks as block.Store.DeleteEach does.
func FreeSlices(blockSize uint32, deleteEach func(context.Context, []block.Key) []error) func(context.Context, []meta.SliceRef) []error {
	return func(ctx context.Context, slices []meta.SliceRef) []error {
		var keys []block.Key
		for _, s := range slices {
			keys = append(keys, SliceKeys(s.ID, s.Size, blockSize)...)
		}
		failed := deleteEach(ctx, keys)
		if failed == nil {
			return nil
		}
		errs := make([]error, len(slices))
		for i, s := range slices {
			n := block.Count(s.Size, blockSize)
			for _, err := range failed[:n] {
				errs[i] = cmp.Or(errs[i], err)
			}
			failed = failed[n:]
		}
		return errs
	}
}

// CompactResult is what Tree or All has done.
type CompactResult struct {
	Chunks    int // that had more than one record
	Compacted int // that have fewer records now
	Failed    int // of which a compaction ended with an error, which the log has
}

// Tree compacts all chunks with more than one record below an inode, a file or a directory.
func (c *Compactor) Tree(ctx context.Context, ino meta.Ino) (CompactResult, error) {
	var t compactTally
	p := newPool(ctx, c.o.Threads)
	a, err := c.volume.GetAttr(ctx, ino)
	if err == nil {
		err = c.tree(ctx, p, &t, ino, a.Type)
	}
	err = p.end(err)
	return t.result(), err
}

func (c *Compactor) tree(ctx context.Context, p *pool, t *compactTally, ino meta.Ino, typ meta.Type) error {
	switch typ {
	case meta.TypeFile:
		p.Go(func(ctx context.Context) error { return c.file(ctx, t, ino) })
		return p.ctx.Err()
	case meta.TypeDirectory:
		return readDir(ctx, c.volume, ino, false, func(page []meta.Dirent) error {
			for _, e := range page {
				if err := c.tree(ctx, p, t, e.Ino, e.Type); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return nil
}

func (c *Compactor) file(ctx context.Context, t *compactTally, ino meta.Ino) error {
	indexes, err := c.volume.ChunkIndexes(ctx, ino)
	if err != nil {
		return err
	}
	for _, index := range indexes {
		records, err := c.volume.Chunk(ctx, ino, index)
		if err != nil {
			return err
		}
		if err := c.passes(ctx, t, meta.ChunkID{Ino: ino, Index: index}, len(records)); err != nil {
			return err
		}
	}
	return nil
}

// passes compacts a chunk until that makes its records no fewer.
func (c *Compactor) passes(ctx context.Context, t *compactTally, id meta.ChunkID, records int) error {
	if records < 2 {
		return nil
	}
	t.chunks.Add(1)
	c.o.Progress.add(StepChunks, 1)
	for n := records; n > 1; {
		left, err := c.Chunk(ctx, id.Ino, id.Index)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			t.failed.Add(1)
			c.log.Warn("compact", "inode", id.Ino, "chunk", id.Index, "err", err)
			return nil
		case left >= n:
			return nil
		}
		if n == records {
			t.compacted.Add(1)
		}
		n = left
	}
	return nil
}

// All compacts every chunk of the volume that has more than one record, as gc --compact does.
func (c *Compactor) All(ctx context.Context) (CompactResult, error) {
	var t compactTally
	p := newPool(ctx, c.o.Threads)
	err := scanChunks(ctx, c.volume, func(r meta.ChunkRecord) error {
		if len(r.Slices) > 1 {
			p.Go(func(ctx context.Context) error { return c.passes(ctx, &t, r.ChunkID, len(r.Slices)) })
		}
		return p.ctx.Err()
	})
	err = p.end(err)
	return t.result(), err
}

// compactTally counts for a CompactResult.
type compactTally struct{ chunks, compacted, failed atomic.Int64 }

func (t *compactTally) result() CompactResult {
	return CompactResult{Chunks: int(t.chunks.Load()), Compacted: int(t.compacted.Load()), Failed: int(t.failed.Load())}
}
