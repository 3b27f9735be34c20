package metatest

import (
	"errors"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

// RunQuotas checks quotas on an engine.
func RunQuotas(t *testing.T, database Database) {
	for name, test := range map[string]func(*testing.T, *client){
		"Limits":    quotaLimits,
		"Nested":    quotaNested,
		"Moves":     quotaMoves,
		"Exchange":  quotaExchange,
		"Links":     quotaLinks,
		"Records":   quotaRecords,
		"Errors":    quotaErrors,
		"Repair":    quotaRepair,
		"Owners":    quotaOwners,
		"OwnerMax":  quotaOwnerMax,
		"Trash":     quotaTrash,
		"Nameless":  quotaNameless,
		"MakePath":  quotaMakePath,
		"StatFS":    quotaStatFS,
		"Others":    quotaOthers,
		"Trips":     quotaTrips,
		"Flush":     quotaFlush,
		"Killed":    quotaKilled,
		"Uncounted": quotaUncounted,
		"LeftOver":  quotaLeftOver,
	} {
		t.Run(name, func(t *testing.T) { test(t, format(t, database(t)(), nil)) })
	}
	t.Run("History", func(t *testing.T) { quotaHistory(t, format(t, database(t)(), nil)) })
	t.Run("Clients", func(t *testing.T) { quotaClients(t, database(t)) })
}

func ofDir(dir meta.Ino) meta.QuotaKey { return meta.QuotaKey{Kind: meta.QuotaDir, ID: uint64(dir)} }
func ofUser(uid uint32) meta.QuotaKey  { return meta.QuotaKey{Kind: meta.QuotaUser, ID: uint64(uid)} }
func ofGroup(gid uint32) meta.QuotaKey {
	return meta.QuotaKey{Kind: meta.QuotaGroup, ID: uint64(gid)}
}

func (c *client) limit(key meta.QuotaKey, space, inodes int64) {
	c.t.Helper()
	_, err := c.SetQuota(c.ctx, key, meta.Limits{Space: space, Inodes: inodes})
	c.noErr("set quota", err)
}

// wantUsed compares the stored usage of quotas.
func (c *client) wantUsed(when string, want map[meta.QuotaKey][2]int64) {
	c.t.Helper()
	all, err := c.Quotas(c.ctx)
	c.noErr("quotas", err)
	for key, w := range want {
		if q := all[key]; q.UsedSpace != w[0] || q.UsedInodes != w[1] {
			c.t.Errorf("%s: %s uses %d bytes, %d inodes; want %d, %d", when, key, q.UsedSpace, q.UsedInodes, w[0], w[1])
		}
	}
}

func (c *client) wantDirUsed(when string, dir meta.Ino, pages, inodes int64) {
	c.t.Helper()
	c.wantUsed(when, map[meta.QuotaKey][2]int64{ofDir(dir): {pages * 4096, inodes}})
}

// wantQuotasRight checks that a recount finds what is stored.
func (c *client) wantQuotasRight(when string) {
	c.t.Helper()
	c.wantQuotasCounted(when, false, true)
}

func (c *client) wantQuotasCounted(when string, ways ...bool) {
	c.t.Helper()
	for _, strict := range ways {
		checks, err := c.CheckQuotas(c.ctx, nil, false, strict)
		c.noErr("check quotas", err)
		for _, k := range checks {
			if !k.OK() {
				c.t.Errorf("%s: %s: stored %d bytes, %d inodes; counted (strict %v) %d, %d", when, k.Key,
					k.Stored.UsedSpace, k.Stored.UsedInodes, strict, k.Space, k.Inodes)
			}
		}
	}
}

func (c *client) writeTo(ino meta.Ino, end uint32) error {
	_, _, err := c.Write(c.ctx, ino, meta.Commit{Slices: []meta.Written{{Slice: meta.Slice{ID: 1 << 40, Size: end, Len: end}}}})
	return err
}

func quotaLimits(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	c.limit(ofDir(d), 4*4096, 3)
	sub := c.dir(d, "sub")
	f := c.file(sub, "f")
	c.want("write beyond", c.writeTo(f, 3*4096+1), posix.EDQUOT)
	c.want("write up to the limit", c.writeTo(f, 3*4096), nil)
	_, err := c.Truncate(c.ctx, meta.Root, f, 4*4096, false)
	c.want("truncate beyond", err, posix.EDQUOT)
	_, _, err = c.Mknod(c.ctx, meta.Root, d, "full", meta.New{Type: meta.TypeFile})
	c.want("create beyond the space", err, posix.EDQUOT)
	_, err = c.Truncate(c.ctx, meta.Root, f, 1, false)
	c.want("truncate to less", err, nil)
	c.file(d, "g")
	_, _, err = c.Mknod(c.ctx, meta.Root, sub, "h", meta.New{Type: meta.TypeDirectory})
	c.want("one inode too many", err, posix.EDQUOT)
	_, _, err = c.Mknod(c.ctx, meta.Root, sub, "h", meta.New{Type: meta.TypeSymlink, Target: "t"})
	c.want("one symlink too many", err, posix.EDQUOT)
	_, err = c.Link(c.ctx, meta.Root, f, d, "l")
	c.want("link", err, posix.EDQUOT)
	out := c.file(meta.RootIno, "out")
	c.want("rename into", c.Rename(c.ctx, meta.Root, nm(meta.RootIno, "out"), nm(d, "in"), 0), posix.EDQUOT)
	c.noErr("rename over", c.Rename(c.ctx, meta.Root, nm(meta.RootIno, "out"), nm(d, "g"), 0))
	_, err = c.Clone(c.ctx, meta.Root, out, d, "clone", meta.CloneOptions{})
	c.want("clone into", err, posix.EDQUOT)
	c.noErr("rename within", c.Rename(c.ctx, meta.Root, nm(d, "g"), nm(sub, "g"), 0))
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, sub, "g"))
	c.file(d, "again")
	c.wantDirUsed("in the end", d, 3, 3)
	c.limit(ofDir(d), 0, 0)
	c.file(d, "without limits")
	c.wantDirUsed("without limits", d, 4, 4)
	c.wantQuotasRight("limits")
}

