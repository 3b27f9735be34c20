package metatest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// race is something that several clients do at the same time, round for round, on one volume.
type race struct {
	name    string
	edit    func(*meta.Format)          // of the volume; nil: none
	before  func(c *client)             // is done by one client before the others open the volume; nil: nothing
	run     func(c *client, who, n int) // is one client's part of round n
	recount bool                        // directories come back that lost their statistics: what they hold is counted while others change it
}

const raceClients = 4

// soakEnv makes races as long as when they were written, which "make soak" and "make race" do. Otherwise all of them, on all
// engines, are as long as a run for each change has time for.
const soakEnv = "JFS_TEST_SOAK"

func raceRounds() int {
	if os.Getenv(soakEnv) != "" {
		return 40
	}
	return 16
}

// freeNothing is for volumes without objects.
func freeNothing(context.Context, []meta.SliceRef) []error { return nil }

// runRace runs a race and checks that the volume is whole.
func runRace(t *testing.T, database Database, r race) {
	connect := database(t)
	first := format(t, connect(), r.edit)
	if r.before != nil {
		r.before(first)
	}
	first.noErr("close", first.Volume.Close(first.ctx))
	first.noErr("close engine", first.eng.Close())
	var cs []*client
	for len(cs) < raceClients {
		c := openVolume(t, connect(), meta.Options{FreeSlices: freeNothing})
		c.session()
		cs = append(cs, c)
	}
	for n := range raceRounds() {
		var wg sync.WaitGroup
		for who, c := range cs {
			wg.Go(func() { r.run(c, who, n) })
		}
		wg.Wait()
		if t.Failed() {
			return
		}
	}
	var wg sync.WaitGroup
	for _, c := range cs {
		wg.Go(func() {
			c.oneOf("close", c.Volume.Close(c.ctx), nil)
			c.oneOf("close engine", c.eng.Close(), nil) // which may still hold usage
		})
	}
	wg.Wait()
	c := openVolume(t, connect(), meta.Options{FreeSlices: freeNothing})
	_, err := c.CleanDeletedFiles(c.ctx, time.Now().Add(time.Hour).Unix(), nil)
	c.noErr("free data of removed files", err)
	_, err = c.CleanDeadSlices(c.ctx, nil)
	c.noErr("free slices", err)
	check(t, c.Volume, Checks{NoStatistics: r.recount})
}

// made makes an entry or finds the one that somebody else has made, 0 if it is gone again.
func (c *client) made(dir meta.Ino, name string, typ meta.Type) meta.Ino {
	ino, _, err := c.Mknod(c.ctx, meta.Root, dir, name, meta.New{Type: typ, Mode: 0755, Target: "t"})
	if c.oneOf("make "+name, err, nil, posix.EEXIST, posix.ENOENT) == nil {
		return ino
	}
	ino, _, err = c.Lookup(c.ctx, meta.Root, dir, name)
	if c.oneOf("look-up of "+name, err, nil, posix.ENOENT) != nil {
		return 0
	}
	return ino
}

// appendTo publishes a slice at a place of a file that may be gone.
func (c *client) appendTo(ino meta.Ino, at, n uint32) {
	id, err := c.NewSlice(c.ctx)
	if c.oneOf("slice", err, nil) != nil {
		return
	}
	s := meta.Slice{Pos: at, ID: id, Size: n, Len: n}
	_, _, err = c.Write(c.ctx, ino, meta.Commit{Slices: []meta.Written{{Slice: s}}, Mtime: meta.Time{Sec: 1}})
	c.oneOf("write", err, nil, posix.ENOENT, posix.EPERM, posix.EDQUOT)
}

// move renames and accepts what may come of it when names come and go and directories may lie below each other.
func (c *client) move(from, to meta.Name, flags uint32) {
	err := c.Rename(c.ctx, meta.Root, from, to, flags)
	c.oneOf("rename", err, nil, posix.ENOENT, posix.EINVAL, posix.EPERM, posix.ENOTEMPTY, posix.EEXIST, posix.ENOTDIR, posix.EISDIR)
}

