package meta

import (
	"context"
	"errors"
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
	freeQueue = 100_000 // files waiting; 24 bytes each
	freeBatch = 100     // files freed in one transaction
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
	return v.opt.FreeSlice != nil && v.opt.MaxDeletes > 0 && !v.opt.ReadOnly
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
		for more := true; more && len(batch) < freeBatch; {
			select {
			case d := <-f.queue:
				batch = append(batch, d)
			default:
				more = false
			}
		}
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
			indexes, err := r.Chunks(f.Ino, f.Length)
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
	freed := make([]bool, len(dead))
	var g errgroup.Group
	g.SetLimit(v.opt.MaxDeletes)
	for i, s := range dead {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // up to 1,024 objects
			defer cancel()
			err := v.opt.FreeSlice(ctx, s.ID, s.Size)
			freed[i] = err == nil
			return err
		})
	}
	failed := g.Wait()
	err := v.update(ctx, func() string { return "forget freed slices" }, Want{}, func(tx Tx) error {
		for i, s := range dead {
			if freed[i] {
				tx.DropRef(s.ID, s.Size)
			}
		}
		return nil
	})
	return errors.Join(failed, err)
}
