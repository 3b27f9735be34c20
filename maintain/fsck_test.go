package maintain

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"jfs/block"
	"jfs/internal/posix"
	"jfs/meta"
	"jfs/meta/metatest"
)

// told is a log that a test reads.
func told() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelError})), &b
}

func TestFsck(t *testing.T) {
	w := newWorld(t, nil)
	d := w.dir(meta.RootIno, "d")
	f := w.file(d, "f")
	s := w.write(f, 0, make([]byte, 3*testBlock-1))
	for i := range 40 {
		w.write(w.file(d, name("g", i)), 0, make([]byte, 10))
	}
	w.put("chunks/0/0/999_0_5", 5) // leaked: no matter here

	w.store.lists.Store(0)
	r, err := Fsck(w.ctx, w.v, w.store, FsckOptions{})
	w.noErr(err)
	equal(t, "whole", r, FsckResult{Blocks: Count{43, 3*testBlock - 1 + 400}, Slices: Count{41, 3*testBlock - 1 + 400}})
	equal(t, "printed", r.String(), "Found 43 blocks (197007 bytes)\nUsed by 41 slices (197007 bytes)")
	equal(t, "lists", w.store.lists.Load(), 1)
	equal(t, "heads", w.store.heads.Load(), 0)

	missing := block.KeyAt(s.ID, s.Size, 1, testBlock)
	w.noErr(w.blocks.Delete(w.ctx, missing))
	log, text := told()
	r, err = Fsck(w.ctx, w.v, w.store, FsckOptions{Log: log})
	if !errors.Is(err, ErrBroken) {
		t.Errorf("with a missing object: %v", err)
	}
	equal(t, "broken", r, FsckResult{Blocks: Count{42, 2*testBlock - 1 + 400}, Slices: Count{41, 3*testBlock - 1 + 400}, Missing: Count{1, testBlock}, Files: 1})
	equal(t, "heads, for the slice that is not whole", w.store.heads.Load(), 3)
	for _, want := range []string{missing.Name(false), "path=/d/f"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the log does not name %s:\n%s", want, text)
		}
	}

	// Below a path each block is asked for.
	g, _, err := w.v.Lookup(w.ctx, meta.Root, d, "g7")
	w.noErr(err)
	w.store.lists.Store(0)
	w.store.heads.Store(0)
	_, err = FsckTree(w.ctx, w.v, w.store, f, FsckOptions{})
	if !errors.Is(err, ErrBroken) {
		t.Errorf("the file alone: %v", err)
	}
	_, err = FsckTree(w.ctx, w.v, w.store, g, FsckOptions{})
	w.noErr(err)
	if _, err = FsckTree(w.ctx, w.v, w.store, 12345, FsckOptions{}); !errors.Is(err, posix.ENOENT) {
		t.Errorf("no such inode: %v", err)
	}

	// Data of removed files need not be there.
	w.noErr(w.v.Close(w.ctx))
	v, err := meta.Open(w.ctx, w.eng, meta.Options{MaxDeletes: -1})
	w.noErr(err)
	w.v = v
	w.noErr(v.Unlink(w.ctx, meta.Root, d, "f"))
	_, err = Fsck(w.ctx, w.v, w.store, FsckOptions{})
	w.noErr(err)
}

func TestFsckDelayed(t *testing.T) {
	w := newWorld(t, func(f *meta.Format) { f.TrashDays = 1 })
	ino := w.file(meta.RootIno, "f")
	a := w.write(ino, 0, make([]byte, 10))
	w.write(ino, 5, make([]byte, 10))
	_, err := w.compactor(CompactOptions{}).Chunk(w.ctx, ino, 0)
	w.noErr(err)
	r, err := Fsck(w.ctx, w.v, w.store, FsckOptions{})
	w.noErr(err)
	equal(t, "slices", r.Slices, Count{3, 35})
	w.noErr(w.blocks.Delete(w.ctx, block.KeyAt(a.ID, a.Size, 0, testBlock)))
	if _, err = Fsck(w.ctx, w.v, w.store, FsckOptions{}); !errors.Is(err, ErrBroken) {
		t.Errorf("a delayed slice is missing: %v", err)
	}
}

