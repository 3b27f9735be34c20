package metatest

import (
	"slices"
	"testing"

	"jfs/meta"
)

var scanCases = []testCase{
	{"Empty", testScanEmpty},
	{"Thousands", testScanThousands},
	{"Changing", testScanChanging},
}

// scanAll collects all pages of a scan. between, if there is one, runs after each.
func scanAll[T any](t *testing.T, e meta.Engine, limit int, page func(r meta.Reader, cursor string, limit int) ([]T, string, error), between func()) []T {
	t.Helper()
	var all []T
	cursor := ""
	for pages := 0; ; pages++ {
		if pages > 100_000 {
			t.Fatal("the scan does not end")
		}
		view(t, e, meta.Want{}, func(r meta.Reader) error {
			found, next, err := page(r, cursor, limit)
			all = append(all, found...)
			cursor = next
			return err
		})
		if cursor == "" {
			return all
		}
		if between != nil {
			between()
		}
	}
}

func scanChunks(t *testing.T, e meta.Engine, limit int, between func()) map[meta.ChunkID][]meta.Slice {
	t.Helper()
	found := map[meta.ChunkID][]meta.Slice{}
	for _, c := range scanAll(t, e, limit, meta.Reader.ScanChunks, between) {
		found[c.ChunkID] = c.Slices
	}
	return found
}

func scanNodes(t *testing.T, e meta.Engine, limit int, between func()) map[meta.Ino]meta.Attr {
	t.Helper()
	found := map[meta.Ino]meta.Attr{}
	for _, n := range scanAll(t, e, limit, meta.Reader.ScanNodes, between) {
		found[n.Ino] = n.Attr
	}
	return found
}

func testScanEmpty(t *testing.T, e meta.Engine) {
	if got := scanChunks(t, e, 10, nil); len(got) != 0 {
		t.Errorf("chunks of an empty volume: %v", got)
	}
	if got := scanNodes(t, e, 10, nil); len(got) != 0 {
		t.Errorf("inodes of an empty volume: %v", got)
	}
	// A volume of other records only.
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		for i := range 600 {
			tx.SetEntry(2, numbered("entry", i), meta.Entry{Type: meta.TypeFile, Ino: 3})
			tx.SetXattr(4, numbered("user.x", i), []byte("v"))
		}
		return nil
	})
	if got := scanChunks(t, e, 10, nil); len(got) != 0 {
		t.Errorf("chunks of a volume without any: %v", got)
	}
	if got := scanNodes(t, e, 10, nil); len(got) != 0 {
		t.Errorf("inodes of a volume without any: %v", got)
	}
}

// fillScan writes thousands of inodes and chunks, and other records between them.
func fillScan(t *testing.T, e meta.Engine) (map[meta.ChunkID][]meta.Slice, map[meta.Ino]meta.Attr) {
	t.Helper()
	chunks, nodes := map[meta.ChunkID][]meta.Slice{}, map[meta.Ino]meta.Attr{}
	const batches, each = 6, 400
	for b := range batches {
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			for i := range each {
				n := b*each + i
				ino := meta.Ino(2 + n)
				switch {
				case n%700 == 1:
					ino = meta.TrashIno + meta.Ino(n)
				case n%700 == 2:
					ino = 1<<40 + meta.Ino(n)
				}
				a := fileAttr(1, uint64(n))
				nodes[ino] = a
				tx.SetAttr(ino, &a)
				if n%5 == 0 {
					tx.SetXattr(ino, "user.a", []byte("v"))
					tx.AddParent(ino, 1, 1)
				}
				for k := range n % 3 {
					id := meta.ChunkID{Ino: ino, Index: uint32(k * k * 70000)}
					chunks[id] = recs(n, n+1+n%4)
					tx.AppendSlices(id.Ino, id.Index, chunks[id])
				}
				tx.SetEntry(7, numbered("entry", n), meta.Entry{Type: meta.TypeFile, Ino: ino}) // one large directory
			}
			return nil
		})
	}
	return chunks, nodes
}

func testScanThousands(t *testing.T, e meta.Engine) {
	chunks, nodes := fillScan(t, e)
	for _, limit := range []int{3, 40, 1000, 1 << 20} {
		equal(t, numbered("chunks by", limit), scanChunks(t, e, limit, nil), chunks)
		equal(t, numbered("inodes by", limit), scanNodes(t, e, limit, nil), nodes)
	}
}

// testScanChanging: records that stay are found, whatever else comes and goes meanwhile.
func testScanChanging(t *testing.T, e meta.Engine) {
	chunks, nodes := fillScan(t, e)
	next := meta.Ino(1 << 30)
	var gone []meta.Ino
	churn := func() {
		if len(gone) > 600 {
			return
		}
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			a := fileAttr(1, 1)
			for range 50 {
				tx.SetAttr(next, &a)
				tx.AppendSlices(next, 0, recs(0, 1))
				if len(gone) > 25 { // what the last round made
					tx.DropNode(gone[len(gone)-25])
					tx.DropChunk(gone[len(gone)-25], 0)
				}
				gone = append(gone, next)
				next += 1 << 20
			}
			return nil
		})
	}
	found := scanChunks(t, e, 100, churn)
	for id, want := range chunks {
		if !slices.Equal(found[id], want) {
			t.Fatalf("chunk %+v: %v, want %v", id, found[id], want)
		}
	}
	gone = nil
	all := scanNodes(t, e, 100, churn)
	for ino, want := range nodes {
		if got, ok := all[ino]; !ok || got != want {
			t.Fatalf("inode %d: %v %+v", ino, ok, got)
		}
	}
}
