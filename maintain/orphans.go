package maintain

import (
	"context"
	"errors"

	"jfs/internal/posix"
	"jfs/meta"
)

// removeOrphans removes inodes to which no entry leads.
func (g *gc) removeOrphans(ctx context.Context) error {
	orphans, err := g.findOrphans(ctx)
	if err != nil {
		return err
	}
	for _, ino := range orphans {
		err := g.v.RemoveOrphan(ctx, ino, g.start.Add(-g.o.Age))
		switch {
		case errors.Is(err, posix.EBUSY):
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			g.r.Failed++
			g.log.Warn("remove inode without entry", "inode", ino, "err", err)
		default:
			g.r.Orphans++
			g.log.Info("removed inode without entry", "inode", ino)
		}
	}
	return nil
}

// findOrphans lists inodes that have no entry, have not changed for a while, and are kept by nobody. An entry that moves
// from a directory that was not read yet to one that was would be missed, but then the inode has just changed. It takes
// a bit for each inode of the volume.
func (g *gc) findOrphans(ctx context.Context) ([]meta.Ino, error) {
	var named once
	p := newPool(ctx, g.o.Threads)
	err := scanNodes(ctx, g.v, func(n meta.Node) error {
		if n.Attr.Type != meta.TypeDirectory {
			return nil
		}
		p.Go(func(ctx context.Context) error {
			return readDir(ctx, g.v, n.Ino, false, func(page []meta.Dirent) error {
				for _, e := range page {
					named.add(uint64(e.Ino))
				}
				g.o.Progress.add(StepInodes, len(page))
				return nil
			})
		})
		return p.ctx.Err()
	})
	if err := p.end(err); err != nil {
		return nil, err
	}
	kept, err := g.kept(ctx)
	if err != nil {
		return nil, err
	}
	limit := g.start.Add(-g.o.Age)
	var orphans []meta.Ino
	var seen once
	err = scanNodes(ctx, g.v, func(n meta.Node) error {
		switch {
		case n.Ino == meta.RootIno, n.Ino == meta.TrashIno, named.has(uint64(n.Ino)), kept[n.Ino]:
		case !n.Attr.Ctime.Time().Before(limit):
		case seen.add(uint64(n.Ino)):
			orphans = append(orphans, n.Ino)
		}
		return nil
	})
	return orphans, err
}

// removeOrphanChunks removes the chunk lists of inodes that are gone. An inode is made before or with its chunks, so one
// that is missed in the first listing is looked for again before anything is removed. It takes a bit for each inode of
// the volume.
func (g *gc) removeOrphanChunks(ctx context.Context) error {
	var there once
	err := scanNodes(ctx, g.v, func(n meta.Node) error {
		there.add(uint64(n.Ino))
		return nil
	})
	if err != nil {
		return err
	}
	const most = 1000 // lists of one transaction
	var lost []meta.ChunkID
	drop := func() error {
		n, err := g.v.DropOrphanChunks(ctx, lost)
		g.r.Lost += int64(n)
		lost = lost[:0]
		return err
	}
	err = scanChunks(ctx, g.v, func(c meta.ChunkRecord) error {
		if there.has(uint64(c.Ino)) {
			return nil
		}
		if lost = append(lost, c.ChunkID); len(lost) < most {
			return nil
		}
		return drop()
	})
	if err == nil && len(lost) > 0 {
		err = drop()
	}
	return err
}

// kept are the inodes that have no entry for a reason: unlinked and open somewhere, or a clone under way.
func (g *gc) kept(ctx context.Context) (map[meta.Ino]bool, error) {
	kept := map[meta.Ino]bool{}
	err := g.v.Engine().View(ctx, meta.Want{}, func(r meta.Reader) error {
		clear(kept)
		sessions, err := r.Sessions()
		if err != nil {
			return err
		}
		for _, s := range sessions {
			inodes, err := r.Sustained(s.Sid)
			if err != nil {
				return err
			}
			for _, ino := range inodes {
				kept[ino] = true
			}
		}
		clones, err := r.Detached(g.start.Add(clonesAge).Unix(), everything)
		for _, ino := range clones {
			kept[ino] = true
		}
		return err
	})
	return kept, err
}
