package metatest

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"jfs/internal/posix"
	"jfs/meta"
)

// raceEverything does anything with a few names in a few directories that come, go and move.
func raceEverything(c *client, who, _ int) {
	dirs := []meta.Ino{meta.RootIno}
	for i := range 2 {
		ino := c.made(meta.RootIno, fmt.Sprint("n", i), meta.TypeDirectory)
		if ino == 0 {
			continue
		}
		dirs = append(dirs, ino)
		if sub := c.made1(ino, fmt.Sprint("n", i), meta.TypeDirectory); sub != 0 {
			dirs = append(dirs, sub)
		}
	}
	some := func() (meta.Ino, string) { return dirs[rand.IntN(len(dirs))], fmt.Sprint("n", rand.IntN(4)) }
	for range 3 {
		dir, name := some()
		to, other := some()
		what, err := "", error(nil)
		switch rand.IntN(10) {
		case 0, 1:
			what = "make"
			typ := []meta.Type{meta.TypeFile, meta.TypeDirectory, meta.TypeSymlink, meta.TypeFIFO}[rand.IntN(4)]
			_, _, err = c.Mknod(c.ctx, meta.Root, dir, name, meta.New{Type: typ, Mode: 0755, Target: "t"})
		case 2, 3:
			what = "rename"
			err = c.Rename(c.ctx, meta.Root, nm(dir, name), nm(to, other), uint32(rand.IntN(3)))
		case 4:
			what = "unlink"
			err = c.Unlink(c.ctx, meta.Root, dir, name)
		case 5:
			what = "rmdir"
			err = c.Rmdir(c.ctx, meta.Root, dir, name)
		case 6:
			what = "remove"
			err = c.RemoveTree(c.ctx, meta.Root, dir, name, who == 0, 2, nil)
		case 7:
			what = "clone"
			var src meta.Ino
			if src, _, err = c.Lookup(c.ctx, meta.Root, dir, name); err == nil {
				_, err = c.Clone(c.ctx, meta.Root, src, to, other, meta.CloneOptions{})
			}
		default:
			what = "use"
			var ino meta.Ino
			var a meta.Attr
			if ino, a, err = c.Lookup(c.ctx, meta.Root, dir, name); err != nil {
				break
			}
			if rand.IntN(2) == 0 {
				_, err = c.Link(c.ctx, meta.Root, ino, to, other)
			} else if a.Type == meta.TypeFile {
				c.useOpen(ino)
			}
		}
		var fact posix.Error
		if err != nil && !errors.As(err, &fact) {
			c.t.Errorf("%s: %v", what, err)
		}
	}
}

// made1 is made in a directory that may have become a file's name meanwhile.
func (c *client) made1(dir meta.Ino, name string, typ meta.Type) meta.Ino {
	ino, _, err := c.Mknod(c.ctx, meta.Root, dir, name, meta.New{Type: typ, Mode: 0755})
	if c.oneOf("make "+name, err, nil, posix.EEXIST, posix.ENOENT, posix.ENOTDIR) == nil {
		return ino
	}
	return 0
}
