package metatest

import (
	"strings"
	"testing"

	"jfs/meta"
)

var entryCases = []testCase{
	{"RoundTrip", testEntryRoundTrip},
	{"Order", testEntryOrder},
	{"Move", testEntryMove},
	{"Empty", testEntriesEmpty},
	{"Pages", testEntriesPages},
	{"PagesWhileChanging", testEntriesChanging},
	{"Plus", testEntriesPlus},
}

// rawNames are names with every byte that a name may hold, in lengths up to the longest.
func rawNames() []string {
	var all []byte
	for b := 1; b < 256; b++ {
		if b != '/' {
			all = append(all, byte(b))
		}
	}
	return []string{
		"a", "A", "a ", "a\n", "ab", "\xff", "\xff\xff", "\x01", "\xc3\x28", "é", "日本語", "'quoted\" \\ %_*?[x]{}$1",
		strings.Repeat("\xff", 255), strings.Repeat("n", 255), string(all),
	}
}

func testEntryRoundTrip(t *testing.T, e meta.Engine) {
	names := rawNames()
	types := []meta.Type{meta.TypeFile, meta.TypeDirectory, meta.TypeSymlink, meta.TypeFIFO, meta.TypeBlockDev, meta.TypeCharDev, meta.TypeSocket}
	at := func(i int) meta.Entry { return meta.Entry{Type: types[i%len(types)], Ino: meta.Ino(1000 + i)} }
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		for i, n := range names {
			tx.SetEntry(2, n, at(i))
		}
		return nil
	})
	for i, n := range names {
		en := at(i)
		wantEntry(t, e, 2, n, &en)
		wantEntry(t, e, 3, n, nil)
	}
	wantEntry(t, e, 2, "B", nil)
	wantEntry(t, e, 2, "a\xff", nil)
	all := list(t, e, 2, 4, false, nil)
	if len(all) != len(names) {
		t.Errorf("listed %d names, want %d", len(all), len(names))
	}
	for i, n := range names {
		if all[n].Entry != at(i) || all[n].Attr != nil {
			t.Errorf("listed %q as %+v", n, all[n])
		}
	}
}

func testEntryOrder(t *testing.T, e meta.Engine) {
	one, two := meta.Entry{Type: meta.TypeFile, Ino: 10}, meta.Entry{Type: meta.TypeFile, Ino: 11}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetEntry(2, "replaced", one)
		tx.SetEntry(2, "dropped", one)
		tx.SetEntry(2, "back", one)
		return nil
	})
	names := []meta.Name{{Dir: 2, Name: "replaced"}, {Dir: 2, Name: "dropped"}, {Dir: 2, Name: "back"}, {Dir: 2, Name: "short"}}
	update(t, e, meta.Want{Entries: names}, func(tx meta.Tx) error {
		for _, n := range names {
			if _, _, err := tx.Entry(n.Dir, n.Name); err != nil {
				return err
			}
		}
		tx.SetEntry(2, "replaced", two)
		tx.DropEntry(2, "dropped")
		tx.DropEntry(2, "back")
		tx.SetEntry(2, "back", two)
		tx.SetEntry(2, "short", two)
		tx.DropEntry(2, "short")
		return nil
	})
	wantEntry(t, e, 2, "replaced", &two)
	wantEntry(t, e, 2, "dropped", nil)
	wantEntry(t, e, 2, "back", &two)
	wantEntry(t, e, 2, "short", nil)
}

func testEntryMove(t *testing.T, e meta.Engine) {
	a, b := meta.Entry{Type: meta.TypeFile, Ino: 10}, meta.Entry{Type: meta.TypeDirectory, Ino: 11}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetEntry(2, "a", a)
		tx.SetEntry(3, "b", b)
		return nil
	})
	names := []meta.Name{{Dir: 2, Name: "a"}, {Dir: 3, Name: "b"}}
	update(t, e, meta.Want{Nodes: names}, func(tx meta.Tx) error { // exchange
		x, _, err := tx.Entry(2, "a")
		if err != nil {
			return err
		}
		y, _, err := tx.Entry(3, "b")
		if err != nil {
			return err
		}
		tx.SetEntry(2, "a", y)
		tx.SetEntry(3, "b", x)
		return nil
	})
	wantEntry(t, e, 2, "a", &b)
	wantEntry(t, e, 3, "b", &a)
}

func testEntriesEmpty(t *testing.T, e meta.Engine) {
	put(t, e, map[meta.Ino]meta.Attr{2: dirAttr(1), 3: dirAttr(1)})
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetEntry(3, "x", meta.Entry{Type: meta.TypeFile, Ino: 4})
		return nil
	})
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		if _, _, err := tx.Entry(3, "x"); err != nil {
			return err
		}
		tx.DropEntry(3, "x")
		return nil
	})
	for _, dir := range []meta.Ino{2, 3, 4} {
		if all := list(t, e, dir, 100, true, nil); len(all) != 0 {
			t.Errorf("directory %d without entries lists %v", dir, all)
		}
	}
}

