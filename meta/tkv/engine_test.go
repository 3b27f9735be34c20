package tkv_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
	"jfs/meta/tkv"
	"jfs/meta/tkv/mem"
)

// quiet keeps the usage counters from being written meanwhile, where a test counts commits.
var quiet = tkv.Options{FlushUsage: time.Hour}

// faulty lets commits fail by a rule, and counts calls.
type faulty struct {
	tkv.Store
	fail               func(commit int) error // nil: the commit goes ahead; called before it
	late               func(commit int) error // after it: what the caller hears of a commit that happened
	commits, gets, ask *atomic.Int64          // commits; single and batch reads; keys in them
}

func newFaulty(s tkv.Store) *faulty {
	return &faulty{Store: s, commits: new(atomic.Int64), gets: new(atomic.Int64), ask: new(atomic.Int64)}
}

func (f *faulty) Begin(ctx context.Context) (tkv.Txn, error) {
	t, err := f.Store.Begin(ctx)
	return &faultyTxn{t, f}, err
}

type faultyTxn struct {
	tkv.Txn
	f *faulty
}

func (t *faultyTxn) Get(ctx context.Context, key []byte) ([]byte, error) {
	t.f.gets.Add(1)
	t.f.ask.Add(1)
	return t.Txn.Get(ctx, key)
}

func (t *faultyTxn) BatchGet(ctx context.Context, keys [][]byte) ([][]byte, error) {
	t.f.gets.Add(1)
	t.f.ask.Add(int64(len(keys)))
	return t.Txn.BatchGet(ctx, keys)
}

func (t *faultyTxn) Commit(ctx context.Context) error {
	n := int(t.f.commits.Add(1))
	if t.f.fail != nil {
		if err := t.f.fail(n); err != nil {
			return err
		}
	}
	err := t.Txn.Commit(ctx)
	if err == nil && t.f.late != nil {
		err = t.f.late(n)
	}
	return err
}

func closeLater(t *testing.T, e meta.Engine) {
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

func dir(nlink uint32) *meta.Attr {
	return &meta.Attr{Type: meta.TypeDirectory, Mode: 0755, Nlink: nlink, Length: 4096, Parent: 1, Mtime: meta.Time{Sec: 1000}}
}

func attrOf(t *testing.T, e meta.Engine, ino meta.Ino) (a meta.Attr) {
	t.Helper()
	err := e.View(context.Background(), meta.Want{}, func(r meta.Reader) error {
		var ok bool
		var err error
		if a, ok, err = r.Attr(ino); err == nil && !ok {
			err = posix.ENOENT
		}
		return err
	})
	if err != nil {
		t.Fatalf("attribute of inode %d: %v", ino, err)
	}
	return a
}

func TestRetriesConflicts(t *testing.T) {
	f := newFaulty(mem.New())
	e := tkv.New(f, quiet)
	closeLater(t, e)
	f.fail = func(commit int) error {
		if commit < 4 {
			return fmt.Errorf("commit: %w", tkv.ErrConflict)
		}
		return nil
	}
	runs := 0
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
		runs++
		tx.SetAttr(meta.Ino(10+runs), dir(2))
		tx.AddUsage(4096, 1)
		return nil
	})
	if runs != 4 || f.commits.Load() != 4 {
		t.Errorf("%d runs and %d commits, want 4", runs, f.commits.Load())
	}
	attrOf(t, e, 14)
	err := e.View(context.Background(), meta.Want{}, func(r meta.Reader) error {
		for ino := meta.Ino(11); ino < 14; ino++ {
			if _, ok, err := r.Attr(ino); ok || err != nil {
				t.Errorf("inode %d of a run that failed: %v", ino, err)
			}
		}
		space, inodes, err := r.Usage()
		if space != 4096 || inodes != 1 {
			t.Errorf("usage %d, %d after one change", space, inodes)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(mem.New())
		e := tkv.New(f, tkv.Options{})
		closeLater(t, e)
		f.fail = func(int) error { return tkv.ErrConflict }
		runs := 0
		err := e.Update(context.Background(), meta.Want{}, func(tx meta.Tx) error {
			runs++
			tx.SetAttr(2, dir(2))
			return nil
		})
		if !errors.Is(err, tkv.ErrConflict) || !strings.Contains(err.Error(), "50 attempts") || runs != 50 {
			t.Errorf("after %d runs: %v", runs, err)
		}
		// A context ends the waiting.
		ctx, cancel := context.WithCancel(context.Background())
		runs = 0
		err = e.Update(ctx, meta.Want{}, func(tx meta.Tx) error {
			if runs++; runs == 10 {
				cancel()
			}
			tx.SetAttr(2, dir(2))
			return nil
		})
		if !errors.Is(err, context.Canceled) || runs != 10 {
			t.Errorf("after %d runs: %v", runs, err)
		}
	})
}

func TestUnknownOutcome(t *testing.T) {
	f := newFaulty(mem.New())
	e := tkv.New(f, quiet)
	closeLater(t, e)
	f.late = func(int) error { return fmt.Errorf("connection lost: %w", meta.ErrUnknown) }
	runs := 0
	err := e.Update(context.Background(), meta.Want{}, func(tx meta.Tx) error {
		runs++
		tx.AppendSlices(5, 0, []meta.Slice{{ID: 1, Size: 1, Len: 1}})
		return nil
	})
	if !errors.Is(err, meta.ErrUnknown) || runs != 1 {
		t.Errorf("after %d runs: %v", runs, err)
	}
	f.late = nil
}

