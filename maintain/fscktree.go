package maintain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"jfs/internal/posix"
	"jfs/meta"
)

// TreeOptions say what CheckTree checks and repairs. The zero value checks one directory.
type TreeOptions struct {
	Recursive   bool
	Repair      bool
	SyncDirStat bool // compare the usage records with the entries, not only whether they make sense
	// DirMode is the permissions of a directory that has entries but no attribute, when it is repaired; 0 means 0755.
	DirMode  uint16
	Threads  int // directories at a time; 0 means DefaultThreads
	Progress Progress
	Log      *slog.Logger // is told each fault; nil: nobody is
}

// TreeResult is what CheckTree has found.
type TreeResult struct {
	Dirs     int64
	Broken   int64 // directories with a fault
	Repaired int64 // of these
	// Quotas is how many quotas are charged wrongly, and QuotasRepaired how many of these were put right, by a recursive
	// check with SyncDirStat from the root.
	Quotas, QuotasRepaired int64
	// Space and Inodes is how much the usage of the volume was corrected by, after a recursive repair with
	// SyncDirStat from the root.
	Space, Inodes int64
}

// repairTries bounds how often a directory is counted again because it changed meanwhile.
const repairTries = 5

// CheckTree checks the number of links and the usage records of directories: below the root also those in the trash, and
// with SyncDirStat all quotas. The error is ErrBroken if a fault remains.
func CheckTree(ctx context.Context, v *meta.Volume, top meta.Ino, o TreeOptions) (TreeResult, error) {
	if o.DirMode == 0 {
		o.DirMode = 0755
	}
	c := &treeCheck{v: v, o: o, log: logger(o.Log), stats: v.Format().DirStats}
	r, err := c.run(ctx, top)
	dirs, quotas := r.Broken-r.Repaired, r.Quotas-r.QuotasRepaired
	switch {
	case err != nil || dirs == 0 && quotas == 0:
	case quotas == 0:
		err = fmt.Errorf("%d directories have faults: %w", dirs, ErrBroken)
	default:
		err = fmt.Errorf("%d directories have faults, %d quotas are charged wrongly: %w", dirs, quotas, ErrBroken)
	}
	return r, err
}

type treeCheck struct {
	v     *meta.Volume
	o     TreeOptions
	log   *slog.Logger
	stats bool // the volume has usage records

	dirs, broken, repaired atomic.Int64
}

// child is a directory and the one that it was found in.
type child struct{ ino, parent meta.Ino }

func (c *treeCheck) run(ctx context.Context, top meta.Ino) (r TreeResult, err error) {
	a, err := c.v.GetAttr(ctx, top)
	if err != nil && !errors.Is(err, posix.ENOENT) {
		return r, err
	}
	if err == nil && a.Type != meta.TypeDirectory {
		return r, fmt.Errorf("inode %d: %w: give a directory", top, posix.ENOTDIR)
	}
	free := newTokens(threads(c.o.Threads))
	err = c.below(ctx, child{top, a.Parent}, free)
	if err == nil && top == meta.RootIno && c.o.Recursive {
		err = c.trash(ctx, free)
	}
	r.Dirs, r.Broken, r.Repaired = c.dirs.Load(), c.broken.Load(), c.repaired.Load()
	if err != nil {
		return r, err
	}
	if top == meta.RootIno && c.o.Recursive && c.o.SyncDirStat {
		if r.Space, r.Inodes, err = c.usage(ctx); err != nil {
			return r, err
		}
		r.Quotas, r.QuotasRepaired, err = c.quotas(ctx)
	}
	return r, err
}

// trash checks the directories of the trash, which no entry of the root leads to.
func (c *treeCheck) trash(ctx context.Context, free tokens) error {
	var there bool
	err := c.v.Engine().View(ctx, meta.Want{}, func(r meta.Reader) (err error) {
		_, there, err = r.Attr(meta.TrashIno)
		return err
	})
	if err != nil || !there {
		return err
	}
	return c.below(ctx, child{meta.TrashIno, meta.RootIno}, free)
}

// below checks a directory and, if that is asked for, those in it: side by side as far as there are tokens, else by
// itself. So neither the goroutines nor what waits grow with the tree.
func (c *treeCheck) below(ctx context.Context, d child, free tokens) error {
	p := newPool(ctx, threads(c.o.Threads))
	err := c.check(p.ctx, d, func(sub child) error {
		if !c.o.Recursive {
			return nil
		}
		if free.take() {
			p.Go(func(ctx context.Context) error {
				defer free.give()
				return c.below(ctx, sub, free)
			})
			return p.ctx.Err()
		}
		return c.below(p.ctx, sub, free)
	})
	return p.end(err)
}

// tokens bounds the work of a recursion.
type tokens chan struct{}

func newTokens(n int) tokens { return make(tokens, n) }

func (t tokens) take() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

