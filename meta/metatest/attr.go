package metatest

import (
	"testing"

	"jfs/meta"
)

var attrCases = []testCase{
	{"RoundTrip", testAttrRoundTrip},
	{"Missing", testAttrMissing},
	{"Replace", testAttrReplace},
	{"EveryField", testAttrEveryField},
	{"Nodes", testNodes},
	{"LargeInodes", testLargeInodes},
}

func testAttrRoundTrip(t *testing.T, e meta.Engine) {
	with := func(change func(*meta.Attr)) meta.Attr {
		a := fileAttr(7, 12345)
		change(&a)
		return a
	}
	cases := []struct {
		name string
		attr meta.Attr
	}{
		{"file", fileAttr(1, 0)},
		{"directory", dirAttr(1)},
		{"symlink", meta.Attr{Type: meta.TypeSymlink, Mode: 0777, Nlink: 1, Length: 9, Parent: 3}},
		{"fifo", meta.Attr{Type: meta.TypeFIFO, Mode: 0600, Nlink: 1, Parent: 3}},
		{"block device", meta.Attr{Type: meta.TypeBlockDev, Nlink: 1, Rdev: 0x800, Parent: 3}},
		{"character device", meta.Attr{Type: meta.TypeCharDev, Mode: 0644, Nlink: 1, Rdev: 0x103, Parent: 2}},
		{"socket", meta.Attr{Type: meta.TypeSocket, Mode: 0755, Nlink: 1, Parent: 3}},
		{"all mode bits", with(func(a *meta.Attr) { a.Mode = 07777 })},
		{"all flags", with(func(a *meta.Attr) { a.Flags = 63 })},
		{"times before the epoch", with(func(a *meta.Attr) {
			a.Atime, a.Mtime, a.Ctime = meta.Time{Sec: -1, Nsec: 1}, meta.Time{Sec: -2_000_000_000, Nsec: 999_999_999}, meta.Time{Sec: -1}
		})},
		{"three different times", with(func(a *meta.Attr) {
			a.Atime, a.Mtime, a.Ctime = meta.Time{Sec: 1, Nsec: 999}, meta.Time{Sec: 2, Nsec: 1000}, meta.Time{Sec: 3, Nsec: 999_999_001}
		})},
		{"largest length", with(func(a *meta.Attr) { a.Length = meta.MaxFileSize - 1 })},
		{"several parents", with(func(a *meta.Attr) { a.Nlink, a.Parent = 70000, 0 })},
		{"no links", with(func(a *meta.Attr) { a.Nlink = 0 })},
		{"access ACL", with(func(a *meta.Attr) { a.AccessACL = 1 })},
		{"default ACL", with(func(a *meta.Attr) { a.DefaultACL = 258 })},
		{"tier", with(func(a *meta.Attr) { a.Tier = 3 })},
		{"ACLs and tier", with(func(a *meta.Attr) { a.AccessACL, a.DefaultACL, a.Tier = 1, 2, 1 })},
		{"trash parent", with(func(a *meta.Attr) { a.Parent = meta.TrashIno + 1 })},
	}
	for i, c := range cases {
		ino := meta.Ino(100 + i)
		put(t, e, map[meta.Ino]meta.Attr{ino: c.attr})
		t.Run(c.name, func(t *testing.T) { wantAttr(t, e, ino, &c.attr) })
	}
}

func testAttrMissing(t *testing.T, e meta.Engine) {
	wantAttr(t, e, 99, nil)
	update(t, e, meta.Want{Attrs: []meta.Ino{99}}, func(tx meta.Tx) error {
		_, ok, err := tx.Attr(99)
		if ok {
			t.Error("an attribute that nobody wrote")
		}
		return err
	})
}

func testAttrReplace(t *testing.T, e meta.Engine) {
	first, second, third := fileAttr(1, 1), fileAttr(1, 2), fileAttr(1, 3)
	third.AccessACL, third.Tier = 5, 1
	put(t, e, map[meta.Ino]meta.Attr{5: first})
	update(t, e, meta.Want{Attrs: []meta.Ino{5}}, func(tx meta.Tx) error {
		if _, _, err := tx.Attr(5); err != nil {
			return err
		}
		tx.SetAttr(5, &second)
		tx.SetAttr(5, &third) // the later write is the one that stays
		return nil
	})
	wantAttr(t, e, 5, &third)
}

