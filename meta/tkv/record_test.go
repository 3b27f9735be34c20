package tkv_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"jfs/meta"
	"jfs/meta/tkv"
	"jfs/meta/tkv/mem"
)

func TestCorruptRecordsNameTheKey(t *testing.T) {
	put := func(s tkv.Store, key string, value ...byte) {
		t.Helper()
		txn, err := s.Begin(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		txn.Put([]byte(key), value)
		if err := txn.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	two := "A\x02\x00\x00\x00\x00\x00\x00\x00"
	cases := []struct {
		key  string
		read func(r meta.Reader) error
	}{
		{two + "I", func(r meta.Reader) error { _, _, err := r.Attr(2); return err }},
		{two + "Df", func(r meta.Reader) error { _, _, err := r.Entry(2, "f"); return err }},
		{two + "Df", func(r meta.Reader) error { _, _, err := r.Entries(2, "", 10, false); return err }},
		{two + "C\x00\x00\x00\x00", func(r meta.Reader) error { _, err := r.Chunk(2, 0); return err }},
		{two + "P\x03\x00\x00\x00\x00\x00\x00\x00", func(r meta.Reader) error { _, err := r.Parents(2); return err }},
		{"K\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x05", func(r meta.Reader) error { _, err := r.Refs([]meta.SliceRef{{ID: 1, Size: 5}}); return err }},
		{"K\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x05", func(r meta.Reader) error { _, err := r.DeadSlices(1); return err }},
		{"U\x02\x00\x00\x00\x00\x00\x00\x00", func(r meta.Reader) error { _, err := r.DirStats([]meta.Ino{2}); return err }},
		{"ClastCleanupFiles", func(r meta.Reader) error { _, err := r.Counter(meta.LastCleanupFiles); return err }},
		{"CusedSpace", func(r meta.Reader) error { _, _, err := r.Usage(); return err }},
		{"SE\x00\x00\x00\x00\x00\x00\x00\x01", func(r meta.Reader) error { _, _, err := r.Session(1); return err }},
		{"SE\x00\x00\x00\x00\x00\x00\x00\x01", func(r meta.Reader) error { _, err := r.Sessions(); return err }},
		{"D\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", func(r meta.Reader) error { _, err := r.DelFiles(9, 9); return err }},
	}
	for _, c := range cases {
		s := mem.New()
		e := tkv.New(s, quiet)
		put(s, c.key, 1, 2, 3)
		err := e.View(context.Background(), meta.Want{Nodes: []meta.Name{{Dir: 2, Name: "f"}}}, c.read)
		if !errors.Is(err, meta.ErrCorrupt) || !strings.Contains(err.Error(), fmt.Sprintf("%q", c.key)) {
			t.Errorf("key %q: %v", c.key, err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestForeignKeys puts keys of other kinds, which share letters, beside those that are listed.
func TestForeignKeys(t *testing.T) {
	s := mem.New()
	txn, err := s.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	beat, err := hex.DecodeString("000000006b041400")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"Kx", "Dshort", "SEx", "SIx", "SSx", "A\x02\x00\x00\x00\x00\x00\x00\x00Cx", "A\x02\x00\x00\x00\x00\x00\x00\x00Px"} {
		txn.Put([]byte(k), []byte{1})
	}
	txn.Put([]byte("SH\x00\x00\x00\x00\x00\x00\x00\x07"), beat)
	if err := txn.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	e := tkv.New(s, quiet)
	closeLater(t, e)
	err = e.View(context.Background(), meta.Want{}, func(r meta.Reader) error {
		dead, err1 := r.DeadSlices(9)
		files, err2 := r.DelFiles(1<<40, 9)
		chunks, err3 := r.Chunks(2, 1<<40)
		parents, err4 := r.Parents(2)
		sessions, err5 := r.Sessions()
		if len(dead)+len(files)+len(chunks)+len(parents) != 0 {
			t.Errorf("foreign keys are listed: %v %v %v %v", dead, files, chunks, parents)
		}
		if len(sessions) != 1 || sessions[0].Sid != 7 || sessions[0].Expire != 0x6b041400+300 {
			t.Errorf("session of an old client: %+v", sessions)
		}
		return errors.Join(err1, err2, err3, err4, err5)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDropSessionDropsItsLocks(t *testing.T) {
	ctx := context.Background()
	s := mem.New()
	flock := func(sid byte) string { return "\x00\x00\x00\x00\x00\x00\x00" + string(sid) + "ownerid1W" }
	plock := func(sid byte) string {
		return "\x00\x00\x00\x00\x00\x00\x00" + string(sid) + "ownerid1\x00\x00\x00\x18" + strings.Repeat("r", 24)
	}
	ino := func(n byte) string { return string(n) + "\x00\x00\x00\x00\x00\x00\x00" }
	before := map[string]string{
		"F" + ino(5): flock(1) + flock(2) + flock(3), "F" + ino(6): flock(1), "F" + ino(7): flock(2), "F" + ino(8): flock(3) + flock(1),
		"P" + ino(5): plock(3) + plock(2) + plock(1), "P" + ino(6): plock(1),
	}
	after := map[string]string{"F" + ino(5): flock(2), "F" + ino(7): flock(2), "P" + ino(5): plock(2)}
	txn, err := s.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range before {
		txn.Put([]byte(k), []byte(v))
	}
	if err := txn.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	e := tkv.New(s, quiet)
	closeLater(t, e)
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetSession(meta.SessionRecord{Sid: 1, Expire: 5, Info: []byte("{}")})
		return nil
	})
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.DropSession(1)
		tx.DropSession(3)
		return nil
	})
	got := dump(t, s)
	if len(got) != len(after) {
		t.Errorf("left: %q, want %d keys", got, len(after))
	}
	for _, g := range got {
		k, v, _ := strings.Cut(g, "=")
		key, err := hex.DecodeString(k)
		if err != nil {
			t.Fatal(err)
		}
		if v != hex.EncodeToString([]byte(after[string(key)])) {
			t.Errorf("locks under %q: %s", key, v)
		}
	}
}
