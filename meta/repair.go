package meta

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"

	"jfs/internal/posix"
)

// DirState is what the records of a directory say, and what its entries say.
type DirState struct {
	Attr   Attr
	Exists bool // there is an attribute, and it is a directory's

	Subdirs uint32  // entries that are directories
	Counted DirStat // as the entries say

	Stored  DirStat // the usage record
	HasStat bool
}

// Links is the number of links that the directory should have.
func (s *DirState) Links() uint32 { return 2 + s.Subdirs }

// InspectDir reads a directory and counts its entries. each, if not nil, is called for each entry.
func (v *Volume) InspectDir(ctx context.Context, dir Ino, each func(Dirent) error) (DirState, error) {
	var s DirState
	what := func() string { return fmt.Sprintf("inspect directory %d", dir) }
	err := v.view(ctx, what, Want{Attrs: []Ino{dir}}, func(r Reader) error {
		a, ok, err := r.Attr(dir)
		if err != nil {
			return err
		}
		s = DirState{Attr: a, Exists: ok && a.Type == TypeDirectory}
		stats, err := r.DirStats([]Ino{dir})
		s.Stored, s.HasStat = stats[dir]
		return err
	})
	if err != nil {
		return s, err
	}
	// A listing may give a name twice. Of large directories the hashes are kept, not the names.
	seed := maphash.MakeSeed()
	seen := map[uint64]struct{}{}
	for cursor := ""; ; {
		page, next, err := v.Readdir(ctx, dir, cursor, jobBatch, true)
		if err != nil {
			return s, err
		}
		for _, e := range page {
			h := maphash.String(seed, e.Name)
			if _, again := seen[h]; again {
				continue
			}
			seen[h] = struct{}{}
			one := DirStat{Space: pageSize, Inodes: 1}
			if e.Attr != nil {
				one.Length, one.Space = e.Attr.dataLength(), e.Attr.Space()
			}
			s.Counted = s.Counted.plus(one)
			if e.Type == TypeDirectory {
				s.Subdirs++
			}
			if each != nil {
				if err := each(e); err != nil {
					return s, err
				}
			}
		}
		if cursor = next; cursor == "" {
			return s, nil
		}
	}
}

// Repair says what RepairDir is to put right.
type Repair struct {
	Links  bool   // the number of links
	Stat   bool   // the usage record
	Parent Ino    // of a directory without an attribute, which gets one; 0: it stays without
	Mode   uint16 // ... and its permissions
}

// RepairDir writes what InspectDir has counted. If the directory has changed since then it is posix.EBUSY, and the
// caller inspects it again.
func (v *Volume) RepairDir(ctx context.Context, dir Ino, s DirState, r Repair) error {
	what := func() string { return fmt.Sprintf("repair directory %d", dir) }
	return v.update(ctx, what, Want{Attrs: []Ino{dir}}, func(tx Tx) error {
		a, ok, err := tx.Attr(dir)
		switch {
		case err != nil:
			return err
		case ok && a.Type != TypeDirectory:
			return posix.ENOTDIR
		case ok != s.Exists, ok && a != s.Attr:
			return posix.EBUSY
		case !ok && r.Parent == 0:
			return posix.ENOENT
		}
		if !ok {
			now := v.time()
			a = Attr{Type: TypeDirectory, Mode: r.Mode & 07777, Atime: now, Mtime: now, Ctime: now, Nlink: s.Links(), Length: 4096, Parent: r.Parent}
			tx.SetAttr(dir, &a)
		} else if r.Links && a.Nlink != s.Links() {
			a.Nlink = s.Links()
			tx.SetAttr(dir, &a)
		}
		if r.Stat {
			tx.SetDirStat(dir, s.Counted)
		}
		return nil
	})
}

// Usage is the space in bytes and the inodes of the volume as recorded.
func (v *Volume) Usage(ctx context.Context) (space, inodes int64, err error) {
	err = v.view(ctx, func() string { return "read usage" }, Want{}, func(r Reader) (err error) {
		space, inodes, err = r.Usage()
		return err
	})
	return space, inodes, err
}

// CountUsage adds up the space and the number of all inodes: of the tree, of the trash, and of unlinked files that
// somebody has open. first has to say whether an inode comes for the first time.
func (v *Volume) CountUsage(ctx context.Context, first func(Ino) bool) (space, inodes int64, err error) {
	for cursor := ""; ; {
		page, next, err := v.ScanNodes(ctx, cursor, jobBatch)
		if err != nil {
			return 0, 0, err
		}
		for _, n := range page {
			if n.Ino != RootIno && n.Ino != TrashIno && first(n.Ino) {
				space += n.Attr.Space()
				inodes++
			}
		}
		if cursor = next; cursor == "" {
			return space, inodes, nil
		}
	}
}

// CorrectUsage adds to the usage of the volume what a count has shown to be missing.
func (v *Volume) CorrectUsage(ctx context.Context, space, inodes int64) error {
	if space == 0 && inodes == 0 {
		return nil
	}
	err := v.update(ctx, func() string { return "correct usage" }, Want{}, func(tx Tx) error {
		tx.AddUsage(space, inodes)
		return nil
	})
	if err != nil && !errors.Is(err, ErrUnknown) {
		return err
	}
	return errors.Join(err, v.refreshUsage(ctx))
}
