package metatest

import (
	"bytes"
	"strings"
	"testing"

	"jfs/meta"
)

// nodeCases: what else hangs on an inode.
var nodeCases = []testCase{
	{"Symlink", testSymlink},
	{"Xattr", testXattr},
	{"Parents", testParents},
	{"Drop", testDropNode},
}

func testSymlink(t *testing.T, e meta.Engine) {
	targets := []string{"x", "../a b", "\xff\x01\xc3", strings.Repeat("t", 4095)}
	for i, target := range targets {
		ino := meta.Ino(20 + i)
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			a := meta.Attr{Type: meta.TypeSymlink, Mode: 0777, Nlink: 1, Length: uint64(len(target)), Parent: 1}
			tx.SetAttr(ino, &a)
			tx.SetSymlink(ino, target)
			return nil
		})
		view(t, e, meta.Want{}, func(r meta.Reader) error {
			got, ok, err := r.Symlink(ino)
			if err == nil && (!ok || got != target) {
				t.Errorf("target: ok=%v %q, want %q", ok, got, target)
			}
			return err
		})
	}
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		got, ok, err := r.Symlink(99)
		if ok || got != "" {
			t.Errorf("target of a missing symlink: ok=%v %q", ok, got)
		}
		return err
	})
}

func wantXattrs(t *testing.T, e meta.Engine, ino meta.Ino, want map[string][]byte) {
	t.Helper()
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		names, err := r.Xattrs(ino)
		if err != nil {
			return err
		}
		got := map[string][]byte{}
		for _, n := range names {
			v, ok, err := r.Xattr(ino, n)
			if err != nil || !ok {
				t.Errorf("xattr %q of inode %d: ok=%v %v", n, ino, ok, err)
			}
			got[n] = v
		}
		if len(got) != len(want) || len(names) != len(want) {
			t.Errorf("xattrs of inode %d: %q, want %d", ino, names, len(want))
		}
		for n, v := range want {
			if g, ok := got[n]; !ok || !bytes.Equal(g, v) {
				t.Errorf("xattr %q of inode %d: ok=%v, %d bytes, want %d", n, ino, ok, len(g), len(v))
			}
		}
		return nil
	})
}

func testXattr(t *testing.T, e meta.Engine) {
	raw := make([]byte, 65535)
	for i := range raw {
		raw[i] = byte(i * 7)
	}
	long := "user." + strings.Repeat("n", 250)
	put(t, e, map[meta.Ino]meta.Attr{20: fileAttr(1, 0), 21: fileAttr(1, 0)})
	wantXattrs(t, e, 20, nil)
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetXattr(20, "user.a", []byte("1"))
		tx.SetXattr(20, "user.empty", nil)
		tx.SetXattr(20, "user.Ü", []byte{0, 0xff})
		tx.SetXattr(20, "trusted.large", raw)
		tx.SetXattr(20, long, []byte("l"))
		tx.SetXattr(21, "user.a", []byte("of another inode"))
		return nil
	})
	want := map[string][]byte{"user.a": []byte("1"), "user.empty": {}, "user.Ü": {0, 0xff}, "trusted.large": raw, long: []byte("l")}
	wantXattrs(t, e, 20, want)
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		for _, n := range []string{"user.a", "user.Ü", "user.missing"} {
			if _, ok, err := tx.Xattr(20, n); err != nil || ok != (n != "user.missing") {
				t.Errorf("xattr %q: ok=%v %v", n, ok, err)
			}
		}
		tx.SetXattr(20, "user.a", []byte("22"))
		tx.DropXattr(20, "user.Ü")
		return nil
	})
	want["user.a"] = []byte("22")
	delete(want, "user.Ü")
	wantXattrs(t, e, 20, want)
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.DropXattrs(20)
		return nil
	})
	wantXattrs(t, e, 20, nil)
	wantXattrs(t, e, 21, map[string][]byte{"user.a": []byte("of another inode")})
}

func wantParents(t *testing.T, e meta.Engine, ino meta.Ino, want map[meta.Ino]int64) {
	t.Helper()
	got := read(t, e, func(r meta.Reader) (map[meta.Ino]int64, error) { return r.Parents(ino) })
	if len(got) == 0 && len(want) == 0 {
		return
	}
	equal(t, "parents", got, want)
}

