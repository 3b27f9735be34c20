package maintain

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"jfs/block"
	"jfs/meta"
	"jfs/object"
)

// GCOptions say what GC does besides looking. The zero value changes nothing.
type GCOptions struct {
	// Delete removes leaked objects, expired trash, data of removed files, slices without references, given up
	// clones and inodes without an entry. The volume must have been opened with FreeSlices.
	Delete bool
	// Compactor compacts all chunks with more than one slice first; nil: none.
	Compactor *Compactor
	Threads   int // deletions at a time; 0 means DefaultThreads
	// Age is how old an object must be to count as leaked: its slice may be about to be published. 0 means one hour.
	Age      time.Duration
	Progress Progress
	Log      *slog.Logger     // nil: no log
	Now      func() time.Time // nil: time.Now
}

// minAge is how long what was just made is left alone, as the volume format has it.
const minAge = time.Hour

// clonesAge is how long a clone may be under way.
const clonesAge = 24 * time.Hour

// Count is a number of objects, slices or files, and their bytes.
type Count struct{ N, Bytes int64 }

func (c *Count) add(bytes int64) { c.N++; c.Bytes += bytes }

// GCResult is what GC has found.
type GCResult struct {
	Scanned   int64 // objects
	Valid     int64 // objects of slices in use
	Pending   Count // objects of slices that wait to be deleted
	Compacted Count // objects of slices that compactions have replaced and the trash keeps
	Leaked    Count // objects that belong to nothing
	DelSlices Count // slices that were deleted
	DelFiles  Count // removed files whose data was deleted
	Skipped   Count // objects that are too young, or no blocks

	Trash    int64 // entries of the trash that were removed
	Detached int64 // clones that were given up
	Orphans  int64 // inodes without an entry that were removed
	Lost     int64 // chunk lists without an inode that were removed
	Failed   int64 // deletions that ended with an error, which the log has
	Chunks   CompactResult
}

// String is the last line that gc prints.
func (r GCResult) String() string {
	return fmt.Sprintf("scanned %d objects, %d valid, %d pending delete (%d bytes), %d compacted (%d bytes), %d leaked (%d bytes), "+
		"%d delslices (%d bytes), %d delfiles (%d bytes), %d skipped (%d bytes)",
		r.Scanned, r.Valid, r.Pending.N, r.Pending.Bytes, r.Compacted.N, r.Compacted.Bytes, r.Leaked.N, r.Leaked.Bytes,
		r.DelSlices.N, r.DelSlices.Bytes, r.DelFiles.N, r.DelFiles.Bytes, r.Skipped.N, r.Skipped.Bytes)
}

// GC compares the objects of a volume with what its metadata need. store shows the objects below the volume's prefix.
// Memory is 16 bytes for each slice of the volume, and for each leaked object.
func GC(ctx context.Context, v *meta.Volume, store object.Store, o GCOptions) (GCResult, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Age <= 0 {
		o.Age = minAge
	}
	g := &gc{v: v, store: store, o: o, log: logger(o.Log), start: o.Now(), format: v.Format()}
	err := g.run(ctx)
	return g.r, err
}

// gc is one run.
type gc struct {
	v      *meta.Volume
	store  object.Store
	o      GCOptions
	log    *slog.Logger
	start  time.Time
	format meta.Format
	r      GCResult

	known  sliceSet
	leaked []block.Key
}

func (g *gc) run(ctx context.Context) error {
	if g.o.Delete {
		if err := g.clean(ctx); err != nil {
			return err
		}
	}
	if g.o.Compactor != nil {
		var err error
		if g.r.Chunks, err = g.o.Compactor.All(ctx); err != nil {
			return fmt.Errorf("compact: %w", err)
		}
	}
	if err := g.listSlices(ctx, &g.known); err != nil {
		return err
	}
	if err := g.listObjects(ctx); err != nil {
		return fmt.Errorf("list objects: %w", err)
	}
	if !g.o.Delete || len(g.leaked) == 0 {
		return nil
	}
	g.known = sliceSet{} // its memory is wanted for the second look
	return g.deleteLeaked(ctx)
}

