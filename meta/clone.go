package meta

import (
	"context"
	"errors"
	"fmt"
	"time"

	"jfs/internal/posix"
)

// CloneOptions are the settings of a clone. The zero value works.
type CloneOptions struct {
	Preserve bool        // keep owner, mode and times, instead of those of the caller and of now
	Umask    uint16      // taken from the modes unless they are preserved
	Threads  int         // directories that are cloned at the same time; 0 means 4
	Progress func(n int) // told from several goroutines how many inodes have just been cloned; may be nil
}

const (
	cloneThreads = 4
	cloneBatch   = 100 // entries of one transaction
	cloneChunks  = 200 // chunks of one transaction, after which a batch ends
	fewChunks    = 16  // chunks of a file up to which all are asked for, existing or not

	// cleanTimeout bounds how long the remains of a clone that has failed are removed. What is left then stays
	// recorded as detached, to be found by the clean-up of the volume.
	cleanTimeout = 5 * time.Minute
)

// Clone makes a copy of a file or a tree as (dir, name). It shares the data: only metadata is written. A tree is
// built out of sight and appears complete or not at all; it is not a snapshot of one moment. Hard links become
// files of their own.
func (v *Volume) Clone(ctx context.Context, who Cred, src, dir Ino, name string, opt CloneOptions) (Ino, error) {
	defer v.timed("Clone", v.began())
	switch {
	case v.opt.ReadOnly:
		return 0, posix.EROFS
	case src.IsTrash() || dir.IsTrash():
		return 0, posix.EPERM
	case name == "":
		return 0, posix.ENOENT
	}
	if err := checkName(name); err != nil {
		return 0, err
	}
	a, err := v.cloneable(ctx, who, src, dir, name)
	if err != nil {
		return 0, err
	}
	if err := v.checkClone(ctx, who, src, dir, opt.Preserve); err != nil {
		return 0, err
	}
	crew, work := newCrew(ctx, orDefault(opt.Threads, cloneThreads))
	defer crew.close()
	c := cloner{v: v, who: who, opt: opt, crew: crew}
	top := Dirent{Name: name, Entry: Entry{Type: a.Type, Ino: src}, Attr: &a}
	if a.Type != TypeDirectory {
		made, err := c.batch(work, dir, []Dirent{top}, c.enter(dir, name))
		switch {
		case err != nil:
			return 0, err
		case len(made) == 0:
			return 0, posix.ENOENT
		}
		v.chargeDir(ctx, dir, statOf(&made[0].attr))
		return made[0].ino, nil
	}
	return c.tree(ctx, work, top, dir)
}

// cloneable says whether who may clone src as (dir, name), as far as that is known before it is tried.
func (v *Volume) cloneable(ctx context.Context, who Cred, src, dir Ino, name string) (Attr, error) {
	var a Attr
	what := func() string { return fmt.Sprintf("clone inode %d to %d/%q", src, dir, name) }
	want := Want{Attrs: []Ino{src}, Perms: []Ino{dir}, Entries: []Name{{dir, name}}}
	err := v.view(ctx, what, want, func(r Reader) error { // the rights to read src come with each inode
		var err error
		if a, err = existing(r, src); err != nil {
			return err
		}
		if a.Parent.IsTrash() {
			return posix.EPERM
		}
		return free(r, who, dir, name)
	})
	return a, err
}

// free says why an entry cannot be made.
func free(r Reader, who Cred, dir Ino, name string) error {
	p, err := writableDir(r, who, dir)
	if err != nil {
		return err
	}
	if p.Flags&FlagImmutable != 0 {
		return posix.EPERM
	}
	_, taken, err := r.Entry(dir, name)
	if err == nil && taken {
		err = posix.EEXIST
	}
	return err
}

// checkClone says whether there is room for a copy of a tree.
func (v *Volume) checkClone(ctx context.Context, who Cred, src, dir Ino, preserve bool) error {
	t, err := v.Summary(ctx, src, false)
	if err != nil {
		return err
	}
	d := t.use()
	if !preserve { // else there may be many owners, and each is checked when it comes
		if err := v.checkOwner(&Attr{Type: TypeFile, UID: who.UID, GID: who.GID}, d); err != nil {
			return err
		}
	}
	if err := v.checkRoom(d.space, d.inodes); err != nil {
		return err
	}
	chain, err := v.payers(ctx, dir)
	if err != nil {
		return err
	}
	b := bill{}
	b.add(chain, d)
	return v.checkBill(b)
}

