package metatest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

// RunRaces lets several clients of one volume do what excludes each other at the same time, and then checks that
// the volume is whole.
func RunRaces(t *testing.T, database Database) {
	for name, run := range map[string]func(c *client, who, round int){
		"CreateSame": func(c *client, _, round int) {
			_, _, err := c.Mknod(c.ctx, meta.Root, meta.RootIno, fmt.Sprint("f", round), meta.New{Type: meta.TypeFile})
			c.oneOf("create", err, nil, posix.EEXIST)
		},
		"CreateRmdir": func(c *client, who, round int) {
			dir := fmt.Sprint("d", round)
			if who%2 == 0 {
				_, _, err := c.Mknod(c.ctx, meta.Root, meta.RootIno, dir, meta.New{Type: meta.TypeDirectory, Mode: 0755})
				c.oneOf("mkdir", err, nil, posix.EEXIST)
				ino, _, err := c.Lookup(c.ctx, meta.Root, meta.RootIno, dir)
				if c.oneOf("look-up", err, nil, posix.ENOENT) == nil {
					_, _, err = c.Mknod(c.ctx, meta.Root, ino, fmt.Sprint("f", who), meta.New{Type: meta.TypeFile})
					c.oneOf("create", err, nil, posix.ENOENT)
				}
				return
			}
			for range 4 {
				c.oneOf("rmdir", c.Rmdir(c.ctx, meta.Root, meta.RootIno, dir), nil, posix.ENOENT, posix.ENOTEMPTY)
			}
		},
		"LinkUnlink": func(c *client, who, round int) {
			name := fmt.Sprint("f", round)
			ino, _, err := c.Mknod(c.ctx, meta.Root, meta.RootIno, name, meta.New{Type: meta.TypeFile})
			if c.oneOf("create", err, nil, posix.EEXIST) != nil {
				if ino, _, err = c.Lookup(c.ctx, meta.Root, meta.RootIno, name); c.oneOf("look-up", err, nil, posix.ENOENT) != nil {
					return
				}
			}
			_, err = c.Link(c.ctx, meta.Root, ino, meta.RootIno, fmt.Sprint(name, "-", who))
			c.oneOf("link", err, nil, posix.ENOENT)
			c.oneOf("unlink", c.Unlink(c.ctx, meta.Root, meta.RootIno, name), nil, posix.ENOENT)
		},
		"RenameRmdir": func(c *client, who, round int) {
			a, b := fmt.Sprint("a", round), fmt.Sprint("b", round)
			mk := func(name string) {
				_, _, err := c.Mknod(c.ctx, meta.Root, meta.RootIno, name, meta.New{Type: meta.TypeDirectory, Mode: 0755})
				c.oneOf("mkdir", err, nil, posix.EEXIST)
			}
			mk(a)
			mk(b)
			to, _, err := c.Lookup(c.ctx, meta.Root, meta.RootIno, b)
			if c.oneOf("look-up", err, nil, posix.ENOENT) != nil {
				return
			}
			if who%2 == 0 {
				c.oneOf("rename", c.Rename(c.ctx, meta.Root, nm(meta.RootIno, a), nm(to, "x"), 0), nil, posix.ENOENT, posix.EINVAL, posix.EPERM)
				return
			}
			c.oneOf("rmdir", c.Rmdir(c.ctx, meta.Root, meta.RootIno, b), nil, posix.ENOENT, posix.ENOTEMPTY)
		},
		"RenameCycle": func(c *client, who, round int) {
			names := [2]string{fmt.Sprint("a", round), fmt.Sprint("b", round)}
			var inos [2]meta.Ino
			for i, name := range names {
				_, _, err := c.Mknod(c.ctx, meta.Root, meta.RootIno, name, meta.New{Type: meta.TypeDirectory, Mode: 0755})
				c.oneOf("mkdir", err, nil, posix.EEXIST)
				if inos[i], _, err = c.Lookup(c.ctx, meta.Root, meta.RootIno, name); c.oneOf("look-up", err, nil, posix.ENOENT) != nil {
					return
				}
			}
			from, to := who%2, 1-who%2
			err := c.Rename(c.ctx, meta.Root, nm(meta.RootIno, names[from]), nm(inos[to], "in"), 0)
			c.oneOf("rename", err, nil, posix.ENOENT, posix.EINVAL, posix.EPERM, posix.ENOTEMPTY)
		},
		"RenameOverSame": func(c *client, who, round int) {
			mine := fmt.Sprintf("m%d-%d", round, who)
			c.file(meta.RootIno, mine)
			c.noErr("rename", c.Rename(c.ctx, meta.Root, nm(meta.RootIno, mine), nm(meta.RootIno, fmt.Sprint("t", round)), 0))
		},
		"WriteTruncateUnlink": func(c *client, who, round int) {
			name := fmt.Sprint("f", round/4)
			ino, _, err := c.Mknod(c.ctx, meta.Root, meta.RootIno, name, meta.New{Type: meta.TypeFile})
			if c.oneOf("create", err, nil, posix.EEXIST) != nil {
				if ino, _, err = c.Lookup(c.ctx, meta.Root, meta.RootIno, name); c.oneOf("look-up", err, nil, posix.ENOENT) != nil {
					return
				}
			}
			switch who {
			case 0:
				_, err = c.Truncate(c.ctx, meta.Root, ino, rand.Uint64N(1<<20), false)
				c.oneOf("truncate", err, nil, posix.ENOENT)
			case 1:
				if round%4 == 3 {
					c.oneOf("unlink", c.Unlink(c.ctx, meta.Root, meta.RootIno, name), nil, posix.ENOENT)
				}
			default:
				id, err := c.NewSlice(c.ctx)
				c.noErr("slice", err)
				s := meta.Slice{Pos: rand.Uint32N(1 << 20), ID: id, Size: 5000, Len: 5000}
				_, _, err = c.Write(c.ctx, ino, meta.Commit{Slices: []meta.Written{{Slice: s}}, Mtime: meta.Time{Sec: 1}})
				c.oneOf("write", err, nil, posix.ENOENT)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { runRace(t, database, race{run: run}) })
	}
	for _, r := range races() {
		t.Run(r.name, func(t *testing.T) { runRace(t, database, r) })
	}
}

// oneOf fails the test if err is not one of what may come of a race; it gives err back. It is called from the
// goroutines of a race, which must not end the test themselves.
func (c *client) oneOf(what string, err error, allowed ...error) error {
	for _, a := range allowed {
		if errors.Is(err, a) || a == nil && err == nil {
			return err
		}
	}
	c.t.Errorf("%s: %v, want one of %v", what, err, allowed)
	return err
}
