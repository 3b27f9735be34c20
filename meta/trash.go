package meta

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"jfs/internal/posix"
)

// trashDir remembers the directory of the trash for the current hour.
type trashDir struct {
	mu   sync.Mutex // guards the rest; held while the directory is looked up or made
	hour string
	ino  Ino
}

// trashHour is the form of the names of the hourly directories, in UTC.
const trashHour = "2006-01-02-15"

// trashFor gives the hourly directory that takes what is removed from dir, 0 if removed for good.
func (v *Volume) trashFor(ctx context.Context, dir Ino) (Ino, error) {
	if v.format.Load().TrashDays <= 0 || dir.IsTrash() || v.opt.ReadOnly {
		return 0, nil
	}
	t := &v.trash
	t.mu.Lock()
	defer t.mu.Unlock()
	hour := v.now().UTC().Format(trashHour)
	if t.ino != 0 && t.hour == hour {
		return t.ino, nil
	}
	ino, _, err := v.Lookup(ctx, Root, TrashIno, hour)
	if errors.Is(err, posix.ENOENT) {
		ino, err = v.makeTrashDir(ctx, hour)
	}
	if err != nil {
		return 0, fmt.Errorf("directory %s of the trash: %w", hour, err)
	}
	t.hour, t.ino = hour, ino
	return ino, nil
}

// makeTrashDir makes the directory of an hour unless another client was faster.
func (v *Volume) makeTrashDir(ctx context.Context, hour string) (Ino, error) {
	n, err := v.engine.Reserve(ctx, SeqTrash, 1)
	if err != nil {
		return 0, err
	}
	var ino Ino
	var made bool
	var a Attr
	want := Want{Perms: []Ino{TrashIno}, Entries: []Name{{TrashIno, hour}}}
	err = v.update(ctx, func() string { return "make trash directory" }, want, func(tx Tx) error {
		made = false
		e, ok, err := tx.Entry(TrashIno, hour)
		if err != nil {
			return err
		}
		if ok {
			ino = e.Ino
			return nil
		}
		ino, made = TrashIno+Ino(n), true
		now := v.time()
		a = Attr{Type: TypeDirectory, Mode: 0555, Atime: now, Mtime: now, Ctime: now, Nlink: 2, Length: 4096, Parent: TrashIno}
		tx.SetAttr(ino, &a)
		tx.SetEntry(TrashIno, hour, Entry{Type: TypeDirectory, Ino: ino})
		if v.format.Load().DirStats {
			tx.SetDirStat(ino, DirStat{})
		}
		tx.AddUsage(pageSize, 1)
		return nil
	})
	if err == nil && made {
		v.usage.add(pageSize, 1)
		v.chargeOwner(&a, charge(&a))
	}
	return ino, err
}