func quotaNested(t *testing.T, c *client) {
	a := c.dir(meta.RootIno, "a")
	plain := c.dir(a, "plain")
	b := c.dir(plain, "b")
	c.limit(ofDir(meta.RootIno), 0, 100)
	c.limit(ofDir(a), 0, 5)
	c.limit(ofDir(b), 0, 4)
	both := func(when string, rootPages, root, aPages, ai, bPages, bi int64) {
		t.Helper()
		c.wantUsed(when, map[meta.QuotaKey][2]int64{
			ofDir(meta.RootIno): {rootPages * 4096, root}, ofDir(a): {aPages * 4096, ai}, ofDir(b): {bPages * 4096, bi},
		})
	}
	both("fresh", 3, 3, 2, 2, 0, 0)
	f := c.file(b, "f")
	c.wrote(f, 0, 3*4096)
	c.make(b, "s", meta.TypeSymlink)
	both("in the inner one", 7, 5, 6, 4, 4, 2)
	c.file(plain, "g")
	_, _, err := c.Mknod(c.ctx, meta.Root, b, "h", meta.New{Type: meta.TypeFile})
	c.want("the outer one is full", err, posix.EDQUOT)
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, b, "f"))
	both("unlinked", 5, 5, 4, 4, 1, 1)
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, b, "s"))
	c.noErr("rmdir", c.Rmdir(c.ctx, meta.Root, plain, "b"))
	all, err := c.Quotas(c.ctx)
	c.noErr("quotas", err)
	if _, there := all[ofDir(b)]; there || len(all) != 2 {
		t.Errorf("quotas after one of their directories is gone: %v", all)
	}
	c.wantQuotasRight("nested")
}

