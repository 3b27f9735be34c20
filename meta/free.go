package meta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// freer frees the data of removed files in the background. What it does not get to is left as a record in the
// database, from which any client frees it later.
type freer struct {
	v     *Volume
	told  func(Ino)
	queue chan DelFile
	stop  context.CancelFunc
	done  sync.WaitGroup
}

const (
	freeQueue  = 100_000 // files waiting; 24 bytes each
	freeBatch  = 1000    // files freed in one transaction, and as far as they are small with one request to the store
	freeBlocks = 1000    // blocks that FreeSlices is given at a time: what S3 takes in one request

	// freeLinger is how long the first file waits for others: long enough for the removal of a tree to fill a batch.
	freeLinger = 100 * time.Millisecond
	freeTime   = 5 * time.Minute // for freeBlocks blocks, or one slice of up to 1,024
)

func (f *freer) init(v *Volume) {
	f.v = v
	if !v.frees() {
		return
	}
	f.queue = make(chan DelFile, freeQueue)
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.done.Go(func() { f.run(ctx) })
}

// frees says whether this client removes data.
func (v *Volume) frees() bool {
	return v.opt.FreeSlices != nil && v.opt.MaxDeletes > 0 && !v.opt.ReadOnly
}

func (f *freer) close() {
	if f.queue != nil {
		f.stop()
		f.done.Wait()
	}
}

// OnGone sets what is told of files that this client has removed for good. It must not block, and is set before the
// volume is used.
func (v *Volume) OnGone(told func(Ino)) { v.freer.told = told }

// file takes a file to be freed; when too many wait, it stays as a record.
func (f *freer) file(d DelFile) {
	if f.told != nil {
		f.told(d.Ino)
	}
	select {
	case f.queue <- d:
	default:
	}
}

func (f *freer) run(ctx context.Context) {
	for {
		var batch []DelFile
		select {
		case <-ctx.Done():
			return
		case d := <-f.queue:
			batch = append(batch, d)
		}
		linger := time.NewTimer(freeLinger)
		for more := true; more && len(batch) < freeBatch; {
			select {
			case d := <-f.queue:
				batch = append(batch, d)
			case <-linger.C:
				more = false
			case <-ctx.Done():
				linger.Stop()
				return
			}
		}
		linger.Stop()
		if err := f.v.freeFiles(ctx, batch); err != nil && ctx.Err() == nil {
			f.v.log.Warn("free data of removed files", "files", len(batch), "err", err)
		}
	}
}

// freeFiles drops the chunk lists of removed files, frees the slices that nobody else refers to, and then the
// records of the files.
func (v *Volume) freeFiles(ctx context.Context, files []DelFile) error {
	dead, err := v.dropChunks(ctx, files)
	if err != nil {
		return err
	}
	if err := v.freeSlices(ctx, dead); err != nil {
		return err
	}
	return v.update(ctx, func() string { return "forget removed files" }, Want{}, func(tx Tx) error {
		for _, f := range files {
			tx.DropDelFile(f)
		}
		return nil
	})
}

