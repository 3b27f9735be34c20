package meta

import "slices"

// losing is an inode, no directory, that loses links of one directory in one transaction.
type losing struct {
	removal
	entry Entry
	drops int64    // links that go
	moves int64    // links that move into the trash
	names []string // of the moves, if there may be several
}

// newLosing begins the loss of links of an inode with its attribute as it was read.
func newLosing(e Entry, a Attr, now Time) losing {
	return losing{entry: e, removal: removal{ino: e.Ino, attr: a, at: now.Sec}}
}

// lose takes the link (dir, name) away. The entry itself is removed or replaced by the caller. finish must follow.
func (l *losing) lose(tx Tx, dir Ino, name string, trash Ino) error {
	l.stat = l.stat.plus(statOf(&l.attr))
	if l.attr.Flags&FlagSkipTrash != 0 {
		trash = 0
	}
	if trash != 0 && l.attr.Nlink > 1 {
		// Another link of the same name and place is in the trash already: one is enough to restore it.
		in := trashName(dir, l.ino, name)
		_, there, err := tx.Entry(trash, in)
		if err != nil {
			return err
		}
		if there || slices.Contains(l.names, in) {
			trash = 0
		} else {
			l.names = append(l.names, in)
		}
	}
	if trash == 0 {
		l.drops++
		return nil
	}
	l.moves++
	l.trash = trash
	l.trashed = l.trashed.plus(statOf(&l.attr))
	tx.SetEntry(trash, trashName(dir, l.ino, name), l.entry)
	return nil
}

// finish writes what becomes of the inode.
func (l *losing) finish(tx Tx, rm *removals, dir Ino, now Time) {
	v := rm.v
	a := l.attr
	a.Ctime = now
	links := max(int64(a.Nlink)-l.drops, l.moves)
	switch {
	case links > 0:
		a.Nlink = uint32(links)
		if a.Parent == 0 {
			if l.moves > 0 {
				tx.AddParent(l.ino, l.trash, l.moves)
			}
			tx.AddParent(l.ino, dir, -l.moves-l.drops)
		} else if l.moves > 0 {
			a.Parent = l.trash
		}
		tx.SetAttr(l.ino, &a)
	case a.Type == TypeFile && v.Sid() != 0 && !rm.claim(l.ino):
		a.Nlink = 0
		tx.DropXattrs(l.ino)
		tx.DropParents(l.ino)
		tx.SetAttr(l.ino, &a)
		tx.SetSustained(v.Sid(), l.ino)
		l.kept = true
	default:
		v.dropInode(tx, l.ino, &a, now)
		l.gone, l.data = true, a.Type == TypeFile
	}
}

// dropLink takes away one link, (dir, name), of an inode that is no directory. The entry itself is removed or
// replaced by the caller.
func (v *Volume) dropLink(tx Tx, rm *removals, dir Ino, name string, e Entry, a Attr, trash Ino, now Time) (removal, error) {
	l := newLosing(e, a, now)
	if err := l.lose(tx, dir, name, trash); err != nil {
		return l.removal, err
	}
	l.finish(tx, rm, dir, now)
	return l.removal, nil
}
