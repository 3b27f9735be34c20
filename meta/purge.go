package meta

import (
	"context"
	"errors"
	"fmt"
	"time"

	"jfs/internal/posix"
)

// purgeBatch is how many entries are removed in one transaction.
const purgeBatch = 50

// CleanTrash removes for good what is in the hourly directories of the trash whose hour began before a time.
func (v *Volume) CleanTrash(ctx context.Context, before time.Time, done func(n int)) (entries int, err error) {
	if v.opt.ReadOnly {
		return 0, nil
	}
	var hours []Dirent
	for cursor := ""; ; {
		page, next, err := v.Readdir(ctx, TrashIno, cursor, jobBatch, false)
		if err != nil {
			return 0, err
		}
		hours = append(hours, page...)
		if cursor = next; cursor == "" {
			break
		}
	}
	for _, e := range hours {
		hour, err := time.Parse(trashHour, e.Name)
		if err != nil || !hour.Before(before) {
			continue
		}
		n, err := v.purgeDir(ctx, e.Ino, done)
		entries += n
		if err != nil {
			return entries, fmt.Errorf("trash directory %s: %w", e.Name, err)
		}
		err = v.purgeEntries(ctx, TrashIno, []Dirent{e})
		if errors.Is(err, posix.ENOTEMPTY) {
			continue // the next run takes it
		}
		if err != nil {
			return entries, fmt.Errorf("trash directory %s: %w", e.Name, err)
		}
	}
	return entries, nil
}

// Bounds of a purge, so that a damaged tree or a busy writer does not keep it for ever.
const (
	purgeDepth = 10_000 // directories inside each other
	purgeTries = 100    // times that a directory was emptied and found with new entries
)

// purgeDir removes everything in a directory, past the trash, and gives the number of entries.
func (v *Volume) purgeDir(ctx context.Context, dir Ino, done func(n int)) (int, error) {
	return v.purgeBelow(ctx, dir, 0, done)
}

func (v *Volume) purgeBelow(ctx context.Context, dir Ino, depth int, done func(n int)) (total int, err error) {
	if depth > purgeDepth {
		return 0, fmt.Errorf("remove directory %d: %w: more than %d directories inside each other", dir, ErrCorrupt, purgeDepth)
	}
	for tries := 0; ; {
		// Always the first page: the entries of the page before are gone. What others add meanwhile goes too.
		page, _, err := v.Readdir(ctx, dir, "", jobBatch, false)
		if err != nil || len(page) == 0 {
			return total, err
		}
		for _, e := range page {
			if e.Type != TypeDirectory {
				continue
			}
			n, err := v.purgeBelow(ctx, e.Ino, depth+1, done)
			total += n
			if err != nil {
				return total, err
			}
		}
		for _, batch := range purgeBatches(page) {
			err := v.purgeEntries(ctx, dir, batch)
			if errors.Is(err, posix.ENOTEMPTY) && tries < purgeTries {
				tries++
				break
			}
			if err != nil {
				return total, err
			}
			total += len(batch)
			if done != nil {
				done(len(batch))
			}
		}
	}
}

// purgeBatches cuts a page so that no batch names an inode twice: each entry is decided on by the attribute as
// stored, and a transaction does not see its own writes.
func purgeBatches(page []Dirent) (batches [][]Dirent) {
	var names = map[string]bool{}
	var batch []Dirent
	in := map[Ino]bool{}
	for _, e := range page {
		if names[e.Name] { // a listing may give a name twice
			continue
		}
		names[e.Name] = true
		if len(batch) == purgeBatch || in[e.Ino] {
			batches = append(batches, batch)
			batch = nil
			clear(in)
		}
		batch = append(batch, e)
		in[e.Ino] = true
	}
	if len(batch) > 0 {
		batches = append(batches, batch)
	}
	return batches
}

// purgeEntries removes entries of one directory in one transaction: files, and directories that are empty.
func (v *Volume) purgeEntries(ctx context.Context, dir Ino, batch []Dirent) error {
	want := Want{Perms: []Ino{dir}}
	for _, e := range batch {
		want.Nodes = append(want.Nodes, Name{dir, e.Name})
	}
	var gone []removal
	err := v.update(ctx, func() string { return fmt.Sprintf("remove %d entries of %d", len(batch), dir) }, want, func(tx Tx) error {
		gone = gone[:0]
		_, there, err := tx.Perm(dir)
		if err != nil {
			return err
		}
		now, links := v.time(), int32(0)
		changed := false
		for _, b := range batch {
			e, ok, err := tx.Entry(dir, b.Name)
			if err != nil {
				return err
			}
			if !ok || e.Ino != b.Ino {
				continue
			}
			a, exists, err := tx.Attr(e.Ino)
			if err != nil {
				return err
			}
			r := removal{stat: DirStat{Space: pageSize, Inodes: 1}}
			switch {
			case !exists:
			case e.Type == TypeDirectory:
				r, err = v.dropDir(tx, dir, b.Name, e, a, 0, now)
			default:
				r, err = v.dropLink(tx, dir, b.Name, e, a, 0, now)
			}
			if err != nil {
				return err
			}
			if e.Type == TypeDirectory {
				links--
			}
			tx.DropEntry(dir, b.Name)
			changed = true
			gone = append(gone, r)
		}
		if changed && there && !dir.IsTrash() {
			tx.Touch(dir, now, links, v.opt.SkipDirMtime)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range gone {
		if r.gone && r.attr.Type == TypeDirectory {
			v.stats.forget(r.ino)
		}
		v.removed(ctx, dir, r)
	}
	return nil
}

// RemoveOrphan removes an inode that has no entry, with all that is below a directory. One that has changed at or
// after a time, or that a session keeps, is left as it is and posix.EBUSY; one that is gone is no error.
func (v *Volume) RemoveOrphan(ctx context.Context, ino Ino, before time.Time) error {
	if ino == RootIno || ino == TrashIno {
		return posix.EPERM
	}
	a, err := v.GetAttr(ctx, ino)
	if err == posix.ENOENT { //nolint:errorlint // bare answers only
		return v.update(ctx, func() string { return fmt.Sprintf("forget clone %d", ino) }, Want{}, func(tx Tx) error {
			tx.DropDetached(ino)
			return nil
		})
	}
	if err != nil {
		return err
	}
	if !a.Ctime.Time().Before(before) || v.isOpen(ino) {
		return posix.EBUSY
	}
	if a.Type == TypeDirectory {
		if _, err := v.purgeDir(ctx, ino, nil); err != nil {
			return err
		}
	}
	var gone bool
	var now Time
	err = v.update(ctx, func() string { return fmt.Sprintf("remove inode %d without entry", ino) }, Want{Attrs: []Ino{ino}}, func(tx Tx) error {
		var err error
		now = v.time()
		if a, gone, err = tx.Attr(ino); err != nil {
			return err
		}
		tx.DropDetached(ino)
		if !gone {
			return nil
		}
		if a.Type == TypeDirectory {
			if err := tx.RequireEmpty(ino); err != nil {
				return err
			}
			tx.DropDirStat(ino)
			tx.DropQuota(QuotaKey{QuotaDir, uint64(ino)})
		} else if !a.Ctime.Time().Before(before) {
			return posix.EBUSY
		}
		v.dropInode(tx, ino, &a, now)
		return nil
	})
	if err != nil || !gone {
		return err
	}
	v.stats.forget(ino)
	v.usage.add(-a.Space(), -1)
	if a.Type == TypeFile {
		v.freer.file(DelFile{Ino: ino, Length: a.Length, Removed: now.Sec})
	}
	return nil
}
