package metatest

import (
	"context"
	"errors"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

var updateCases = []testCase{
	{"ErrorWritesNothing", testUpdateError},
	{"FactPassesThrough", testUpdateFact},
	{"Atomic", testAtomic},
	{"Unread", testUnread},
}

// writeAll uses every kind of write once.
func writeAll(tx meta.Tx) {
	a := fileAttr(2, 5)
	tx.SetSetting([]byte(`{"leak":1}`))
	tx.SetCounter(meta.LastCleanupFiles, 5)
	tx.SetAttr(10, &a)
	tx.SetEntry(2, "leak", meta.Entry{Type: meta.TypeFile, Ino: 10})
	tx.DropEntry(2, "kept")
	tx.DropNode(3)
	tx.SetSymlink(10, "t")
	tx.SetXattr(10, "user.x", []byte("x"))
	tx.AddParent(10, 2, 1)
	tx.AppendSlices(10, 0, recs(0, 1))
	tx.NewRef(77, 5)
	tx.SetDelFile(meta.DelFile{Ino: 10, Length: 5, Removed: 1})
	tx.SetSession(meta.SessionRecord{Sid: 1, Expire: 1, Info: []byte("{}")})
	tx.SetSustained(1, 10)
	tx.Touch(2, after(t0, 1e9), 1, 0)
	tx.AddUsage(4096, 1)
	tx.SetDirStat(2, meta.DirStat{Inodes: 1})
}

func wantNothing(t *testing.T, e meta.Engine) {
	t.Helper()
	dir := dirAttr(1)
	wantAttr(t, e, 2, &dir)
	wantAttr(t, e, 3, &dir)
	wantAttr(t, e, 10, nil)
	wantEntry(t, e, 2, "leak", nil)
	wantEntry(t, e, 2, "kept", &meta.Entry{Type: meta.TypeDirectory, Ino: 3})
	wantXattrs(t, e, 10, nil)
	wantParents(t, e, 10, nil)
	wantChunk(t, e, 10, 0, nil)
	wantDirStat(t, e, 2, nil)
	equal(t, "usage", usageOf(t, e), usage{})
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		s, err := r.Setting()
		if s != nil || err != nil {
			t.Errorf("setting %q: %v", s, err)
		}
		n, err := r.Counter(meta.LastCleanupFiles)
		if n != 0 || err != nil {
			t.Errorf("counter %d: %v", n, err)
		}
		_, ok, err := r.Symlink(10)
		if ok || err != nil {
			t.Errorf("symlink: %v", err)
		}
		dead, err := r.DelFiles(1<<40, 10)
		if len(dead) != 0 || err != nil {
			t.Errorf("removed files %v: %v", dead, err)
		}
		ss, err := r.Sessions()
		if len(ss) != 0 || err != nil {
			t.Errorf("sessions %v: %v", ss, err)
		}
		inodes, err := r.Sustained(1)
		if len(inodes) != 0 || err != nil {
			t.Errorf("sustained %v: %v", inodes, err)
		}
		return nil
	})
}

func prepareLeak(t *testing.T, e meta.Engine) {
	put(t, e, map[meta.Ino]meta.Attr{2: dirAttr(1), 3: dirAttr(1)})
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetEntry(2, "kept", meta.Entry{Type: meta.TypeDirectory, Ino: 3})
		return nil
	})
}

var leakWant = meta.Want{Perms: []meta.Ino{2}, Nodes: []meta.Name{{Dir: 2, Name: "kept"}, {Dir: 2, Name: "leak"}}}

// readLeak reads what writeAll presupposes.
func readLeak(tx meta.Tx) error {
	_, _, err := tx.Perm(2)
	for _, n := range leakWant.Nodes {
		_, _, e := tx.Entry(n.Dir, n.Name)
		err = errors.Join(err, e)
	}
	_, _, e3 := tx.Attr(3)
	return errors.Join(err, e3)
}

func testUpdateError(t *testing.T, e meta.Engine) {
	prepareLeak(t, e)
	refused := errors.New("refused")
	err := e.Update(soon(t), leakWant, func(tx meta.Tx) error {
		if err := readLeak(tx); err != nil {
			return err
		}
		writeAll(tx)
		return refused
	})
	if !errors.Is(err, refused) {
		t.Errorf("error of fn comes back as %v", err)
	}
	if err := e.View(soon(t), meta.Want{}, func(meta.Reader) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("error of a view comes back as %v", err)
	}
	wantNothing(t, e)
}

// testUpdateFact lets a requirement fail at the end, behind writes that were already recorded.
func testUpdateFact(t *testing.T, e meta.Engine) {
	prepareLeak(t, e)
	err := e.Update(soon(t), leakWant, func(tx meta.Tx) error {
		if err := readLeak(tx); err != nil {
			return err
		}
		writeAll(tx)
		return tx.RequireEmpty(2)
	})
	if !errors.Is(err, posix.ENOTEMPTY) {
		t.Errorf("requirement that is not met: %v", err)
	}
	wantNothing(t, e)
}

