package meta

import (
	"context"
	"fmt"
	"strings"

	"jfs/internal/posix"
)

// Limits of names.
const (
	MaxName    = 255  // bytes of a name
	MaxSymlink = 4096 // bytes of a symlink's target
)

// checkName says why a name cannot be given to a new entry.
func checkName(name string) error {
	switch {
	case len(name) > MaxName:
		return posix.ENAMETOOLONG
	case name == "" || strings.ContainsAny(name, "/\x00"):
		return posix.EINVAL
	case name == "." || name == "..":
		return posix.EEXIST
	}
	return nil
}

// New describes an inode to be made.
type New struct {
	Type   Type
	Mode   uint16 // 07777
	Umask  uint16
	Rdev   uint32 // of a device
	Target string // of a symlink
}

// Mknod makes an inode of any type and enters it into a directory.
func (v *Volume) Mknod(ctx context.Context, who Cred, dir Ino, name string, n New) (Ino, Attr, error) {
	defer v.timed("Mknod", v.began())
	switch {
	case !n.Type.Valid():
		return 0, Attr{}, posix.EINVAL
	case dir.IsTrash():
		return 0, Attr{}, posix.EPERM
	case v.opt.ReadOnly:
		return 0, Attr{}, posix.EROFS
	}
	if err := checkName(name); err != nil {
		return 0, Attr{}, err
	}
	if n.Type == TypeSymlink && (n.Target == "" || len(n.Target) > MaxSymlink || strings.ContainsRune(n.Target, 0)) {
		return 0, Attr{}, posix.EINVAL
	}
	id, err := v.inodes.take(ctx)
	if err != nil {
		return 0, Attr{}, err
	}
	ino := Ino(id)
	var a Attr
	want := Want{Perms: []Ino{dir}, Entries: []Name{{dir, name}}}
	err = v.update(ctx, func() string { return fmt.Sprintf("create %d/%q", dir, name) }, want, func(tx Tx) error {
		p, err := writableDir(tx, who, dir)
		if err != nil {
			return err
		}
		if p.Flags&FlagImmutable != 0 {
			return posix.EPERM
		}
		switch _, taken, err := tx.Entry(dir, name); {
		case err != nil:
			return err
		case taken:
			return posix.EEXIST
		}
		a = v.newAttr(who, dir, &p, n)
		if err := inheritACL(tx, &p, n, &a); err != nil {
			return err
		}
		if err := v.checkNew(dir, &a); err != nil {
			return err
		}
		tx.SetAttr(ino, &a)
		tx.SetEntry(dir, name, Entry{Type: n.Type, Ino: ino})
		var links int32
		switch n.Type {
		case TypeSymlink:
			tx.SetSymlink(ino, n.Target)
		case TypeDirectory:
			links = 1
			if v.Format().DirStats {
				tx.SetDirStat(ino, DirStat{})
			}
		}
		tx.Touch(dir, a.Mtime, links, v.opt.SkipDirMtime)
		tx.AddUsage(pageSize, 1)
		return nil
	})
	if err != nil {
		return 0, Attr{}, err
	}
	v.usage.add(pageSize, 1)
	v.chargeOwner(&a, charge(&a))
	if n.Type == TypeDirectory && v.quotas.dirs.Load() > 0 {
		v.ancestors.add(ino, dir, v.now().Add(ancestorsTTL))
	}
	v.chargeDir(ctx, dir, DirStat{Space: pageSize, Inodes: 1})
	return ino, a, nil
}

// writableDir reads a directory in which an entry is to be made or removed.
func writableDir(r Reader, who Cred, dir Ino) (Attr, error) {
	p, err := trashedDir(r, who, dir)
	if err == nil && p.Parent > TrashIno { // the directory itself was removed
		err = posix.ENOENT
	}
	return p, err
}

// trashedDir is writableDir for a directory that may have been moved into the trash.
func trashedDir(r Reader, who Cred, dir Ino) (Attr, error) {
	p, ok, err := r.Perm(dir)
	switch {
	case err != nil:
		return p, err
	case !ok:
		return p, posix.ENOENT
	case p.Type != TypeDirectory:
		return p, posix.ENOTDIR
	}
	return p, access(r, who, &p, MayWrite|MayExec)
}

// newAttr is the attribute of a new inode in directory p.
func (v *Volume) newAttr(who Cred, dir Ino, p *Attr, n New) Attr {
	now := v.time()
	a := Attr{
		Flags: p.Flags & FlagSkipTrash, Type: n.Type, Mode: n.Mode & 07777 &^ n.Umask,
		UID: who.UID, GID: who.GID, Atime: now, Mtime: now, Ctime: now,
		Nlink: 1, Parent: dir, Tier: p.Tier,
	}
	switch n.Type {
	case TypeDirectory:
		a.Nlink, a.Length = 2, 4096
	case TypeSymlink:
		a.Mode, a.Length = 0777, uint64(len(n.Target))
	case TypeBlockDev, TypeCharDev:
		a.Rdev = n.Rdev
	}
	if p.Mode&ModeSetGID != 0 {
		a.GID = p.GID
		switch {
		case n.Type == TypeDirectory:
			a.Mode |= ModeSetGID
		case n.Mode&(ModeSetGID|010) == ModeSetGID|010 && who.UID != 0 && !who.Checked && !who.member(p.GID):
			a.Mode &^= ModeSetGID
		}
	}
	return a
}
