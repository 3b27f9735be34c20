package maintain

import (
	"slices"
	"strings"
	"testing"
	"time"

	"jfs/block"
	"jfs/meta"
)

func (w *world) gc(o GCOptions) GCResult {
	w.t.Helper()
	o.Now = w.now
	r, err := GC(w.ctx, w.v, w.store, o)
	w.noErr(err)
	return r
}

func TestGC(t *testing.T) {
	for _, hash := range []bool{false, true} {
		w := newWorld(t, func(f *meta.Format) { f.HashPrefix = hash })
		ino := w.file(meta.RootIno, "f")
		s := w.write(ino, 0, make([]byte, 2*testBlock+5))
		lost := w.write(w.file(meta.RootIno, "g"), 0, make([]byte, 7))
		w.noErr(w.eng.Update(w.ctx, meta.Want{}, func(tx meta.Tx) error { // its chunk disappears
			tx.ReplaceSlices(3, 0, 0, nil)
			tx.DropChunk(3, 0)
			return nil
		}))
		put := func(k block.Key, n int) { w.put(k.Name(hash), n) }
		put(block.Key{Slice: 99, Index: 0, Size: 100}, 50) // of no slice
		put(block.Key{Slice: s.ID, Index: 2, Size: 6}, 6)  // contradicts the size
		put(block.Key{Slice: s.ID, Index: 3, Size: 5}, 5)  // beyond the end
		put(block.Key{Slice: s.ID, Index: 1, Size: testBlock - 1}, 1)
		w.put("chunks/readme", 3)
		w.put("juicefs_uuid", 36)

		r := w.gc(GCOptions{Delete: true})
		equal(t, "all too young", r.Skipped, Count{9, 2*testBlock + 5 + 7 + 50 + 6 + 5 + 1 + 3})
		equal(t, "objects", len(w.objects()), 10)

		w.pass(2 * time.Hour)
		r = w.gc(GCOptions{})
		want := GCResult{Scanned: 9, Valid: 3, Leaked: Count{5, 7 + 50 + 6 + 5 + 1}, Skipped: Count{1, 3}}
		equal(t, "found", r, want)
		equal(t, "objects", len(w.objects()), 10)
		line := "scanned 9 objects, 3 valid, 0 pending delete (0 bytes), 0 compacted (0 bytes), 5 leaked (69 bytes), " +
			"0 delslices (0 bytes), 0 delfiles (0 bytes), 1 skipped (3 bytes)"
		equal(t, "last line", r.String(), line)

		equal(t, "with delete", w.gc(GCOptions{Delete: true}), want)
		keys := w.objects()
		equal(t, "objects", len(keys), 5)
		for _, k := range SliceKeys(s.ID, s.Size, testBlock) {
			if !slices.Contains(keys, k.Name(hash)) {
				t.Errorf("%s is gone", k.Name(hash))
			}
		}
		if slices.ContainsFunc(keys, func(k string) bool {
			return strings.HasSuffix(k, SliceKeys(lost.ID, lost.Size, testBlock)[0].Name(hash))
		}) {
			t.Error("the lost slice is there")
		}
		equal(t, "again", w.gc(GCOptions{Delete: true}), GCResult{Scanned: 4, Valid: 3, Skipped: Count{1, 3}})
	}
}

func TestGCTrashAndDelayed(t *testing.T) {
	w := newWorld(t, func(f *meta.Format) { f.TrashDays = 1 })
	ino := w.file(meta.RootIno, "f")
	w.write(ino, 0, make([]byte, 100))
	w.write(ino, 50, make([]byte, 100))
	gone := w.file(meta.RootIno, "gone")
	w.write(gone, 0, make([]byte, 30))
	w.noErr(w.v.Unlink(w.ctx, meta.Root, meta.RootIno, "gone"))

	w.pass(2 * time.Hour)
	r := w.gc(GCOptions{Delete: true, Compactor: w.compactor(CompactOptions{})})
	equal(t, "after the compaction", r, GCResult{Scanned: 4, Valid: 2, Compacted: Count{2, 200}, // the new object has another clock
		Chunks: CompactResult{Chunks: 1, Compacted: 1}})

	w.pass(26 * time.Hour)
	r = w.gc(GCOptions{})
	equal(t, "without delete", r, GCResult{Scanned: 4, Valid: 2, Compacted: Count{2, 200}})
	r = w.gc(GCOptions{Delete: true})
	equal(t, "trash", r.Trash, 2) // the file, and its hour
	// The data of the file in the trash is freed by the background or by the run, whoever comes first; the background may
	// have come as far as a slice without references.
	if r.DelSlices != (Count{3, 230}) {
		equal(t, "slices", r.DelSlices, Count{2, 200})
	}
	equal(t, "valid", r.Valid, 1)
	equal(t, "failed", r.Failed, 0)
}