func quotaMoves(t *testing.T, c *client) {
	a, b, p := c.dir(meta.RootIno, "a"), c.dir(meta.RootIno, "b"), c.dir(meta.RootIno, "plain")
	c.limit(ofDir(a), 0, 10)
	c.limit(ofDir(b), 0, 5)
	tree := c.dir(a, "tree")
	inner := c.dir(tree, "inner")
	f := c.file(inner, "f")
	c.wrote(f, 0, 5000)
	mv := func(from, to meta.Name) error { return c.Rename(c.ctx, meta.Root, from, to, 0) }
	c.wantDirUsed("before", a, 4, 3)
	c.noErr("within", mv(nm(inner, "f"), nm(a, "f")))
	c.wantDirUsed("within", a, 4, 3)
	c.noErr("back", mv(nm(a, "f"), nm(inner, "f")))
	c.noErr("tree across", mv(nm(a, "tree"), nm(b, "tree")))
	c.wantDirUsed("left", a, 0, 0)
	c.wantDirUsed("came", b, 4, 3)
	c.file(inner, "g")
	c.wantDirUsed("after the move, below it", b, 5, 4)
	c.wantDirUsed("after the move, elsewhere", a, 0, 0)
	c.noErr("tree out", mv(nm(b, "tree"), nm(p, "tree")))
	c.wantDirUsed("out", b, 0, 0)
	c.file(inner, "h")
	c.file(inner, "i")
	c.want("tree that is too large", mv(nm(p, "tree"), nm(b, "tree")), posix.EDQUOT)
	c.wantDirUsed("refused", b, 0, 0)
	c.noErr("tree in", mv(nm(p, "tree"), nm(a, "tree")))
	c.wantDirUsed("in", a, 7, 6)
	c.limit(ofDir(tree), 0, 5)
	c.noErr("with a quota of its own", mv(nm(a, "tree"), nm(p, "tree")))
	c.wantDirUsed("with a quota of its own", a, 0, 0)
	c.wantDirUsed("its own", tree, 6, 5)
	d, e := c.dir(a, "d"), c.dir(b, "d")
	c.noErr("over an empty directory", mv(nm(a, "d"), nm(b, "d")))
	c.wantDirUsed("over an empty directory", b, 1, 1)
	c.wantDirUsed("over an empty directory, source", a, 0, 0)
	if _, err := c.GetAttr(c.ctx, e); !errors.Is(err, posix.ENOENT) {
		t.Errorf("replaced directory: %v", err)
	}
	c.limit(ofDir(d), 0, 5)
	c.noErr("into a nested one", mv(nm(p, "tree"), nm(a, "tree")))
	c.want("into a full nested one", mv(nm(a, "tree"), nm(d, "tree")), posix.EDQUOT)
	c.wantQuotasRight("moves")
}

func quotaExchange(t *testing.T, c *client) {
	a, b := c.dir(meta.RootIno, "a"), c.dir(meta.RootIno, "b")
	c.limit(ofDir(a), 5*4096, 0)
	c.limit(ofDir(b), 0, 0)
	d := c.dir(a, "x")
	c.file(d, "f")
	f := c.file(b, "x")
	c.wrote(f, 0, 5*4096)
	swap := func() error { return c.Rename(c.ctx, meta.Root, nm(a, "x"), nm(b, "x"), meta.RenameExchange) }
	c.noErr("exchange", swap())
	c.wantDirUsed("exchanged", a, 5, 1)
	c.wantDirUsed("exchanged", b, 2, 2)
	c.noErr("back", swap())
	_, err := c.Truncate(c.ctx, meta.Root, f, 6*4096, false)
	c.noErr("truncate", err)
	c.want("exchange for something too large", swap(), posix.EDQUOT)
	c.file(d, "below")
	c.wantDirUsed("back", a, 3, 3)
	c.wantDirUsed("back", b, 6, 1)
	c.wantQuotasRight("exchange")
}

