package metatest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

// posixTest is a test of operations with two clients of one volume, which have sessions.
type posixTest struct {
	name string
	run  func(t *testing.T, a, b *client)
}

// RunPosix checks the operations beyond those that every file needs: locks, allocation, copies of ranges, access
// control lists, access times, flags, files without a name.
func RunPosix(t *testing.T, database Database) {
	for _, group := range [][]posixTest{lockTests, rangeTests, aclTests, nodeTests} {
		for _, test := range group {
			t.Run(test.name, func(t *testing.T) {
				connect := database(t)
				a := format(t, connect(), nil)
				b := openVolume(t, connect(), meta.Options{})
				a.session()
				b.session()
				test.run(t, a, b)
			})
		}
	}
}

var nodeTests = []posixTest{
	{"Atime", posixAtime},
	{"Flags", posixFlags},
	{"Reopen", posixReopen},
	{"Tmpfile", posixTmpfile},
	{"TmpfileOfTheDead", posixTmpfileOfTheDead},
	{"RenameErrors", posixRenameErrors},
	{"LinkErrors", posixLinkErrors},
}

func posixAtime(t *testing.T, a, _ *client) {
	f := a.file(meta.RootIno, "f")
	old := meta.Time{Sec: 1000, Nsec: 1}
	set := func(c meta.Change) meta.Attr {
		t.Helper()
		_, at, err := a.SetAttr(a.ctx, meta.Root, f, c)
		a.noErr("set times", err)
		return at
	}
	before := set(meta.Change{Atime: &old, Mtime: &old})
	_, touched, err := a.Accessed(a.ctx, f, &before)
	a.noErr("access", err)
	if touched || a.attr(f) != before {
		t.Errorf("noatime: %+v", a.attr(f))
	}
	rel := openVolume(t, a.eng, meta.Options{Atime: meta.RelAtime})
	got, touched, err := rel.Accessed(a.ctx, f, &before)
	a.noErr("access", err)
	want := before
	want.Atime = got.Atime
	if !touched || got != want || got.Atime == old || a.attr(f) != want {
		t.Errorf("relatime: %v %+v, want %+v", touched, got, want)
	}
	// What the caller knows is old; the record says that there is nothing to do.
	if _, touched, err = rel.Accessed(a.ctx, f, &before); err != nil || touched || a.attr(f) != want {
		t.Errorf("second access: %v %v %+v", touched, err, a.attr(f))
	}
	gone := before
	_, _, err = rel.Accessed(a.ctx, 4242, &gone)
	a.want("missing", err, posix.ENOENT)
	ro := openVolume(t, a.eng, meta.Options{Atime: meta.StrictAtime, ReadOnly: true})
	if _, touched, err = ro.Accessed(a.ctx, f, &before); err != nil || touched {
		t.Errorf("read-only: %v %v", touched, err)
	}
}

func posixFlags(t *testing.T, a, _ *client) {
	f := a.file(meta.RootIno, "f")
	uid := user.UID
	_, _, err := a.SetAttr(a.ctx, meta.Root, f, meta.Change{UID: &uid})
	a.noErr("chown", err)
	hidden := meta.FlagWindowsHidden
	_, before, err := a.SetAttr(a.ctx, meta.Root, f, meta.Change{Flags: &hidden})
	a.noErr("set flags", err)
	_, at, err := a.SetFlags(a.ctx, meta.Root, f, meta.IflagImmutable|meta.IflagSecureRemoval)
	a.noErr("set flags", err)
	if want := meta.FlagWindowsHidden | meta.FlagImmutable | meta.FlagSkipTrash; at.Flags != want || at.Ctime == before.Ctime {
		t.Errorf("flags %#x, want %#x; %+v", at.Flags, want, at)
	}
	got, err := a.GetFlags(a.ctx, f)
	a.noErr("get flags", err)
	if got != meta.IflagImmutable|meta.IflagSecureRemoval {
		t.Errorf("flags are shown as %#x", got)
	}
	set := func(who meta.Cred, flags uint32) error { _, _, err := a.SetFlags(a.ctx, who, f, flags); return err }
	a.want("owner undoes immutable", set(user, meta.IflagSecureRemoval), posix.EPERM)
	a.want("unknown flag", set(meta.Root, 0x40), posix.ENOTSUP)
	a.want("another user", set(meta.Cred{UID: 2000}, meta.IflagImmutable), posix.EPERM)
	a.want("root", set(meta.Root, 0), nil)
	a.want("owner", set(user, meta.IflagSecureRemoval), nil)
	_, err = a.GetFlags(a.ctx, 4242)
	a.want("missing", err, posix.ENOENT)
}