func TestListIsCheaper(t *testing.T) {
	const bs = 4 << 20
	for _, c := range []struct {
		blocks, space, inodes int64
		want                  bool
	}{{0, 0, 0, false}, {1, 0, 0, true}, {100, 1 << 40, 1000, false}, {1000, 1 << 40, 1000, true}, {10, -5, -5, true}} {
		if got := listIsCheaper(c.blocks, c.space, c.inodes, bs); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// settled closes the volume, so that everything that it collects is written, and opens it again.
func (w *world) settled() {
	w.t.Helper()
	w.noErr(w.v.Close(w.ctx))
	w.open()
}

func (w *world) edit(ino meta.Ino, change func(tx meta.Tx, a *meta.Attr)) {
	w.t.Helper()
	w.noErr(w.eng.Update(w.ctx, meta.Want{Attrs: []meta.Ino{ino}}, func(tx meta.Tx) error {
		a, _, err := tx.Attr(ino)
		if err != nil {
			return err
		}
		change(tx, &a)
		return nil
	}))
}

func TestCheckTree(t *testing.T) {
	w := newWorld(t, nil)
	d := w.dir(meta.RootIno, "d")
	var subs []meta.Ino
	for i := range 50 {
		subs = append(subs, w.dir(d, name("sub", i)))
		w.write(w.file(subs[i], "f"), 0, make([]byte, 5000))
	}
	w.settled()
	all := TreeOptions{Recursive: true, SyncDirStat: true, Threads: 3}
	r, err := CheckTree(w.ctx, w.v, meta.RootIno, all)
	w.noErr(err)
	equal(t, "whole", r, TreeResult{Dirs: 52})

	w.edit(d, func(tx meta.Tx, a *meta.Attr) {
		a.Nlink = 7
		tx.SetAttr(d, a)
		tx.DropDirStat(subs[0])
		tx.SetDirStat(subs[1], meta.DirStat{Length: 5000, Space: 4096, Inodes: 1}) // wrong, but it makes sense
		tx.SetDirStat(subs[2], meta.DirStat{Length: 5000, Space: 8192, Inodes: -1})
		tx.DropNode(subs[3])
		tx.AddUsage(777, 5)
	})
	check := func(what string, o TreeOptions, want TreeResult, broken bool) {
		t.Helper()
		r, err := CheckTree(w.ctx, w.v, meta.RootIno, o)
		if errors.Is(err, ErrBroken) != broken || !broken && err != nil {
			t.Errorf("%s: %v", what, err)
		}
		equal(t, what, r, want)
	}
	check("the root alone", TreeOptions{}, TreeResult{Dirs: 1}, false)
	check("without comparing", TreeOptions{Recursive: true}, TreeResult{Dirs: 52, Broken: 4}, true)
	check("comparing", all, TreeResult{Dirs: 52, Broken: 5}, true)
	all.Repair, all.DirMode = true, 0700
	check("repair", all, TreeResult{Dirs: 52, Broken: 5, Repaired: 5, Space: -777, Inodes: -5}, false)
	all.Repair = false
	check("afterwards", all, TreeResult{Dirs: 52}, false)
	a, err := w.v.GetAttr(w.ctx, subs[3])
	w.noErr(err)
	if a.Type != meta.TypeDirectory || a.Mode != 0700 || a.Parent != d || a.Nlink != 2 {
		t.Errorf("the directory that was made anew: %+v", a)
	}
	space, inodes, err := w.v.Usage(w.ctx)
	w.noErr(err)
	equal(t, "space", space, 51*4096+50*8192)
	equal(t, "inodes", inodes, 101)
}

// TestCheckTreeQuotas: what quotas are charged with belongs to the statistics of directories, and is put right with them.
func TestCheckTreeQuotas(t *testing.T) {
	w := newWorld(t, nil)
	d := w.dir(meta.RootIno, "d")
	w.write(w.file(d, "f"), 0, make([]byte, 5000))
	key := meta.QuotaKey{Kind: meta.QuotaDir, ID: uint64(d)}
	for _, k := range []meta.QuotaKey{key, {Kind: meta.QuotaUser}} {
		_, err := w.v.SetQuota(w.ctx, k, meta.Limits{Space: 1 << 30, Inodes: 10})
		w.noErr(err)
	}
	w.settled()
	w.edit(d, func(tx meta.Tx, _ *meta.Attr) {
		tx.SetQuota(key, meta.Quota{MaxSpace: 1 << 30, MaxInodes: 10})
		tx.SetQuota(meta.QuotaKey{Kind: meta.QuotaUser}, meta.Quota{MaxSpace: -1, MaxInodes: -1, UsedInodes: -4})
		tx.SetDirStat(d, meta.DirStat{Length: 7, Space: 4096, Inodes: 7})
	})
	o := TreeOptions{Recursive: true}
	check := func(what string, top meta.Ino, want TreeResult, broken bool) {
		t.Helper()
		r, err := CheckTree(w.ctx, w.v, top, o)
		if errors.Is(err, ErrBroken) != broken || !broken && err != nil {
			t.Errorf("%s: %v", what, err)
		}
		equal(t, what, r, want)
	}
	check("without comparing", meta.RootIno, TreeResult{Dirs: 2}, false)
	o.SyncDirStat = true
	check("not from the root", d, TreeResult{Dirs: 1, Broken: 1}, true)
	check("comparing", meta.RootIno, TreeResult{Dirs: 2, Broken: 1, Quotas: 2}, true)
	o.Repair = true
	check("repair", meta.RootIno, TreeResult{Dirs: 2, Broken: 1, Repaired: 1, Quotas: 2, QuotasRepaired: 2}, false)
	check("again", meta.RootIno, TreeResult{Dirs: 2}, false)
	all, err := w.v.Quotas(w.ctx)
	w.noErr(err)
	equal(t, "quota", all[key], meta.Quota{MaxSpace: 1 << 30, MaxInodes: 10, UsedSpace: 8192, UsedInodes: 1})
}

// TestCheckTreeTrash: a check from the root counts the trash as well. Directories in it have no record.
func TestCheckTreeTrash(t *testing.T) {
	w := newWorld(t, func(f *meta.Format) { f.TrashDays = 1 })
	d := w.dir(meta.RootIno, "d")
	w.write(w.file(d, "f"), 0, make([]byte, 5000))
	w.noErr(w.v.Unlink(w.ctx, meta.Root, d, "f"))
	w.noErr(w.v.Rmdir(w.ctx, meta.Root, meta.RootIno, "d"))
	w.settled()
	var hour meta.Ino
	w.noErr(readDir(w.ctx, w.v, meta.TrashIno, false, func(page []meta.Dirent) error {
		hour = page[0].Ino
		return nil
	}))
	o := TreeOptions{Recursive: true, SyncDirStat: true}
	r, err := CheckTree(w.ctx, w.v, meta.RootIno, o)
	w.noErr(err)
	equal(t, "whole", r, TreeResult{Dirs: 4}) // the root, the trash, the hour, d
	w.noErr(w.eng.Update(w.ctx, meta.Want{}, func(tx meta.Tx) error {
		tx.SetDirStat(hour, meta.DirStat{Length: 1, Space: 8192 + 4096, Inodes: 2}) // a length is no fault
		return nil
	}))
	_, err = CheckTree(w.ctx, w.v, meta.RootIno, o)
	w.noErr(err)
	w.noErr(w.eng.Update(w.ctx, meta.Want{}, func(tx meta.Tx) error {
		tx.SetDirStat(hour, meta.DirStat{})
		return nil
	}))
	if _, err = CheckTree(w.ctx, w.v, meta.RootIno, o); !errors.Is(err, ErrBroken) {
		t.Errorf("wrong statistics of the trash: %v", err)
	}
	o.Repair = true
	r, err = CheckTree(w.ctx, w.v, meta.RootIno, o)
	w.noErr(err)
	equal(t, "repair", r, TreeResult{Dirs: 4, Broken: 1, Repaired: 1})
	metatest.CheckClosed(t, w.v)
}
