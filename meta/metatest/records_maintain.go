package metatest

import (
	"context"
	"slices"
	"testing"

	"jfs/meta"
)

// maintainCases: what collecting, dumping and destroying a volume asks of an engine.
var maintainCases = []testCase{
	{"HasDelayed", testHasDelayed},
	{"DropDelayedOnce", testDropDelayedOnce},
	{"SpareRefs", testSpareRefs},
	{"ReserveNone", testReserveNone},
	{"Erase", testErase},
}

func testHasDelayed(t *testing.T, e meta.Engine) {
	d := meta.Delayed{ID: 4108, At: 1795429668, Slices: []meta.SliceRef{{ID: 4102, Size: 100}, {ID: 4103, Size: 200}}}
	has := func(d meta.Delayed) bool {
		return read(t, e, func(r meta.Reader) (bool, error) { return r.HasDelayed(d) })
	}
	equal(t, "before", has(d), false)
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetDelayed(d)
		return nil
	})
	equal(t, "there", has(d), true)
	equal(t, "of another time", has(meta.Delayed{ID: d.ID + 1, At: d.At}), false)
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.DropDelayed(d)
		return nil
	})
	equal(t, "after", has(d), false)
}

// testDropDelayedOnce: of several that give up the same set, one takes the references away.
func testDropDelayedOnce(t *testing.T, e meta.Engine) {
	s := meta.SliceRef{ID: 7, Size: 100}
	d := meta.Delayed{ID: 9, At: 1000, Slices: []meta.SliceRef{s}}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.NewRef(s.ID, s.Size)
		tx.SetDelayed(d)
		return nil
	})
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.AddRef(s.ID, s.Size, 10)
		return nil
	})
	const clients = 6
	m := &meeting{of: clients}
	me := m.engine(e)
	together(t, clients, func(ctx context.Context, _ int) error {
		return me.Update(ctx, meta.Want{}, func(tx meta.Tx) error {
			there, err := tx.HasDelayed(d)
			if err != nil || !there {
				return err
			}
			tx.AddRef(s.ID, s.Size, -1)
			tx.DropDelayed(d)
			return nil
		})
	})
	refs := read(t, e, func(r meta.Reader) ([]int64, error) { return r.Refs([]meta.SliceRef{s}) })
	equal(t, "references", refs, []int64{10})
}

func testSpareRefs(t *testing.T, e meta.Engine) {
	list := []meta.SliceRef{{ID: 1, Size: 10}, {ID: 2, Size: 20}, {ID: 3, Size: 30}, {ID: 4, Size: 40}}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		for _, s := range list {
			tx.NewRef(s.ID, s.Size)
		}
		return nil
	})
	for _, n := range []int64{1, -1} { // slices 2 and 3 are as before, 1 has two, 4 none
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			for _, s := range list[1:3] {
				tx.AddRef(s.ID, s.Size, n)
			}
			return nil
		})
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.AddRef(1, 10, 1)
		tx.AddRef(4, 40, -1)
		return nil
	})
	spare := read(t, e, func(r meta.Reader) ([]meta.SliceRef, error) { return r.SpareRefs(10) })
	for _, s := range spare {
		if !slices.Contains(list[1:3], s) {
			t.Errorf("the record of slice %d is spare", s.ID)
		}
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		refs, err := tx.Refs(spare)
		for i, s := range spare {
			equal(t, "references of a spare record", refs[i], 1)
			tx.DropRef(s.ID, s.Size)
		}
		return err
	})
	refs := read(t, e, func(r meta.Reader) ([]int64, error) { return r.Refs(list) })
	equal(t, "references", refs, []int64{2, 1, 1, 0})
	equal(t, "spare afterwards", len(read(t, e, func(r meta.Reader) ([]meta.SliceRef, error) { return r.SpareRefs(10) })), 0)
}

