package maintain

import (
	"testing"
	"time"

	"jfs/block"
	"jfs/meta"
	"jfs/object/mem"
)

// The requests for deletion: one for a thousand objects where the store can, whoever deletes.
func TestDeletionsAreBatched(t *testing.T) {
	for _, c := range []struct {
		limit        int
		files, leaks int64 // requests for 1,000 small files, and for 1,500 leaked objects
	}{{0, 1000, 1500}, {1000, 1, 2}} {
		w := newWorld(t, func(f *meta.Format) { f.TrashDays = 1 })
		w.store.Store = mem.NewBulk(c.limit)
		spent := func(what string, want int64) {
			t.Helper()
			equal(t, what, w.store.deletes.Swap(0), want)
		}

		for i := range 1000 {
			f := w.file(meta.RootIno, name("f", i))
			w.write(f, 0, []byte("small"))
		}
		for i := range 1000 {
			w.noErr(w.v.Unlink(w.ctx, meta.Root, meta.RootIno, name("f", i)))
		}
		spent("into the trash", 0)
		// The trash is emptied by one that leaves the data, so that all of it is freed by the job.
		lazy, err := meta.Open(w.ctx, w.eng, meta.Options{Now: w.now, MaxDeletes: -1})
		w.noErr(err)
		w.pass(48 * time.Hour)
		w.noErr(lazy.CleanTrash(w.ctx, w.now(), nil))
		w.noErr(lazy.Close(w.ctx))
		cleaned, err := w.v.CleanDeletedFiles(w.ctx, w.now().Unix(), nil)
		w.noErr(err)
		equal(t, "files", cleaned.Files, 1000)
		equal(t, "objects", len(w.objects()), 0)
		spent("files of the trash", c.files)

		// Slices that compactions have replaced, each set in a record of its own.
		var sets []meta.Delayed
		for i := range 500 {
			s := w.write(w.file(meta.RootIno, name("d", i)), 0, []byte("one"))
			u := w.write(w.file(meta.RootIno, name("e", i)), 0, []byte("two"))
			sets = append(sets, meta.Delayed{ID: 1_000_000 + uint64(i), At: w.now().Unix(), Slices: []meta.SliceRef{{ID: s.ID, Size: s.Size}, {ID: u.ID, Size: u.Size}}})
		}
		w.noErr(w.eng.Update(w.ctx, meta.Want{}, func(tx meta.Tx) error {
			for _, d := range sets {
				tx.SetDelayed(d)
			}
			return nil
		}))
		w.pass(time.Hour)
		cleaned, err = w.v.CleanDelayed(w.ctx, w.now().Unix(), nil)
		w.noErr(err)
		equal(t, "slices", cleaned.Files, 1000)
		spent("delayed slices", c.files)

		for i := range 1500 {
			w.put(block.Key{Slice: 9_000_000 + uint64(i), Size: 5}.Name(false), 5)
		}
		w.pass(2 * time.Hour)
		r := w.gc(GCOptions{Delete: true})
		equal(t, "leaked", r.Leaked.N, 1500)
		equal(t, "failed", r.Failed, 0)
		spent("leaked objects", c.leaks)

		for i := range 1000 {
			w.put(name("any/thing", i), 1)
		}
		removed, err := Destroy(w.ctx, w.v, w.store, DestroyOptions{})
		w.noErr(err)
		equal(t, "removed", removed, Count{1000, 1000})
		spent("a volume", c.files)
	}
}