func races() []race {
	root := meta.RootIno
	trash := func(f *meta.Format) { f.TrashDays = 1 }
	return []race{
		{name: "MkdirRmdirSame", run: func(c *client, who, _ int) {
			if who%2 == 0 {
				_, _, err := c.Mknod(c.ctx, meta.Root, root, "d", meta.New{Type: meta.TypeDirectory, Mode: 0755})
				c.oneOf("mkdir", err, nil, posix.EEXIST)
				return
			}
			c.oneOf("rmdir", c.Rmdir(c.ctx, meta.Root, root, "d"), nil, posix.ENOENT)
		}},
		{name: "MkdirRmdirTrash", edit: trash, run: func(c *client, who, n int) {
			dir := c.made(root, "d", meta.TypeDirectory)
			if who%2 == 0 && dir != 0 {
				c.made(dir, fmt.Sprint("f", n), meta.TypeFile)
				c.oneOf("unlink", c.Unlink(c.ctx, meta.Root, dir, fmt.Sprint("f", n)), nil, posix.ENOENT)
			}
			c.oneOf("rmdir", c.Rmdir(c.ctx, meta.Root, root, "d"), nil, posix.ENOENT, posix.ENOTEMPTY)
		}},
		{name: "Circles", run: raceCircles},
		{name: "ExchangeCircles", run: func(c *client, who, n int) {
			a, b := c.made(root, fmt.Sprint("a", n), meta.TypeDirectory), c.made(root, fmt.Sprint("b", n), meta.TypeDirectory)
			if a == 0 || b == 0 {
				return
			}
			c.made(a, "x", meta.TypeDirectory)
			c.made(b, "y", meta.TypeDirectory)
			pairs := [][2]meta.Name{
				{nm(root, fmt.Sprint("a", n)), nm(b, "y")}, {nm(root, fmt.Sprint("b", n)), nm(a, "x")},
				{nm(a, "x"), nm(b, "y")}, {nm(root, fmt.Sprint("a", n)), nm(root, fmt.Sprint("b", n))},
			}
			c.move(pairs[who][0], pairs[who][1], meta.RenameExchange)
		}},
		{name: "UnlinkOpen", run: raceUnlinkOpen},
		{name: "UnlinkOpenTrash", edit: trash, run: raceUnlinkOpen},
		{name: "RenameOntoOpen", run: func(c *client, who, n int) {
			const name = "target"
			if who%2 == 0 {
				mine := fmt.Sprintf("m%d-%d", n, who)
				ino := c.made(root, mine, meta.TypeFile)
				c.appendTo(ino, 0, 5000)
				c.move(nm(root, mine), nm(root, name), 0)
				return
			}
			ino, _, err := c.Lookup(c.ctx, meta.Root, root, name)
			if c.oneOf("look-up", err, nil, posix.ENOENT) == nil {
				c.useOpen(ino)
			}
		}},
		{name: "LinkUnlinkTrash", edit: trash, run: func(c *client, who, n int) {
			d := c.made(root, "d", meta.TypeDirectory)
			name := fmt.Sprint("f", n)
			ino := c.made(root, name, meta.TypeFile)
			if ino != 0 {
				_, err := c.Link(c.ctx, meta.Root, ino, d, fmt.Sprint(name, "-", who%2))
				c.oneOf("link", err, nil, posix.ENOENT, posix.EEXIST, posix.EPERM)
			}
			c.oneOf("unlink", c.Unlink(c.ctx, meta.Root, root, name), nil, posix.ENOENT)
			c.oneOf("unlink of a link", c.Unlink(c.ctx, meta.Root, d, fmt.Sprint(name, "-", who%2)), nil, posix.ENOENT)
		}},
		{name: "CopyRangeCompact", run: raceCopyRange},
		{name: "CloneRemove", run: func(c *client, who, n int) {
			src := c.made(root, "src", meta.TypeDirectory)
			if src == 0 {
				return
			}
			sub := c.made(src, fmt.Sprint("sub", n%4), meta.TypeDirectory)
			if sub != 0 {
				if ino := c.made(sub, fmt.Sprint("f", who), meta.TypeFile); ino != 0 {
					c.appendTo(ino, uint32(n)*100, 5000)
				}
			}
			copied := fmt.Sprintf("copy%d", n%2)
			if who < 2 {
				_, err := c.Clone(c.ctx, meta.Root, src, root, copied, meta.CloneOptions{})
				c.oneOf("clone", err, nil, posix.EEXIST, posix.ENOENT)
				return
			}
			name := [2]string{copied, "src"}[min(n%8/7, 1)]
			c.oneOf("remove "+name, c.RemoveTree(c.ctx, meta.Root, root, name, true, 2, nil), nil, posix.ENOENT, posix.ENOTEMPTY)
		}},
		{name: "RestoreRemove", edit: trash, recount: true, run: func(c *client, who, n int) {
			d := c.made(root, fmt.Sprint("d", n%3), meta.TypeDirectory)
			if d != 0 {
				c.made(d, fmt.Sprint("f", who), meta.TypeFile)
			}
			if who == 0 {
				for _, hour := range c.names(meta.TrashIno) {
					_, err := c.Restore(c.ctx, []string{hour}, meta.RestoreOptions{PutBack: true})
					c.oneOf("restore", err, nil)
				}
				return
			}
			err := c.RemoveTree(c.ctx, meta.Root, root, fmt.Sprint("d", (n+who)%3), who == 3, 2, nil)
			c.oneOf("remove", err, nil, posix.ENOENT, posix.ENOTEMPTY)
		}},
		{name: "Quotas", before: limitsOfRace, run: raceQuotas},
		{name: "QuotasTrash", edit: trash, before: limitsOfRace, run: raceQuotas},
		{name: "Everything", before: ownersOfRace, run: raceEverything},
		{name: "EverythingTrash", edit: trash, before: ownersOfRace, run: raceEverything},
	}
}

