package redis

import (
	"errors"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

var (
	dirAttr  = meta.Attr{Type: meta.TypeDirectory, Mode: 0755, UID: 7, Nlink: 2, Length: 4096, Parent: meta.RootIno, Mtime: meta.Time{Sec: 1000, Nsec: 500}}
	fileAttr = meta.Attr{Type: meta.TypeFile, Mode: 0644, Nlink: 1, Parent: meta.RootIno}
)

func update(t testing.TB, e *Engine, want meta.Want, fn func(meta.Tx) error) {
	t.Helper()
	if err := e.Update(t.Context(), want, fn); err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, e *Engine, want meta.Want, fn func(meta.Reader) error) {
	t.Helper()
	if err := e.View(t.Context(), want, fn); err != nil {
		t.Fatal(err)
	}
}

func attrOf(t testing.TB, e *Engine, ino meta.Ino) (meta.Attr, bool) {
	t.Helper()
	var a meta.Attr
	var ok bool
	view(t, e, meta.Want{}, func(r meta.Reader) (err error) {
		a, ok, err = r.Attr(ino)
		return err
	})
	return a, ok
}

// create is what an operation that makes a file does.
func create(tx meta.Tx, dir meta.Ino, name string, ino meta.Ino) error {
	if _, ok, err := tx.Perm(dir); err != nil || !ok {
		return errors.Join(err, posix.ENOENT)
	}
	if _, ok, err := tx.Entry(dir, name); err != nil || ok {
		return errors.Join(err, posix.EEXIST)
	}
	tx.SetEntry(dir, name, meta.Entry{Type: meta.TypeFile, Ino: ino})
	tx.SetAttr(ino, &fileAttr)
	tx.Touch(dir, meta.Time{Sec: 2000}, 0, 100*time.Millisecond)
	tx.AddUsage(4096, 1)
	return nil
}

func createWant(dir meta.Ino, name string) meta.Want {
	return meta.Want{Perms: []meta.Ino{dir}, Entries: []meta.Name{{Dir: dir, Name: name}}}
}

func withDir(t testing.TB, e *Engine, ino meta.Ino) {
	t.Helper()
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetAttr(ino, &dirAttr)
		return nil
	})
}

func TestRoundTrips(t *testing.T) {
	var count trips
	url := start(t).empty()
	withDir(t, open(t, url, Options{}), 1)
	o := count.options()
	o.NoTracking = true
	e := open(t, url, o)
	creation := func(name string, ino meta.Ino) func() {
		return func() {
			update(t, e, createWant(1, name), func(tx meta.Tx) error { return create(tx, 1, name, ino) })
		}
	}
	lookUp := func(name string) func() {
		return func() {
			view(t, e, meta.Want{Nodes: []meta.Name{{Dir: 1, Name: name}}}, func(r meta.Reader) error {
				x, ok, err := r.Entry(1, name)
				if ok && err == nil {
					_, _, err = r.Attr(x.Ino)
				}
				return err
			})
		}
	}
	unlink := func(name string) func() {
		return func() {
			want := meta.Want{Perms: []meta.Ino{1}, Nodes: []meta.Name{{Dir: 1, Name: name}}}
			update(t, e, want, func(tx meta.Tx) error {
				x, ok, err := tx.Entry(1, name)
				if err != nil || !ok {
					return errors.Join(err, posix.ENOENT)
				}
				if _, ok, err := tx.Attr(x.Ino); err != nil || !ok {
					return errors.Join(err, posix.ENOENT)
				}
				if _, ok, err := tx.Perm(1); err != nil || !ok {
					return errors.Join(err, posix.ENOENT)
				}
				tx.DropEntry(1, name)
				tx.DropNode(x.Ino)
				tx.Touch(1, meta.Time{Sec: 3000}, 0, 0)
				tx.AddUsage(-4096, -1)
				return nil
			})
		}
	}
	appendTo := func(ino meta.Ino) func() {
		return func() {
			update(t, e, meta.Want{Attrs: []meta.Ino{ino}}, func(tx meta.Tx) error {
				a, ok, err := tx.Attr(ino)
				if err != nil || !ok {
					return errors.Join(err, posix.ENOENT)
				}
				tx.AppendSlices(ino, 0, []meta.Slice{{Pos: uint32(a.Length), ID: 9, Size: 10, Len: 10}})
				tx.NewRef(9, 10)
				a.Length += 10
				tx.SetAttr(ino, &a)
				return nil
			})
		}
	}
	for _, step := range []struct {
		name string
		do   func()
		want int64
	}{
		{"look up, missing", lookUp("a"), 1},
		{"create in a directory that is not known", creation("a", 11), 2},
		{"look up, found", lookUp("b"), 1},
		{"create after a look-up", creation("b", 12), 1},
		{"look up, with the attribute of the inode", lookUp("b"), 1},
		{"append to a file of our own", appendTo(12), 1},
		{"append again", appendTo(12), 1},
		{"unlink of what is known", unlink("b"), 1},
		{"create again under a name that we removed", creation("b", 13), 1},
		{"create without a look-up", creation("c", 14), 2},
	} {
		if got := count.during(step.do); got != step.want {
			t.Errorf("%s: %d round trips, want %d", step.name, got, step.want)
		}
	}
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		space, inodes, err := r.Usage()
		if space != 3*4096 || inodes != 3 {
			t.Errorf("usage %d bytes, %d inodes", space, inodes)
		}
		return err
	})
}

// TestStaleHints lets another client change what the first one remembers.
func TestStaleHints(t *testing.T) {
	var count trips
	url := start(t).empty()
	other := open(t, url, Options{})
	withDir(t, other, 1)
	o := count.options()
	o.NoTracking = true // so that nobody corrects what is remembered
	e := open(t, url, o)
	know := func(name string) {
		view(t, e, createWant(1, name), func(r meta.Reader) error {
			_, _, err := r.Entry(1, name)
			return err
		})
	}

	know("a")
	update(t, other, createWant(1, "a"), func(tx meta.Tx) error { return create(tx, 1, "a", 20) })
	var runs int
	var err error
	n := count.during(func() {
		err = e.Update(t.Context(), createWant(1, "a"), func(tx meta.Tx) error {
			runs++
			return create(tx, 1, "a", 21)
		})
	})
	if !errors.Is(err, posix.EEXIST) || n != 2 || runs != 2 {
		t.Errorf("create over the file of another client: %v after %d trips and %d runs", err, n, runs)
	}

	update(t, other, meta.Want{}, func(tx meta.Tx) error {
		if _, _, err := tx.Entry(1, "a"); err != nil {
			return err
		}
		tx.DropEntry(1, "a")
		return nil
	})
	n = count.during(func() {
		err = e.Update(t.Context(), createWant(1, "a"), func(tx meta.Tx) error { return create(tx, 1, "a", 22) })
	})
	if err != nil || n != 2 {
		t.Errorf("create although a remembered entry is in the way: %v after %d trips", err, n)
	}

	// The directory goes away: its hint must not make an orphan.
	know("z")
	update(t, other, meta.Want{}, func(tx meta.Tx) error { tx.DropNode(1); return nil })
	if err := e.Update(t.Context(), createWant(1, "z"), func(tx meta.Tx) error { return create(tx, 1, "z", 23) }); !errors.Is(err, posix.ENOENT) {
		t.Errorf("create in a removed directory: %v", err)
	}
	if _, ok := attrOf(t, e, 23); ok {
		t.Error("a failed create left an inode")
	}
}
