package maintain

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"jfs/internal/posix"
	"jfs/meta"
)

// paths finds a path of an inode by way of its parents. Directories that were found once are remembered.
type paths struct {
	v    *meta.Volume
	dirs map[meta.Ino]string
}

// maxDirs is how many directories are remembered.
const maxDirs = 100_000

// maxDepth ends the search in a damaged tree whose parents go in a circle.
const maxDepth = 10_000

func newPaths(v *meta.Volume) *paths { return &paths{v: v, dirs: map[meta.Ino]string{}} }

// of gives a path from the root. Where the tree has a hole the path begins with the inode below it.
func (p *paths) of(ctx context.Context, ino meta.Ino) (string, error) {
	type step struct {
		ino  meta.Ino
		name string
	}
	var below []step // the deepest first
	top, known := "", false
	for len(below) < maxDepth {
		if top, known = p.known(ino); known {
			break
		}
		parent, name, err := p.entry(ctx, ino)
		if err != nil {
			return "", err
		}
		if name == "" {
			break
		}
		below = append(below, step{ino, name})
		ino = parent
	}
	if !known {
		top = fmt.Sprintf("<inode %d>", ino)
	}
	for i := len(below) - 1; i >= 0; i-- {
		top = strings.TrimSuffix(top, "/") + "/" + below[i].name
		if i > 0 && len(p.dirs) < maxDirs {
			p.dirs[below[i].ino] = top
		}
	}
	return top, nil
}

func (p *paths) known(ino meta.Ino) (string, bool) {
	switch ino {
	case meta.RootIno:
		return "/", true
	case meta.TrashIno:
		return "/.trash", true
	}
	top, ok := p.dirs[ino]
	return top, ok
}

// entry finds an entry of an inode; name is "" if there is none.
func (p *paths) entry(ctx context.Context, ino meta.Ino) (parent meta.Ino, name string, err error) {
	a, err := p.v.GetAttr(ctx, ino)
	if errors.Is(err, posix.ENOENT) {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", err
	}
	parents := []meta.Ino{a.Parent}
	if a.Parent == 0 {
		parents = parents[:0]
		err := p.v.Engine().View(ctx, meta.Want{}, func(r meta.Reader) error {
			links, err := r.Parents(ino)
			for dir, n := range links {
				if n > 0 {
					parents = append(parents, dir)
				}
			}
			return err
		})
		if err != nil {
			return 0, "", err
		}
	}
	for _, dir := range parents {
		name, err := p.nameIn(ctx, dir, ino)
		if err != nil || name != "" {
			return dir, name, err
		}
	}
	return 0, "", nil
}

// errFound ends a listing.
var errFound = errors.New("found")

func (p *paths) nameIn(ctx context.Context, dir, ino meta.Ino) (name string, err error) {
	err = readDir(ctx, p.v, dir, false, func(page []meta.Dirent) error {
		for _, e := range page {
			if e.Ino == ino {
				name = e.Name
				return errFound
			}
		}
		return nil
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return name, err
}