func quotaLinks(t *testing.T, c *client) {
	a, b := c.dir(meta.RootIno, "a"), c.dir(meta.RootIno, "b")
	c.limit(ofDir(a), 0, 0)
	c.limit(ofDir(b), 4*4096, 0)
	c.limit(ofDir(meta.RootIno), 100*4096, 0)
	f := c.file(a, "f")
	for _, at := range []meta.Name{nm(a, "g"), nm(b, "h")} {
		_, err := c.Link(c.ctx, meta.Root, f, at.Dir, at.Name)
		c.noErr("link", err)
	}
	c.wrote(f, 0, 2*4096)
	c.wantUsed("written", map[meta.QuotaKey][2]int64{
		ofDir(a): {4 * 4096, 2}, ofDir(b): {2 * 4096, 1}, ofDir(meta.RootIno): {8 * 4096, 5},
	})
	_, err := c.Truncate(c.ctx, meta.Root, f, 5*4096, false)
	c.want("one of the directories is full", err, posix.EDQUOT)
	c.limit(ofDir(b), 0, 0)
	_, err = c.Truncate(c.ctx, meta.Root, f, 34*4096, false)
	c.want("too large three times, not once", err, posix.EDQUOT)
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, a, "f"))
	c.wantDirUsed("unlinked", a, 2, 1)
	c.noErr("rename", c.Rename(c.ctx, meta.Root, nm(a, "g"), nm(b, "g"), 0))
	c.wantDirUsed("renamed", a, 0, 0)
	c.wantDirUsed("renamed", b, 4, 2)
	c.wantQuotasRight("links")
}

func quotaRecords(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	f := c.file(c.dir(d, "sub"), "f")
	c.wrote(f, 0, 10000)
	key := ofDir(d)
	q, err := c.SetQuota(c.ctx, key, meta.Limits{Space: 1 << 30, Inodes: -1})
	c.noErr("set", err)
	want := meta.Quota{MaxSpace: 1 << 30, MaxInodes: -1, UsedSpace: 4 * 4096, UsedInodes: 2}
	equal(t, "new quota of a directory with contents", q, want)
	q, err = c.SetQuota(c.ctx, key, meta.Limits{Space: -1, Inodes: 7})
	c.noErr("set", err)
	want.MaxInodes = 7
	equal(t, "changed quota", q, want)
	all, err := c.Quotas(c.ctx)
	c.noErr("quotas", err)
	equal(t, "quotas", all, map[meta.QuotaKey]meta.Quota{key: want})
	c.noErr("delete", c.DeleteQuota(c.ctx, key))
	c.want("delete again", c.DeleteQuota(c.ctx, key), meta.ErrNoQuota)
	_, err = c.CheckQuotas(c.ctx, []meta.QuotaKey{key}, false, false)
	c.want("check none", err, meta.ErrNoQuota)
	c.file(d, "g")
	all, err = c.Quotas(c.ctx)
	c.noErr("quotas", err)
	equal(t, "quotas after the last is gone", len(all), 0)
}

func quotaErrors(t *testing.T, c *client) {
	f := c.file(meta.RootIno, "f")
	for _, bad := range []struct {
		key  meta.QuotaKey
		l    meta.Limits
		want error
	}{
		{ofDir(f), meta.Limits{}, posix.ENOTDIR},
		{ofDir(4242), meta.Limits{}, posix.ENOENT},
		{ofDir(meta.TrashIno), meta.Limits{}, posix.EPERM},
		{ofDir(meta.RootIno), meta.Limits{Space: -2}, posix.EINVAL},
	} {
		_, err := c.SetQuota(c.ctx, bad.key, bad.l)
		c.want("quota of "+bad.key.String(), err, bad.want)
	}
	ro := openVolume(t, c.eng, meta.Options{ReadOnly: true})
	_, err := ro.SetQuota(ro.ctx, ofDir(meta.RootIno), meta.Limits{})
	c.want("read-only client", err, posix.EROFS)
	// Without statistics a quota turns them on.
	c.remake(func(f *meta.Format) { f.DirStats = false })
	c.limit(ofDir(meta.RootIno), 0, 5)
	got, err := meta.Load(c.ctx, c.eng)
	c.noErr("load", err)
	if !got.DirStats || !c.Format().DirStats {
		t.Error("a directory has a quota and the volume no statistics")
	}
	c.file(meta.RootIno, "g")
	c.wantDirUsed("with statistics", meta.RootIno, 2, 2)
}