// testAtomic moves bytes between two inodes while others look at both.
func testAtomic(t *testing.T, e meta.Engine) {
	const total, moves = 1000, 60
	put(t, e, map[meta.Ino]meta.Attr{5: fileAttr(1, total), 6: fileAttr(1, 0)})
	want := meta.Want{Attrs: []meta.Ino{5, 6}}
	both := func(r meta.Reader) (a, b meta.Attr, err error) {
		if a, _, err = r.Attr(5); err != nil {
			return a, b, err
		}
		b, _, err = r.Attr(6)
		return a, b, err
	}
	done := make(chan struct{})
	together(t, 3, func(ctx context.Context, i int) error {
		if i == 0 {
			defer close(done)
			for range moves {
				if err := e.Update(ctx, want, func(tx meta.Tx) error {
					a, b, err := both(tx)
					if err != nil {
						return err
					}
					a.Length, b.Length = a.Length-7, b.Length+7
					tx.SetAttr(5, &a)
					tx.SetAttr(6, &b)
					return nil
				}); err != nil {
					return err
				}
			}
			return nil
		}
		for {
			if err := e.View(ctx, want, func(r meta.Reader) error {
				a, b, err := both(r)
				if a.Length+b.Length != total && err == nil {
					t.Errorf("half of a change is seen: %d + %d", a.Length, b.Length)
				}
				return err
			}); err != nil {
				return err
			}
			select {
			case <-done:
				return nil
			default:
			}
		}
	})
	a, b := fileAttr(1, total-7*moves), fileAttr(1, 7*moves)
	wantAttr(t, e, 5, &a)
	wantAttr(t, e, 6, &b)
}

// testUnread names records that fn does not look at, and reads others that are not named.
func testUnread(t *testing.T, e meta.Engine) {
	a, dir := fileAttr(2, 1), dirAttr(1)
	put(t, e, map[meta.Ino]meta.Attr{2: dir, 10: a})
	en := meta.Entry{Type: meta.TypeFile, Ino: 10}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetEntry(2, "f", en)
		tx.AppendSlices(10, 0, recs(0, 2))
		return nil
	})
	want := meta.Want{Attrs: []meta.Ino{2, 99}, Entries: []meta.Name{{Dir: 99, Name: "x"}}, Chunks: []meta.ChunkID{{Ino: 99}}}
	update(t, e, want, func(tx meta.Tx) error {
		got, ok, err := tx.Entry(2, "f")
		if err != nil || !ok || got != en {
			t.Errorf("entry: ok=%v %+v %v", ok, got, err)
		}
		b, ok, err := tx.Attr(10)
		if err != nil || !ok || b != a {
			t.Errorf("attribute: ok=%v %+v %v", ok, b, err)
		}
		ss, err := tx.Chunk(10, 0)
		if err != nil || len(ss) != 2 {
			t.Errorf("chunk: %+v %v", ss, err)
		}
		b.Length = 2
		tx.SetAttr(10, &b)
		return nil
	})
	a.Length = 2
	wantAttr(t, e, 10, &a)
}

var contextCases = []testCase{
	{"Cancelled", testCancelled},
	{"CancelInside", testCancelInside},
}

func testCancelled(t *testing.T, e meta.Engine) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a := fileAttr(1, 1)
	err := e.Update(ctx, meta.Want{Attrs: []meta.Ino{5}}, func(tx meta.Tx) error {
		tx.SetAttr(5, &a)
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("update: %v", err)
	}
	err = e.View(ctx, meta.Want{Attrs: []meta.Ino{5}}, func(r meta.Reader) error {
		_, _, err := r.Attr(5)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("view: %v", err)
	}
	if _, err := e.Reserve(ctx, meta.SeqSlice, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("reserve: %v", err)
	}
	wantAttr(t, e, 5, nil)
	equal(t, "first slice", reserve(t, e, meta.SeqSlice, 1), 1)
}

// testCancelInside cancels while fn runs: the change happens or it does not, and the answer is true.
func testCancelInside(t *testing.T, e meta.Engine) {
	a := fileAttr(1, 1)
	for i := range 5 {
		ino := meta.Ino(5 + i)
		ctx, cancel := context.WithCancel(context.Background())
		err := e.Update(ctx, meta.Want{Attrs: []meta.Ino{ino}}, func(tx meta.Tx) error {
			if _, _, err := tx.Attr(ino); err != nil {
				return err
			}
			tx.SetAttr(ino, &a)
			cancel()
			return nil
		})
		cancel()
		switch {
		case err == nil:
			wantAttr(t, e, ino, &a)
		case errors.Is(err, meta.ErrUnknown):
		default:
			wantAttr(t, e, ino, nil)
		}
	}
	// The engine lives on.
	put(t, e, map[meta.Ino]meta.Attr{50: a})
	wantAttr(t, e, 50, &a)
}
