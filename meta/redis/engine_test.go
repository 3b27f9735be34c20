package redis

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
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
	e := open(t, url, count.options())
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
	e := open(t, url, count.options())
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

func TestTouch(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	at := func(sec int64, nsec uint32) meta.Time { return meta.Time{Sec: sec, Nsec: nsec} }
	for _, c := range []struct {
		name       string
		mtime, now meta.Time
		nlink      int32
		window     time.Duration
		written    bool
	}{
		{"long ago", at(1000, 0), at(2000, 1), 0, 100 * time.Millisecond, true},
		{"inside the window", at(1000, 950e6), at(1001, 49e6), 0, 100 * time.Millisecond, false},
		{"exactly the window", at(1000, 950e6), at(1001, 50e6), 0, 100 * time.Millisecond, true},
		{"inside the window with a link", at(1000, 950e6), at(1001, 0), 1, 100 * time.Millisecond, true},
		{"no window", at(1001, 0), at(1001, 0), 0, 0, true},
		{"no window and an earlier time", at(1001, 5), at(1000, 0), 0, 0, true},
		{"mtime ahead", at(1001, 5), at(1000, 0), 0, time.Millisecond, false},
		{"before the epoch", at(-5, 999_999_999), at(-3, 0), 0, time.Second, true},
		{"before the epoch, in the window", at(-5, 999_999_999), at(-4, 0), 0, time.Second, false},
		{"fewer links", at(1000, 0), at(2000, 0), -1, time.Second, true},
	} {
		a := dirAttr
		a.Mtime, a.Ctime, a.Tier, a.AccessACL = c.mtime, at(-9, 9), 2, 1
		a.Nlink = 65536
		update(t, e, meta.Want{}, func(tx meta.Tx) error { tx.SetAttr(5, &a); return nil })
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			_, _, err := tx.Perm(5)
			tx.Touch(5, c.now, c.nlink, c.window)
			return err
		})
		want := a
		if c.written {
			want.Mtime, want.Ctime, want.Nlink = c.now, c.now, uint32(int32(a.Nlink)+c.nlink)
		}
		if got, _ := attrOf(t, e, 5); got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, want)
		}
		remembered, ok := e.hints.attr(5)
		if !ok || remembered != string(meta.EncodeAttr(&want)) {
			t.Errorf("%s: the hint is not what is stored", c.name)
		}
	}
	err := e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error { tx.Touch(5, at(1, 0), 0, 0); return nil })
	if err == nil {
		t.Error("touch of a directory that was not read went through")
	}
}

