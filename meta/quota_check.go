package meta

import (
	"context"
	"fmt"

	"jfs/internal/posix"
)

// Users and groups pay for files and directories only: a recount of their usage sees nothing else.
func (v *Volume) hasPayer(a *Attr) bool {
	return (a.Type == TypeFile || a.Type == TypeDirectory) && v.format.Load().UserGroupQuota
}

// checkOwner says whether the owner and the group of an inode may use more.
func (v *Volume) checkOwner(a *Attr, d use) error {
	if v.hasPayer(a) && !(v.quotas.allows(QuotaKey{QuotaUser, uint64(a.UID)}, d) && v.quotas.allows(QuotaKey{QuotaGroup, uint64(a.GID)}, d)) {
		return posix.EDQUOT
	}
	return nil
}

// checkDir says whether more fits into a directory. Inside a transaction the error may be unknownParent.
func (v *Volume) checkDir(dir Ino, d use) error {
	chain, err := v.chain(dir)
	if err != nil {
		return err
	}
	for _, at := range chain {
		if !v.quotas.allows(QuotaKey{QuotaDir, uint64(at)}, d) {
			return posix.EDQUOT
		}
	}
	return nil
}

// checkNew says whether there is room for a new inode in a directory.
func (v *Volume) checkNew(dir Ino, a *Attr) error {
	d := charge(a)
	if err := v.checkOwner(a, d); err != nil {
		return err
	}
	if err := v.checkRoom(d.space, d.inodes); err != nil {
		return err
	}
	return v.checkDir(dir, d)
}

// checkGrowth says, inside a transaction, whether a file may use grown bytes more.
func (v *Volume) checkGrowth(in holders, a *Attr, grown int64) error {
	if grown <= 0 {
		return nil
	}
	if err := v.checkOwner(a, use{space: grown}); err != nil {
		return err
	}
	if err := v.checkRoom(grown, 0); err != nil {
		return err
	}
	if v.quotas.dirs.Load() == 0 {
		return nil
	}
	if in.many == nil {
		return v.checkDir(in.dir, use{space: grown})
	}
	b := bill{}
	for dir, n := range in.many {
		chain, err := v.chain(dir)
		if err != nil {
			return err
		}
		b.add(chain, use{space: grown * n})
	}
	return v.checkBill(b)
}

// bill is what a change adds to the quotas of directories.
type bill map[Ino]use

func (b bill) add(chain []Ino, d use) {
	for _, dir := range chain {
		b[dir] = b[dir].plus(d)
	}
}

func (v *Volume) checkBill(b bill) error {
	for dir, d := range b {
		if !v.quotas.allows(QuotaKey{QuotaDir, uint64(dir)}, d) {
			return posix.EDQUOT
		}
	}
	return nil
}

// chargeOwner counts, after a commit, what an inode adds to the usage of its owner and group.
func (v *Volume) chargeOwner(a *Attr, d use) {
	if v.hasPayer(a) {
		v.quotas.add(QuotaKey{QuotaUser, uint64(a.UID)}, d)
		v.quotas.add(QuotaKey{QuotaGroup, uint64(a.GID)}, d)
	}
}

// chargeDir counts, after a commit, a change of the direct entries of a directory: in its statistics, and in the
// quotas that it is under.
func (v *Volume) chargeDir(ctx context.Context, dir Ino, d DirStat) {
	v.addDirStat(dir, d)
	v.chargeQuotas(ctx, dir, use{d.Space, d.Inodes})
}

func (v *Volume) chargeQuotas(ctx context.Context, dir Ino, d use) {
	if d == (use{}) {
		return
	}
	chain, err := v.payers(context.WithoutCancel(ctx), dir) // the change has happened, whatever becomes of ctx
	if err != nil {
		v.log.Warn("quotas miss a change", "directory", dir, "err", err)
		return
	}
	for _, at := range chain {
		v.quotas.add(QuotaKey{QuotaDir, uint64(at)}, d)
	}
}

// removedDir forgets what is remembered of a directory that is gone or in the trash.
func (v *Volume) removedDir(ino Ino) {
	v.stats.forget(ino)
	v.quotas.forget(QuotaKey{QuotaDir, uint64(ino)})
	v.ancestors.moved(ino)
}

// StatFS gives the size and use of the volume as seen from a directory: one under a quota shows no more than that.
func (v *Volume) StatFS(ctx context.Context, dir Ino) Space {
	defer v.timed("StatFS", v.began())
	s := v.Format().Space(v.usage.get())
	chain, err := v.payers(ctx, dir)
	if err != nil {
		v.log.Warn("size of the volume is shown without quotas", "directory", dir, "err", fmt.Errorf("statfs: %w", err))
		return s
	}
	for i, at := range chain {
		q, ok := v.quotas.get(QuotaKey{QuotaDir, uint64(at)})
		if !ok {
			continue
		}
		if q.MaxSpace > 0 {
			s.FreeBytes = min(s.FreeBytes, uint64(max(q.MaxSpace-q.UsedSpace, 0)))
		}
		if q.MaxInodes > 0 {
			s.FreeInodes = min(s.FreeInodes, uint64(max(q.MaxInodes-q.UsedInodes, 0)))
		}
		if i == 0 {
			s.TotalBytes = uint64(max(q.UsedSpace, 0))
			s.TotalInodes = uint64(max(q.UsedInodes, 0))
		}
	}
	if len(chain) > 0 { // so far what the nearest one uses
		s.TotalBytes += s.FreeBytes
		s.TotalInodes += s.FreeInodes
	}
	return s
}
