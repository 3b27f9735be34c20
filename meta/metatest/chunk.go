package metatest

import (
	"context"
	"slices"
	"testing"

	"jfs/meta"
)

var chunkCases = []testCase{
	{"Append", testChunkAppend},
	{"Thousands", testChunkThousands},
	{"ReplacePrefix", testChunkReplace},
	{"Drop", testChunkDrop},
	{"List", testChunks},
}

// rec is the n-th record of a test: different in every field.
func rec(n int) meta.Slice {
	return meta.Slice{Pos: uint32(n) * 10, ID: uint64(n) + 1<<33, Size: 100 + uint32(n), Off: 3, Len: 7}
}

func recs(from, to int) []meta.Slice {
	var ss []meta.Slice
	for i := from; i < to; i++ {
		ss = append(ss, rec(i))
	}
	return ss
}

func appendSlices(t *testing.T, e meta.Engine, ino meta.Ino, index uint32, ss []meta.Slice) {
	t.Helper()
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.AppendSlices(ino, index, ss)
		return nil
	})
}

func testChunkAppend(t *testing.T, e meta.Engine) {
	put(t, e, map[meta.Ino]meta.Attr{5: fileAttr(1, 0)})
	wantChunk(t, e, 5, 0, nil)
	appendSlices(t, e, 5, 0, recs(0, 1))
	wantChunk(t, e, 5, 0, recs(0, 1))
	zero := meta.Slice{Pos: 5000, Len: meta.ChunkSize - 5000}
	whole := meta.Slice{ID: 1<<63 - 1, Size: meta.ChunkSize, Len: meta.ChunkSize}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.AppendSlices(5, 0, []meta.Slice{zero, rec(1)})
		tx.AppendSlices(5, 300, recs(7, 9))
		tx.AppendSlices(5, 0, []meta.Slice{whole})
		tx.AppendSlices(5, 1, nil) // nothing
		return nil
	})
	wantChunk(t, e, 5, 0, []meta.Slice{rec(0), zero, rec(1), whole})
	wantChunk(t, e, 5, 300, recs(7, 9))
	wantChunk(t, e, 5, 1, nil)
	wantChunk(t, e, 6, 0, nil)
	// Two equal records are two records: the engine holds no opinion.
	appendSlices(t, e, 5, 1, []meta.Slice{rec(1), rec(1)})
	wantChunk(t, e, 5, 1, []meta.Slice{rec(1), rec(1)})
}

func testChunkThousands(t *testing.T, e meta.Engine) {
	put(t, e, map[meta.Ino]meta.Attr{5: fileAttr(1, 0)})
	const n = 2600 // below the limit of the narrowest database
	for lo := 0; lo < n; lo += 650 {
		appendSlices(t, e, 5, 2, recs(lo, lo+650))
	}
	wantChunk(t, e, 5, 2, recs(0, n))
}

func testChunkReplace(t *testing.T, e meta.Engine) {
	put(t, e, map[meta.Ino]meta.Attr{5: fileAttr(1, 0)})
	cases := []struct {
		name    string
		have, n int
		with    []meta.Slice
	}{
		{"several by one", 5, 3, recs(100, 101)},
		{"all by one", 4, 4, recs(100, 101)},
		{"one by several", 3, 1, recs(100, 104)},
		{"same number", 3, 2, recs(100, 102)},
		{"by nothing", 3, 2, nil},
		{"all by nothing", 3, 3, nil},
		{"nothing by one", 2, 0, recs(100, 101)},
	}
	for i, c := range cases {
		index := uint32(i)
		appendSlices(t, e, 5, index, recs(0, c.have))
		update(t, e, meta.Want{Attrs: []meta.Ino{5}, Chunks: []meta.ChunkID{{Ino: 5, Index: index}}}, func(tx meta.Tx) error {
			got, err := tx.Chunk(5, index)
			if err != nil {
				return err
			}
			if len(got) != c.have {
				t.Errorf("%s: %d records, want %d", c.name, len(got), c.have)
			}
			tx.ReplaceSlices(5, index, c.n, c.with)
			tx.AppendSlices(5, index, recs(200, 201)) // behind what is kept
			return nil
		})
		want := slices.Concat(c.with, recs(c.n, c.have), recs(200, 201))
		t.Run(c.name, func(t *testing.T) { wantChunk(t, e, 5, index, want) })
	}
	a := fileAttr(1, 0)
	wantAttr(t, e, 5, &a)
}

func testChunkDrop(t *testing.T, e meta.Engine) {
	put(t, e, map[meta.Ino]meta.Attr{5: fileAttr(1, 0)})
	appendSlices(t, e, 5, 0, recs(0, 3))
	appendSlices(t, e, 5, 1, recs(3, 6))
	update(t, e, meta.Want{Chunks: []meta.ChunkID{{Ino: 5, Index: 0}}}, func(tx meta.Tx) error {
		if _, err := tx.Chunk(5, 0); err != nil {
			return err
		}
		tx.DropChunk(5, 0)
		return nil
	})
	wantChunk(t, e, 5, 0, nil)
	wantChunk(t, e, 5, 1, recs(3, 6))
	appendSlices(t, e, 5, 0, recs(9, 10))
	wantChunk(t, e, 5, 0, recs(9, 10))
}

