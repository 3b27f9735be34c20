package meta

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Numbers of the volume format's rules for background jobs.
const (
	jobInterval = time.Hour
	jobGuard    = 3240             // seconds within which no other client runs the same job
	jobTime     = 50 * time.Minute // longest run of one job
	jobStart    = 2 * time.Minute  // the first look at what is due comes within so long after the start

	delFileAge = int64(3600) // seconds that data of removed files is left to the client that removed them
	delFileMax = 600_000     // removed files freed in one run
)

// jobBatch is how many records a job asks for at a time.
const jobBatch = 1000

// jobsLoop runs the background jobs of a session.
func (v *Volume) jobsLoop(ctx context.Context) {
	pause := jobStart/2 + rand.N(jobStart/2)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if err := v.RunJobs(ctx); err != nil && ctx.Err() == nil {
			v.log.Warn("background jobs", "err", err)
		}
		// ± 5 %, so that many clients do not come together
		pause = time.Duration(float64(jobInterval) * (0.95 + 0.1*rand.Float64()))
	}
}

// RunJobs runs those of the hourly jobs that no client of the volume has run within the hour. Every job runs even if
// another one fails.
func (v *Volume) RunJobs(ctx context.Context) error {
	jobs := []struct {
		guard string
		run   func(context.Context) error
	}{
		{LastCleanupFiles, func(ctx context.Context) error {
			_, err := v.CleanDeletedFiles(ctx, v.now().Unix()-delFileAge, nil)
			return err
		}},
		{NextCleanupSlices, func(ctx context.Context) error {
			_, err := v.CleanDeadSlices(ctx, nil)
			return errors.Join(err, v.dropSpareRefs(ctx), v.collect(ctx))
		}},
		{LastCleanupTrash, v.cleanTrashJob},
	}
	var all error
	for _, j := range jobs {
		err := func() error {
			if j.guard == LastCleanupTrash {
				if there, err := v.hasTrash(ctx); err != nil || !there {
					return err
				}
			}
			won, err := v.setIfSmall(ctx, j.guard, jobGuard)
			if err != nil || !won {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, jobTime)
			defer cancel()
			return j.run(ctx)
		}()
		if err != nil {
			all = errors.Join(all, fmt.Errorf("job %s: %w", j.guard, err))
		}
	}
	return all
}

// hasTrash says whether the volume has ever had a trash.
func (v *Volume) hasTrash(ctx context.Context) (there bool, err error) {
	err = v.view(ctx, func() string { return "look for the trash" }, Want{Attrs: []Ino{TrashIno}}, func(r Reader) (err error) {
		_, there, err = r.Attr(TrashIno)
		return err
	})
	return there, err
}

func (v *Volume) cleanTrashJob(ctx context.Context) error {
	days := time.Duration(v.format.Load().TrashDays) * 24 * time.Hour
	// The names of the directories are whole hours, and clocks differ.
	err := v.CleanTrash(ctx, v.now().Add(-days-2*time.Hour), nil)
	_, derr := v.CleanDelayed(ctx, v.now().Add(-days).Unix(), nil)
	return errors.Join(err, derr)
}

// Cleaned is what a job has removed.
type Cleaned struct {
	Files  int64 // files, or slices
	Bytes  int64 // of their data
	Failed int64 // that were left because of errors, which the log has
}

// CleanDeletedFiles frees the data of files that were removed at or before a time in unix seconds. done, if not nil, is
// told of each batch.
func (v *Volume) CleanDeletedFiles(ctx context.Context, before int64, done func(n int)) (Cleaned, error) {
	var c Cleaned
	if !v.frees() {
		return c, nil
	}
	for c.Files < delFileMax {
		var files []DelFile
		err := v.view(ctx, func() string { return "list removed files" }, Want{}, func(r Reader) (err error) {
			files, err = r.DelFiles(before, jobBatch)
			return err
		})
		if err != nil || len(files) == 0 {
			return c, err
		}
		freed, err := v.freeFilesApart(ctx, files)
		for _, f := range freed {
			c.Files++
			c.Bytes += int64(f.Length)
		}
		c.Failed = int64(len(files) - len(freed))
		if done != nil {
			done(len(freed))
		}
		if err != nil || len(freed) == 0 {
			return c, err
		}
		if c.Failed > 0 && len(files) < jobBatch {
			return c, nil // what is left has failed a moment ago
		}
	}
	return c, nil
}

// freeFilesApart frees files in batches that run side by side; a batch that fails is logged and left.
func (v *Volume) freeFilesApart(ctx context.Context, files []DelFile) (freed []DelFile, err error) {
	batches := (len(files) + freeBatch - 1) / freeBatch
	ok := make([]bool, batches)
	var g errgroup.Group
	g.SetLimit(v.opt.MaxDeletes)
	part := func(i int) []DelFile { return files[i*freeBatch : min((i+1)*freeBatch, len(files))] }
	for i := range batches {
		g.Go(func() error {
			err := v.freeFiles(ctx, part(i))
			if ok[i] = err == nil; err != nil && ctx.Err() == nil {
				v.log.Warn("free data of removed files", "files", len(part(i)), "err", err)
			}
			return nil
		})
	}
	_ = g.Wait() //nolint:errcheck // there are none
	for i := range batches {
		if ok[i] {
			freed = append(freed, part(i)...)
		}
	}
	return freed, ctx.Err()
}