// raceCircles moves directories below each other, across directories: together the moves would make circles.
func raceCircles(c *client, who, n int) {
	name := func(s string) string { return fmt.Sprint(s, n) }
	root := meta.RootIno
	a, b := c.made(root, name("a"), meta.TypeDirectory), c.made(root, name("b"), meta.TypeDirectory)
	if a == 0 || b == 0 {
		return
	}
	x, y := c.made(a, "x", meta.TypeDirectory), c.made(b, "y", meta.TypeDirectory)
	if x == 0 || y == 0 {
		return
	}
	deep := c.made(y, "deep", meta.TypeDirectory)
	switch {
	case who == 0:
		c.move(nm(a, "x"), nm(y, "in"), 0)
	case who == 1:
		c.move(nm(b, "y"), nm(x, "in"), 0)
	case who == 2 && deep != 0:
		c.move(nm(root, name("a")), nm(deep, "in"), 0)
	default:
		c.move(nm(root, name("b")), nm(x, "b"), 0)
	}
}

// raceUnlinkOpen opens a file that others remove.
func raceUnlinkOpen(c *client, who, n int) {
	name := fmt.Sprint("f", n)
	ino := c.made(meta.RootIno, name, meta.TypeFile)
	if ino == 0 {
		return
	}
	if who%2 == 0 {
		c.useOpen(ino)
	}
	c.oneOf("unlink", c.Unlink(c.ctx, meta.Root, meta.RootIno, name), nil, posix.ENOENT)
}

// useOpen opens a file and works with it. Only the removal by the same client must keep it.
func (c *client) useOpen(ino meta.Ino) {
	_, err := c.Open(c.ctx, meta.Root, ino, meta.OpenFor{Read: true, Write: true})
	if c.oneOf("open", err, nil, posix.ENOENT, posix.EPERM) != nil {
		return
	}
	c.appendTo(ino, 100, 5000)
	_, err = c.Truncate(c.ctx, meta.Root, ino, 300, false)
	c.oneOf("truncate", err, nil, posix.ENOENT, posix.EPERM)
	c.oneOf("close", c.CloseFile(c.ctx, ino), nil)
}