func testChunks(t *testing.T, e meta.Engine) {
	const length = 300 * meta.ChunkSize
	list := func(ino meta.Ino) []uint32 {
		return read(t, e, func(r meta.Reader) ([]uint32, error) { return r.Chunks(ino, length) })
	}
	put(t, e, map[meta.Ino]meta.Attr{5: fileAttr(1, length), 6: fileAttr(1, length)})
	if got := list(5); len(got) != 0 {
		t.Errorf("chunks of an empty file: %v", got)
	}
	for _, index := range []uint32{299, 0, 256, 3} {
		appendSlices(t, e, 5, index, recs(0, 1))
	}
	appendSlices(t, e, 6, 1, recs(0, 1))
	equal(t, "chunks", list(5), []uint32{0, 3, 256, 299})
	equal(t, "chunks of the other file", list(6), []uint32{1})
}

var refCases = []testCase{
	{"Count", testRefs},
	{"Dead", testDeadSlices},
}

func refs(t *testing.T, e meta.Engine, id uint64, size uint32) int64 {
	t.Helper()
	return read(t, e, func(r meta.Reader) (int64, error) {
		refs, err := r.Refs([]meta.SliceRef{{ID: id, Size: size}})
		if err != nil {
			return 0, err
		}
		return refs[0], nil
	})
}

func addRefs(t *testing.T, e meta.Engine, id uint64, size uint32, n ...int64) {
	t.Helper()
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		for _, d := range n {
			tx.AddRef(id, size, d)
		}
		return nil
	})
}

func testRefs(t *testing.T, e meta.Engine) {
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.NewRef(1, 5)
		tx.NewRef(1<<40, meta.ChunkSize)
		return nil
	})
	equal(t, "new slice", refs(t, e, 1, 5), 1)
	equal(t, "new large slice", refs(t, e, 1<<40, meta.ChunkSize), 1)
	addRefs(t, e, 1, 5, 1)
	equal(t, "after +1", refs(t, e, 1, 5), 2)
	addRefs(t, e, 1, 5, 3, 1, -2)
	equal(t, "after three changes at once", refs(t, e, 1, 5), 4)
	addRefs(t, e, 1, 5, -3)
	equal(t, "down to one", refs(t, e, 1, 5), 1)
	equal(t, "the other slice", refs(t, e, 1<<40, meta.ChunkSize), 1)
	addRefs(t, e, 1, 5, -1)
	equal(t, "down to none", refs(t, e, 1, 5), 0)

	together(t, 4, func(ctx context.Context, i int) error {
		for range 10 {
			if err := e.Update(ctx, meta.Want{}, func(tx meta.Tx) error {
				tx.AddRef(1<<40, meta.ChunkSize, 1)
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	equal(t, "after parallel changes", refs(t, e, 1<<40, meta.ChunkSize), 41)

	view(t, e, meta.Want{}, func(r meta.Reader) error {
		many, err := r.Refs([]meta.SliceRef{{ID: 1, Size: 5}, {ID: 1 << 40, Size: meta.ChunkSize}, {ID: 1, Size: 5}})
		if err != nil {
			return err
		}
		equal(t, "several slices", many, []int64{0, 41, 0})
		none, err := r.Refs(nil)
		if len(none) != 0 {
			t.Errorf("references of no slice: %v", none)
		}
		return err
	})
}

func testDeadSlices(t *testing.T, e meta.Engine) {
	dead := func(limit int) []meta.SliceRef {
		return read(t, e, func(r meta.Reader) ([]meta.SliceRef, error) { return r.DeadSlices(limit) })
	}
	if got := dead(10); len(got) != 0 {
		t.Errorf("dead slices of an empty volume: %v", got)
	}
	const n = 40
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		for i := range n {
			tx.NewRef(uint64(i+1), uint32(i+1)*1000)
		}
		return nil
	})
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		for i := range n {
			switch i % 4 {
			case 0:
				tx.AddRef(uint64(i+1), uint32(i+1)*1000, -1) // none left
			case 1:
				tx.AddRef(uint64(i+1), uint32(i+1)*1000, 1)
			case 2:
				tx.AddRef(uint64(i+1), uint32(i+1)*1000, 1)
				tx.AddRef(uint64(i+1), uint32(i+1)*1000, -1) // one left
			}
		}
		return nil
	})
	want := map[meta.SliceRef]bool{}
	for i := 0; i < n; i += 4 {
		want[meta.SliceRef{ID: uint64(i + 1), Size: uint32(i+1) * 1000}] = true
	}
	for _, limit := range []int{3, 10, 100} {
		got := dead(limit)
		if len(got) != min(limit, len(want)) {
			t.Errorf("limit %d gives %d dead slices of %d", limit, len(got), len(want))
		}
		seen := map[meta.SliceRef]bool{}
		for _, s := range got {
			if !want[s] || seen[s] {
				t.Errorf("%+v listed as dead (seen: %v)", s, seen[s])
			}
			seen[s] = true
		}
	}
	first := meta.SliceRef{ID: 1, Size: 1000}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.DropRef(first.ID, first.Size)
		return nil
	})
	got := dead(100)
	if len(got) != len(want)-1 || slices.Contains(got, first) {
		t.Errorf("after a drop: %v", got)
	}
}
