package meta

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
)

// Info is what is known of an inode.
type Info struct {
	Ino    Ino
	Attr   Attr
	Paths  []string // from the root of the volume; several if the file has several names
	Totals Totals
	Chunks []ChunkRecord // of a regular file; those that have a list, in ascending order
}

// InfoOptions says what the totals of a directory cover.
type InfoOptions struct {
	Recursive bool // all that is below, not only the direct entries
	Strict    bool // see Summary
}

// Info gives what is known of an inode. The paths of a file take a look through the directories that hold it.
func (v *Volume) Info(ctx context.Context, ino Ino, opt InfoOptions) (Info, error) {
	i := Info{Ino: ino}
	var err error
	if i.Attr, err = v.GetAttr(ctx, ino); err != nil {
		return i, err
	}
	if i.Paths, err = v.Paths(ctx, ino); err != nil {
		return i, err
	}
	if opt.Recursive {
		i.Totals, err = v.Summary(ctx, ino, opt.Strict)
	} else {
		i.Totals, err = v.DirectTotals(ctx, ino)
	}
	if err == nil && i.Attr.Type == TypeFile {
		i.Chunks, err = v.chunks(ctx, ino, i.Attr.Length)
	}
	return i, err
}

// chunks gives all chunk lists of a file.
func (v *Volume) chunks(ctx context.Context, ino Ino, length uint64) ([]ChunkRecord, error) {
	what := func() string { return fmt.Sprintf("chunks of inode %d", ino) }
	var indexes []uint32
	err := v.view(ctx, what, Want{}, func(r Reader) (err error) {
		indexes, err = r.Chunks(ino, length)
		return err
	})
	if err != nil {
		return nil, err
	}
	all := make([]ChunkRecord, 0, len(indexes))
	const most = 200 // chunks of one trip
	for part := range slices.Chunk(indexes, most) {
		ids := make([]ChunkID, len(part))
		for i, index := range part {
			ids[i] = ChunkID{ino, index}
		}
		n := len(all)
		err := v.view(ctx, what, Want{Chunks: ids}, func(r Reader) error {
			all = all[:n]
			for _, id := range ids {
				records, err := r.Chunk(id.Ino, id.Index)
				if err != nil {
					return err
				}
				if len(records) > 0 {
					all = append(all, ChunkRecord{id, records})
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// TrashPath is the path under which paths into the trash are given.
const TrashPath = "/.trash"

// Paths gives the paths of an inode from the root of the volume, sorted; none if no entry leads to it.
func (v *Volume) Paths(ctx context.Context, ino Ino) ([]string, error) {
	switch ino {
	case RootIno:
		return []string{"/"}, nil
	case TrashIno:
		return []string{TrashPath}, nil
	}
	parents, err := v.parents(ctx, ino)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, dir := range slices.Sorted(maps.Keys(parents)) {
		at, found, err := v.dirPath(ctx, dir)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		names, err := v.namesIn(ctx, dir, ino, parents[dir])
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			all = append(all, path.Join(at, name))
		}
	}
	slices.Sort(all)
	return all, nil
}

// parents gives the directories that hold an inode, with the number of links in each.
func (v *Volume) parents(ctx context.Context, ino Ino) (map[Ino]int64, error) {
	var parents map[Ino]int64
	what := func() string { return fmt.Sprintf("parents of inode %d", ino) }
	err := v.view(ctx, what, Want{Attrs: []Ino{ino}}, func(r Reader) error {
		a, ok, err := r.Attr(ino)
		switch {
		case err != nil:
			return err
		case !ok:
			parents = nil
		case a.Parent != 0:
			parents = map[Ino]int64{a.Parent: 1}
		default:
			parents, err = r.Parents(ino)
		}
		return err
	})
	return parents, err
}

// dirPath gives the path of a directory.
func (v *Volume) dirPath(ctx context.Context, dir Ino) (at string, found bool, err error) {
	at = "/"
	for n := 0; dir != RootIno && dir != TrashIno; n++ {
		if n == ancestorsDeep {
			return "", false, fmt.Errorf("%w: directory %d is its own ancestor", ErrCorrupt, dir)
		}
		parents, err := v.parents(ctx, dir)
		if err != nil {
			return "", false, err
		}
		var name string
		up := Ino(0)
		for parent := range parents {
			names, err := v.namesIn(ctx, parent, dir, 1)
			if err != nil {
				return "", false, err
			}
			if len(names) > 0 {
				up, name = parent, names[0]
			}
		}
		if up == 0 {
			return "", false, nil
		}
		dir, at = up, path.Join("/", name, at)
	}
	if dir == TrashIno {
		at = path.Join(TrashPath, at)
	}
	return at, true, nil
}

// namesIn finds up to n names of an inode in a directory.
func (v *Volume) namesIn(ctx context.Context, dir, ino Ino, n int64) ([]string, error) {
	var names []string
	for cursor := ""; ; {
		page, next, err := v.Readdir(ctx, dir, cursor, listPage, false)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			if e.Ino == ino && !slices.Contains(names, e.Name) {
				names = append(names, e.Name)
			}
		}
		if cursor = next; cursor == "" || int64(len(names)) >= n {
			return names, nil
		}
	}
}
