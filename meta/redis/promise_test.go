package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

func TestPermPromisesLess(t *testing.T) {
	url := start(t).empty()
	e, other := open(t, url, Options{}), open(t, url, Options{})
	withDir(t, e, 1)
	for _, c := range []struct {
		name   string
		change func(*meta.Attr)
		runs   int
	}{
		{"times", func(a *meta.Attr) { a.Mtime.Sec, a.Ctime.Sec, a.Atime.Nsec = 5, 6, 7 }, 1},
		{"links and length", func(a *meta.Attr) { a.Nlink, a.Length = 9, 1 }, 1},
		{"mode", func(a *meta.Attr) { a.Mode = 0700 }, 2},
		{"parent", func(a *meta.Attr) { a.Parent = 77 }, 2},
		{"acl", func(a *meta.Attr) { a.AccessACL = 3 }, 2},
	} {
		runs := 0
		update(t, e, meta.Want{Perms: []meta.Ino{1}}, func(tx meta.Tx) error {
			runs++
			if _, ok, err := tx.Perm(1); err != nil || !ok {
				t.Fatal(ok, err)
			}
			if runs == 1 {
				update(t, other, meta.Want{}, func(tx meta.Tx) error {
					a, _, err := tx.Attr(1)
					c.change(&a)
					tx.SetAttr(1, &a)
					return err
				})
			}
			tx.SetEntry(1, c.name, meta.Entry{Type: meta.TypeFile, Ino: 2})
			return nil
		})
		if runs != c.runs {
			t.Errorf("%s: %d runs, want %d", c.name, runs, c.runs)
		}
	}
}

// TestWriteAfterPerm: a record that is replaced as a whole is proved as a whole.
func TestWriteAfterPerm(t *testing.T) {
	url := start(t).empty()
	e, other := open(t, url, Options{}), open(t, url, Options{})
	withDir(t, e, 1)
	update(t, other, meta.Want{}, func(tx meta.Tx) error {
		_, _, err := tx.Perm(1)
		tx.Touch(1, meta.Time{Sec: 9000}, 1, 0)
		return err
	})
	update(t, e, meta.Want{Perms: []meta.Ino{1}}, func(tx meta.Tx) error {
		a, _, err := tx.Perm(1)
		a.Mode = 0700
		tx.SetAttr(1, &a)
		return err
	})
	if got, _ := attrOf(t, e, 1); got.Mode != 0700 || got.Mtime.Sec != 9000 || got.Nlink != dirAttr.Nlink+1 {
		t.Errorf("a change of another client was lost: %+v", got)
	}
}

// TestEveryReadIsAPromise changes each kind of record between its read and the commit.
func TestEveryReadIsAPromise(t *testing.T) {
	url := start(t).empty()
	e, other := open(t, url, Options{}), open(t, url, Options{})
	one := []meta.Slice{{ID: 1, Size: 10, Len: 10}}
	two := []meta.Slice{{ID: 2, Size: 10, Len: 10}}
	for _, c := range []struct {
		name   string
		read   func(meta.Tx) error
		change func(meta.Tx)
	}{
		{"attr", func(tx meta.Tx) error { _, _, err := tx.Attr(3); return err }, func(tx meta.Tx) { tx.SetAttr(3, &dirAttr) }},
		{"no attr", func(tx meta.Tx) error { _, _, err := tx.Attr(4); return err }, func(tx meta.Tx) { tx.SetAttr(4, &fileAttr) }},
		{"entry", func(tx meta.Tx) error { _, _, err := tx.Entry(1, "a"); return err }, func(tx meta.Tx) { tx.DropEntry(1, "a") }},
		{"no entry", func(tx meta.Tx) error { _, _, err := tx.Entry(1, "b"); return err }, func(tx meta.Tx) {
			tx.SetEntry(1, "b", meta.Entry{Type: meta.TypeFile, Ino: 3})
		}},
		{"chunk", func(tx meta.Tx) error { _, err := tx.Chunk(3, 0); return err }, func(tx meta.Tx) { tx.AppendSlices(3, 0, two) }},
		{"no chunk", func(tx meta.Tx) error { _, err := tx.Chunk(3, 1); return err }, func(tx meta.Tx) { tx.AppendSlices(3, 1, one) }},
		{"symlink", func(tx meta.Tx) error { _, _, err := tx.Symlink(3); return err }, func(tx meta.Tx) { tx.SetSymlink(3, "x") }},
		{"xattr", func(tx meta.Tx) error { _, _, err := tx.Xattr(3, "user.a"); return err }, func(tx meta.Tx) { tx.SetXattr(3, "user.a", []byte("2")) }},
		{"names of xattrs", func(tx meta.Tx) error { _, err := tx.Xattrs(3); return err }, func(tx meta.Tx) { tx.SetXattr(3, "user.c", nil) }},
		{"parents", func(tx meta.Tx) error { _, err := tx.Parents(3); return err }, func(tx meta.Tx) { tx.AddParent(3, 1, 1) }},
		{"references", func(tx meta.Tx) error { _, err := tx.Refs([]meta.SliceRef{{ID: 1, Size: 10}}); return err }, func(tx meta.Tx) { tx.AddRef(1, 10, 1) }},
		{"counter", func(tx meta.Tx) error { _, err := tx.Counter(meta.LastCleanupFiles); return err }, func(tx meta.Tx) { tx.SetCounter(meta.LastCleanupFiles, 7) }},
		{"flocks", func(tx meta.Tx) error { _, err := tx.Flocks(3); return err }, func(tx meta.Tx) { setFlock(tx, 3, 2) }},
		{"no flocks", func(tx meta.Tx) error { _, err := tx.Flocks(4); return err }, func(tx meta.Tx) { setFlock(tx, 4, 1) }},
		{"plocks", func(tx meta.Tx) error { _, err := tx.Plocks(3); return err }, func(tx meta.Tx) { setPlock(tx, 3, 1, 9) }},
		{"no plocks", func(tx meta.Tx) error { _, err := tx.Plocks(4); return err }, func(tx meta.Tx) { setPlock(tx, 4, 1, 9) }},
		{"session", func(tx meta.Tx) error { _, _, err := tx.Session(1); return err }, func(tx meta.Tx) { tx.SetSession(meta.SessionRecord{Sid: 1, Expire: 99}) }},
		{"no session", func(tx meta.Tx) error { _, _, err := tx.Session(2); return err }, func(tx meta.Tx) { tx.SetSession(meta.SessionRecord{Sid: 2, Expire: 99}) }},
	} {
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			tx.SetAttr(3, &fileAttr)
			tx.SetEntry(1, "a", meta.Entry{Type: meta.TypeFile, Ino: 3})
			tx.DropChunk(3, 0)
			tx.AppendSlices(3, 0, one)
			tx.SetXattr(3, "user.a", []byte("1"))
			tx.SetSession(meta.SessionRecord{Sid: 1, Expire: 50, Info: []byte("{}")})
			setFlock(tx, 3, 1)
			setPlock(tx, 3, 1, 5)
			return nil
		})
		runs := 0
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			runs++
			if err := c.read(tx); err != nil {
				return err
			}
			switch runs {
			case 1:
				update(t, other, meta.Want{}, func(tx meta.Tx) error { c.change(tx); return nil })
			case 2: // proved fresh now
			default:
				return errors.New("does not settle")
			}
			tx.SetSymlink(1000, "written")
			return nil
		})
		want := 2
		if runs != want {
			t.Errorf("%s: %d runs, want %d", c.name, runs, want)
		}
	}
}

