package metatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// clocked opens a volume whose clock the test moves.
func clocked(t *testing.T, eng meta.Engine, edit func(*meta.Format), opt meta.Options) (*client, *time.Time) {
	t.Helper()
	now := time.Unix(1795429376, 0)
	c := format(t, eng, edit)
	c.noErr("close", c.Volume.Close(c.ctx))
	opt.Now = func() time.Time { return now }
	return openVolume(t, eng, opt), &now
}

func withTrash(f *meta.Format) { f.TrashDays = 1 }

func cleanDeletedFiles(t *testing.T, connect func() meta.Engine) {
	lazy, now := clocked(t, connect(), nil, meta.Options{MaxDeletes: -1})
	var all []meta.Slice
	for i := range 120 { // more than one batch
		ino := lazy.file(meta.RootIno, fmt.Sprint("f", i))
		all = append(all, lazy.wrote(ino, 0, 10), lazy.wrote(ino, meta.ChunkSize, 20))
		lazy.noErr("unlink", lazy.Unlink(lazy.ctx, meta.Root, meta.RootIno, fmt.Sprint("f", i)))
	}
	cleaned, err := lazy.CleanDeletedFiles(lazy.ctx, now.Unix(), nil)
	lazy.noErr("clean without deletes", err)
	equal(t, "cleaned by a client that frees nothing", cleaned, meta.Cleaned{})

	c := openVolume(t, connect(), meta.Options{})
	told := 0
	if cleaned, err = c.CleanDeletedFiles(c.ctx, now.Unix()-1, nil); err != nil || cleaned.Files != 0 {
		t.Errorf("cleaned too early: %+v, %v", cleaned, err)
	}
	cleaned, err = c.CleanDeletedFiles(c.ctx, now.Unix(), func(n int) { told += n })
	c.noErr("clean", err)
	equal(t, "cleaned", cleaned, meta.Cleaned{Files: 120, Bytes: 120 * (meta.ChunkSize + 20)})
	equal(t, "told", told, 120)
	c.freedNow(all...)
}

// cleanCutFiles: nothing is left of a file that was cut to nothing before it was removed.
func cleanCutFiles(t *testing.T, connect func() meta.Engine) {
	lazy, now := clocked(t, connect(), nil, meta.Options{MaxDeletes: -1})
	small, large := lazy.file(meta.RootIno, "small"), lazy.file(meta.RootIno, "large")
	all := []meta.Slice{lazy.wrote(small, 0, 10), lazy.wrote(large, 0, 10), lazy.wrote(large, meta.ChunkSize, 20)}
	for name, ino := range map[string]meta.Ino{"small": small, "large": large} {
		_, err := lazy.Truncate(lazy.ctx, meta.Root, ino, 0, false)
		lazy.noErr("cut", err)
		lazy.noErr("unlink", lazy.Unlink(lazy.ctx, meta.Root, meta.RootIno, name))
	}
	kept := lazy.file(meta.RootIno, "kept")
	lazy.wrote(kept, 0, 30)

	c := openVolume(t, connect(), meta.Options{})
	_, err := c.CleanDeletedFiles(c.ctx, now.Unix(), nil)
	c.noErr("clean", err)
	// What some engines cannot find is found by a look at all lists, which may give one twice.
	second := meta.ChunkID{Ino: large, Index: 1}
	_, err = c.DropOrphanChunks(c.ctx, []meta.ChunkID{{Ino: kept}, second, {Ino: small}, second})
	c.noErr("drop chunks without inode", err)
	c.freedNow(all...)
	n, err := c.DropOrphanChunks(c.ctx, []meta.ChunkID{{Ino: kept}})
	c.noErr("drop chunks without inode", err)
	equal(t, "dropped of a file that is there", n, 0)
	Check(t, c.Volume)
}

func cleanDeadSlices(t *testing.T, connect func() meta.Engine) {
	c := format(t, connect(), nil)
	ino := c.file(meta.RootIno, "f")
	dead, alive := c.wrote(ino, 0, 10), c.wrote(ino, 100, 20)
	update(t, c.eng, meta.Want{}, func(tx meta.Tx) error {
		tx.AddRef(dead.ID, dead.Size, -1)
		return nil
	})
	cleaned, err := c.CleanDeadSlices(c.ctx, nil)
	c.noErr("clean", err)
	equal(t, "cleaned", cleaned, meta.Cleaned{Files: 1, Bytes: 10})
	c.freedNow(dead)
	equal(t, "references of the other", c.refsOf(meta.SliceRef{ID: alive.ID, Size: alive.Size}), []int64{1})

	// One that cannot be freed is told and does not keep the job for ever.
	stuck := openVolume(t, connect(), meta.Options{FreeSlices: func(_ context.Context, dead []meta.SliceRef) []error {
		return slices.Repeat([]error{errors.New("no")}, len(dead))
	}})
	update(t, c.eng, meta.Want{}, func(tx meta.Tx) error {
		tx.AddRef(alive.ID, alive.Size, -1)
		return nil
	})
	cleaned, err = stuck.CleanDeadSlices(c.ctx, nil)
	c.noErr("clean", err)
	equal(t, "cleaned with a broken store", cleaned, meta.Cleaned{Failed: 1})
}

