package metatest

import (
	"context"
	"errors"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

var intentCases = []testCase{
	{"Touch", testTouch},
	{"TouchMissing", testTouchMissing},
	{"RequireEmpty", testRequireEmpty},
	{"Usage", testUsage},
	{"DirStat", testDirStat},
	{"DirQuota", testDirQuota},
}

func testTouch(t *testing.T, e meta.Engine) {
	const window = 100 * time.Millisecond
	type touch struct {
		after  time.Duration // since the stored mtime
		nlink  int32
		window time.Duration
	}
	cases := []struct {
		name    string
		touches []touch
		written bool
		nlink   uint32
	}{
		{"inside the window", []touch{{99 * time.Millisecond, 0, window}}, false, 2},
		{"at the end of the window", []touch{{window, 0, window}}, true, 2},
		{"long after", []touch{{time.Hour, 0, window}}, true, 2},
		{"no window", []touch{{time.Nanosecond, 0, 0}}, true, 2},
		{"a link more inside the window", []touch{{time.Millisecond, 1, window}}, true, 3},
		{"a link less inside the window", []touch{{time.Millisecond, -1, window}}, true, 1},
		{"two in one change", []touch{{time.Millisecond, 1, window}, {time.Millisecond, -1, window}}, true, 2},
		{"two links", []touch{{time.Second, 1, window}, {time.Second, 1, window}}, true, 4},
	}
	for i, c := range cases {
		for _, perm := range []bool{true, false} {
			dir := meta.Ino(100 + 2*i)
			if perm {
				dir++
			}
			want := dirAttr(9)
			want.AccessACL, want.DefaultACL, want.Tier = 3, 4, 1 // must survive
			put(t, e, map[meta.Ino]meta.Attr{dir: want})
			w, get := meta.Want{Attrs: []meta.Ino{dir}}, meta.Reader.Attr
			if perm {
				w, get = meta.Want{Perms: []meta.Ino{dir}}, meta.Reader.Perm
			}
			update(t, e, w, func(tx meta.Tx) error {
				if _, ok, err := get(tx, dir); err != nil || !ok {
					t.Errorf("%s: ok=%v %v", c.name, ok, err)
				}
				for _, to := range c.touches {
					tx.Touch(dir, after(t0, to.after), to.nlink, to.window)
				}
				return nil
			})
			if c.written {
				want.Mtime = after(t0, c.touches[0].after)
				want.Ctime = want.Mtime
			}
			want.Nlink = c.nlink
			t.Run(numbered(c.name, int(dir)), func(t *testing.T) { wantAttr(t, e, dir, &want) })
		}
	}
}

func testTouchMissing(t *testing.T, e meta.Engine) {
	for _, nlink := range []int32{0, 1} {
		err := e.Update(soon(t), meta.Want{Perms: []meta.Ino{50}}, func(tx meta.Tx) error {
			if _, _, err := tx.Perm(50); err != nil {
				return err
			}
			tx.SetEntry(50, "lost", meta.Entry{Type: meta.TypeFile, Ino: 51})
			tx.Touch(50, t0, nlink, 0)
			return nil
		})
		if !errors.Is(err, posix.ENOENT) {
			t.Errorf("touch of a missing directory: %v", err)
		}
		wantEntry(t, e, 50, "lost", nil)
		wantAttr(t, e, 50, nil)
	}
}

// rmdir is the core of the operation of that name.
func rmdir(ctx context.Context, e meta.Engine, parent meta.Ino, name string) error {
	return e.Update(ctx, meta.Want{Perms: []meta.Ino{parent}, Nodes: []meta.Name{{Dir: parent, Name: name}}}, func(tx meta.Tx) error {
		if _, ok, err := tx.Perm(parent); err != nil || !ok {
			return errors.Join(err, missing(ok))
		}
		en, ok, err := tx.Entry(parent, name)
		if err != nil || !ok {
			return errors.Join(err, missing(ok))
		}
		if _, ok, err := tx.Attr(en.Ino); err != nil || !ok {
			return errors.Join(err, missing(ok))
		}
		if err := tx.RequireEmpty(en.Ino); err != nil {
			return err
		}
		tx.DropEntry(parent, name)
		tx.DropNode(en.Ino)
		tx.Touch(parent, t0, -1, 0)
		return nil
	})
}

func missing(ok bool) error {
	if ok {
		return nil
	}
	return posix.ENOENT
}

func testRequireEmpty(t *testing.T, e meta.Engine) {
	parent := dirAttr(1)
	parent.Nlink = 5
	full := dirAttr(2)
	put(t, e, map[meta.Ino]meta.Attr{2: parent, 10: full, 11: dirAttr(2), 12: dirAttr(2)})
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		for i, n := range []string{"full", "empty", "emptied"} {
			tx.SetEntry(2, n, meta.Entry{Type: meta.TypeDirectory, Ino: meta.Ino(10 + i)})
		}
		tx.SetEntry(10, "\xff", meta.Entry{Type: meta.TypeFile, Ino: 20})
		tx.SetEntry(12, "x", meta.Entry{Type: meta.TypeFile, Ino: 21})
		return nil
	})
	if err := rmdir(soon(t), e, 2, "full"); !errors.Is(err, posix.ENOTEMPTY) {
		t.Errorf("directory with an entry: %v", err)
	}
	wantEntry(t, e, 2, "full", &meta.Entry{Type: meta.TypeDirectory, Ino: 10})
	wantAttr(t, e, 10, &full)
	wantAttr(t, e, 2, &parent)

	if err := rmdir(soon(t), e, 2, "empty"); err != nil {
		t.Errorf("empty directory: %v", err)
	}
	wantEntry(t, e, 2, "empty", nil)
	wantAttr(t, e, 11, nil)

	if err := rmdir(soon(t), e, 2, "emptied"); !errors.Is(err, posix.ENOTEMPTY) {
		t.Errorf("directory before it is emptied: %v", err)
	}
	update(t, e, meta.Want{Entries: []meta.Name{{Dir: 12, Name: "x"}}}, func(tx meta.Tx) error {
		if _, _, err := tx.Entry(12, "x"); err != nil {
			return err
		}
		tx.DropEntry(12, "x")
		return nil
	})
	if err := rmdir(soon(t), e, 2, "emptied"); err != nil {
		t.Errorf("emptied directory: %v", err)
	}
	parent.Nlink = 3
	wantAttr(t, e, 2, &parent)
}

