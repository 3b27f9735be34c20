package meta

import (
	"context"
	"errors"
	"fmt"
	"time"

	"jfs/internal/posix"
)

// CleanTrash removes for good what is in the hourly directories of the trash whose hour began before a time. done, if
// not nil, is told from several goroutines of the entries that are gone. A directory that cannot be removed does not
// keep it from the others.
func (v *Volume) CleanTrash(ctx context.Context, before time.Time, done func(n int)) error {
	if v.opt.ReadOnly {
		return nil
	}
	var hours []Dirent
	for cursor := ""; ; {
		page, next, err := v.Readdir(ctx, TrashIno, cursor, jobBatch, false)
		if err != nil {
			return err
		}
		for _, e := range page {
			if hour, err := time.Parse(trashHour, e.Name); err == nil && hour.Before(before) {
				hours = append(hours, e)
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	var failed error
	for _, e := range hours {
		if err := v.purge(ctx, TrashIno, e, done); err != nil {
			failed = errors.Join(failed, fmt.Errorf("trash directory %s: %w", e.Name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// purge removes a directory with all that it holds, past the trash.
func (v *Volume) purge(ctx context.Context, dir Ino, e Dirent, done func(n int)) error {
	crew, ctx := newCrew(ctx, emptyThreads)
	defer crew.close()
	r := remover{v: v, who: Root, skipTrash: true, crew: crew, progress: done}
	return r.tree(ctx, dir, e.Name, e.Ino)
}

// RemoveOrphan removes an inode that has no entry, with all that is below a directory. One that has changed at or
// after a time, or that this client has open, is left as it is and posix.EBUSY; one that is gone is no error.
func (v *Volume) RemoveOrphan(ctx context.Context, ino Ino, before time.Time) error {
	if ino == RootIno || ino == TrashIno {
		return posix.EPERM
	}
	a, err := v.GetAttr(ctx, ino)
	switch {
	case errors.Is(err, posix.ENOENT): // what is left is perhaps its registration as a clone
	case err != nil:
		return err
	case !a.Ctime.Time().Before(before) || v.isOpen(ino):
		return posix.EBUSY
	}
	return v.RemoveDetached(ctx, ino)
}