// freedTogether: files that are removed while the data of another one is being freed are freed with one call.
func freedTogether(t *testing.T, connect func() meta.Engine) {
	const files = 300
	eng := connect()
	c := format(t, eng, nil)
	c.noErr("close", c.Volume.Close(c.ctx))
	calls, gate := make(chan int), make(chan struct{})
	c = openVolume(t, eng, meta.Options{FreeSlices: func(ctx context.Context, dead []meta.SliceRef) []error {
		select {
		case calls <- len(dead):
		case <-ctx.Done():
		}
		select {
		case <-gate:
		case <-ctx.Done():
		}
		return nil
	}})
	for i := range files {
		c.wrote(c.file(meta.RootIno, fmt.Sprint("f", i)), 0, 10)
	}
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, meta.RootIno, "f0"))
	equal(t, "slices of the first call", <-calls, 1)
	for i := 1; i < files; i++ {
		c.noErr("unlink", c.Unlink(c.ctx, meta.Root, meta.RootIno, fmt.Sprint("f", i)))
	}
	close(gate)
	equal(t, "slices of the second call", <-calls, files-1)
}

func cleanTrash(t *testing.T, connect func() meta.Engine) {
	c, now := clocked(t, connect(), withTrash, meta.Options{})
	d := c.dir(meta.RootIno, "d")
	sub := c.dir(d, "sub")
	var all []meta.Slice
	for i := range 120 {
		all = append(all, c.wrote(c.file(sub, fmt.Sprint("f", i)), 0, 10))
	}
	linked := c.file(d, "one")
	all = append(all, c.wrote(linked, 0, 5))
	_, err := c.Link(c.ctx, meta.Root, linked, d, "two")
	c.noErr("link", err)
	kept := c.file(meta.RootIno, "kept")
	_, err = c.Link(c.ctx, meta.Root, kept, d, "kept too")
	c.noErr("link", err)
	c.make(d, "s", meta.TypeSymlink)
	// The whole tree goes by rename into a directory of the trash, as a removal by an administrator does: what is
	// in it keeps its numbers, and is not "in the trash" by itself.
	hour := now.UTC().Format("2006-01-02-15")
	x := c.file(meta.RootIno, "x")
	all = append(all, c.wrote(x, 0, 7))
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, meta.RootIno, "x"))
	bin, _, err := c.Lookup(c.ctx, meta.Root, meta.TrashIno, hour)
	c.noErr("hour", err)
	update(t, c.eng, meta.Want{Attrs: []meta.Ino{d, meta.RootIno}}, func(tx meta.Tx) error {
		a, _, err := tx.Attr(d)
		if err != nil {
			return err
		}
		root, _, err := tx.Attr(meta.RootIno)
		if err != nil {
			return err
		}
		a.Parent = bin
		root.Nlink--
		tx.SetAttr(d, &a)
		tx.SetAttr(meta.RootIno, &root)
		tx.DropEntry(meta.RootIno, "d")
		tx.SetEntry(bin, "1-2-d", meta.Entry{Type: meta.TypeDirectory, Ino: d})
		return nil
	})

	var told atomic.Int64
	c.noErr("clean", c.CleanTrash(c.ctx, now.Add(time.Hour), func(n int) { told.Add(int64(n)) }))
	equal(t, "entries", told.Load(), 1+120+4+1+1+1) // x; in sub; in d; sub; d; the hour
	c.wantNames(meta.TrashIno)
	c.wantNames(meta.RootIno, "kept")
	equal(t, "links of the kept file", c.attr(kept).Nlink, 1)
	if _, err := c.CleanDeletedFiles(c.ctx, now.Unix(), nil); err != nil {
		t.Error(err)
	}
	freed := map[meta.SliceRef]bool{}
	for range all { // by the job, or by the background that was told of each file
		freed[<-c.freed] = true
	}
	equal(t, "slices freed", len(freed), len(all))
	c.noErr("close", c.Volume.Close(c.ctx))
	c.noErr("close engine", c.eng.Close())
	again := openVolume(t, connect(), meta.Options{})
	Check(t, again.Volume)
}

