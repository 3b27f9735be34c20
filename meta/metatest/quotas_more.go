package metatest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

func quotaOwners(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	owner := meta.Cred{UID: 1000, GID: 1000, Checked: true}
	f, _, err := c.Mknod(c.ctx, owner, d, "f", meta.New{Type: meta.TypeFile, Mode: 0644})
	c.noErr("create", err)
	c.wrote(f, 0, 2*4096)
	_, err = c.Link(c.ctx, meta.Root, f, d, "l")
	c.noErr("link", err)
	c.make(d, "s", meta.TypeSymlink)
	c.limit(ofUser(2000), 1<<30, 0) // the first one counts everything
	used := func(when string, root, rootI, usr, usrI int64) {
		t.Helper()
		c.wantUsed(when, map[meta.QuotaKey][2]int64{
			ofUser(0): {root * 4096, rootI}, ofGroup(0): {root * 4096, rootI},
			ofUser(1000): {usr * 4096, usrI}, ofGroup(1000): {usr * 4096, usrI},
		})
		c.wantQuotasRight(when)
	}
	used("counted", 1, 1, 2, 1)
	_, _, err = c.Mknod(c.ctx, owner, d, "dir", meta.New{Type: meta.TypeDirectory, Mode: 0755})
	c.noErr("mkdir", err)
	g, _, err := c.Mknod(c.ctx, owner, d, "g", meta.New{Type: meta.TypeFile})
	c.noErr("create", err)
	_, _, err = c.Mknod(c.ctx, owner, d, "p", meta.New{Type: meta.TypeFIFO})
	c.noErr("mkfifo", err)
	used("made", 1, 1, 4, 3)
	_, err = c.Truncate(c.ctx, user, f, 4096, false)
	c.noErr("truncate", err)
	used("truncated", 1, 1, 3, 3)
	uid, gid := uint32(0), uint32(0)
	_, _, err = c.SetAttr(c.ctx, meta.Root, f, meta.Change{UID: &uid, GID: &gid})
	c.noErr("chown", err)
	used("given away", 2, 2, 2, 2)
	c.noErr("unlink of one name", c.Unlink(c.ctx, meta.Root, d, "l"))
	used("still there", 2, 2, 2, 2)
	c.session()
	_, err = c.Open(c.ctx, meta.Root, g, meta.OpenFor{Read: true})
	c.noErr("open", err)
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, d, "g"))
	used("unlinked and open", 2, 2, 2, 2)
	c.noErr("close", c.CloseFile(c.ctx, g))
	used("closed", 2, 2, 1, 1)
	c.noErr("rmdir", c.Rmdir(c.ctx, meta.Root, d, "dir"))
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, d, "p"))
	used("removed", 2, 2, 0, 0)
	c.noErr("delete", c.DeleteQuota(c.ctx, ofUser(2000)))
	all, err := c.Quotas(c.ctx)
	c.noErr("quotas", err)
	equal(t, "quota without limits", all[ofUser(2000)], meta.Quota{MaxSpace: -1, MaxInodes: -1})
}

func quotaOwnerMax(t *testing.T, c *client) {
	d, _, err := c.Mknod(c.ctx, meta.Root, meta.RootIno, "d", meta.New{Type: meta.TypeDirectory, Mode: 0777})
	c.noErr("mkdir", err)
	set, _, err := c.Mknod(c.ctx, meta.Root, meta.RootIno, "set", meta.New{Type: meta.TypeDirectory, Mode: 02777})
	c.noErr("mkdir", err)
	c.limit(ofUser(1000), 4*4096, 3)
	c.limit(ofGroup(0), 0, 4)
	create := func(dir meta.Ino, name string) (meta.Ino, error) {
		ino, _, err := c.Mknod(c.ctx, user, dir, name, meta.New{Type: meta.TypeFile, Mode: 0644})
		return ino, err
	}
	f, err := create(d, "f")
	c.noErr("create", err)
	c.want("write beyond", c.writeTo(f, 4*4096+1), posix.EDQUOT)
	c.want("write", c.writeTo(f, 2*4096), nil)
	_, err = create(set, "g") // of group 0, as its directory
	c.noErr("create", err)
	_, err = create(set, "h")
	c.noErr("create", err)
	_, err = create(d, "i")
	c.want("one inode too many of the user", err, posix.EDQUOT)
	_, err = c.Link(c.ctx, user, f, d, "l")
	c.want("link", err, posix.EDQUOT)
	_, _, err = c.Mknod(c.ctx, meta.Root, d, "j", meta.New{Type: meta.TypeFile})
	c.want("one inode too many of the group", err, posix.EDQUOT)
	_, err = c.Clone(c.ctx, user, f, d, "clone", meta.CloneOptions{})
	c.want("clone", err, posix.EDQUOT)
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, d, "f"))
	_, err = create(d, "k")
	c.noErr("create again", err)
	c.wantQuotasRight("limits of owners")
}

