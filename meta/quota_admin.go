package meta

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"jfs/internal/posix"
)

// Limits are the limits of a quota. -1 leaves a limit as it is, 0 takes it away.
type Limits struct {
	Space  int64 // bytes
	Inodes int64
}

// String names a quota for errors: "directory 5", "user 1000".
func (k QuotaKey) String() string {
	kind := "directory"
	switch k.Kind {
	case QuotaUser:
		kind = "user"
	case QuotaGroup:
		kind = "group"
	}
	return fmt.Sprintf("%s %d", kind, k.ID)
}

// SetQuota sets the limits of a directory, a user or a group, and gives the record. The first quota of a directory
// counts what it holds; the first quota of any user or group counts the whole volume, see EnableOwnerQuotas. A client
// that ends in the middle leaves no record, or one that is right.
func (v *Volume) SetQuota(ctx context.Context, key QuotaKey, l Limits) (Quota, error) {
	if l.Space < -1 || l.Inodes < -1 {
		return Quota{}, fmt.Errorf("limits of %s: %w: give 0 for no limit, or a positive one", key, posix.EINVAL)
	}
	if key.Kind != QuotaDir {
		if !v.format.Load().UserGroupQuota {
			if err := v.EnableOwnerQuotas(ctx); err != nil {
				return Quota{}, err
			}
		}
		return v.editQuota(ctx, key, func(q *Quota, _ bool) error {
			q.limit(l)
			return nil
		})
	}
	if err := v.mayHaveQuota(ctx, Ino(key.ID)); err != nil {
		return Quota{}, err
	}
	if !v.format.Load().DirStats {
		if err := v.EnableDirStats(ctx); err != nil {
			return Quota{}, err
		}
	}
	// A record without a use is counted too: other clients write one before they count, and may end in between.
	var counted *use
	edit := func(q *Quota, _ bool) error {
		if q.UsedSpace == 0 && q.UsedInodes == 0 {
			if counted == nil {
				return errUncounted
			}
			q.UsedSpace, q.UsedInodes = counted.space, counted.inodes
		}
		q.limit(l)
		return nil
	}
	q, err := v.editQuota(ctx, key, edit)
	if !errors.Is(err, errUncounted) {
		return q, err
	}
	d, err := v.countDirQuota(ctx, Ino(key.ID), false)
	if err != nil {
		return Quota{}, err
	}
	counted = &d
	return v.editQuota(ctx, key, edit)
}

// errUncounted ends a try to set a quota whose use has to be counted first.
var errUncounted = errors.New("use of a quota is not counted")

func (q *Quota) limit(l Limits) {
	if l.Space >= 0 {
		q.MaxSpace = l.Space
	}
	if l.Inodes >= 0 {
		q.MaxInodes = l.Inodes
	}
}

func (v *Volume) mayHaveQuota(ctx context.Context, dir Ino) error {
	if dir.IsTrash() {
		return fmt.Errorf("quota of directory %d: %w: the trash has none", dir, posix.EPERM)
	}
	a, err := v.GetAttr(ctx, dir)
	switch {
	case err != nil:
		return err
	case a.Type != TypeDirectory:
		return posix.ENOTDIR
	case a.Parent > TrashIno:
		return fmt.Errorf("quota of directory %d: %w: it is in the trash", dir, posix.EPERM)
	}
	return nil
}

// countDirQuota counts what a quota of a directory is charged with.
func (v *Volume) countDirQuota(ctx context.Context, dir Ino, strict bool) (use, error) {
	t, err := v.Summary(ctx, dir, strict)
	return t.use().plus(use{-pageSize, -1}), err
}

// editQuota changes a record, or makes one: then known is false, and it has no limits and no use.
func (v *Volume) editQuota(ctx context.Context, key QuotaKey, edit func(q *Quota, known bool) error) (Quota, error) {
	if err := v.flushQuotas(ctx); err != nil {
		return Quota{}, err
	}
	var q Quota
	err := v.update(ctx, func() string { return fmt.Sprintf("set quota of %s", key) }, Want{}, func(tx Tx) error {
		var known bool
		var err error
		if q, known, err = tx.Quota(key); err != nil {
			return err
		}
		if !known {
			q = Quota{MaxSpace: -1, MaxInodes: -1}
		}
		if err := edit(&q, known); err != nil {
			return err
		}
		tx.SetQuota(key, q)
		return nil
	})
	if err != nil {
		return Quota{}, err
	}
	return q, v.loadQuotas(ctx)
}

// DeleteQuota removes the quota of a directory. Of a user or a group it removes the limits; their usage is counted on.
func (v *Volume) DeleteQuota(ctx context.Context, key QuotaKey) error {
	if err := v.flushQuotas(ctx); err != nil {
		return err
	}
	err := v.update(ctx, func() string { return fmt.Sprintf("remove quota of %s", key) }, Want{}, func(tx Tx) error {
		q, ok, err := tx.Quota(key)
		switch {
		case err != nil:
			return err
		case !ok:
			return fmt.Errorf("%s: %w", key, ErrNoQuota)
		case key.Kind == QuotaDir:
			tx.DropQuota(key)
			return nil
		}
		q.MaxSpace, q.MaxInodes = -1, -1
		tx.SetQuota(key, q)
		return nil
	})
	if err != nil {
		return err
	}
	return v.loadQuotas(ctx)
}

// KnownQuota gives a quota record as this client knows it, with its own changes, without a trip.
func (v *Volume) KnownQuota(key QuotaKey) (Quota, bool) { return v.quotas.get(key) }

// Quotas gives all quota records, with the changes of this client.
func (v *Volume) Quotas(ctx context.Context) (map[QuotaKey]Quota, error) {
	if !v.opt.ReadOnly {
		if err := v.flushQuotas(ctx); err != nil {
			return nil, err
		}
	}
	if err := v.loadQuotas(ctx); err != nil {
		return nil, err
	}
	v.quotas.mu.RLock()
	defer v.quotas.mu.RUnlock()
	return maps.Clone(v.quotas.records), nil
}

// changeFormat edits the stored format.
func (v *Volume) changeFormat(ctx context.Context, edit func(*Format)) error {
	if v.opt.ReadOnly {
		return posix.EROFS
	}
	ctx, cancel := context.WithTimeout(ctx, v.opt.Timeout)
	defer cancel()
	f, err := Edit(ctx, v.engine, v.time(), func(f *Format, missing error) error {
		edit(f)
		return missing
	})
	if err != nil {
		return describe(func() string { return "change volume setting" }, err)
	}
	v.format.Store(&f)
	return nil
}
