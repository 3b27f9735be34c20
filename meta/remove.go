package meta

import (
	"context"
	"fmt"

	"jfs/internal/posix"
)

// removal is what a transaction that took a link away has decided, for the work after the commit.
type removal struct {
	ino     Ino
	attr    Attr    // as it was
	stat    DirStat // what left the directory
	trash   Ino     // hourly directory that took trashed; 0: none
	trashed DirStat
	gone    bool // the inode does not exist any more
	data    bool // ... and its data waits to be freed
	kept    bool // the inode lives on without a name until this client closes it
	at      int64
}

// Unlink removes an entry that is not a directory.
func (v *Volume) Unlink(ctx context.Context, who Cred, dir Ino, name string) error {
	defer v.timed("Unlink", v.began())
	if err := removableFrom(who, dir, name); err != nil {
		return err
	}
	trash, err := v.trashFor(ctx, dir)
	if err != nil {
		return err
	}
	return v.unlink(ctx, who, dir, name, trash)
}

// unlink is Unlink into a directory of the trash, or for good if that is 0.
func (v *Volume) unlink(ctx context.Context, who Cred, dir Ino, name string, trash Ino) error {
	var r removal
	rm := removals{v: v}
	defer rm.end()
	want := Want{Perms: []Ino{dir}, Nodes: []Name{{dir, name}}}
	err := v.update(ctx, func() string { return fmt.Sprintf("unlink %d/%q", dir, name) }, want, func(tx Tx) error {
		r = removal{}
		_, e, a, exists, err := victim(tx, who, dir, name)
		if err != nil {
			return err
		}
		if e.Type == TypeDirectory {
			return posix.EPERM
		}
		if exists && a.Flags&(FlagAppend|FlagImmutable) != 0 {
			return posix.EPERM
		}
		now := v.time()
		tx.DropEntry(dir, name)
		if !dir.IsTrash() {
			tx.Touch(dir, now, 0, v.opt.SkipDirMtime)
		}
		if !exists {
			r.stat = DirStat{Space: pageSize, Inodes: 1}
			return nil
		}
		r, err = v.dropLink(tx, &rm, dir, name, e, a, trash, now)
		return err
	})
	if err != nil {
		return err
	}
	v.removed(ctx, dir, r)
	return nil
}

// removableFrom rejects what cannot be removed whatever is stored.
func removableFrom(who Cred, dir Ino, name string) error {
	switch {
	case dir.IsTrash() && who.UID != 0, dir == TrashIno:
		return posix.EPERM
	case len(name) > MaxName:
		return posix.ENAMETOOLONG
	}
	return nil
}

// victim reads the directory and the entry that is to be removed or replaced in it, and checks that who may.
func victim(tx Tx, who Cred, dir Ino, name string) (p Attr, e Entry, a Attr, exists bool, err error) {
	var ok bool
	if p, ok, err = tx.Perm(dir); err != nil {
		return
	}
	if e, exists, err = tx.Entry(dir, name); err != nil {
		return
	}
	switch {
	case !ok:
		err = posix.ENOENT
	case p.Type != TypeDirectory:
		err = posix.ENOTDIR
	case !exists:
		err = posix.ENOENT
	default:
		err = access(tx, who, &p, MayWrite|MayExec)
	}
	if err != nil {
		return
	}
	if p.Flags&(FlagAppend|FlagImmutable) != 0 {
		err = posix.EPERM
		return
	}
	if a, exists, err = tx.Attr(e.Ino); err != nil || !exists {
		return
	}
	err = sticky(who, &p, a.UID)
	return
}

// trashName is the name of an entry in the trash.
func trashName(parent, ino Ino, name string) string {
	s := fmt.Sprintf("%d-%d-%s", parent, ino, name)
	return s[:min(len(s), MaxName)]
}

// dropInode removes an inode without links and leaves its data to be freed.
func (v *Volume) dropInode(tx Tx, ino Ino, a *Attr, now Time) {
	tx.DropNode(ino)
	if a.Type == TypeFile {
		tx.SetDelFile(DelFile{Ino: ino, Length: a.Length, Removed: now.Sec})
	}
	tx.AddUsage(-a.Space(), -1)
}