func TestGCPending(t *testing.T) {
	w := newWorld(t, nil)
	s := w.write(w.file(meta.RootIno, "f"), 0, make([]byte, 100))
	w.noErr(w.eng.Update(w.ctx, meta.Want{}, func(tx meta.Tx) error {
		if _, err := tx.Chunk(2, 0); err != nil {
			return err
		}
		tx.DropChunk(2, 0)
		tx.AddRef(s.ID, s.Size, -1)
		return nil
	}))
	w.pass(2 * time.Hour)
	equal(t, "pending", w.gc(GCOptions{}), GCResult{Scanned: 1, Pending: Count{1, 100}})
	equal(t, "deleted", w.gc(GCOptions{Delete: true}), GCResult{DelSlices: Count{1, 100}})
	equal(t, "objects", len(w.objects()), 0)
}

func TestGCOrphans(t *testing.T) {
	w := newWorld(t, nil)
	d := w.dir(meta.RootIno, "d")
	w.write(w.file(d, "f"), 0, make([]byte, 10))
	alone := w.file(meta.RootIno, "alone")
	w.write(alone, 0, make([]byte, 10))
	kept := w.file(meta.RootIno, "kept")
	clone := w.dir(meta.RootIno, "clone")
	stays := w.file(meta.RootIno, "stays")
	w.noErr(w.v.StartSession(w.ctx, meta.SessionInfo{Version: meta.CompatVersion}))
	w.v.Retain(kept)
	w.noErr(w.v.Unlink(w.ctx, meta.Root, meta.RootIno, "kept"))
	w.noErr(w.eng.Update(w.ctx, meta.Want{}, func(tx meta.Tx) error {
		for _, name := range []string{"d", "alone", "clone"} {
			tx.DropEntry(meta.RootIno, name)
		}
		tx.SetDetached(clone, w.now().Unix())
		return nil
	}))
	equal(t, "young ones", w.gc(GCOptions{Delete: true}).Orphans, 0)
	w.pass(2 * time.Hour)
	equal(t, "without delete", w.gc(GCOptions{}).Orphans, 0)
	r := w.gc(GCOptions{Delete: true})
	equal(t, "removed", r.Orphans, 2) // d with what is in it, and alone
	var left []meta.Ino
	w.noErr(scanNodes(w.ctx, w.v, func(n meta.Node) error {
		left = append(left, n.Ino)
		return nil
	}))
	slices.Sort(left)
	if want := []meta.Ino{meta.RootIno, kept, clone, stays}; !slices.Equal(left, want) {
		t.Errorf("inodes %v are left, want %v", left, want)
	}
	w.pass(24 * time.Hour)
	equal(t, "clones given up", w.gc(GCOptions{Delete: true}).Detached, 1)
	w.noErr(w.v.CloseFile(w.ctx, kept))
}

// TestGCLostChunks: chunk lists without an inode keep their objects alive until they are removed.
func TestGCLostChunks(t *testing.T) {
	w := newWorld(t, nil)
	kept, lost := w.file(meta.RootIno, "kept"), w.file(meta.RootIno, "lost")
	w.write(kept, 0, make([]byte, 10))
	w.write(lost, 0, make([]byte, 20))
	w.write(lost, meta.ChunkSize, make([]byte, 30))
	w.noErr(w.eng.Update(w.ctx, meta.Want{}, func(tx meta.Tx) error {
		tx.DropEntry(meta.RootIno, "lost")
		tx.DropNode(lost)
		return nil
	}))
	equal(t, "without delete", w.gc(GCOptions{}).Lost, 0)
	equal(t, "removed", w.gc(GCOptions{Delete: true}).Lost, 2)
	equal(t, "objects", len(w.objects()), 1)
	equal(t, "again", w.gc(GCOptions{Delete: true}).Lost, 0)
}