// dropChunks removes the chunk lists and gives the slices that are without a reference now.
func (v *Volume) dropChunks(ctx context.Context, files []DelFile) (dead []SliceRef, err error) {
	var chunks []ChunkID
	what := func() string { return "drop chunks of removed files" }
	err = v.view(ctx, what, Want{}, func(r Reader) error {
		chunks = chunks[:0]
		for _, f := range files {
			// One that was cut to nothing before its removal still has the list of its first chunk, which an engine that
			// cannot list keys looks for only if the length tells it to.
			indexes, err := r.Chunks(f.Ino, max(f.Length, 1))
			if err != nil {
				return err
			}
			for _, i := range indexes {
				chunks = append(chunks, ChunkID{f.Ino, i})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	const most = 1000 // chunks of one transaction
	for len(chunks) > 0 {
		part := chunks[:min(len(chunks), most)]
		chunks = chunks[len(part):]
		var gone []SliceRef
		err := v.update(ctx, what, Want{Chunks: part}, func(tx Tx) (err error) {
			gone, err = dropLists(tx, part)
			return err
		})
		if err != nil {
			return nil, err
		}
		dead = append(dead, gone...)
	}
	return dead, nil
}

// DropOrphanChunks removes those of the chunk lists whose inode is gone, and frees what nobody else refers to. It gives
// the number of lists. Engines that cannot list the chunks of a file miss those of a file that was cut before it was
// removed, see Reader.Chunks.
func (v *Volume) DropOrphanChunks(ctx context.Context, chunks []ChunkID) (n int, err error) {
	var dead []SliceRef
	chunks = slices.Compact(slices.SortedFunc(slices.Values(chunks), cmpChunk)) // a scan may give one twice
	want := Want{Chunks: chunks}
	for _, c := range chunks {
		want.Attrs = append(want.Attrs, c.Ino)
	}
	want.Attrs = slices.Compact(want.Attrs)
	err = v.update(ctx, func() string { return "drop chunks without inode" }, want, func(tx Tx) error {
		gone := make(map[Ino]bool, len(want.Attrs))
		for _, ino := range want.Attrs {
			_, ok, err := tx.Attr(ino)
			if err != nil {
				return err
			}
			gone[ino] = !ok
		}
		orphans := slices.DeleteFunc(slices.Clone(chunks), func(c ChunkID) bool { return !gone[c.Ino] })
		n = len(orphans)
		var err error
		dead, err = dropLists(tx, orphans)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, v.freeSlices(ctx, dead)
}

// dropLists removes chunk lists and one reference for each of their records.
func dropLists(tx Tx, chunks []ChunkID) (dead []SliceRef, err error) {
	var list []SliceRef
	for _, c := range chunks {
		records, err := tx.Chunk(c.Ino, c.Index)
		if err != nil {
			return nil, err
		}
		for _, s := range records {
			if s.ID != 0 {
				list = append(list, SliceRef{s.ID, s.Size})
			}
		}
		tx.DropChunk(c.Ino, c.Index)
	}
	return dropRefs(tx, list)
}

// freeSlices removes the objects of slices without a reference, and then their reference records. A client that does
// not free data leaves them to others.
func (v *Volume) freeSlices(ctx context.Context, dead []SliceRef) error {
	if len(dead) == 0 || !v.frees() {
		return nil
	}
	errs := make([]error, len(dead))
	var g errgroup.Group
	g.SetLimit(v.opt.MaxDeletes)
	for from, to := range v.freeParts(dead) {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, freeTime)
			defer cancel()
			copy(errs[from:to], v.opt.FreeSlices(ctx, dead[from:to]))
			return nil
		})
	}
	_ = g.Wait() //nolint:errcheck // the errors are in errs
	failed := 0
	var first error
	for _, err := range errs {
		if err != nil {
			failed++
			first = cmp.Or(first, err)
		}
	}
	if first != nil {
		first = fmt.Errorf("%d of %d slices: %w", failed, len(dead), first)
	}
	err := v.update(ctx, func() string { return "forget freed slices" }, Want{}, func(tx Tx) error {
		for i, s := range dead {
			if errs[i] == nil {
				tx.DropRef(s.ID, s.Size)
			}
		}
		return nil
	})
	return errors.Join(first, err)
}

// freeParts cuts slices into parts of at most freeBlocks blocks, or of one slice, and gives the first and the end of
// each.
func (v *Volume) freeParts(dead []SliceRef) iter.Seq2[int, int] {
	size := v.format.Load().BlockBytes()
	return func(yield func(from, to int) bool) {
		from, blocks := 0, 0
		for i, s := range dead {
			n := int((s.Size + size - 1) / size)
			if i > from && blocks+n > freeBlocks {
				if !yield(from, i) {
					return
				}
				from, blocks = i, 0
			}
			blocks += n
		}
		yield(from, len(dead))
	}
}
