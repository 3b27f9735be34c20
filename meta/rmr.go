package meta

import (
	"context"
	"errors"
	"fmt"

	"jfs/internal/posix"
)

const (
	unlinkBatch  = 250 // entries of one transaction
	emptyPasses  = 100 // how often a directory is gone through while others keep adding to it
	emptyThreads = 50
)

// RemoveTree removes an entry and all that is below it, into the trash unless skipTrash or the volume has none. It
// works on up to threads directories at a time; 0 means 50. progress, if it is not nil, is told from several
// goroutines how many entries have just been removed. Entries that others remove meanwhile are no error. When it
// fails, or ctx ends, what was removed until then stays removed.
func (v *Volume) RemoveTree(ctx context.Context, who Cred, dir Ino, name string, skipTrash bool, threads int, progress func(n int)) error {
	if err := removableFrom(who, dir, name); err != nil {
		return err
	}
	if v.opt.ReadOnly {
		return posix.EROFS
	}
	ino, a, err := v.Lookup(ctx, who, dir, name)
	if err != nil {
		return err
	}
	crew, ctx := newCrew(ctx, orDefault(threads, emptyThreads))
	defer crew.close()
	r := remover{v: v, who: who, skipTrash: skipTrash, crew: crew, progress: progress}
	if a.Type == TypeDirectory {
		return r.tree(ctx, dir, name, ino)
	}
	trash, err := r.trash(ctx, dir)
	if err != nil {
		return err
	}
	if err = v.unlink(ctx, who, dir, name, trash); err == nil {
		r.report(1)
	}
	return err
}

// remover removes trees.
type remover struct {
	v         *Volume
	who       Cred
	skipTrash bool
	detached  bool // the tree was never attached: no quota of a directory has been charged for it
	crew      *crew
	progress  func(int)
}

func (r *remover) report(n int) {
	if r.progress != nil && n > 0 {
		r.progress(n)
	}
}

func (r *remover) trash(ctx context.Context, dir Ino) (Ino, error) {
	if r.skipTrash {
		return 0, nil
	}
	return r.v.trashFor(ctx, dir)
}

// tree removes the directory that is entered as (dir, name), with what it holds.
func (r *remover) tree(ctx context.Context, dir Ino, name string, ino Ino) error {
	for pass := 1; ; pass++ {
		if err := r.empty(ctx, ino); err != nil {
			return err
		}
		trash, err := r.trash(ctx, dir)
		if err != nil {
			return err
		}
		err = r.v.rmdir(ctx, r.who, dir, name, trash, r.detached)
		switch {
		case err == nil:
			r.report(1)
			return nil
		case errors.Is(err, posix.ENOENT):
			return nil
		case !errors.Is(err, posix.ENOTEMPTY) || pass == emptyPasses:
			return err
		}
	}
}

// empty removes what a directory holds.
func (r *remover) empty(ctx context.Context, ino Ino) error {
	if !r.who.Checked && r.who.UID != 0 {
		if err := r.v.Access(ctx, r.who, ino, MayRead|MayWrite|MayExec); err != nil {
			return err
		}
	}
	t := team{crew: r.crew}
	return t.wait(r.pages(ctx, ino, &t))
}

func (r *remover) pages(ctx context.Context, ino Ino, t *team) error {
	for cursor := ""; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		page, next, err := r.v.Readdir(ctx, ino, cursor, unlinkBatch, false)
		if err != nil {
			return err
		}
		batch := make([]Dirent, 0, min(len(page), unlinkBatch))
		for _, e := range page {
			if e.Type == TypeDirectory {
				continue
			}
			if batch = append(batch, e); len(batch) == unlinkBatch {
				if err := r.unlink(ctx, ino, batch); err != nil {
					return err
				}
				batch = batch[:0]
			}
		}
		if err := r.unlink(ctx, ino, batch); err != nil {
			return err
		}
		for _, e := range page {
			if e.Type == TypeDirectory {
				t.do(func() error { return r.tree(ctx, ino, e.Name, e.Ino) })
			}
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

// unlink removes entries of one directory, none of them a directory, in one transaction.
func (r *remover) unlink(ctx context.Context, dir Ino, batch []Dirent) error {
	if len(batch) == 0 {
		return nil
	}
	v := r.v
	trash, err := r.trash(ctx, dir)
	if err != nil {
		return err
	}
	var u unlinking
	rm := removals{v: v}
	defer rm.end()
	want := Want{Perms: []Ino{dir}}
	for _, e := range batch {
		want.Nodes = append(want.Nodes, Name{dir, e.Name})
	}
	what := func() string { return fmt.Sprintf("unlink %d entries of directory %d", len(batch), dir) }
	err = v.update(ctx, what, want, func(tx Tx) error {
		u = unlinking{dir: dir, trash: trash, now: v.time(), nodes: make(map[Ino]*losing, len(batch))}
		return u.run(tx, &rm, r.who, batch)
	})
	if errors.Is(err, posix.ENOENT) { // somebody else has removed the directory
		return nil
	}
	if err != nil {
		return err
	}
	if r.detached {
		v.addDirStat(dir, u.stat.negate())
	} else {
		v.chargeDir(ctx, dir, u.stat.negate())
	}
	for _, l := range u.nodes {
		v.settleRemoved(ctx, l.removal)
	}
	r.report(u.removed)
	return nil
}

// unlinking is the removal of many entries of one directory.
type unlinking struct {
	dir, trash Ino
	now        Time
	nodes      map[Ino]*losing // an inode may lose several links at once
	stat       DirStat         // what leaves the directory
	removed    int
}

func (u *unlinking) run(tx Tx, rm *removals, who Cred, batch []Dirent) error {
	p, err := trashedDir(tx, who, u.dir)
	if err != nil {
		return err
	}
	if p.Flags&(FlagAppend|FlagImmutable) != 0 {
		return posix.EPERM
	}
	seen := make(map[string]bool, len(batch))
	for _, e := range batch {
		if seen[e.Name] { // listings may repeat a name
			continue
		}
		seen[e.Name] = true
		if err := u.take(tx, who, &p, e.Name); err != nil {
			return err
		}
	}
	for _, l := range u.nodes {
		l.finish(tx, rm, u.dir, u.now)
		u.stat = u.stat.plus(l.stat)
	}
	if u.removed > 0 && !u.dir.IsTrash() {
		tx.Touch(u.dir, u.now, 0, rm.v.opt.SkipDirMtime)
	}
	return nil
}

// take removes one entry if it still is there and no directory.
func (u *unlinking) take(tx Tx, who Cred, p *Attr, name string) error {
	e, ok, err := tx.Entry(u.dir, name)
	if err != nil || !ok || e.Type == TypeDirectory {
		return err
	}
	l := u.nodes[e.Ino]
	if l == nil {
		a, exists, err := tx.Attr(e.Ino)
		if err != nil {
			return err
		}
		if !exists { // a name that leads nowhere
			tx.DropEntry(u.dir, name)
			u.stat = u.stat.plus(DirStat{Space: pageSize, Inodes: 1})
			u.removed++
			return nil
		}
		if err := sticky(who, p, a.UID); err != nil {
			return err
		}
		if a.Flags&(FlagAppend|FlagImmutable) != 0 {
			return posix.EPERM
		}
		fresh := newLosing(e, a, u.now)
		l = &fresh
		u.nodes[e.Ino] = l
	}
	tx.DropEntry(u.dir, name)
	u.removed++
	return l.lose(tx, u.dir, name, u.trash)
}
