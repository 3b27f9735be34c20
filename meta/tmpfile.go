package meta

import (
	"context"
	"fmt"

	"jfs/internal/posix"
)

// Tmpfile makes a regular file without a name, as open(2) with O_TMPFILE does, and counts an open handle of it. It
// goes with its last handle unless Link has given it a name before. dir is where it would be. What is stored is what
// creating it and removing it at once, past the trash, leaves behind.
func (v *Volume) Tmpfile(ctx context.Context, who Cred, dir Ino, n New) (Ino, Attr, error) {
	n.Type = TypeFile
	switch {
	case dir.IsTrash():
		return 0, Attr{}, posix.EPERM
	case v.opt.ReadOnly:
		return 0, Attr{}, posix.EROFS
	case v.Sid() == 0: // nobody would remove it if this client died
		return 0, Attr{}, posix.ENOTSUP
	}
	id, err := v.inodes.take(ctx)
	if err != nil {
		return 0, Attr{}, err
	}
	ino := Ino(id)
	var a Attr
	what := func() string { return fmt.Sprintf("create a file without a name in %d", dir) }
	err = v.update(ctx, what, Want{Perms: []Ino{dir}}, func(tx Tx) error {
		p, err := writableDir(tx, who, dir)
		if err != nil {
			return err
		}
		if p.Flags&FlagImmutable != 0 {
			return posix.EPERM
		}
		a = v.newAttr(who, dir, &p, n)
		if err := inheritACL(tx, &p, n, &a); err != nil {
			return err
		}
		a.Nlink = 0
		if err := v.checkOwner(&a, charge(&a)); err != nil { // no directory pays for it
			return err
		}
		if err := v.checkRoom(pageSize, 1); err != nil {
			return err
		}
		tx.SetAttr(ino, &a)
		tx.SetSustained(v.Sid(), ino)
		tx.AddUsage(pageSize, 1)
		return nil
	})
	if err != nil {
		return 0, Attr{}, err
	}
	v.usage.add(pageSize, 1)
	v.chargeOwner(&a, charge(&a))
	v.retain(ino)
	v.sess.keep(ino, true)
	return ino, a, nil
}