// TestTrips counts what a change and a look-up cost: the budget of a store behind a network.
func TestTrips(t *testing.T) {
	f := newFaulty(mem.New())
	e := tkv.New(f, quiet)
	closeLater(t, e)
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetAttr(2, dir(2))
		return nil
	})
	f.gets.Store(0)
	f.ask.Store(0)
	want := meta.Want{Perms: []meta.Ino{2}, Attrs: []meta.Ino{2}, Entries: []meta.Name{{Dir: 2, Name: "f"}}}
	mustUpdate(t, e, want, func(tx meta.Tx) error {
		if _, ok, err := tx.Perm(2); err != nil || !ok {
			t.Errorf("ok=%v %v", ok, err)
		}
		if _, _, err := tx.Entry(2, "f"); err != nil {
			return err
		}
		tx.SetAttr(10, dir(1))
		tx.SetEntry(2, "f", meta.Entry{Type: meta.TypeDirectory, Ino: 10})
		tx.Touch(2, meta.Time{Sec: 2000}, 1, 0)
		tx.AddUsage(4096, 1)
		return nil
	})
	if f.gets.Load() != 1 || f.ask.Load() != 2 {
		t.Errorf("a creation costs %d reads of %d keys, want one of 2", f.gets.Load(), f.ask.Load())
	}
	f.gets.Store(0)
	f.ask.Store(0)
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error { // a write: its records are read together at the commit
		tx.AppendSlices(5, 0, []meta.Slice{{ID: 1, Size: 1, Len: 1}})
		tx.AppendSlices(5, 1, []meta.Slice{{ID: 2, Size: 1, Len: 1}})
		tx.AddRef(1, 1, 1)
		tx.AddDirStat(2, meta.DirStat{Length: 1})
		return nil
	})
	if f.gets.Load() != 1 || f.ask.Load() != 4 {
		t.Errorf("a write costs %d reads of %d keys, want one of 4", f.gets.Load(), f.ask.Load())
	}
}

// TestTouchAlwaysWrites: inside the window the attribute is written as it is, for the sake of a concurrent rmdir.
func TestTouchAlwaysWrites(t *testing.T) {
	store := mem.New()
	e, other := tkv.New(store, quiet), tkv.New(store, quiet)
	closeLater(t, e)
	closeLater(t, other)
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetAttr(2, dir(2))
		return nil
	})
	runs := 0
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
		if _, _, err := tx.Attr(2); err != nil {
			return err
		}
		if runs++; runs == 1 {
			mustUpdate(t, other, meta.Want{Perms: []meta.Ino{2}}, func(tx meta.Tx) error {
				tx.Touch(2, meta.Time{Sec: 1000, Nsec: 5}, 0, time.Second)
				return nil
			})
		}
		tx.SetCounter(meta.LastCleanupFiles, 1)
		return nil
	})
	if runs != 2 {
		t.Errorf("%d runs, want 2", runs)
	}
	if a := attrOf(t, e, 2); a != *dir(2) {
		t.Errorf("attribute after a touch inside the window: %+v", a)
	}
}

// TestTouchWindowGrows: each conflict makes it likelier that the times are left to others.
func TestTouchWindowGrows(t *testing.T) {
	f := newFaulty(mem.New())
	e := tkv.New(f, quiet)
	closeLater(t, e)
	for _, c := range []struct {
		conflicts int
		written   bool
	}{{0, true}, {1, false}} {
		mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
			tx.SetAttr(2, dir(2))
			return nil
		})
		left := c.conflicts
		f.fail = func(int) error {
			if left--; left >= 0 {
				return tkv.ErrConflict
			}
			return nil
		}
		mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
			tx.Touch(2, meta.Time{Sec: 1001}, 0, time.Second)
			return nil
		})
		f.fail = nil
		if got := attrOf(t, e, 2).Mtime.Sec == 1001; got != c.written {
			t.Errorf("%d conflicts: written %v", c.conflicts, got)
		}
	}
}

func TestReplaceMoreThanThereIs(t *testing.T) {
	e := mem.NewEngine(quiet)
	closeLater(t, e)
	err := e.Update(context.Background(), meta.Want{}, func(tx meta.Tx) error {
		tx.ReplaceSlices(5, 0, 2, nil)
		return nil
	})
	if err == nil {
		t.Error("two records of an empty chunk were replaced")
	}
	if _, err := e.Reserve(context.Background(), meta.Sequence(99), 1); err == nil {
		t.Error("an unknown sequence gave a number")
	}
}

// TestQueueHonoursContext: a change that waits for another one in its directory ends with its context.
func TestQueueHonoursContext(t *testing.T) {
	e := mem.NewEngine(quiet)
	closeLater(t, e)
	want := meta.Want{Perms: []meta.Ino{3, 2, 3}}
	mustUpdate(t, e, want, func(meta.Tx) error {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() {
			done <- e.Update(ctx, want, func(meta.Tx) error { return errors.New("two changes at once") })
		}()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("waiting change: %v", err)
		}
		return nil
	})
	mustUpdate(t, e, want, func(meta.Tx) error { return nil })
}