func quotaTrash(t *testing.T, c *client) {
	c.withTrash()
	d := c.dir(meta.RootIno, "d")
	c.limit(ofDir(d), 0, 0)
	c.limit(ofUser(1), 0, 0)
	f := c.file(d, "f")
	c.wrote(f, 0, 3*4096)
	sub := c.dir(d, "sub")
	c.limit(ofDir(sub), 0, 0)
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, d, "f"))
	c.noErr("rmdir", c.Rmdir(c.ctx, meta.Root, d, "sub"))
	c.wantUsed("in the trash", map[meta.QuotaKey][2]int64{
		ofDir(d): {0, 0},
		// the file, two directories, and the one of the trash
		ofUser(0): {6 * 4096, 4},
	})
	all, err := c.Quotas(c.ctx)
	c.noErr("quotas", err)
	if _, there := all[ofDir(sub)]; there {
		t.Error("a directory has kept its quota in the trash")
	}
	_, err = c.Truncate(c.ctx, meta.Root, f, 1, true) // through an open descriptor
	c.noErr("truncate", err)
	c.wantUsed("truncated in the trash", map[meta.QuotaKey][2]int64{ofDir(d): {0, 0}, ofUser(0): {4 * 4096, 4}})
	hour := c.names(meta.TrashIno)[0]
	ino, _, err := c.Lookup(c.ctx, meta.Root, meta.TrashIno, hour)
	c.noErr("look-up", err)
	c.noErr("unlink for good", c.Unlink(c.ctx, meta.Root, ino, fmt.Sprintf("%d-%d-f", d, f)))
	c.wantUsed("gone", map[meta.QuotaKey][2]int64{ofDir(d): {0, 0}, ofUser(0): {3 * 4096, 3}})
	c.wantQuotasRight("trash")
	_, err = c.SetQuota(c.ctx, ofDir(sub), meta.Limits{})
	c.want("quota in the trash", err, posix.EPERM)
}

// quotaNameless: an open file without a name is charged to its owner and to no directory.
func quotaNameless(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	c.limit(ofDir(d), 2*4096, 0)
	c.limit(ofUser(0), 8*4096, 0)
	f := c.file(d, "f")
	c.session()
	_, err := c.Open(c.ctx, meta.Root, f, meta.OpenFor{Write: true})
	c.noErr("open", err)
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, d, "f"))
	c.want("write beyond what the directory may hold", c.writeTo(f, 6*4096), nil)
	c.want("write beyond what the owner may hold", c.writeTo(f, 8*4096), posix.EDQUOT)
	c.wantUsed("written", map[meta.QuotaKey][2]int64{ofDir(d): {0, 0}, ofUser(0): {7 * 4096, 2}})
	c.wantQuotasRight("written")
	c.noErr("close", c.CloseFile(c.ctx, f))
	c.wantUsed("closed", map[meta.QuotaKey][2]int64{ofDir(d): {0, 0}, ofUser(0): {4096, 1}})
	c.wantSummary("closed", d, meta.Totals{Space: 4096, Dirs: 1})
}

// quotaOthers: a client sees what others have set when it opens, and its own changes reach the record when it closes.
func quotaOthers(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	c.limit(ofDir(d), 0, 2)
	o := openVolume(t, c.eng, meta.Options{})
	o.file(d, "f")
	o.noErr("close", o.Volume.Close(o.ctx))
	c.wantDirUsed("by another client", d, 1, 1)
	c.file(d, "g")
	_, _, err := c.Mknod(c.ctx, meta.Root, d, "h", meta.New{Type: meta.TypeFile})
	c.want("with what the other client used", err, posix.EDQUOT)
}

// foreground marks the context of what a test does itself, as against the work of a client in the background.
type foreground struct{}

func (c *client) inForeground() { c.ctx = context.WithValue(c.ctx, foreground{}, true) }

// counted counts the transactions that an engine is asked for in the foreground.
type counted struct {
	meta.Engine
	views, updates atomic.Int64
}

