package redis

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

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
		remembered, ok := e.memory.attr(5, false)
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
	if err := e.Update(t.Context(), meta.Want{Attrs: []meta.Ino{2}}, remove); !errors.Is(err, posix.ENOTEMPTY) {
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