// clean does the work of the background jobs at once.
func (g *gc) clean(ctx context.Context) error {
	if err := g.v.CleanStaleSessions(ctx); err != nil {
		return err
	}
	trash := g.start.Add(-time.Duration(g.format.TrashDays) * 24 * time.Hour)
	told := func(step Step) func(int) { return func(n int) { g.o.Progress.add(step, n) } }

	var removed atomic.Int64
	err := g.v.CleanTrash(ctx, trash, func(n int) {
		removed.Add(int64(n))
		g.o.Progress.add(StepTrash, n)
	})
	g.r.Trash = removed.Load()
	if err != nil {
		return fmt.Errorf("clean trash: %w", err)
	}
	n, err := g.v.CleanDetached(ctx, g.start.Add(-clonesAge), told(StepDetached))
	g.r.Detached = int64(n)
	if err != nil {
		return fmt.Errorf("remove detached clones: %w", err)
	}
	if err := g.removeOrphans(ctx); err != nil {
		return fmt.Errorf("remove inodes without entry: %w", err)
	}
	for more := true; more; { // one run of the job has a limit
		c, err := g.v.CleanDeletedFiles(ctx, g.o.Now().Unix(), nil)
		g.r.DelFiles.N += c.Files
		g.r.DelFiles.Bytes += c.Bytes
		if more = c.Files > 0; !more {
			g.r.Failed += c.Failed
		}
		if err != nil {
			return fmt.Errorf("free data of removed files: %w", err)
		}
	}
	if err := g.removeOrphanChunks(ctx); err != nil {
		return fmt.Errorf("remove chunks without inode: %w", err)
	}
	for _, clean := range []func() (meta.Cleaned, error){
		func() (meta.Cleaned, error) { return g.v.CleanDelayed(ctx, trash.Unix(), nil) },
		func() (meta.Cleaned, error) { return g.v.CleanDeadSlices(ctx, nil) },
	} {
		c, err := clean()
		g.r.DelSlices.N += c.Files
		g.r.DelSlices.Bytes += c.Bytes
		g.r.Failed += c.Failed
		if err != nil {
			return fmt.Errorf("free slices: %w", err)
		}
	}
	return nil
}

// everything is a limit for lists that are wanted whole.
const everything = math.MaxInt32

// listSlices lists all slices that the metadata know. Chunks come first: a slice that leaves its chunk while they are
// listed is found among the others afterwards.
func (g *gc) listSlices(ctx context.Context, set *sliceSet) error {
	err := scanChunks(ctx, g.v, func(c meta.ChunkRecord) error {
		n := 0
		for _, s := range c.Slices {
			if s.ID != 0 {
				set.add(s.ID, s.Size, inUse)
				n++
			}
		}
		g.o.Progress.add(StepSlices, n)
		return nil
	})
	if err != nil {
		return fmt.Errorf("list slices: %w", err)
	}
	err = g.v.Engine().View(ctx, meta.Want{}, func(r meta.Reader) error {
		sets, err := r.DelayedSlices(math.MaxInt64, everything)
		if err != nil {
			return err
		}
		for _, d := range sets {
			for _, s := range d.Slices {
				set.add(s.ID, s.Size, delayed)
			}
		}
		dead, err := r.DeadSlices(everything)
		for _, s := range dead {
			set.add(s.ID, s.Size, pending)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("list slices: %w", err)
	}
	set.settle()
	return nil
}

// listObjects sorts the objects into the counts of the result.
func (g *gc) listObjects(ctx context.Context) error {
	limit := g.start.Add(-g.o.Age)
	return listObjects(ctx, g.store, chunksPrefix, func(infos []object.Info) error {
		for _, info := range infos {
			g.r.Scanned++
			key, ok := parseName(info.Key, g.format.HashPrefix)
			if !ok || info.Modified.IsZero() || info.Modified.Unix() == 0 || info.Modified.After(limit) {
				g.r.Skipped.add(info.Size)
				if !ok {
					g.log.Info("object is no block of the volume", "object", info.Key)
				}
				continue
			}
			switch u, ok := g.wanted(key); {
			case !ok:
				g.r.Leaked.add(info.Size)
				g.log.Debug("leaked object", "object", info.Key, "bytes", info.Size)
				if g.o.Delete {
					g.leaked = append(g.leaked, key)
				}
			case u == pending:
				g.r.Pending.add(info.Size)
			case u == delayed:
				g.r.Compacted.add(info.Size)
			default:
				g.r.Valid++
			}
		}
		g.o.Progress.add(StepObjects, len(infos))
		return nil
	})
}

// wanted gives the strongest use of a block. The name has to fit the size of its slice too.
func (g *gc) wanted(k block.Key) (u use, ok bool) {
	for _, s := range g.known.find(k.Slice) {
		if fits(k, s.size, g.format.BlockBytes()) && (!ok || s.use < u) {
			u, ok = s.use, true
		}
	}
	return u, ok
}

// deleteLeaked deletes the leaked objects that are leaked at a second look as well: while the first one was under way,
// records may have been copied to a chunk that it had passed from one that it came to when it was empty.
func (g *gc) deleteLeaked(ctx context.Context) error {
	if err := g.listSlices(ctx, &g.known); err != nil {
		return err
	}
	var names []string
	for _, k := range g.leaked {
		if _, ok := g.wanted(k); !ok {
			names = append(names, k.Name(g.format.HashPrefix))
		}
	}
	failed, err := deleteObjects(ctx, g.store, names, g.o.Threads, g.log, func(int) { g.o.Progress.add(StepLeaked, 1) })
	g.r.Failed += failed
	return err
}