func (e *counted) View(ctx context.Context, want meta.Want, fn func(meta.Reader) error) error {
	if ctx.Value(foreground{}) != nil {
		e.views.Add(1)
	}
	return e.Engine.View(ctx, want, fn)
}

func (e *counted) Update(ctx context.Context, want meta.Want, fn func(meta.Tx) error) error {
	if ctx.Value(foreground{}) != nil {
		e.updates.Add(1)
	}
	return e.Engine.Update(ctx, want, fn)
}

// quotaTrips: a change below a quota takes no transaction more than any other, once the parents are known.
func quotaTrips(t *testing.T, c *client) {
	e := &counted{Engine: c.eng}
	d := c.dir(c.dir(c.dir(meta.RootIno, "a"), "b"), "c")
	c.limit(ofDir(meta.RootIno), 0, 1000)
	o := openVolume(t, e, meta.Options{})
	o.inForeground()
	step := func(what string, views, updates int64, fn func()) {
		t.Helper()
		e.views.Store(0)
		e.updates.Store(0)
		fn()
		if v, u := e.views.Load(), e.updates.Load(); v != views || u != updates {
			t.Errorf("%s took %d views and %d updates, want %d and %d", what, v, u, views, updates)
		}
	}
	var f meta.Ino
	step("the first create", 1, 2, func() { o.file(d, "f") })
	step("another create", 0, 1, func() { f = o.file(d, "g") })
	step("a write", 0, 1, func() { o.noErr("write", o.writeTo(f, 10000)) })
	step("an unlink", 0, 1, func() { o.noErr("unlink", o.Unlink(o.ctx, meta.Root, d, "f")) })
	step("a mkdir", 0, 1, func() { f = o.dir(d, "new") })
	step("a create in it", 0, 1, func() { o.file(f, "f") })
}

// quotaFlush: what cannot be flushed is kept, and what perhaps was flushed is not flushed again.
func quotaFlush(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	c.limit(ofDir(d), 0, 4)
	e := &failing{Engine: c.eng}
	o := openVolume(t, e, meta.Options{})
	o.file(d, "a")
	e.always.Store(true)
	_, err := o.Quotas(o.ctx)
	c.want("flush", err, errBroken)
	e.always.Store(false)
	o.file(d, "b")
	o.wantDirUsed("flushed in the end", d, 2, 2)
	o.file(d, "c")
	e.unknown.Store(true)
	_, err = o.Quotas(o.ctx)
	c.want("flush", err, meta.ErrUnknown)
	e.unknown.Store(false)
	o.wantDirUsed("flushed without an answer", d, 3, 3)
	o.file(d, "d")
	_, _, err = o.Mknod(o.ctx, meta.Root, d, "e", meta.New{Type: meta.TypeFile})
	c.want("one too many", err, posix.EDQUOT)
}

// quotaHistory does random things below nested quotas and compares with a recount.
func quotaHistory(t *testing.T, c *client) {
	c.withTrash()
	const seed, rounds, steps = 7, 5, 80
	rnd := rand.New(rand.NewPCG(seed, 1))
	dirs := []meta.Ino{meta.RootIno}
	for i := range 4 {
		dirs = append(dirs, c.dir(dirs[rnd.IntN(len(dirs))], fmt.Sprint("q", i)))
	}
	for _, d := range dirs {
		c.limit(ofDir(d), 40*4096, 30)
	}
	c.limit(ofUser(1000), 60*4096, 30)
	known := append([]meta.Ino(nil), dirs...)
	refused := 0
	for round := range rounds {
		for range steps {
			if errors.Is(c.randomChange(rnd, &dirs, &known), posix.EDQUOT) {
				refused++
			}
		}
		c.wantQuotasRight(fmt.Sprintf("seed %d, round %d", seed, round))
		if t.Failed() {
			return
		}
	}
	if refused == 0 {
		t.Error("no change met a limit: the history shows too little")
	}
}