// testAttrEveryField changes one field at a time: engines may write only what differs.
func testAttrEveryField(t *testing.T, e meta.Engine) {
	changes := []struct {
		name   string
		change func(*meta.Attr)
	}{
		{"flags", func(a *meta.Attr) { a.Flags = meta.FlagAppend }},
		{"mode", func(a *meta.Attr) { a.Mode = 04711 }},
		{"uid", func(a *meta.Attr) { a.UID = 0 }},
		{"gid", func(a *meta.Attr) { a.GID = 65534 }},
		{"atime", func(a *meta.Attr) { a.Atime = meta.Time{Sec: 7} }},
		{"mtime", func(a *meta.Attr) { a.Mtime = meta.Time{Sec: 8, Nsec: 8} }},
		{"ctime nanoseconds", func(a *meta.Attr) { a.Ctime.Nsec++ }},
		{"nlink", func(a *meta.Attr) { a.Nlink = 3 }},
		{"length", func(a *meta.Attr) { a.Length = 1 << 40 }},
		{"parent", func(a *meta.Attr) { a.Parent = 0 }},
		{"access ACL", func(a *meta.Attr) { a.AccessACL = 9 }},
		{"default ACL", func(a *meta.Attr) { a.DefaultACL = 8 }},
		{"tier", func(a *meta.Attr) { a.Tier = 2 }},
		{"no ACL", func(a *meta.Attr) { a.AccessACL, a.DefaultACL = 0, 0 }},
		{"nothing", func(*meta.Attr) {}},
	}
	want := fileAttr(1, 10)
	put(t, e, map[meta.Ino]meta.Attr{6: want})
	for _, c := range changes {
		c.change(&want)
		update(t, e, meta.Want{Attrs: []meta.Ino{6}}, func(tx meta.Tx) error {
			a, _, err := tx.Attr(6)
			if err != nil {
				return err
			}
			c.change(&a)
			tx.SetAttr(6, &a)
			return nil
		})
		t.Run(c.name, func(t *testing.T) { wantAttr(t, e, 6, &want) })
	}
}

// testNodes reads an entry together with the inode that it names.
func testNodes(t *testing.T, e meta.Engine) {
	a := fileAttr(1, 77)
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetAttr(10, &a)
		tx.SetEntry(1, "f", meta.Entry{Type: meta.TypeFile, Ino: 10})
		tx.SetEntry(1, "dangling", meta.Entry{Type: meta.TypeFile, Ino: 11})
		return nil
	})
	names := []meta.Name{{Dir: 1, Name: "f"}, {Dir: 1, Name: "dangling"}, {Dir: 1, Name: "missing"}}
	check := func(r meta.Reader) error {
		for _, n := range names {
			en, ok, err := r.Entry(n.Dir, n.Name)
			if err != nil {
				return err
			}
			if ok != (n.Name != "missing") {
				t.Errorf("entry %q: ok=%v", n.Name, ok)
			}
			if !ok {
				continue
			}
			got, ok, err := r.Attr(en.Ino)
			if err != nil {
				return err
			}
			if ok != (n.Name == "f") || ok && got != a {
				t.Errorf("attribute of %q: ok=%v, %+v", n.Name, ok, got)
			}
		}
		return nil
	}
	want := meta.Want{Nodes: names, Perms: []meta.Ino{1}, Attrs: []meta.Ino{10, 10}}
	view(t, e, want, check)
	update(t, e, want, func(tx meta.Tx) error { return check(tx) })
}

// testLargeInodes uses numbers that do not fit into the 53 bits of a float.
func testLargeInodes(t *testing.T, e meta.Engine) {
	hour := meta.TrashIno + 1
	neighbour := hour + 1
	big := meta.Ino(1)<<60 + 1
	attrs := map[meta.Ino]meta.Attr{meta.TrashIno: dirAttr(1), hour: dirAttr(meta.TrashIno), neighbour: dirAttr(hour), big: fileAttr(hour, 5)}
	put(t, e, attrs)
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetEntry(meta.TrashIno, "2026-11-23-10", meta.Entry{Type: meta.TypeDirectory, Ino: hour})
		tx.SetEntry(hour, "2-1031-sus", meta.Entry{Type: meta.TypeFile, Ino: big})
		return nil
	})
	for ino, a := range attrs {
		wantAttr(t, e, ino, &a)
	}
	wantEntry(t, e, meta.TrashIno, "2026-11-23-10", &meta.Entry{Type: meta.TypeDirectory, Ino: hour})
	n := meta.Name{Dir: hour, Name: "2-1031-sus"}
	view(t, e, meta.Want{Nodes: []meta.Name{n, {Dir: meta.TrashIno, Name: "2026-11-23-10"}}}, func(r meta.Reader) error {
		en, _, err := r.Entry(n.Dir, n.Name)
		if err != nil {
			return err
		}
		a, ok, err := r.Attr(en.Ino)
		if !ok || en.Ino != big || a != attrs[big] {
			t.Errorf("node %+v: entry %+v, attribute %+v", n, en, a)
		}
		return err
	})
}
