package tkv_test

import (
	"fmt"
	"testing"

	"jfs/meta"
	"jfs/meta/tkv"
	"jfs/meta/tkv/mem"
)

// TestHints: the attribute of an entry comes with the entry where its inode was known, and what another client has changed
// since counts.
func TestHints(t *testing.T) {
	t.Parallel()
	store := newFaulty(mem.New())
	mine, theirs := tkv.New(store, quiet), tkv.New(store.Store, quiet)
	t.Cleanup(func() {
		if err := mine.Close(); err != nil {
			t.Error(err)
		}
	})
	n := meta.Name{Dir: 1, Name: "n"}
	set := func(e *tkv.Engine, ino meta.Ino) {
		t.Helper()
		err := e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error {
			tx.SetAttr(ino, &meta.Attr{Type: meta.TypeFile, Nlink: 1, Length: uint64(ino)})
			tx.SetEntry(n.Dir, n.Name, meta.Entry{Type: meta.TypeFile, Ino: ino})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	look := func(want meta.Ino, reads int64) {
		t.Helper()
		before := store.gets.Load()
		err := mine.Update(t.Context(), meta.Want{Nodes: []meta.Name{n}}, func(r meta.Tx) error {
			e, ok, err := r.Entry(n.Dir, n.Name)
			if err != nil || ok != (want != 0) || e.Ino != want {
				return fmt.Errorf("entry %v, %t, %w", e, ok, err)
			}
			if !ok {
				return nil
			}
			if a, ok, err := r.Attr(e.Ino); !ok || err != nil || a.Length != uint64(want) {
				return fmt.Errorf("attribute %v, %t, %w", a, ok, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if got := store.gets.Load() - before; got != reads {
			t.Errorf("inode %d: %d reads, want %d", want, got, reads)
		}
	}
	set(theirs, 5)
	look(5, 2)
	look(5, 1)
	set(theirs, 6)
	look(6, 2)
	look(6, 1)
	set(mine, 7)
	look(7, 1)
	if err := theirs.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error {
		tx.DropEntry(n.Dir, n.Name)
		tx.DropNode(7)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	look(0, 1)
	set(theirs, 8)
	look(8, 2)
}