// randomChange makes one random change, which may be refused.
func (c *client) randomChange(rnd *rand.Rand, dirs, known *[]meta.Ino) error {
	dir := func() meta.Ino { return (*dirs)[rnd.IntN(len(*dirs))] }
	any := func() meta.Ino { return (*known)[rnd.IntN(len(*known))] }
	name := func() string { return fmt.Sprint("n", rnd.IntN(8)) }
	who := meta.Root
	if rnd.IntN(2) == 0 {
		who = meta.Cred{UID: 1000, GID: 1000, Checked: true}
	}
	var err error
	switch rnd.IntN(12) {
	case 0, 1, 2:
		var ino meta.Ino
		typ := meta.Type(1 + rnd.IntN(3))
		ino, _, err = c.Mknod(c.ctx, who, dir(), name(), meta.New{Type: typ, Mode: 0777, Target: "t"})
		if err == nil {
			*known = append(*known, ino)
			if typ == meta.TypeDirectory {
				*dirs = append(*dirs, ino)
			}
		}
	case 3:
		err = c.Unlink(c.ctx, meta.Root, dir(), name())
	case 4:
		err = c.Rmdir(c.ctx, meta.Root, dir(), name())
	case 5, 6, 7:
		err = c.Rename(c.ctx, meta.Root, nm(dir(), name()), nm(dir(), name()), uint32(rnd.IntN(3)))
	case 8:
		_, err = c.Link(c.ctx, who, any(), dir(), name())
	case 9:
		_, err = c.Truncate(c.ctx, meta.Root, any(), rnd.Uint64N(10*4096), false)
	case 10:
		uid := uint32(rnd.IntN(2) * 1000)
		_, _, err = c.SetAttr(c.ctx, meta.Root, any(), meta.Change{UID: &uid, GID: &uid})
	case 11:
		if rnd.IntN(2) == 0 {
			err = c.RemoveTree(c.ctx, meta.Root, dir(), name(), rnd.IntN(2) == 0, 2, nil)
		} else {
			_, err = c.Clone(c.ctx, who, any(), dir(), name(), meta.CloneOptions{Preserve: rnd.IntN(2) == 0})
		}
	}
	var fact posix.Error
	if err != nil && !errors.As(err, &fact) {
		c.t.Fatalf("random change: %v", err)
	}
	return err
}

// quotaClients lets several clients work below nested quotas at the same time. None of them moves a directory: what
// another client writes below one that is on the way may be charged to where it was.
func quotaClients(t *testing.T, connect func() meta.Engine) {
	const clients, steps = 3, 60
	first := format(t, connect(), nil)
	outer := first.dir(meta.RootIno, "outer")
	inner := first.dir(outer, "inner")
	plain := first.dir(inner, "plain")
	for _, d := range []meta.Ino{meta.RootIno, outer, inner} {
		first.limit(ofDir(d), 1<<30, 0)
	}
	first.limit(ofUser(1), 0, 0)
	cs := []*client{first}
	for len(cs) < clients {
		cs = append(cs, openVolume(t, connect(), meta.Options{}))
	}
	dirs := []meta.Ino{meta.RootIno, outer, inner, plain}
	var wg sync.WaitGroup
	for who, c := range cs {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(who), 2))
			dir := func() meta.Ino { return dirs[rnd.IntN(len(dirs))] }
			name := func() string { return fmt.Sprint("n", rnd.IntN(6)) }
			for range steps {
				switch rnd.IntN(5) {
				case 0, 1:
					ino, _, err := c.Mknod(c.ctx, meta.Root, dir(), name(), meta.New{Type: meta.TypeFile})
					if c.oneOf("create", err, nil, posix.EEXIST) == nil {
						_, err = c.Truncate(c.ctx, meta.Root, ino, rnd.Uint64N(1<<20), false)
						c.oneOf("truncate", err, nil, posix.ENOENT)
					}
				case 2:
					c.oneOf("unlink", c.Unlink(c.ctx, meta.Root, dir(), name()), nil, posix.ENOENT)
				case 3:
					err := c.Rename(c.ctx, meta.Root, nm(dir(), name()), nm(dir(), name()), uint32(rnd.IntN(3)))
					c.oneOf("rename", err, nil, posix.ENOENT, posix.EEXIST)
				case 4:
					own := fmt.Sprint("d", who)
					_, _, err := c.Mknod(c.ctx, meta.Root, inner, own, meta.New{Type: meta.TypeDirectory})
					if c.oneOf("mkdir", err, nil, posix.EEXIST) == nil {
						c.oneOf("rmdir", c.Rmdir(c.ctx, meta.Root, inner, own), nil)
					}
				}
			}
		})
	}
	wg.Wait()
	for _, c := range cs {
		c.noErr("close", c.Volume.Close(c.ctx))
		c.noErr("close engine", c.eng.Close())
	}
	// The statistics of directories may be off, where one client has taken away what another had not yet added.
	openVolume(t, connect(), meta.Options{}).wantQuotasCounted("all clients closed", true)
}
