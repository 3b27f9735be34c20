package meta

import (
	"cmp"
	"maps"
	"slices"
)

// HeldFlock is a BSD lock of a session, with the names that status shows.
type HeldFlock struct {
	Inode Ino
	Owner uint64
	Ltype string // "R" or "W"
}

// HeldPlock is the record locks of an owner in a session.
type HeldPlock struct {
	Inode   Ino
	Owner   uint64
	Records []HeldRange
}

// HeldRange is a record lock as status shows it, see Plock.
type HeldRange struct {
	Type, Pid  uint32
	Start, End uint64
}

// LocksOf gives the locks of a session in the order of inodes and owners.
func LocksOf(r Reader, sid uint64) (flocks []HeldFlock, plocks []HeldPlock, err error) {
	inodes, err := r.Locked(sid)
	if err != nil {
		return nil, nil, err
	}
	for _, ino := range inodes {
		f, err := r.Flocks(ino)
		if err != nil {
			return nil, nil, err
		}
		for _, o := range ownersIn(f, sid) {
			flocks = append(flocks, HeldFlock{ino, o.Owner, string(byte(f[o]))})
		}
		p, err := r.Plocks(ino)
		if err != nil {
			return nil, nil, err
		}
		for _, o := range ownersIn(p, sid) {
			held := HeldPlock{Inode: ino, Owner: o.Owner}
			for _, l := range p[o] {
				held.Records = append(held.Records, HeldRange{l.Type, l.PID, l.Start, l.End})
			}
			plocks = append(plocks, held)
		}
	}
	return flocks, plocks, nil
}

func ownersIn[T any](locks map[LockOwner]T, sid uint64) []LockOwner {
	all := slices.SortedFunc(maps.Keys(locks), func(a, b LockOwner) int { return cmp.Compare(a.Owner, b.Owner) })
	return slices.DeleteFunc(all, func(o LockOwner) bool { return o.Sid != sid })
}