// posixReopen: an unlinked file that is closed and opened again at the same moment is there for who has opened it, and
// gone after the last.
func posixReopen(t *testing.T, a, _ *client) {
	const rounds, openers = 20, 3
	for range rounds {
		f := a.file(meta.RootIno, "f")
		_, err := a.Open(a.ctx, meta.Root, f, meta.OpenFor{Read: true})
		a.noErr("open", err)
		a.noErr("unlink", a.Unlink(a.ctx, meta.Root, meta.RootIno, "f"))
		together(t, openers+1, func(ctx context.Context, w int) error {
			if w == openers {
				return a.CloseFile(ctx, f)
			}
			if _, err := a.Open(ctx, meta.Root, f, meta.OpenFor{Read: true}); errors.Is(err, posix.ENOENT) {
				return nil // it came too late
			} else if err != nil {
				return err
			}
			_, err := a.GetAttr(ctx, f)
			return errors.Join(err, a.CloseFile(ctx, f))
		})
		_, err = a.GetAttr(a.ctx, f)
		a.want("after the last close", err, posix.ENOENT)
	}
}

func posixTmpfile(t *testing.T, a, _ *client) {
	d := a.dir(meta.RootIno, "d")
	before := a.attr(d)
	f, at, err := a.Tmpfile(a.ctx, user, meta.RootIno, meta.New{Mode: 0666, Umask: 022})
	a.noErr("tmpfile", err)
	if at.Nlink != 0 || at.Type != meta.TypeFile || at.Mode != 0644 || at.UID != user.UID || a.attr(f) != at {
		t.Errorf("file without a name: %+v", at)
	}
	a.wantNames(meta.RootIno, "d")
	lost := a.wrote(f, 0, 5000)
	a.wantUsage(4096+8192, 2)
	a.noErr("close", a.CloseFile(a.ctx, f))
	_, err = a.GetAttr(a.ctx, f)
	a.want("after the last close", err, posix.ENOENT)
	a.wantFreed(lost)
	a.wantUsage(4096, 1)

	f, _, err = a.Tmpfile(a.ctx, meta.Root, d, meta.New{Mode: 0644})
	a.noErr("tmpfile", err)
	a.wrote(f, 0, 5000)
	linked, err := a.Link(a.ctx, meta.Root, f, d, "named")
	a.noErr("link", err)
	if linked.Nlink != 1 || linked.Parent != d || linked.Length != 5000 {
		t.Errorf("linked file: %+v", linked)
	}
	a.noErr("close", a.CloseFile(a.ctx, f))
	if got := a.attr(f); got != linked {
		t.Errorf("after close: %+v, want %+v", got, linked)
	}
	a.wantUsage(4096+8192, 2)
	if n := a.attr(d).Nlink; n != before.Nlink {
		t.Errorf("directory has %d links, want %d", n, before.Nlink)
	}
	// A name that is taken away again while the file is open is no reason to let it have another.
	_, err = a.Open(a.ctx, meta.Root, f, meta.OpenFor{Read: true})
	a.noErr("open", err)
	a.noErr("unlink", a.Unlink(a.ctx, meta.Root, d, "named"))
	_, err = a.Link(a.ctx, meta.Root, f, d, "again")
	a.want("link of an unlinked file", err, posix.ENOENT)
	a.noErr("close", a.CloseFile(a.ctx, f))
	a.wantUsage(4096, 1)

	_, _, err = a.Tmpfile(a.ctx, user, d, meta.New{})
	a.want("no permission", err, posix.EACCES)
	_, _, err = a.Tmpfile(a.ctx, meta.Root, 4242, meta.New{})
	a.want("missing directory", err, posix.ENOENT)
	_, _, err = openVolume(t, a.eng, meta.Options{}).Tmpfile(a.ctx, meta.Root, d, meta.New{})
	a.want("without a session", err, posix.ENOTSUP)
	a.noErr("close", a.Volume.Close(a.ctx))
	stats := read(t, a.eng, func(r meta.Reader) (map[meta.Ino]meta.DirStat, error) { return r.DirStats([]meta.Ino{d}) })
	if stats[d] != (meta.DirStat{}) {
		t.Errorf("statistics of the empty directory: %+v", stats[d])
	}
}

// posixTmpfileOfTheDead: a client that dies with such a file leaves nothing behind.
func posixTmpfileOfTheDead(t *testing.T, a, b *client) {
	f, _, err := b.Tmpfile(b.ctx, user, meta.RootIno, meta.New{Mode: 0666})
	b.noErr("tmpfile", err)
	update(t, a.eng, meta.Want{}, func(tx meta.Tx) error {
		tx.SetSession(meta.SessionRecord{Sid: b.Sid(), Expire: 1})
		return nil
	})
	a.noErr("clean", a.CleanStaleSessions(a.ctx))
	_, err = a.GetAttr(a.ctx, f)
	a.want("file of a dead client", err, posix.ENOENT)
	a.wantUsage(0, 0)
}

