package meta

import (
	"context"
	"fmt"

	"jfs/internal/posix"
)

// existing reads the attribute of an inode that must be there.
func existing(r Reader, ino Ino) (Attr, error) {
	a, ok, err := r.Attr(ino)
	if err == nil && !ok {
		err = posix.ENOENT
	}
	return a, err
}

// GetAttr gives the attribute of an inode.
func (v *Volume) GetAttr(ctx context.Context, ino Ino) (Attr, error) {
	defer v.timed("GetAttr", v.began())
	var a Attr
	err := v.view(ctx, func() string { return fmt.Sprintf("attribute of inode %d", ino) }, Want{Attrs: []Ino{ino}}, func(r Reader) (err error) {
		a, err = existing(r, ino)
		return err
	})
	if err != nil && (ino == RootIno || ino == TrashIno) && ctx.Err() == nil {
		// The root never fails: with it the whole mount would seem to be gone.
		v.log.Warn("root attribute cannot be read", "inode", ino, "err", err)
		a = Attr{Type: TypeDirectory, Mode: 0777, Nlink: 2, Length: 4096, Parent: RootIno}
		if ino == TrashIno {
			a.Mode = 0555
		}
		return a, nil
	}
	return a, err
}

// Change names the attributes that SetAttr is to change; nil leaves one as it is.
type Change struct {
	Mode     *uint16
	UID, GID *uint32
	Flags    *uint8
	// Times to set. AtimeNow and MtimeNow take the time of the change.
	Atime, Mtime       *Time
	AtimeNow, MtimeNow bool
}

// SetAttr changes attributes other than the length, and gives them before and after.
func (v *Volume) SetAttr(ctx context.Context, who Cred, ino Ino, c Change) (old, a Attr, err error) {
	defer v.timed("SetAttr", v.began())
	what := func() string { return fmt.Sprintf("change attributes of inode %d", ino) }
	err = v.update(ctx, what, Want{Attrs: []Ino{ino}}, func(tx Tx) error {
		var err error
		if old, err = existing(tx, ino); err != nil {
			return err
		}
		if old.Parent > TrashIno && ino < TrashIno {
			return posix.EPERM
		}
		if a, err = changed(tx, who, old, c, v.time()); err != nil {
			return err
		}
		if c.Mode != nil {
			if err := chmodACL(tx, &a); err != nil {
				return err
			}
		}
		if a == old {
			return nil
		}
		a.Ctime = v.time()
		tx.SetAttr(ino, &a)
		return nil
	})
	if err == nil && (a.UID != old.UID || a.GID != old.GID) && ino != RootIno && ino != TrashIno {
		v.chargeOwner(&old, charge(&old).negate())
		v.chargeOwner(&a, charge(&a))
	}
	return old, a, err
}

// changed applies c to a, or says why who may not.
func changed(r Reader, who Cred, a Attr, c Change, now Time) (Attr, error) {
	old := a
	if old.Flags&FlagImmutable != 0 && c.Flags == nil {
		return a, posix.EPERM
	}
	owner := who.UID == 0 || who.UID == old.UID
	if c.Mode != nil {
		mode := *c.Mode & 07777
		if c.UID != nil || c.GID != nil {
			mode |= old.Mode & (ModeSetUID | ModeSetGID)
		}
		if who.UID != 0 && !who.Checked && !who.member(old.GID) {
			mode &^= ModeSetGID
		}
		onlyDrops := mode == old.Mode&^(ModeSetUID|ModeSetGID) || mode == old.Mode&^ModeSetUID || mode == old.Mode&^ModeSetGID
		if !owner && mode != old.Mode && !onlyDrops {
			return a, posix.EPERM
		}
		a.Mode = mode
	}
	chown := c.UID != nil && *c.UID != old.UID || c.GID != nil && *c.GID != old.GID
	if (c.UID != nil || c.GID != nil) && old.Type != TypeDirectory && a.Mode&(ModeSetUID|ModeSetGID) != 0 {
		if who.UID != 0 || a.Mode&010 != 0 {
			a.Mode &^= ModeSetUID | ModeSetGID
		} else {
			a.Mode &^= ModeSetUID
		}
	}
	if chown {
		if c.UID != nil && *c.UID != old.UID && who.UID != 0 {
			return a, posix.EPERM
		}
		if c.GID != nil && *c.GID != old.GID && (!owner || who.UID != 0 && !who.Checked && !who.member(*c.GID)) {
			return a, posix.EPERM
		}
	}
	if c.UID != nil {
		a.UID = *c.UID
	}
	if c.GID != nil {
		a.GID = *c.GID
	}
	if c.Flags != nil {
		if !owner {
			return a, posix.EPERM
		}
		a.Flags = *c.Flags
	}
	for _, t := range [...]struct {
		set *Time
		now bool
		at  *Time
	}{{c.Atime, c.AtimeNow, &a.Atime}, {c.Mtime, c.MtimeNow, &a.Mtime}} {
		switch {
		case t.now:
			if !owner && access(r, who, &old, MayWrite) != nil {
				return a, posix.EACCES
			}
			*t.at = now
		case t.set != nil:
			if !owner {
				return a, posix.EPERM
			}
			*t.at = *t.set
		}
	}
	return a, nil
}

