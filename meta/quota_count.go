package meta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"jfs/internal/posix"
)

// QuotaCheck compares a quota record with what is there.
type QuotaCheck struct {
	Key           QuotaKey
	Stored        Quota
	Space, Inodes int64 // as counted
	Repaired      bool
}

// OK says whether the record was right.
func (c QuotaCheck) OK() bool {
	return c.Space == c.Stored.UsedSpace && c.Inodes == c.Stored.UsedInodes
}

// CheckQuotas counts the usage of quotas anew, all of them if keys is nil, and with repair stores it where the record
// is wrong, and removes that of a directory which is gone. strict does not rely on the statistics of directories. What
// other clients change meanwhile may be counted or not. Users and groups are left out while the volume does not count
// what they use.
func (v *Volume) CheckQuotas(ctx context.Context, keys []QuotaKey, repair, strict bool) ([]QuotaCheck, error) {
	records, err := v.Quotas(ctx)
	if err != nil {
		return nil, err
	}
	owned := func(k QuotaKey, _ Quota) bool { return k.Kind != QuotaDir }
	var owners map[QuotaKey]use
	if !v.format.Load().UserGroupQuota {
		maps.DeleteFunc(records, owned)
	} else if keys == nil || slices.ContainsFunc(keys, func(k QuotaKey) bool { return owned(k, Quota{}) }) {
		if owners, err = v.countOwners(ctx); err != nil {
			return nil, err
		}
	}
	if keys == nil {
		all := maps.Clone(owners)
		if all == nil {
			all = map[QuotaKey]use{}
		}
		for key := range records {
			all[key] = use{}
		}
		keys = sortedKeys(all)
	}
	var checks []QuotaCheck
	for _, key := range keys {
		q, ok := records[key]
		d := owners[key]
		if !ok {
			if _, counted := owners[key]; !counted {
				return checks, fmt.Errorf("%s: %w", key, ErrNoQuota)
			}
			q = Quota{MaxSpace: -1, MaxInodes: -1}
		}
		gone := false
		if key.Kind == QuotaDir {
			_, err := v.GetAttr(ctx, Ino(key.ID))
			if gone = errors.Is(err, posix.ENOENT); !gone {
				if d, err = v.countDirQuota(ctx, Ino(key.ID), strict); err != nil {
					return checks, fmt.Errorf("count %s: %w", key, err)
				}
			}
		}
		c := QuotaCheck{Key: key, Stored: q, Space: d.space, Inodes: d.inodes}
		if repair && (gone || !c.OK()) {
			if err := v.repairQuota(ctx, key, d, gone); err != nil {
				return checks, err
			}
			c.Repaired = true
		}
		checks = append(checks, c)
	}
	return checks, nil
}

// repairQuota stores what was counted. A quota of a directory that somebody has removed meanwhile stays removed.
func (v *Volume) repairQuota(ctx context.Context, key QuotaKey, d use, gone bool) (err error) {
	if gone {
		err = v.DeleteQuota(ctx, key)
	} else {
		_, err = v.editQuota(ctx, key, func(q *Quota, known bool) error {
			if !known && key.Kind == QuotaDir {
				return ErrNoQuota
			}
			q.UsedSpace, q.UsedInodes = d.space, d.inodes
			return nil
		})
	}
	if errors.Is(err, ErrNoQuota) {
		return nil
	}
	return err
}

func sortedKeys[V any](m map[QuotaKey]V) []QuotaKey {
	return slices.SortedFunc(maps.Keys(m), func(a, b QuotaKey) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
}

// EnableOwnerQuotas begins to count what users and groups use, from what they own now. Other clients join in at
// their next heartbeat; what they change until then is missed, until CheckQuotas repairs it. The setting comes last:
// without it what is stored is not believed, and the next call begins anew.
func (v *Volume) EnableOwnerQuotas(ctx context.Context) error {
	old, err := v.Quotas(ctx)
	if err != nil {
		return err
	}
	maps.DeleteFunc(old, func(k QuotaKey, _ Quota) bool { return k.Kind == QuotaDir })
	err = v.eachQuota(ctx, "clear quotas of users and groups", sortedKeys(old), func(tx Tx, key QuotaKey) { tx.DropQuota(key) })
	if err != nil {
		return err
	}
	owners, err := v.countOwners(ctx)
	if err != nil {
		return err
	}
	err = v.eachQuota(ctx, "store usage of users and groups", sortedKeys(owners), func(tx Tx, key QuotaKey) {
		tx.SetQuota(key, Quota{MaxSpace: -1, MaxInodes: -1, UsedSpace: owners[key].space, UsedInodes: owners[key].inodes})
	})
	if err != nil {
		return err
	}
	if err := v.changeFormat(ctx, func(f *Format) { f.UserGroupQuota = true }); err != nil {
		return err
	}
	return v.loadQuotas(ctx)
}

// eachQuota changes records, a bounded number in a transaction.
func (v *Volume) eachQuota(ctx context.Context, what string, keys []QuotaKey, change func(Tx, QuotaKey)) error {
	for part := range slices.Chunk(keys, quotaFlushBatch) {
		err := v.update(ctx, func() string { return what }, Want{}, func(tx Tx) error {
			for _, key := range part {
				change(tx, key)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ownerCount adds up what users and groups own.
type ownerCount struct {
	mu     sync.Mutex // guards the rest
	used   map[QuotaKey]use
	linked map[Ino]bool // files with several names that have been counted
}

// countOwners counts the files and directories of the volume, of the trash, and those that sessions keep.
func (v *Volume) countOwners(ctx context.Context) (map[QuotaKey]use, error) {
	o := ownerCount{used: map[QuotaKey]use{}, linked: map[Ino]bool{}}
	crew, work := newCrew(ctx, defaultThreads)
	defer crew.close()
	for _, top := range []Ino{RootIno, TrashIno} {
		if err := v.ownersIn(work, crew, top, &o); err != nil {
			return nil, err
		}
	}
	sessions, err := v.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range sessions {
		what := func() string { return fmt.Sprintf("inodes of session %d", s.Sid) }
		err := v.view(ctx, what, Want{}, func(r Reader) error {
			kept, err := r.Sustained(s.Sid)
			if err != nil {
				return err
			}
			for _, ino := range kept {
				a, ok, err := r.Attr(ino)
				if err != nil {
					return err
				}
				if ok && a.Nlink == 0 {
					a.Nlink = 2 // a view may run again: count it as one that is met several times
					o.add(ino, &a)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return o.used, nil
}

func (v *Volume) ownersIn(ctx context.Context, crew *crew, dir Ino, o *ownerCount) error {
	t := team{crew: crew}
	return t.wait(v.eachPage(ctx, dir, true, func(page []Dirent) error {
		var below []Ino // the page itself is not kept while they are visited
		for _, e := range page {
			if e.Attr != nil {
				o.add(e.Ino, e.Attr)
			}
			if e.Type == TypeDirectory {
				below = append(below, e.Ino)
			}
		}
		for _, sub := range below {
			t.do(func() error { return v.ownersIn(ctx, crew, sub, o) })
		}
		return nil
	}))
}

func (o *ownerCount) add(ino Ino, a *Attr) {
	if a.Type != TypeFile && a.Type != TypeDirectory {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if a.Type == TypeFile && a.Nlink > 1 {
		if o.linked[ino] {
			return
		}
		o.linked[ino] = true
	}
	for _, key := range [...]QuotaKey{{QuotaUser, uint64(a.UID)}, {QuotaGroup, uint64(a.GID)}} {
		o.used[key] = o.used[key].plus(charge(a))
	}
}