// setFlock and setPlock change a lock after the read that they need.
func setFlock(tx meta.Tx, ino meta.Ino, sid uint64) {
	_, _ = tx.Flocks(ino) // a failure fails the commit
	tx.SetFlock(ino, meta.LockOwner{Sid: sid}, meta.FlockShared)
}

func setPlock(tx meta.Tx, ino meta.Ino, sid, end uint64) {
	_, _ = tx.Plocks(ino)
	tx.SetPlocks(ino, meta.LockOwner{Sid: sid}, []meta.Plock{{End: end}})
}

// TestRaces lets many goroutines of two engines change the same records.
func TestRaces(t *testing.T) {
	url := start(t).empty()
	engines := []*Engine{open(t, url, Options{}), open(t, url, Options{Hints: 3})}
	withDir(t, engines[0], 1)
	const workers, each = 8, 25
	var wg sync.WaitGroup
	errs := make(chan error, workers*each)
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			e := engines[w%2]
			for i := range each {
				name := fmt.Sprintf("f%d", i) // all workers want the same names; one gets each
				ino := meta.Ino(100 + w*each + i)
				err := e.Update(context.Background(), createWant(1, name), func(tx meta.Tx) error { return create(tx, 1, name, ino) })
				if err != nil && !errors.Is(err, posix.EEXIST) {
					errs <- err
				}
				err = e.Update(context.Background(), meta.Want{}, func(tx meta.Tx) error {
					n, err := tx.Counter("turns")
					tx.SetCounter("turns", n+1)
					return err
				})
				if err != nil {
					errs <- err
				}
			}
		}()
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	view(t, engines[0], meta.Want{}, func(r meta.Reader) error {
		_, inodes, err := r.Usage()
		n, err2 := r.Counter("turns")
		page, next, err3 := r.Entries(1, "", 100, true)
		if inodes != each || n != workers*each || len(page) != each || next != "" {
			t.Errorf("%d inodes, %d turns, %d entries", inodes, n, len(page))
		}
		for _, d := range page {
			if d.Attr == nil {
				t.Errorf("%s has no inode", d.Name)
			}
		}
		return errors.Join(err, err2, err3)
	})
}

func TestGiveUp(t *testing.T) {
	url := start(t).empty()
	e, other := open(t, url, Options{}), open(t, url, Options{})
	e.pause = func(context.Context, int) error { return nil }
	runs := 0
	err := e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error {
		runs++
		_, err := tx.Counter("c")
		update(t, other, meta.Want{}, func(tx meta.Tx) error { tx.SetCounter("c", int64(runs)); return nil })
		tx.SetCounter("d", 1)
		return err
	})
	if !errors.Is(err, errGivenUp) || runs != maxAttempts {
		t.Errorf("%v after %d runs", err, runs)
	}
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		if n, err := r.Counter("d"); n != 0 || err != nil {
			t.Errorf("a failed run wrote %d, %v", n, err)
		}
		return nil
	})
}