// testParents changes entries along with the counts: some engines derive one from the other.
func testParents(t *testing.T, e meta.Engine) {
	const ino = meta.Ino(30)
	hour := meta.TrashIno + 3
	a := fileAttr(0, 0)
	put(t, e, map[meta.Ino]meta.Attr{ino: a})
	wantParents(t, e, ino, nil)
	link := func(tx meta.Tx, dir meta.Ino, name string) {
		tx.SetEntry(dir, name, meta.Entry{Type: meta.TypeFile, Ino: ino})
		tx.AddParent(ino, dir, 1)
	}
	unlink := func(tx meta.Tx, dir meta.Ino, name string) {
		if _, ok, err := tx.Entry(dir, name); err != nil || !ok {
			t.Errorf("entry %d/%s: ok=%v %v", dir, name, ok, err)
		}
		tx.DropEntry(dir, name)
		tx.AddParent(ino, dir, -1)
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		link(tx, 2, "a")
		link(tx, 2, "b")
		link(tx, 300, "c")
		link(tx, hour, "d")
		return nil
	})
	wantParents(t, e, ino, map[meta.Ino]int64{2: 2, 300: 1, hour: 1})
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		unlink(tx, 2, "a")
		unlink(tx, 300, "c")
		link(tx, hour, "e")
		return nil
	})
	wantParents(t, e, ino, map[meta.Ino]int64{2: 1, hour: 2})
	update(t, e, meta.Want{Attrs: []meta.Ino{ino}}, func(tx meta.Tx) error {
		if _, _, err := tx.Attr(ino); err != nil {
			return err
		}
		for _, n := range []meta.Name{{Dir: 2, Name: "b"}, {Dir: hour, Name: "d"}, {Dir: hour, Name: "e"}} {
			if _, _, err := tx.Entry(n.Dir, n.Name); err != nil {
				return err
			}
			tx.DropEntry(n.Dir, n.Name)
		}
		tx.DropParents(ino)
		return nil
	})
	wantParents(t, e, ino, nil)
	wantAttr(t, e, ino, &a)
}

func testDropNode(t *testing.T, e meta.Engine) {
	const ino, other = meta.Ino(40), meta.Ino(41)
	slice := []meta.Slice{{ID: 5, Size: 10, Len: 10}}
	a := meta.Attr{Type: meta.TypeSymlink, Mode: 0777, Nlink: 1, Length: 1}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		for _, i := range []meta.Ino{ino, other} {
			tx.SetAttr(i, &a)
			tx.SetSymlink(i, "t")
			tx.SetXattr(i, "user.a", []byte("1"))
			tx.SetXattr(i, "user.b", []byte("2"))
			tx.SetEntry(2, numbered("n", int(i)), meta.Entry{Type: meta.TypeSymlink, Ino: i})
			tx.AddParent(i, 2, 1)
			tx.AppendSlices(i, 0, slice)
		}
		return nil
	})
	update(t, e, meta.Want{Nodes: []meta.Name{{Dir: 2, Name: "n-40"}}}, func(tx meta.Tx) error {
		if _, _, err := tx.Entry(2, "n-40"); err != nil {
			return err
		}
		if _, _, err := tx.Attr(ino); err != nil {
			return err
		}
		tx.DropEntry(2, "n-40")
		tx.DropNode(ino)
		return nil
	})
	for _, i := range []meta.Ino{ino, other} {
		there := i == other
		var wantA *meta.Attr
		var wantX map[string][]byte
		var wantP map[meta.Ino]int64
		if there {
			wantA, wantX, wantP = &a, map[string][]byte{"user.a": []byte("1"), "user.b": []byte("2")}, map[meta.Ino]int64{2: 1}
		}
		wantAttr(t, e, i, wantA)
		wantXattrs(t, e, i, wantX)
		wantParents(t, e, i, wantP)
		view(t, e, meta.Want{}, func(r meta.Reader) error {
			_, ok, err := r.Symlink(i)
			if ok != there {
				t.Errorf("symlink of inode %d: ok=%v", i, ok)
			}
			return err
		})
		wantChunk(t, e, i, 0, slice) // the data goes its own way
	}
	// A node that was never there can be dropped, too.
	if err := e.Update(soon(t), meta.Want{}, func(tx meta.Tx) error {
		tx.DropNode(99)
		return nil
	}); err != nil {
		t.Errorf("drop a missing node: %v", err)
	}
}
