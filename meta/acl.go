package meta

import (
	"context"
	"fmt"

	"jfs/internal/posix"
)

// aclClientVersion is the oldest client that knows ACLs.
const aclClientVersion = "1.2.0-A"

// TurnOnACL lets the volume have POSIX ACLs, which cannot be taken back. Clients that are too old to know them are
// shut out.
func (f *Format) TurnOnACL() {
	f.EnableACL = true
	if compareVersions(f.MinClientVersion, aclClientVersion) < 0 {
		f.MinClientVersion = aclClientVersion
	}
}

// SetFacl sets one of the access control lists of an inode; an empty one removes it.
func (v *Volume) SetFacl(ctx context.Context, who Cred, ino Ino, typ ACLType, rule ACL) error {
	defer v.timed("SetFacl", v.began())
	switch {
	case !v.format.Load().EnableACL:
		return posix.ENOTSUP
	case typ != ACLAccess && typ != ACLDefault:
		return posix.EINVAL
	case ino.IsTrash():
		return posix.EPERM
	}
	what := func() string { return fmt.Sprintf("set ACL of inode %d", ino) }
	return v.update(ctx, what, Want{Attrs: []Ino{ino}}, func(tx Tx) error {
		old, err := existing(tx, ino)
		if err != nil {
			return err
		}
		switch {
		case old.Type == TypeSymlink:
			return posix.ENOTSUP
		case old.Flags&FlagImmutable != 0, who.UID != 0 && who.UID != old.UID:
			return posix.EPERM
		case typ == ACLDefault && old.Type != TypeDirectory:
			if rule.IsEmpty() {
				return nil
			}
			return posix.EACCES
		}
		a := old
		if who.UID != 0 && !who.member(old.GID) {
			a.Mode &^= ModeSetGID
		}
		if err := setACL(tx, &a, typ, rule); err != nil || a == old {
			return err
		}
		a.Ctime = v.time()
		tx.SetAttr(ino, &a)
		return nil
	})
}

// setACL enters a list into an attribute.
func setACL(tx Tx, a *Attr, typ ACLType, rule ACL) error {
	id := &a.AccessACL
	if typ == ACLDefault {
		id = &a.DefaultACL
	}
	if rule.IsEmpty() {
		*id = 0
		return nil
	}
	rule = rule.filled(a.Mode)
	if typ == ACLAccess {
		a.Mode = a.Mode&^0777 | rule.perms()
		if rule.isMinimal() {
			*id = 0
			return nil
		}
	}
	n, err := storeACL(tx, rule)
	if err == nil {
		*id = n
	}
	return err
}

// GetFacl gives one of the access control lists of an inode; ENODATA if it has none.
func (v *Volume) GetFacl(ctx context.Context, ino Ino, typ ACLType) (ACL, error) {
	defer v.timed("GetFacl", v.began())
	switch {
	case !v.format.Load().EnableACL:
		return ACL{}, posix.ENOTSUP
	case typ != ACLAccess && typ != ACLDefault:
		return ACL{}, posix.EINVAL
	}
	var rule ACL
	what := func() string { return fmt.Sprintf("ACL of inode %d", ino) }
	err := v.view(ctx, what, Want{Attrs: []Ino{ino}}, func(r Reader) error {
		a, err := existing(r, ino)
		if err != nil {
			return err
		}
		id := a.AccessACL
		if typ == ACLDefault {
			id = a.DefaultACL
		}
		if id == 0 {
			return posix.ENODATA
		}
		stored, err := loadACL(r, id)
		if err == nil {
			rule = *stored
		}
		return err
	})
	return rule, err
}

// inheritACL gives a new inode what the default list of its directory p says. It takes the place of the umask.
func inheritACL(tx Tx, p *Attr, n New, a *Attr) error {
	if p.DefaultACL == 0 || n.Type == TypeSymlink {
		return nil
	}
	if n.Type == TypeDirectory {
		a.DefaultACL = p.DefaultACL
	}
	def, err := loadACL(tx, p.DefaultACL)
	if err != nil {
		return err
	}
	rule := def.inherited(n.Mode)
	a.Mode = a.Mode&^0777 | rule.perms()
	if rule.isMinimal() {
		return nil
	}
	a.AccessACL, err = storeACL(tx, rule)
	return err
}

// chmodACL brings the access list of an inode, if it has one, in line with its new mode.
func chmodACL(tx Tx, a *Attr) error {
	if a.AccessACL == 0 {
		return nil
	}
	rule, err := loadACL(tx, a.AccessACL)
	if err != nil {
		return err
	}
	a.AccessACL, err = storeACL(tx, rule.withMode(a.Mode))
	return err
}

// permitted is access for an attribute that was read before.
func (v *Volume) permitted(ctx context.Context, who Cred, a *Attr, mask uint16) error {
	if !usesACL(who, a) {
		return access(nil, who, a, mask)
	}
	what := func() string { return fmt.Sprintf("ACL rule %d", a.AccessACL) }
	return v.view(ctx, what, Want{}, func(r Reader) error { return access(r, who, a, mask) })
}