type usage struct{ space, inodes int64 }

func usageOf(t *testing.T, e meta.Engine) usage {
	t.Helper()
	return read(t, e, func(r meta.Reader) (u usage, err error) {
		u.space, u.inodes, err = r.Usage()
		return u, err
	})
}

func testUsage(t *testing.T, e meta.Engine) {
	equal(t, "usage of an empty volume", usageOf(t, e), usage{})
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.AddUsage(1<<40, 5)
		tx.AddUsage(4096, 1)
		return nil
	})
	equal(t, "usage", usageOf(t, e), usage{1<<40 + 4096, 6})
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.AddUsage(-4096, 0)
		return nil
	})
	equal(t, "usage after a decrease", usageOf(t, e), usage{1 << 40, 6})
	refused := errors.New("refused")
	if err := e.Update(soon(t), meta.Want{}, func(tx meta.Tx) error {
		tx.AddUsage(1, 1)
		return refused
	}); !errors.Is(err, refused) {
		t.Errorf("refused change: %v", err)
	}
	equal(t, "usage after a refused change", usageOf(t, e), usage{1 << 40, 6})
	together(t, 4, func(ctx context.Context, i int) error {
		for range 10 {
			if err := e.Update(ctx, meta.Want{}, func(tx meta.Tx) error {
				tx.AddUsage(8192, 2)
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	equal(t, "usage after parallel changes", usageOf(t, e), usage{1<<40 + 40*8192, 86})
}

func wantDirStat(t *testing.T, e meta.Engine, dir meta.Ino, want *meta.DirStat) {
	t.Helper()
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		all, err := r.DirStats([]meta.Ino{dir})
		s, ok := all[dir]
		if err == nil && (ok != (want != nil) || ok && s != *want) {
			t.Errorf("statistics of %d: ok=%v %+v, want %+v", dir, ok, s, want)
		}
		return err
	})
}

func testDirStat(t *testing.T, e meta.Engine) {
	put(t, e, map[meta.Ino]meta.Attr{5: dirAttr(1), 6: dirAttr(1), 300: dirAttr(1)})
	add := func(dir meta.Ino, ds ...meta.DirStat) {
		t.Helper()
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			for _, d := range ds {
				tx.AddDirStat(dir, d)
			}
			return nil
		})
	}
	wantDirStat(t, e, 5, nil)
	add(5, meta.DirStat{Length: 1, Space: 4096, Inodes: 1}) // there is nothing to add to
	wantDirStat(t, e, 5, nil)
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetDirStat(5, meta.DirStat{})
		tx.SetDirStat(300, meta.DirStat{Length: 1 << 50, Space: 1<<50 + 4096, Inodes: 7})
		return nil
	})
	wantDirStat(t, e, 5, &meta.DirStat{})
	wantDirStat(t, e, 300, &meta.DirStat{Length: 1 << 50, Space: 1<<50 + 4096, Inodes: 7})
	add(5, meta.DirStat{Length: 10, Space: 4096, Inodes: 1}, meta.DirStat{Length: 5, Space: 8192, Inodes: 2})
	add(300, meta.DirStat{Length: -1, Space: -4096, Inodes: -7})
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		got, err := r.DirStats([]meta.Ino{300, 6, 5})
		if err != nil {
			return err
		}
		equal(t, "several directories", got, map[meta.Ino]meta.DirStat{
			5: {Length: 15, Space: 12288, Inodes: 3}, 300: {Length: 1<<50 - 1, Space: 1 << 50},
		})
		none, err := r.DirStats(nil)
		if len(none) != 0 {
			t.Errorf("statistics of no directory: %v", none)
		}
		return err
	})
	wantDirStat(t, e, 5, &meta.DirStat{Length: 15, Space: 12288, Inodes: 3})
	wantDirStat(t, e, 300, &meta.DirStat{Length: 1<<50 - 1, Space: 1 << 50})
	wantDirStat(t, e, 6, nil)
	together(t, 4, func(ctx context.Context, i int) error {
		for range 10 {
			if err := e.Update(ctx, meta.Want{}, func(tx meta.Tx) error {
				tx.AddDirStat(5, meta.DirStat{Length: 1, Space: 2, Inodes: 3})
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	wantDirStat(t, e, 5, &meta.DirStat{Length: 55, Space: 12368, Inodes: 123})
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.DropDirStat(5)
		tx.DropDirStat(6) // has none
		return nil
	})
	wantDirStat(t, e, 5, nil)
	add(5, meta.DirStat{Inodes: 1})
	wantDirStat(t, e, 5, nil)
	wantDirStat(t, e, 300, &meta.DirStat{Length: 1<<50 - 1, Space: 1 << 50})
}

func testDirQuota(t *testing.T, e meta.Engine) {
	a := dirAttr(1)
	put(t, e, map[meta.Ino]meta.Attr{5: a})
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.DropQuota(meta.QuotaKey{Kind: meta.QuotaDir, ID: 5}) // has none
		return nil
	})
	wantAttr(t, e, 5, &a)
}