// raceCopyRange lets files share data while others compact, shorten and remove them.
func raceCopyRange(c *client, who, n int) {
	from, to := c.made(meta.RootIno, "from", meta.TypeFile), c.made(meta.RootIno, fmt.Sprint("to", n%3), meta.TypeFile)
	if from == 0 || to == 0 {
		return
	}
	c.appendTo(from, uint32(1000*n+who*100), 500)
	_, _, _, err := c.CopyRange(c.ctx, from, 0, to, uint64(who)*100, 1<<20, 0)
	c.oneOf("copy", err, nil, posix.ENOENT)
	switch who {
	case 0:
		records, err := c.Chunk(c.ctx, from, 0)
		if c.oneOf("chunk", err, nil, posix.ENOENT) != nil {
			return
		}
		if plan, ok := meta.PlanCompaction(meta.ChunkID{Ino: from}, records); ok {
			id, err := c.NewSlice(c.ctx)
			c.oneOf("slice", err, nil)
			c.oneOf("compact", c.CommitCompaction(c.ctx, plan, id), nil, meta.ErrCompactLost, posix.ENOENT)
		}
	case 1:
		_, err := c.Truncate(c.ctx, meta.Root, to, uint64(n)*500, false)
		c.oneOf("truncate", err, nil, posix.ENOENT)
	case 2:
		if n%5 == 4 {
			c.oneOf("unlink", c.Unlink(c.ctx, meta.Root, meta.RootIno, fmt.Sprint("to", n%3)), nil, posix.ENOENT)
		}
	}
}

// ownersOfRace turns on the quotas of users and groups.
func ownersOfRace(c *client) { c.limit(ofUser(7), 1<<40, 1<<20) }

// limitsOfRace gives two directories a quota, one inside the other, and turns on those of users and groups.
func limitsOfRace(c *client) {
	a := c.dir(meta.RootIno, "a")
	b := c.dir(a, "b")
	c.dir(meta.RootIno, "c")
	c.limit(ofDir(a), 1<<40, 1<<20)
	c.limit(ofDir(b), 1<<40, 1<<20)
	ownersOfRace(c)
}

// raceQuotas makes, moves, links, writes and removes files in directories that have quotas. The directories stay where
// they are: a move of one that another client makes is noticed late.
func raceQuotas(c *client, who, _ int) {
	a := c.made(meta.RootIno, "a", meta.TypeDirectory)
	dirs := []meta.Ino{meta.RootIno, a, c.made(a, "b", meta.TypeDirectory), c.made(meta.RootIno, "c", meta.TypeDirectory)}
	some := func() (meta.Ino, string) { return dirs[rand.IntN(len(dirs))], fmt.Sprint("f", rand.IntN(3)) }
	for range 3 {
		dir, name := some()
		to, other := some()
		switch rand.IntN(6) {
		case 0, 1:
			if ino := c.made(dir, name, meta.TypeFile); ino != 0 {
				c.appendTo(ino, rand.Uint32N(1<<20), 5000)
			}
		case 2:
			c.move(nm(dir, name), nm(to, other), uint32(rand.IntN(3)))
		case 3:
			c.oneOf("unlink", c.Unlink(c.ctx, meta.Root, dir, name), nil, posix.ENOENT)
		case 4:
			if ino := c.made(dir, name, meta.TypeFile); ino != 0 {
				_, err := c.Link(c.ctx, meta.Root, ino, to, other)
				c.oneOf("link", err, nil, posix.ENOENT, posix.EEXIST, posix.EPERM)
			}
		case 5:
			if ino := c.made(dir, name, meta.TypeFile); ino != 0 {
				uid := uint32(who)
				_, _, err := c.SetAttr(c.ctx, meta.Root, ino, meta.Change{UID: &uid})
				c.oneOf("chown", err, nil, posix.ENOENT, posix.EPERM)
				_, err = c.Truncate(c.ctx, meta.Root, ino, rand.Uint64N(1<<20), false)
				c.oneOf("truncate", err, nil, posix.ENOENT, posix.EPERM)
			}
		}
	}
}