func posixRenameErrors(t *testing.T, a, _ *client) {
	d, e := a.dir(meta.RootIno, "d"), a.dir(meta.RootIno, "e")
	f := a.file(d, "f")
	a.file(e, "g")
	mv := func(from, to meta.Name, flags uint32) error { return a.Rename(a.ctx, meta.Root, from, to, flags) }
	for _, flags := range []uint32{4, 5} {
		a.want(fmt.Sprint("whiteout ", flags), mv(nm(d, "f"), nm(e, "f"), flags), posix.ENOTSUP)
	}
	for _, flags := range []uint32{3, 6, 8, 1 << 31} {
		a.want(fmt.Sprint("flags ", flags), mv(nm(d, "f"), nm(e, "f"), flags), posix.EINVAL)
	}
	a.want("into the trash", mv(nm(d, "f"), nm(meta.TrashIno+1, "f"), 0), posix.EPERM)
	a.want("out of the trash by a user", a.Rename(a.ctx, user, nm(meta.TrashIno+1, "f"), nm(d, "x"), 0), posix.EPERM)
	a.want("from a file", mv(nm(f, "x"), nm(e, "x"), 0), posix.ENOENT)
	a.want("into a file", mv(nm(d, "f"), nm(f, "x"), 0), posix.ENOTDIR)
	a.want("into nothing", mv(nm(d, "f"), nm(4242, "x"), 0), posix.ENOENT)
	a.want("from nothing", mv(nm(4242, "f"), nm(d, "x"), 0), posix.ENOENT)
	for _, dot := range []string{".", ".."} {
		a.want("onto "+dot, mv(nm(d, "f"), nm(e, dot), 0), posix.EEXIST)
	}
	a.want("no permission", a.Rename(a.ctx, user, nm(d, "f"), nm(e, "f"), 0), posix.EACCES)
	setFlags := func(ino meta.Ino, flags uint8) {
		t.Helper()
		_, _, err := a.SetAttr(a.ctx, meta.Root, ino, meta.Change{Flags: &flags})
		a.noErr("set flags", err)
	}
	for name, ino := range map[string]meta.Ino{"source directory": d, "target directory": e, "file": f} {
		for _, flag := range []uint8{meta.FlagImmutable, meta.FlagAppend} {
			if ino == e && flag == meta.FlagAppend {
				continue // a directory that may only grow takes new names
			}
			setFlags(ino, flag)
			a.want(fmt.Sprintf("%s with flag %d", name, flag), mv(nm(d, "f"), nm(e, "new"), 0), posix.EPERM)
			setFlags(ino, 0)
		}
	}
	setFlags(e, meta.FlagAppend)
	a.want("into a directory that may only grow", mv(nm(d, "f"), nm(e, "f"), 0), nil)
	setFlags(e, 0)
	a.want("back", mv(nm(e, "f"), nm(d, "f"), meta.RenameNoReplace), nil)
	a.wantNames(d, "f")
	a.wantNames(e, "g")
}

func posixLinkErrors(t *testing.T, a, _ *client) {
	d := a.dir(meta.RootIno, "d")
	f := a.file(meta.RootIno, "f")
	link := func(who meta.Cred, ino, dir meta.Ino, name string) error {
		_, err := a.Link(a.ctx, who, ino, dir, name)
		return err
	}
	a.want("into the trash", link(meta.Root, f, meta.TrashIno+1, "x"), posix.EPERM)
	a.want("of the trash", link(meta.Root, meta.TrashIno+1, d, "x"), posix.EPERM)
	a.want("into a file", link(meta.Root, f, f, "x"), posix.ENOTDIR)
	a.want("into nothing", link(meta.Root, f, 4242, "x"), posix.ENOENT)
	a.want("no permission", link(user, f, d, "x"), posix.EACCES)
	a.want("empty name", link(meta.Root, f, d, ""), posix.EINVAL)
	for _, flag := range []uint8{meta.FlagImmutable, meta.FlagAppend} {
		none := uint8(0)
		_, _, err := a.SetAttr(a.ctx, meta.Root, f, meta.Change{Flags: &flag})
		a.noErr("set flags", err)
		a.want(fmt.Sprint("of a file with flag ", flag), link(meta.Root, f, d, "x"), posix.EPERM)
		_, _, err = a.SetAttr(a.ctx, meta.Root, f, meta.Change{Flags: &none})
		a.noErr("set flags", err)
	}
	immutable := meta.FlagImmutable
	_, _, err := a.SetAttr(a.ctx, meta.Root, d, meta.Change{Flags: &immutable})
	a.noErr("set flags", err)
	a.want("into an immutable directory", link(meta.Root, f, d, "x"), posix.EPERM)
	a.want("unlink of a directory", a.Unlink(a.ctx, meta.Root, meta.RootIno, "d"), posix.EPERM)
	a.want("rmdir of an immutable directory", a.Rmdir(a.ctx, meta.Root, meta.RootIno, "d"), posix.EPERM)
	if n := a.attr(f).Nlink; n != 1 {
		t.Errorf("file has %d links", n)
	}
}