// Access says whether who may do what mask asks to an inode.
func (v *Volume) Access(ctx context.Context, who Cred, ino Ino, mask uint16) error {
	a, err := v.GetAttr(ctx, ino)
	if err != nil {
		return err
	}
	return v.permitted(ctx, who, &a, mask)
}

// Readlink gives the target of a symlink.
func (v *Volume) Readlink(ctx context.Context, ino Ino) (string, error) {
	defer v.timed("ReadLink", v.began())
	var target string
	err := v.view(ctx, func() string { return fmt.Sprintf("target of inode %d", ino) }, Want{}, func(r Reader) error {
		var ok bool
		var err error
		if target, ok, err = r.Symlink(ino); err != nil || ok {
			return err
		}
		if _, err := existing(r, ino); err != nil {
			return err
		}
		return posix.EINVAL
	})
	return target, err
}

// Link makes another name for an inode.
func (v *Volume) Link(ctx context.Context, who Cred, ino, dir Ino, name string) (Attr, error) {
	defer v.timed("Link", v.began())
	if dir.IsTrash() || ino.IsTrash() {
		return Attr{}, posix.EPERM
	}
	if err := checkName(name); err != nil {
		return Attr{}, err
	}
	var a Attr
	unnamed := false
	what := func() string { return fmt.Sprintf("link inode %d to %d/%q", ino, dir, name) }
	want := Want{Attrs: []Ino{ino}, Perms: []Ino{dir}, Entries: []Name{{dir, name}}}
	err := v.update(ctx, what, want, func(tx Tx) error {
		var err error
		if a, err = existing(tx, ino); err != nil {
			return err
		}
		if a.Type == TypeDirectory {
			return posix.EPERM
		}
		p, err := writableDir(tx, who, dir)
		if err != nil {
			return err
		}
		if p.Flags&FlagImmutable != 0 || a.Flags&(FlagImmutable|FlagAppend) != 0 {
			return posix.EPERM
		}
		switch _, taken, err := tx.Entry(dir, name); {
		case err != nil:
			return err
		case taken:
			return posix.EEXIST
		case a.Nlink == 0 && !v.sess.mayLink(ino):
			return posix.ENOENT
		}
		// Nothing more is charged to the owner, but a full quota is to be felt.
		if err := v.checkOwner(&a, use{inodes: 1}); err != nil {
			return err
		}
		if err := v.checkDir(dir, charge(&a)); err != nil {
			return err
		}
		unnamed = a.Nlink == 0
		switch {
		case unnamed:
			a.Parent = dir
			tx.DropSustained(v.Sid(), ino)
		case a.Parent != 0:
			tx.AddParent(ino, a.Parent, 1)
			a.Parent = 0
			fallthrough
		default:
			tx.AddParent(ino, dir, 1)
		}
		a.Nlink++
		a.Ctime = v.time()
		tx.SetAttr(ino, &a)
		tx.SetEntry(dir, name, Entry{Type: a.Type, Ino: ino})
		tx.Touch(dir, a.Ctime, 0, v.opt.SkipDirMtime)
		return nil
	})
	if err != nil {
		return Attr{}, err
	}
	if unnamed {
		v.sess.forget(ino)
	}
	v.chargeDir(ctx, dir, statOf(&a))
	return a, nil
}