func TestRequireEmpty(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	withDir(t, e, 2)
	update(t, e, createWant(2, "f"), func(tx meta.Tx) error { return create(tx, 2, "f", 3) })
	remove := func(tx meta.Tx) error {
		if _, _, err := tx.Attr(2); err != nil {
			return err
		}
		if err := tx.RequireEmpty(2); err != nil {
			return err
		}
		tx.DropNode(2)
		return nil
	}
	if err := e.Update(t.Context(), meta.Want{Attrs: []meta.Ino{2}}, remove); err != posix.ENOTEMPTY {
		t.Errorf("rmdir of a directory with a file: %v", err)
	}
	if _, ok := attrOf(t, e, 2); !ok {
		t.Error("it is gone")
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		_, _, err := tx.Entry(2, "f")
		tx.DropEntry(2, "f")
		return err
	})
	update(t, e, meta.Want{Attrs: []meta.Ino{2}}, remove)
	if _, ok := attrOf(t, e, 2); ok {
		t.Error("it is still there")
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

func TestReserve(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	for _, c := range []struct {
		seq   meta.Sequence
		n     uint64
		first uint64
		key   string
		after string
	}{
		{meta.SeqInode, 1024, 1, "nextinode", "1024"},
		{meta.SeqInode, 1024, 1025, "nextinode", "2048"},
		{meta.SeqSlice, 4096, 1, "nextchunk", "4096"},
		{meta.SeqSession, 1, 1, "nextsession", "1"},
		{meta.SeqTrash, 1, 1, "nextTrash", "1"},
		{meta.SeqACL, 1, 1, "aclMaxId", "1"},
		{meta.SeqACL, 1, 2, "aclMaxId", "2"},
	} {
		first, err := e.Reserve(t.Context(), c.seq, c.n)
		if err != nil || first != c.first {
			t.Errorf("%s: first %d, %v; want %d", c.key, first, err, c.first)
		}
		if got := text(t, e, "GET", c.key); got != c.after {
			t.Errorf("%s holds %q, want %q", c.key, got, c.after)
		}
	}
	if _, err := e.Reserve(t.Context(), meta.SeqInode, 0); err == nil {
		t.Error("reserved nothing")
	}
	if _, err := e.Reserve(t.Context(), 99, 1); err == nil {
		t.Error("reserved of an unknown sequence")
	}
}

func TestSlices(t *testing.T) {
	var count trips
	e := open(t, start(t).empty(), count.options())
	slice := func(id uint64) meta.Slice { return meta.Slice{ID: id, Size: 10, Len: 10} }
	var many []meta.Slice
	for i := range 2500 {
		many = append(many, slice(uint64(i+1)))
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetAttr(3, &fileAttr)
		tx.AppendSlices(3, 0, many)
		return nil
	})
	chunk := func() (s []meta.Slice) {
		view(t, e, meta.Want{Chunks: []meta.ChunkID{{Ino: 3}}}, func(r meta.Reader) (err error) {
			s, err = r.Chunk(3, 0)
			return err
		})
		return s
	}
	if got := chunk(); !reflect.DeepEqual(got, many) {
		t.Fatalf("%d records come back as %d", len(many), len(got))
	}
	replace := func(n int, with []meta.Slice) error {
		return e.Update(t.Context(), meta.Want{Chunks: []meta.ChunkID{{Ino: 3}}}, func(tx meta.Tx) error {
			if _, err := tx.Chunk(3, 0); err != nil {
				return err
			}
			tx.ReplaceSlices(3, 0, n, with)
			return nil
		})
	}
	packed := []meta.Slice{slice(5000), slice(5001)}
	if err := replace(2499, packed); err != nil {
		t.Fatal(err)
	}
	if want := append(slices.Clone(packed), many[2499]); !reflect.DeepEqual(chunk(), want) {
		t.Errorf("after replacing a prefix: %+v", chunk())
	}
	if err := replace(3, many[:1500]); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(chunk(), many[:1500]) {
		t.Errorf("after replacing all: %d records", len(chunk()))
	}
	if err := replace(1501, nil); err == nil {
		t.Error("replaced more than was read")
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.AppendSlices(3, 2, many[:1])
		tx.AppendSlices(3, 9, many[:1])
		tx.AppendSlices(3, 1<<30, many[:1])
		return nil
	})
	for _, c := range []struct {
		length uint64
		want   []uint32
	}{
		{0, nil},
		{1, []uint32{0}},
		{2 << meta.ChunkBits, []uint32{0}},
		{2<<meta.ChunkBits + 1, []uint32{0, 2}},
		{1200 << meta.ChunkBits, []uint32{0, 2, 9}},
		{meta.MaxFileSize, []uint32{0, 2, 9, 1 << 30}},
	} {
		view(t, e, meta.Want{}, func(r meta.Reader) error {
			got, err := r.Chunks(3, c.length)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("chunks up to %d: %v, %v; want %v", c.length, got, err, c.want)
			}
			return nil
		})
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.AddRef(7, 10, 1)
		tx.AddRef(8, 10, -1)
		tx.AddRef(9, 10, -1)
		tx.AddRef(9, 10, 1)
		return nil
	})
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		for id, want := range map[uint64]int64{6: 1, 7: 2, 8: 0, 9: 1} {
			if n, err := r.Refs([]meta.SliceRef{{ID: id, Size: 10}}); err != nil || n[0] != want {
				t.Errorf("slice %d has %d references, %v; want %d", id, n, err, want)
			}
		}
		dead, err := r.DeadSlices(10)
		if !reflect.DeepEqual(dead, []meta.SliceRef{{ID: 8, Size: 10}}) {
			t.Errorf("dead slices: %v", dead)
		}
		return err
	})
}