func cleanTrashKeepsYoung(t *testing.T, connect func() meta.Engine) {
	c, now := clocked(t, connect(), withTrash, meta.Options{})
	for _, name := range []string{"old", "young"} {
		c.file(meta.RootIno, name)
		c.noErr("unlink", c.Unlink(c.ctx, meta.Root, meta.RootIno, name))
		*now = now.Add(3 * time.Hour)
	}
	c.noErr("clean", c.CleanTrash(c.ctx, now.Add(-4*time.Hour), nil))
	c.wantNames(meta.TrashIno, now.Add(-3*time.Hour).UTC().Format("2006-01-02-15"))
}

func cleanDetached(t *testing.T, connect func() meta.Engine) {
	c, now := clocked(t, connect(), nil, meta.Options{})
	root := c.dir(meta.RootIno, "clone")
	s := c.wrote(c.file(root, "f"), 0, 10)
	update(t, c.eng, meta.Want{Attrs: []meta.Ino{meta.RootIno}}, func(tx meta.Tx) error {
		a, _, err := tx.Attr(meta.RootIno)
		if err != nil {
			return err
		}
		a.Nlink--
		tx.SetAttr(meta.RootIno, &a)
		tx.DropEntry(meta.RootIno, "clone")
		tx.SetDetached(root, now.Unix())
		return nil
	})
	n, err := c.CleanDetached(c.ctx, now.Add(-time.Second), nil)
	c.noErr("clean", err)
	equal(t, "too early", n, 0)
	*now = now.Add(time.Hour)
	n, err = c.CleanDetached(c.ctx, *now, nil)
	c.noErr("clean", err)
	equal(t, "removed", n, 1)
	equal(t, "freed", <-c.freed, meta.SliceRef{ID: s.ID, Size: s.Size})
	c.wantUsage(0, 0)
	if _, err := c.GetAttr(c.ctx, root); !errors.Is(err, posix.ENOENT) {
		t.Errorf("the root of the clone: %v", err)
	}
}

func removeOrphan(t *testing.T, connect func() meta.Engine) {
	c, now := clocked(t, connect(), nil, meta.Options{})
	f := c.file(meta.RootIno, "f")
	s := c.wrote(f, 0, 10)
	update(t, c.eng, meta.Want{}, func(tx meta.Tx) error {
		tx.DropEntry(meta.RootIno, "f")
		return nil
	})
	c.want("young", c.RemoveOrphan(c.ctx, f, now.Add(-time.Minute)), posix.EBUSY)
	c.Retain(f)
	c.want("open", c.RemoveOrphan(c.ctx, f, now.Add(time.Minute)), posix.EBUSY)
	c.noErr("close", c.CloseFile(c.ctx, f))
	c.noErr("remove", c.RemoveOrphan(c.ctx, f, now.Add(time.Minute)))
	equal(t, "freed", <-c.freed, meta.SliceRef{ID: s.ID, Size: s.Size})
	c.noErr("again", c.RemoveOrphan(c.ctx, f, now.Add(time.Minute)))
	c.want("the root", c.RemoveOrphan(c.ctx, meta.RootIno, now.Add(time.Minute)), posix.EPERM)
	c.wantUsage(0, 0)
}

// jobGuards: within an hour each job is run once, whoever asks.
func jobGuards(t *testing.T, connect func() meta.Engine) {
	lazy, now := clocked(t, connect(), withTrash, meta.Options{MaxDeletes: -1})
	clock := func() time.Time { return *now }
	c := openVolume(t, connect(), meta.Options{Now: clock})
	ino := lazy.file(meta.RootIno, "f")
	s := lazy.wrote(ino, 0, 10)
	flags := meta.FlagSkipTrash
	_, _, err := lazy.SetAttr(lazy.ctx, meta.Root, ino, meta.Change{Flags: &flags})
	lazy.noErr("flags", err)
	lazy.noErr("unlink", lazy.Unlink(lazy.ctx, meta.Root, meta.RootIno, "f"))

	*now = now.Add(2 * time.Hour)
	lazy.noErr("jobs", lazy.RunJobs(lazy.ctx)) // takes the turn, and frees nothing
	c.noErr("jobs", c.RunJobs(c.ctx))
	c.freedNow()
	for _, name := range []string{meta.LastCleanupFiles, meta.NextCleanupSlices, meta.LastCleanupTrash} {
		equal(t, name, read(t, c.eng, func(r meta.Reader) (int64, error) { return r.Counter(name) }), now.Unix())
	}
	*now = now.Add(3240 * time.Second)
	c.noErr("jobs", c.RunJobs(c.ctx))
	c.freedNow(s)
}
