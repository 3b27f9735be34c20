package metatest

import (
	"context"
	"errors"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

// RunShared runs the part of the suite that needs two clients of one database. open gives two engines on the
// same empty database, a new one for each subtest; the suite closes both.
func RunShared(t *testing.T, open func(t *testing.T) (a, b meta.Engine)) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, a, b meta.Engine)
	}{
		{"Seen", testSeen},
		{"StaleKnowledge", testStale},
		{"Increments", testSharedIncrements},
		{"OneWinner", func(t *testing.T, a, b meta.Engine) { oneWinner(t, a, b) }},
		{"CreateAgainstRmdir", func(t *testing.T, a, b meta.Engine) { createAgainstRmdir(t, a, b) }},
		{"Reserve", func(t *testing.T, a, b meta.Engine) { reserveDisjoint(t, a, b) }},
		{"FlockOneWinner", func(t *testing.T, a, b meta.Engine) { flockWinner(t, a, b) }},
		{"PlockPromise", func(t *testing.T, a, b meta.Engine) { plockPromise(t, a, b) }},
		{"QuotaSums", func(t *testing.T, a, b meta.Engine) { quotaSums(t, a, b) }},
		{"ACLNumbers", func(t *testing.T, a, b meta.Engine) { aclNumbers(t, a, b) }},
		{"UsageAfterClose", testUsageAfterClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := open(t)
			c.run(t, ready(t, a), ready(t, b))
		})
	}
}

// testSeen: what one has committed, the other sees at once.
func testSeen(t *testing.T, a, b meta.Engine) {
	wantAttr(t, b, 5, nil)
	wantEntry(t, b, 2, "f", nil)
	at := fileAttr(2, 1)
	en := meta.Entry{Type: meta.TypeFile, Ino: 5}
	for i := range 3 {
		at.Length = uint64(i)
		update(t, a, meta.Want{Attrs: []meta.Ino{5}}, func(tx meta.Tx) error {
			if _, _, err := tx.Attr(5); err != nil {
				return err
			}
			tx.SetAttr(5, &at)
			tx.SetEntry(2, "f", en)
			return nil
		})
		wantAttr(t, b, 5, &at)
		wantEntry(t, b, 2, "f", &en)
		a, b = b, a
	}
}

// testStale changes behind the back of an engine that has just read, or written, the same records. An
// answer that rests on what it remembers would be wrong.
func testStale(t *testing.T, a, b meta.Engine) {
	ctx := soon(t)
	put(t, a, map[meta.Ino]meta.Attr{2: dirAttr(1)})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	drop := func(e meta.Engine, name string, ino meta.Ino) {
		t.Helper()
		update(t, e, meta.Want{Nodes: []meta.Name{{Dir: 2, Name: name}}}, func(tx meta.Tx) error {
			en, ok, err := tx.Entry(2, name)
			if err != nil || !ok || en.Ino != ino {
				t.Errorf("entry %q: ok=%v %+v %v", name, ok, en, err)
				return err
			}
			if _, _, err := tx.Attr(ino); err != nil {
				return err
			}
			tx.DropEntry(2, name)
			tx.DropNode(ino)
			return nil
		})
	}
	must(create(ctx, a, 2, "x", 10))
	drop(b, "x", 10)
	must(create(ctx, a, 2, "x", 11)) // a remembers that the name is taken
	drop(a, "x", 11)
	must(create(ctx, b, 2, "x", 12))
	if err := create(ctx, a, 2, "x", 13); !errors.Is(err, posix.EEXIST) { // a remembers that it is free
		t.Errorf("create over an entry of the other client: %v", err)
	}
	wantEntry(t, a, 2, "x", &meta.Entry{Type: meta.TypeFile, Ino: 12})
	wantAttr(t, a, 13, nil)

	// The directory itself goes away, and a knows it.
	put(t, a, map[meta.Ino]meta.Attr{3: dirAttr(2)})
	must(create(ctx, a, 3, "y", 20))
	update(t, b, meta.Want{Nodes: []meta.Name{{Dir: 3, Name: "y"}}, Attrs: []meta.Ino{3}}, func(tx meta.Tx) error {
		if _, _, err := tx.Entry(3, "y"); err != nil {
			return err
		}
		if _, _, err := tx.Attr(3); err != nil {
			return err
		}
		tx.DropEntry(3, "y")
		tx.DropNode(20)
		tx.DropNode(3)
		return nil
	})
	if err := create(ctx, a, 3, "z", 21); !errors.Is(err, posix.ENOENT) {
		t.Errorf("create in a directory that the other client removed: %v", err)
	}
	wantEntry(t, b, 3, "z", nil)
	wantAttr(t, b, 21, nil)

	// A permission is withdrawn.
	update(t, b, meta.Want{Attrs: []meta.Ino{2}}, func(tx meta.Tx) error {
		d, _, err := tx.Attr(2)
		if err != nil {
			return err
		}
		d.Mode = 0
		tx.SetAttr(2, &d)
		return nil
	})
	var mode uint16
	update(t, a, meta.Want{Perms: []meta.Ino{2}}, func(tx meta.Tx) error {
		d, _, err := tx.Perm(2)
		mode = d.Mode
		tx.SetCounter(meta.LastCleanupFiles, 1) // a change, so that what was read must be true
		return err
	})
	equal(t, "mode after the other client's change", mode, 0)
}

func testSharedIncrements(t *testing.T, a, b meta.Engine) {
	const workers, rounds = 6, 15
	put(t, a, map[meta.Ino]meta.Attr{5: fileAttr(1, 0)})
	engines := []meta.Engine{a, b}
	together(t, workers, func(ctx context.Context, w int) error {
		for range rounds {
			if err := engines[w%2].Update(ctx, meta.Want{Attrs: []meta.Ino{5}}, func(tx meta.Tx) error {
				at, ok, err := tx.Attr(5)
				if err != nil || !ok {
					return errors.Join(err, missing(ok))
				}
				at.Length++
				tx.SetAttr(5, &at)
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	want := fileAttr(1, workers*rounds)
	wantAttr(t, a, 5, &want)
	wantAttr(t, b, 5, &want)
}

// testUsageAfterClose: at the latest Close applies what was collected.
func testUsageAfterClose(t *testing.T, a, b meta.Engine) {
	for _, e := range []meta.Engine{a, b} {
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			tx.AddUsage(4096, 1)
			return nil
		})
	}
	if err := a.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	equal(t, "usage after the other client has gone", usageOf(t, b), usage{8192, 2})
}