func (t tokens) give() { <-t }

// check checks one directory and gives those in it to each.
func (c *treeCheck) check(ctx context.Context, d child, each func(child) error) error {
	var s meta.DirState
	var faults []any
	for try := 1; ; try++ {
		var err error
		visit := func(e meta.Dirent) error {
			if e.Type != meta.TypeDirectory {
				return nil
			}
			return each(child{e.Ino, d.ino})
		}
		if try > 1 {
			visit = nil // they were given already
		}
		if s, err = c.v.InspectDir(ctx, d.ino, visit); err != nil {
			return err
		}
		if faults = c.faults(d.ino, &s); len(faults) == 0 || !c.o.Repair {
			break
		}
		err = c.v.RepairDir(ctx, d.ino, s, meta.Repair{Links: !d.ino.IsTrash(), Stat: c.wantsStat(d.ino, &s), Parent: d.parent, Mode: c.o.DirMode})
		if err == nil || !errors.Is(err, posix.EBUSY) || try == repairTries {
			if err == nil {
				c.repaired.Add(1)
			} else if ctx.Err() != nil {
				return ctx.Err()
			} else {
				faults = append(faults, "repair", err)
			}
			break
		}
	}
	c.dirs.Add(1)
	c.o.Progress.add(StepDirs, 1)
	if len(faults) > 0 {
		c.broken.Add(1)
		c.log.Error("directory has faults", append([]any{"inode", d.ino}, faults...)...)
	}
	return nil
}

// faults lists what is wrong, as attributes of a log record.
func (c *treeCheck) faults(dir meta.Ino, s *meta.DirState) (faults []any) {
	if !s.Exists {
		return []any{"attribute", "missing"}
	}
	// The links of directories in the trash are not kept: theirs stay 2, and so do those of the hourly ones.
	if !dir.IsTrash() && s.Attr.Nlink != s.Links() {
		faults = append(faults, "links", s.Attr.Nlink, "expected", s.Links())
	}
	if c.stats && c.statFault(dir, s) {
		faults = append(faults, "usage", s.Stored, "recorded", s.HasStat, "counted", s.Counted)
	}
	return faults
}

func (c *treeCheck) statFault(dir meta.Ino, s *meta.DirState) bool {
	switch {
	case dir == meta.TrashIno: // it has none
		return false
	case !s.HasStat && !dir.IsTrash() && s.Attr.Parent.IsTrash(): // it lost it on its way into the trash
		return false
	case !s.HasStat, s.Stored.Space < 0, s.Stored.Inodes < 0, s.Stored.Length < 0:
		return true
	}
	// Other clients count lengths in other ways, so that a difference of these is put right and never reported.
	return c.o.SyncDirStat && (s.Stored.Space != s.Counted.Space || s.Stored.Inodes != s.Counted.Inodes || c.o.Repair && s.Stored.Length != s.Counted.Length)
}

func (c *treeCheck) wantsStat(dir meta.Ino, s *meta.DirState) bool {
	return c.stats && c.statFault(dir, s)
}

// usage compares the usage of the volume with its inodes, and corrects it.
func (c *treeCheck) usage(ctx context.Context) (space, inodes int64, err error) {
	var seen once
	countedSpace, countedInodes, err := c.v.CountUsage(ctx, func(ino meta.Ino) bool { return seen.add(uint64(ino)) })
	if err != nil {
		return 0, 0, err
	}
	recordedSpace, recordedInodes, err := c.v.Usage(ctx)
	if err != nil {
		return 0, 0, err
	}
	space, inodes = countedSpace-recordedSpace, countedInodes-recordedInodes
	if space == 0 && inodes == 0 {
		return 0, 0, nil
	}
	c.log.Warn("usage of the volume", "recorded bytes", recordedSpace, "counted bytes", countedSpace, "recorded inodes", recordedInodes, "counted inodes", countedInodes)
	if !c.o.Repair {
		return 0, 0, nil
	}
	return space, inodes, c.v.CorrectUsage(ctx, space, inodes)
}

// quotas compares what quotas are charged with against what is there. Statistics of directories that were just put right
// save a repair from reading everything again.
func (c *treeCheck) quotas(ctx context.Context) (wrong, repaired int64, err error) {
	checks, err := c.v.CheckQuotas(ctx, nil, c.o.Repair, !c.o.Repair || c.broken.Load() > c.repaired.Load())
	for _, k := range checks {
		if k.OK() {
			continue
		}
		wrong++
		if k.Repaired {
			repaired++
		}
		c.log.Error("quota is charged wrongly", "of", k.Key, "recorded bytes", k.Stored.UsedSpace, "counted bytes", k.Space,
			"recorded inodes", k.Stored.UsedInodes, "counted inodes", k.Inodes, "repaired", k.Repaired)
	}
	return wrong, repaired, err
}