// tree clones a directory: detached at first, with the records of what is in it, and attached in the end.
func (c *cloner) tree(ctx, work context.Context, top Dirent, dir Ino) (Ino, error) {
	v := c.v
	at := v.now().Unix()
	made, err := c.batch(work, dir, []Dirent{top}, func(tx Tx, n cloned) error {
		tx.SetDetached(n.ino, at)
		return nil
	})
	switch {
	case err != nil:
		return 0, err
	case len(made) == 0:
		return 0, posix.ENOENT
	}
	root := made[0]
	attached := false
	if err = c.fill(work, root); err == nil {
		err = c.attach(ctx, dir, top.Name, root)
		attached = errors.Is(err, ErrUnknown) // perhaps, and then it must not be touched
	}
	if err != nil {
		c.crew.close()
		if !attached {
			clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
			defer cancel()
			if err := v.RemoveDetached(clean, root.ino); err != nil {
				v.log.Warn("remains of a clone are left for the clean-up", "inode", root.ino, "err", err)
			}
		}
		return 0, err
	}
	v.addDirStat(dir, DirStat{Space: pageSize, Inodes: 1})
	v.chargeQuotas(ctx, dir, c.total())
	return root.ino, nil
}

// attach enters a finished tree into its directory.
func (c *cloner) attach(ctx context.Context, dir Ino, name string, root cloned) error {
	v := c.v
	want := Want{Attrs: []Ino{root.ino}, Perms: []Ino{dir}, Entries: []Name{{dir, name}}}
	what := func() string { return fmt.Sprintf("enter clone as %d/%q", dir, name) }
	err := v.update(ctx, what, want, func(tx Tx) error {
		if _, err := existing(tx, root.ino); err != nil {
			return err // posix.ENOENT: cleaned up by somebody who found it too old
		}
		return c.enter(dir, name)(tx, root)
	})
	if !errors.Is(err, ErrUnknown) {
		return err
	}
	if ino, _, found := v.Lookup(ctx, Root, dir, name); found == nil && ino == root.ino {
		return nil
	}
	return err
}

// enter gives what makes the entry of a clone.
func (c *cloner) enter(dir Ino, name string) func(Tx, cloned) error {
	return func(tx Tx, n cloned) error {
		if err := free(tx, c.who, dir, name); err != nil {
			return err
		}
		tx.SetEntry(dir, name, Entry{Type: n.attr.Type, Ino: n.ino})
		if n.attr.Type == TypeDirectory {
			tx.Touch(dir, c.v.time(), 1, 0)
			tx.DropDetached(n.ino)
		} else {
			tx.Touch(dir, c.v.time(), 0, c.v.opt.SkipDirMtime)
		}
		return nil
	}
}

// RemoveDetached removes a tree that was cloned and never attached.
func (v *Volume) RemoveDetached(ctx context.Context, ino Ino) error {
	crew, ctx := newCrew(ctx, emptyThreads)
	defer crew.close()
	r := remover{v: v, who: Root, skipTrash: true, detached: true, crew: crew}
	for pass := 1; ; pass++ {
		if err := r.empty(ctx, ino); err != nil {
			return err
		}
		var a Attr
		var gone bool
		var now Time
		what := func() string { return fmt.Sprintf("remove detached inode %d", ino) }
		err := v.update(ctx, what, Want{Attrs: []Ino{ino}}, func(tx Tx) error {
			var err error
			if a, gone, err = tx.Attr(ino); err != nil {
				return err
			}
			tx.DropDetached(ino)
			switch {
			case !gone:
				return nil
			case a.Type == TypeDirectory:
				if err := tx.RequireEmpty(ino); err != nil {
					return err
				}
				tx.DropDirStat(ino)
				tx.DropQuota(QuotaKey{QuotaDir, uint64(ino)})
			}
			now = v.time()
			v.dropInode(tx, ino, &a, now)
			return nil
		})
		if errors.Is(err, posix.ENOTEMPTY) && pass < emptyPasses {
			continue
		}
		if err == nil && gone {
			v.removedDir(ino)
			v.usage.add(-a.Space(), -1)
			v.chargeOwner(&a, charge(&a).negate())
			if a.Type == TypeFile {
				v.freer.file(DelFile{Ino: ino, Length: a.Length, Removed: now.Sec})
			}
		}
		return err
	}
}
