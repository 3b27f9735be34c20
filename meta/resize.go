package meta

import "context"

// holders are the directories that an inode has entries in: one, or several with the number of entries each. None has
// one that is not charged for the inode.
type holders struct {
	dir  Ino           // 0: none, or many
	many map[Ino]int64 // nil: not many
}

// holdersOf reads, inside a transaction, which directories a change of a file's length is charged to. Afterwards the
// file may have moved, and then others would be charged.
func (v *Volume) holdersOf(r Reader, ino Ino, a *Attr) (holders, error) {
	switch {
	case a.Nlink == 0: // an open file without a name is in no directory
		return holders{}, nil
	case a.Parent != 0:
		return holders{dir: a.Parent}, nil
	case !v.format.Load().DirStats && v.quotas.dirs.Load() == 0:
		return holders{}, nil
	}
	many, err := r.Parents(ino)
	return holders{many: many}, err
}

// resize does, inside a transaction, what a change of a file's length asks for besides writing the attribute: it
// checks that there is room, and counts the usage. After the commit resized must follow.
func (v *Volume) resize(tx Tx, ino Ino, old, a *Attr) (holders, error) {
	if a.Length == old.Length {
		return holders{}, nil
	}
	in, err := v.holdersOf(tx, ino, old)
	if err != nil {
		return holders{}, err
	}
	grown := a.Space() - old.Space()
	if err := v.checkGrowth(in, old, grown); err != nil {
		return holders{}, err
	}
	if grown != 0 {
		tx.AddUsage(grown, 0)
	}
	return in, nil
}

// resized does what follows a commit that changed the length of a file in these directories.
func (v *Volume) resized(ctx context.Context, in holders, old, a *Attr) {
	d := DirStat{Length: int64(a.Length) - int64(old.Length), Space: a.Space() - old.Space()}
	if d == (DirStat{}) {
		return
	}
	v.usage.add(d.Space, 0)
	v.chargeOwner(a, use{space: d.Space})
	if in.dir != 0 {
		v.chargeDir(ctx, in.dir, d)
	}
	for dir, n := range in.many {
		v.chargeDir(ctx, dir, DirStat{Length: d.Length * n, Space: d.Space * n})
	}
}