// fill makes n entries with inodes from first on, each fourth one without an attribute.
func fill(t *testing.T, e meta.Engine, dir meta.Ino, prefix string, n int, first meta.Ino) {
	t.Helper()
	const batch = 500
	for lo := 0; lo < n; lo += batch {
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			for i := lo; i < min(lo+batch, n); i++ {
				ino := first + meta.Ino(i)
				tx.SetEntry(dir, numbered(prefix, i), meta.Entry{Type: meta.TypeFile, Ino: ino})
				if i%4 != 0 {
					a := fileAttr(dir, uint64(i))
					tx.SetAttr(ino, &a)
				}
			}
			return nil
		})
	}
}

func testEntriesPages(t *testing.T, e meta.Engine) {
	const n = 5000
	dir := meta.Ino(258)
	fill(t, e, dir, "file", n, 10_000)
	// Directories whose keys lie next to it must not leak into it.
	for _, other := range []meta.Ino{2, 257, 259, 258 + 1<<16} {
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			tx.SetEntry(other, "stranger", meta.Entry{Type: meta.TypeFile, Ino: 3})
			return nil
		})
	}
	for _, limit := range []int{7, 1000, 100_000} {
		for _, plus := range []bool{false, true} {
			all := list(t, e, dir, limit, plus, nil)
			if len(all) != n {
				t.Errorf("limit %d: %d names, want %d", limit, len(all), n)
			}
			for i := range n {
				d, ok := all[numbered("file", i)]
				ino := meta.Ino(10_000 + i)
				if !ok || d.Ino != ino || d.Type != meta.TypeFile {
					t.Fatalf("limit %d: name %d listed as %+v", limit, i, d)
				}
				if (d.Attr != nil) != (plus && i%4 != 0) || d.Attr != nil && d.Attr.Length != uint64(i) {
					t.Fatalf("limit %d, plus %v: attribute of name %d is %+v", limit, plus, i, d.Attr)
				}
			}
		}
	}
}

func testEntriesChanging(t *testing.T, e meta.Engine) {
	const n = 1200
	fill(t, e, 2, "stays", n, 10_000)
	fill(t, e, 2, "goes", n, 20_000)
	gone := 0
	change := func() {
		if gone == n {
			return
		}
		lo, hi := gone, min(gone+100, n)
		gone = hi
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			for i := lo; i < hi; i++ {
				if _, _, err := tx.Entry(2, numbered("goes", i)); err != nil {
					return err
				}
				tx.DropEntry(2, numbered("goes", i))
				tx.SetEntry(2, numbered("comes", i), meta.Entry{Type: meta.TypeFile, Ino: meta.Ino(30_000 + i)})
			}
			return nil
		})
	}
	all := list(t, e, 2, 50, false, change)
	for i := range n {
		if all[numbered("stays", i)].Ino != meta.Ino(10_000+i) {
			t.Fatalf("name %d that stays is listed as %+v", i, all[numbered("stays", i)])
		}
	}
}

func testEntriesPlus(t *testing.T, e meta.Engine) {
	file, link := fileAttr(2, 9), meta.Attr{Type: meta.TypeSymlink, Mode: 0777, Mtime: t0, Nlink: 1, Length: 3, Parent: 2, Tier: 1}
	dir := dirAttr(2)
	dir.AccessACL, dir.DefaultACL = 1, 2
	put(t, e, map[meta.Ino]meta.Attr{10: file, 11: dir, 12: link})
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetEntry(2, "file", meta.Entry{Type: meta.TypeFile, Ino: 10})
		tx.SetEntry(2, "again", meta.Entry{Type: meta.TypeFile, Ino: 10})
		tx.SetEntry(2, "dir", meta.Entry{Type: meta.TypeDirectory, Ino: 11})
		tx.SetEntry(2, "link", meta.Entry{Type: meta.TypeSymlink, Ino: 12})
		tx.SetEntry(2, "dangling", meta.Entry{Type: meta.TypeFIFO, Ino: 13})
		return nil
	})
	got := list(t, e, 2, 100, true, nil)
	want := map[string]meta.Dirent{
		"file":     {Name: "file", Entry: meta.Entry{Type: meta.TypeFile, Ino: 10}, Attr: &file},
		"again":    {Name: "again", Entry: meta.Entry{Type: meta.TypeFile, Ino: 10}, Attr: &file},
		"dir":      {Name: "dir", Entry: meta.Entry{Type: meta.TypeDirectory, Ino: 11}, Attr: &dir},
		"link":     {Name: "link", Entry: meta.Entry{Type: meta.TypeSymlink, Ino: 12}, Attr: &link},
		"dangling": {Name: "dangling", Entry: meta.Entry{Type: meta.TypeFIFO, Ino: 13}},
	}
	equal(t, "listing", got, want)
	// The listing works inside a change, too.
	err := e.Update(soon(t), meta.Want{}, func(tx meta.Tx) error {
		page, _, err := tx.Entries(2, "", 100, false)
		if len(page) != len(want) {
			t.Errorf("a change lists %d entries, want %d", len(page), len(want))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