func quotaRepair(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	c.file(d, "f")
	key := ofDir(d)
	c.limit(key, 1<<30, 9)
	c.noErr("spoil", c.eng.Update(c.ctx, meta.Want{}, func(tx meta.Tx) error {
		tx.SetQuota(key, meta.Quota{MaxSpace: 1 << 30, MaxInodes: 9, UsedSpace: 5, UsedInodes: -3})
		return nil
	}))
	bad := meta.QuotaCheck{Key: key, Stored: meta.Quota{MaxSpace: 1 << 30, MaxInodes: 9, UsedSpace: 5, UsedInodes: -3}, Space: 4096, Inodes: 1}
	got, err := c.CheckQuotas(c.ctx, []meta.QuotaKey{key}, false, true)
	c.noErr("check", err)
	equal(t, "check", got, []meta.QuotaCheck{bad})
	bad.Repaired = true
	got, err = c.CheckQuotas(c.ctx, []meta.QuotaKey{key}, true, true)
	c.noErr("repair", err)
	equal(t, "repair", got, []meta.QuotaCheck{bad})
	c.wantDirUsed("repaired", d, 1, 1)
	c.wantQuotasRight("repaired")
}

func quotaMakePath(t *testing.T, c *client) {
	a := c.dir(meta.RootIno, "a")
	c.file(a, "f")
	ino, err := c.MakePath(c.ctx, meta.Root, "/a//b/./c")
	c.noErr("make path", err)
	equal(t, "made", ino, c.lookupPath("a", "b", "c"))
	again, err := c.MakePath(c.ctx, meta.Root, "a/b/c/")
	c.noErr("make path", err)
	equal(t, "found", again, ino)
	root, _, err := c.FindPath(c.ctx, meta.Root, "/")
	c.noErr("find path", err)
	equal(t, "root", root, meta.RootIno)
	for path, want := range map[string]error{"/a/x": posix.ENOENT, "/a/f/x": posix.ENOTDIR, "/a/../b": posix.EINVAL} {
		_, _, err := c.FindPath(c.ctx, meta.Root, path)
		c.want("find "+path, err, want)
	}
	_, err = c.MakePath(c.ctx, meta.Root, "/a/f")
	c.want("make a path that is a file", err, posix.ENOTDIR)
}

func quotaStatFS(t *testing.T, c *client) {
	a := c.dir(meta.RootIno, "a")
	b := c.dir(a, "b")
	whole := c.StatFS(c.ctx, b)
	equal(t, "without quotas", whole, c.StatFS(c.ctx, meta.RootIno))
	c.limit(ofDir(a), 10*4096, 4)
	c.limit(ofDir(b), 0, 100)
	c.file(b, "f")
	c.file(a, "g")
	equal(t, "under the quota", c.StatFS(c.ctx, a), meta.Space{TotalBytes: 10 * 4096, FreeBytes: 7 * 4096, TotalInodes: 4, FreeInodes: 1})
	equal(t, "under both", c.StatFS(c.ctx, b), meta.Space{TotalBytes: 8 * 4096, FreeBytes: 7 * 4096, TotalInodes: 2, FreeInodes: 1})
	if s := c.StatFS(c.ctx, meta.RootIno); s.TotalBytes != whole.TotalBytes {
		t.Errorf("beside the quota: %+v", s)
	}
}