// CleanDeadSlices frees the slices whose references are used up: what clients that ended in the middle have left.
func (v *Volume) CleanDeadSlices(ctx context.Context, done func(n int)) (Cleaned, error) {
	var c Cleaned
	if !v.frees() {
		return c, nil
	}
	// The list has no cursor, so what cannot be freed comes again.
	tried := map[SliceRef]bool{}
	var last []SliceRef
	for {
		var dead []SliceRef
		err := v.view(ctx, func() string { return "list slices without references" }, Want{}, func(r Reader) (err error) {
			dead, err = r.DeadSlices(jobBatch + len(tried))
			return err
		})
		if err != nil {
			return c, err
		}
		if len(dead) > 0 && slices.Equal(dead, last) { // nothing more can be freed
			c.Failed = int64(len(tried))
			return c, nil
		}
		last = slices.Clone(dead)
		batch := dead[:0]
		for _, s := range dead {
			if !tried[s] {
				batch = append(batch, s)
			}
		}
		if len(batch) == 0 {
			c.Failed = int64(len(tried))
			return c, nil
		}
		if err := v.freeSlices(ctx, batch); err == nil {
			c.Files += int64(len(batch))
			for _, s := range batch {
				c.Bytes += int64(s.Size)
			}
			if done != nil {
				done(len(batch))
			}
		} else {
			if ctx.Err() != nil {
				return c, ctx.Err()
			}
			v.log.Warn("free slices without references", "err", err)
			for _, s := range batch {
				tried[s] = true
			}
			if len(tried) > 10*jobBatch {
				c.Failed = int64(len(tried))
				return c, fmt.Errorf("free slices without references: %w", err)
			}
		}
	}
}

// collector is an engine whose database keeps replaced values until it is told otherwise.
type collector interface {
	Collect(ctx context.Context) error
}

func (v *Volume) collect(ctx context.Context) error {
	if c, ok := v.engine.(collector); ok {
		return c.Collect(ctx)
	}
	return nil
}

// dropSpareRefs removes reference records that say no more than a missing one.
func (v *Volume) dropSpareRefs(ctx context.Context) error {
	for last := []SliceRef(nil); ; {
		var spare []SliceRef
		err := v.view(ctx, func() string { return "list spare references" }, Want{}, func(r Reader) (err error) {
			spare, err = r.SpareRefs(jobBatch)
			return err
		})
		if err != nil || len(spare) == 0 || slices.Equal(spare, last) {
			return err
		}
		last = spare
		dropped := 0
		err = v.update(ctx, func() string { return "drop spare references" }, Want{}, func(tx Tx) error {
			dropped = 0
			refs, err := tx.Refs(spare)
			if err != nil {
				return err
			}
			for i, s := range spare {
				if refs[i] == 1 { // else somebody has changed it meanwhile
					tx.DropRef(s.ID, s.Size)
					dropped++
				}
			}
			return nil
		})
		if err != nil || dropped == 0 {
			return err
		}
	}
}

// CleanDelayed gives up the slices that compactions before a time, in unix seconds, have replaced.
func (v *Volume) CleanDelayed(ctx context.Context, before int64, done func(n int)) (Cleaned, error) {
	var c Cleaned
	if v.opt.ReadOnly {
		return c, nil
	}
	for {
		var sets []Delayed
		err := v.view(ctx, func() string { return "list delayed slices" }, Want{}, func(r Reader) (err error) {
			sets, err = r.DelayedSlices(before, jobBatch)
			return err
		})
		if err != nil || len(sets) == 0 {
			return c, err
		}
		dropped := 0
		var dead []SliceRef
		for _, d := range sets {
			gone, there, err := v.dropDelayed(ctx, d)
			if err != nil {
				return c, errors.Join(err, v.freeSlices(ctx, dead))
			}
			if there {
				dropped++
			}
			dead = append(dead, gone...)
		}
		switch err := v.freeSlices(ctx, dead); {
		case err == nil:
			c.Files += int64(len(dead))
			for _, s := range dead {
				c.Bytes += int64(s.Size)
			}
			if done != nil {
				done(len(dead))
			}
		case ctx.Err() != nil:
			return c, err
		default:
			c.Failed += int64(len(dead)) // CleanDeadSlices finds them
			v.log.Warn("free delayed slices", "err", err)
		}
		if dropped == 0 { // somebody else is at it, or a record is listed that cannot be named
			return c, nil
		}
	}
}

// dropDelayed takes the references away that a set of delayed slices has kept, and says whether the set was there.
func (v *Volume) dropDelayed(ctx context.Context, d Delayed) (dead []SliceRef, there bool, err error) {
	err = v.update(ctx, func() string { return fmt.Sprintf("drop slices replaced by slice %d", d.ID) }, Want{}, func(tx Tx) error {
		dead = nil
		// Another client may do the same: the references must be taken away once.
		var err error
		if there, err = tx.HasDelayed(d); err != nil || !there {
			return err
		}
		if dead, err = dropRefs(tx, d.Slices); err != nil {
			return err
		}
		tx.DropDelayed(d)
		return nil
	})
	return dead, there, err
}

// CleanDetached removes clones that were begun before a time and never entered into a directory.
func (v *Volume) CleanDetached(ctx context.Context, before time.Time, done func(n int)) (int, error) {
	n := 0
	for {
		var roots []Ino
		err := v.view(ctx, func() string { return "list detached clones" }, Want{}, func(r Reader) (err error) {
			roots, err = r.Detached(before.Unix(), jobBatch)
			return err
		})
		if err != nil || len(roots) == 0 {
			return n, err
		}
		for _, ino := range roots {
			if err := v.RemoveDetached(ctx, ino); err != nil {
				return n, err
			}
			n++
			if done != nil {
				done(1)
			}
		}
	}
}