// removed does what follows the commit of a removal from dir.
func (v *Volume) removed(ctx context.Context, dir Ino, r removal) {
	v.chargeDir(ctx, dir, r.stat.negate())
	v.settleRemoved(ctx, r)
}

// settleRemoved is removed without what concerns the directory.
func (v *Volume) settleRemoved(ctx context.Context, r removal) {
	if r.trash != 0 {
		v.addDirStat(r.trash, r.trashed)
	}
	if r.gone {
		v.departed.add(r.ino, r.attr, v.time())
		v.usage.add(-r.attr.Space(), -1)
		v.chargeOwner(&r.attr, charge(&r.attr).negate())
	}
	if r.kept {
		v.sess.keep(r.ino, false)
		// It may have been closed while the change was under way.
		if err := v.dropClosed(context.WithoutCancel(ctx), r.ino); err != nil {
			v.log.Warn("remove unlinked file", "inode", r.ino, "err", err)
		}
	}
	if r.data {
		v.freer.file(DelFile{Ino: r.ino, Length: r.attr.Length, Removed: r.at})
	}
}

// Rmdir removes an empty directory.
func (v *Volume) Rmdir(ctx context.Context, who Cred, dir Ino, name string) error {
	defer v.timed("Rmdir", v.began())
	switch name {
	case ".":
		return posix.EINVAL
	case "..":
		return posix.ENOTEMPTY
	}
	if err := removableFrom(who, dir, name); err != nil {
		return err
	}
	trash, err := v.trashFor(ctx, dir)
	if err != nil {
		return err
	}
	return v.rmdir(ctx, who, dir, name, trash, false)
}

// rmdir is Rmdir into a directory of the trash, or for good if that is 0. A directory of a detached tree is not
// charged to the quotas above it.
func (v *Volume) rmdir(ctx context.Context, who Cred, dir Ino, name string, trash Ino, detached bool) error {
	var r removal
	want := Want{Perms: []Ino{dir}, Nodes: []Name{{dir, name}}}
	err := v.update(ctx, func() string { return fmt.Sprintf("rmdir %d/%q", dir, name) }, want, func(tx Tx) error {
		r = removal{stat: DirStat{Space: pageSize, Inodes: 1}}
		_, e, a, exists, err := victim(tx, who, dir, name)
		if err != nil {
			return err
		}
		if e.Type != TypeDirectory {
			return posix.ENOTDIR
		}
		now := v.time()
		tx.DropEntry(dir, name)
		if !dir.IsTrash() {
			tx.Touch(dir, now, -1, v.opt.SkipDirMtime)
		}
		if !exists {
			return nil
		}
		if a.Flags&(FlagAppend|FlagImmutable) != 0 {
			return posix.EPERM
		}
		r, err = v.dropDir(tx, dir, name, e, a, trash, now)
		return err
	})
	if err != nil {
		return err
	}
	v.removedDir(r.ino)
	if detached {
		v.addDirStat(dir, r.stat.negate())
		v.settleRemoved(ctx, r)
		return nil
	}
	v.removed(ctx, dir, r)
	return nil
}

// dropDir removes the empty directory that is entered as (dir, name), or moves it into the trash.
func (v *Volume) dropDir(tx Tx, dir Ino, name string, e Entry, a Attr, trash Ino, now Time) (removal, error) {
	ino := e.Ino
	r := removal{ino: ino, attr: a, stat: DirStat{Space: pageSize, Inodes: 1}}
	if err := tx.RequireEmpty(ino); err != nil {
		return r, err
	}
	tx.DropDirStat(ino)
	tx.DropQuota(QuotaKey{QuotaDir, uint64(ino)})
	if trash != 0 && a.Flags&FlagSkipTrash == 0 {
		r.trash, r.trashed = trash, r.stat
		a.Parent = trash
		a.Ctime = now
		tx.SetAttr(ino, &a)
		tx.SetEntry(trash, trashName(dir, ino, name), e)
		return r, nil
	}
	tx.DropNode(ino)
	tx.AddUsage(-pageSize, -1)
	r.gone = true
	return r, nil
}