func testReserveNone(t *testing.T, e meta.Engine) {
	for _, seq := range []meta.Sequence{meta.SeqInode, meta.SeqSlice, meta.SeqSession, meta.SeqTrash} {
		a := reserve(t, e, seq, 0)
		b := reserve(t, e, seq, 5)
		c := reserve(t, e, seq, 0)
		if a != b || c != b+5 {
			t.Errorf("sequence %d: next %d, then 5 from %d on, then next %d", seq, a, b, c)
		}
	}
	equal(t, "first inode", reserve(t, e, meta.SeqInode, 0) <= 7, true)
}

func testErase(t *testing.T, e meta.Engine) {
	const files = 300
	first := reserve(t, e, meta.SeqInode, 1)
	fill := func() {
		a, d := fileAttr(0, 10), dirAttr(1)
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			tx.SetSetting([]byte(`{"Name":"v"}`))
			tx.SetAttr(meta.RootIno, &d)
			for i := range files {
				ino := meta.Ino(10 + i)
				tx.SetAttr(ino, &a)
				tx.SetEntry(meta.RootIno, numbered("f", i), meta.Entry{Type: meta.TypeFile, Ino: ino})
				tx.AppendSlices(ino, 0, []meta.Slice{{ID: uint64(i) + 1, Size: 10, Len: 10}})
				tx.NewRef(uint64(i)+1, 10)
				tx.AddParent(ino, meta.RootIno, 1)
				tx.SetXattr(ino, "user.a", []byte("b"))
			}
			tx.SetSymlink(9, "target")
			tx.SetDelFile(meta.DelFile{Ino: 5, Length: 1, Removed: 1})
			tx.SetDelayed(meta.Delayed{ID: 1, At: 1, Slices: []meta.SliceRef{{ID: 1, Size: 10}}})
			tx.SetDetached(6, 1)
			tx.SetSession(meta.SessionRecord{Sid: 1, Expire: 1, Info: []byte("{}")})
			tx.SetSustained(1, 5)
			tx.SetDirStat(meta.RootIno, meta.DirStat{Inodes: 1})
			tx.SetCounter(meta.LastCleanupFiles, 5)
			tx.SetQuota(meta.QuotaKey{ID: 1}, meta.Quota{MaxSpace: 1})
			tx.AddUsage(4096, 1)
			_, err := tx.AddACL([]byte{0, 6, 0, 4, 0xff, 0xff, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0})
			return err
		})
	}
	fill()
	if err := e.Erase(soon(t)); err != nil {
		t.Fatalf("erase: %v", err)
	}
	setting, err := setting(t, e)
	if err != nil || setting != nil {
		t.Fatalf("setting after erase: %q, %v", setting, err)
	}
	if err := e.Init(soon(t)); err != nil {
		t.Fatalf("init after erase: %v", err)
	}
	equal(t, "first inode of the next volume", reserve(t, e, meta.SeqInode, 1), first)
	equal(t, "usage", usageOf(t, e), usage{})
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		nodes, _, err := r.ScanNodes("", 10)
		if err != nil {
			return err
		}
		chunks, _, err := r.ScanChunks("", 10)
		if err != nil {
			return err
		}
		page, _, err := r.Entries(meta.RootIno, "", 10, false)
		if err != nil {
			return err
		}
		sessions, err := r.Sessions()
		if err != nil {
			return err
		}
		quotas, err := r.Quotas()
		if err != nil {
			return err
		}
		acls, err := r.ACLs()
		if err != nil {
			return err
		}
		delayed, err := r.DelayedSlices(1<<40, 10)
		if err != nil {
			return err
		}
		removed, err := r.DelFiles(1<<40, 10)
		if err != nil {
			return err
		}
		last, err := r.Counter(meta.LastCleanupFiles)
		equal(t, "what is left", []int{len(nodes), len(chunks), len(page), len(sessions), len(quotas), len(acls), len(delayed), len(removed), int(last)},
			make([]int, 9))
		return err
	})
	fill() // and it can be used again
}

func setting(t *testing.T, e meta.Engine) (b []byte, err error) {
	err = e.View(soon(t), meta.Want{}, func(r meta.Reader) (err error) {
		b, err = r.Setting()
		return err
	})
	return b, err
}
