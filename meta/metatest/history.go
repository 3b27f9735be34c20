package metatest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// History runs one random sequence of operations, decided by the seed alone, on a fresh volume and gives a text
// of every answer and of the tree at the end. The text is the same for every engine.
func History(t *testing.T, eng meta.Engine, seed uint64, steps int) string {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	clock := time.Unix(1795429376, 0)
	c := format(t, eng, nil)
	c.noErr("close", c.Volume.Close(c.ctx))
	now := func() time.Time { return clock }
	*c = *openVolume(t, eng, meta.Options{Now: now, FreeSlices: func(context.Context, []meta.SliceRef) []error { return nil }})

	var out strings.Builder
	known := []meta.Ino{meta.RootIno}
	dirs := []meta.Ino{meta.RootIno}
	pick := func(from []meta.Ino) meta.Ino { return from[rnd.IntN(len(from))] }
	name := func() string { return fmt.Sprintf("n%d", rnd.IntN(12)) }
	who := func() meta.Cred {
		if rnd.IntN(4) == 0 {
			return meta.Cred{UID: 1000, GID: 1000}
		}
		return meta.Cred{}
	}
	var slice uint64
	for step := range steps {
		clock = clock.Add(time.Duration(rnd.Int64N(int64(80 * time.Millisecond))))
		var said any
		var err error
		switch rnd.IntN(14) {
		case 0, 1, 2:
			typ := meta.Type(1 + rnd.IntN(7))
			n := meta.New{Type: typ, Mode: uint16(rnd.IntN(0o10000)) | 0o700, Umask: 022, Target: "t", Rdev: 5}
			var ino meta.Ino
			var a meta.Attr
			ino, a, err = c.Mknod(c.ctx, who(), pick(dirs), name(), n)
			if said = shown(ino, a); err == nil {
				known = append(known, ino)
				if typ == meta.TypeDirectory {
					dirs = append(dirs, ino)
				}
			}
		case 3:
			err = c.Unlink(c.ctx, who(), pick(dirs), name())
		case 4:
			err = c.Rmdir(c.ctx, who(), pick(dirs), name())
		case 5, 6:
			err = c.Rename(c.ctx, who(), nm(pick(dirs), name()), nm(pick(dirs), name()), uint32(rnd.IntN(3)))
		case 7:
			ino := pick(known)
			var a meta.Attr
			a, err = c.Link(c.ctx, who(), ino, pick(dirs), name())
			said = shown(ino, a)
		case 8, 9:
			slice++
			n := 1 + rnd.Uint32N(1<<20)
			w := []meta.Written{{Index: rnd.Uint32N(3), Slice: meta.Slice{Pos: rnd.Uint32N(meta.ChunkSize - n), ID: slice, Size: n, Len: n}}}
			ino := pick(known)
			var a meta.Attr
			_, a, err = c.Write(c.ctx, ino, meta.Commit{Slices: w, Mtime: meta.TimeOf(clock)})
			said = shown(ino, a)
		case 10:
			ino := pick(known)
			var a meta.Attr
			a, err = c.Truncate(c.ctx, who(), ino, rnd.Uint64N(200<<20), false)
			said = shown(ino, a)
		case 11:
			ino, mode, uid := pick(known), uint16(rnd.IntN(0o10000)), uint32(rnd.IntN(2)*1000)
			change := meta.Change{Mode: &mode}
			if rnd.IntN(2) == 0 {
				change.UID = &uid
			}
			var a meta.Attr
			_, a, err = c.SetAttr(c.ctx, who(), ino, change)
			said = shown(ino, a)
		case 12:
			ino := pick(known)
			if err = c.SetXattr(c.ctx, meta.Root, ino, "user."+name(), []byte(name()), uint32(rnd.IntN(3))); err == nil {
				said = ino
			}
		case 13:
			var ino meta.Ino
			var a meta.Attr
			ino, a, err = c.Lookup(c.ctx, who(), pick(dirs), name())
			said = shown(ino, a)
		}
		var fact posix.Error
		if err != nil && !errors.As(err, &fact) {
			t.Fatalf("step %d: %v", step, err)
		}
		fmt.Fprintf(&out, "%d: %v errno %d\n", step, said, fact)
	}
	out.WriteString(Tree(t, c.Volume))
	return out.String()
}

// shown is what an operation told of an inode, without what only says how an engine numbers.
func shown(ino meta.Ino, a meta.Attr) string {
	if a == (meta.Attr{}) {
		return ""
	}
	return fmt.Sprintf("%d %+v", ino, a)
}

// Tree is a text of everything that can be reached from the root: names, attributes, slices, targets, xattrs.
func Tree(t *testing.T, v *meta.Volume) string { return TreeBelow(t, v, meta.RootIno) }

// TreeBelow is Tree from a directory on, which may be meta.TrashIno.
func TreeBelow(t *testing.T, v *meta.Volume, top meta.Ino) string {
	t.Helper()
	var out strings.Builder
	var walk func(dir meta.Ino, path string)
	ctx := context.WithoutCancel(t.Context())
	fail := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	walk = func(dir meta.Ino, path string) {
		all := map[string]meta.Dirent{}
		for cursor := ""; ; {
			page, next, err := v.Readdir(ctx, dir, cursor, 1000, true)
			fail(err)
			for _, e := range page {
				all[e.Name] = e
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		var names []string
		for name := range all {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			e := all[name]
			p := path + "/" + name
			if e.Attr == nil {
				fmt.Fprintf(&out, "%q dangling %d\n", p, e.Ino)
				continue
			}
			fmt.Fprintf(&out, "%q %d %+v\n", p, e.Ino, *e.Attr)
			keys, err := v.ListXattr(ctx, e.Ino)
			fail(err)
			slices.Sort(keys)
			for _, k := range keys {
				value, err := v.GetXattr(ctx, e.Ino, k)
				fail(err)
				fmt.Fprintf(&out, "  %s=%q\n", k, value)
			}
			switch e.Type {
			case meta.TypeDirectory:
				walk(e.Ino, p)
			case meta.TypeSymlink:
				target, err := v.Readlink(ctx, e.Ino)
				fail(err)
				fmt.Fprintf(&out, "  -> %q\n", target)
			case meta.TypeFile:
				for i := range uint32(4) {
					records, err := v.Chunk(ctx, e.Ino, i)
					fail(err)
					for _, s := range records {
						fmt.Fprintf(&out, "  %d: %+v\n", i, s)
					}
				}
			}
		}
	}
	walk(top, "")
	return out.String()
}
