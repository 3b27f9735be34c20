package sql

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jfs/meta"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got\n%s", path, got)
	}
}

// rows gives the result of a query with the storage class of each value.
func rows(t *testing.T, e *Engine, query string) string {
	t.Helper()
	rs, err := e.db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()
	cols, err := rs.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	values, dest := make([]any, len(cols)), make([]any, len(cols))
	for i := range values {
		dest[i] = &values[i]
	}
	for rs.Next() {
		if err := rs.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if i > 0 {
				b.WriteString(" | ")
			}
			switch v := v.(type) {
			case []byte:
				fmt.Fprintf(&b, "x'%x'", v)
			case string:
				fmt.Fprintf(&b, "%q", v)
			default:
				fmt.Fprint(&b, v)
			}
		}
		b.WriteByte('\n')
	}
	if err := rs.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func dump(t *testing.T, e *Engine, tables ...string) string {
	t.Helper()
	var b strings.Builder
	for _, name := range tables {
		fmt.Fprintf(&b, "-- %s\n%s", name, rows(t, e, "SELECT * FROM "+name+" ORDER BY 1"))
	}
	return b.String()
}

func allTables(prefix string) (names []string) {
	for _, t := range schema() {
		names = append(names, prefix+t.name)
	}
	return names
}

func mustUpdate(t *testing.T, e *Engine, want meta.Want, fn func(meta.Tx) error) {
	t.Helper()
	if err := e.Update(t.Context(), want, fn); err != nil {
		t.Fatal(err)
	}
}

// TestSchema pins names, types and indexes, which an official client compares with its own.
func TestSchema(t *testing.T) {
	e := openAt(t, tempURL(t))
	if err := e.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	const query = "SELECT COALESCE(sql, name) FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY tbl_name, type DESC, name"
	all := rows(t, e, query)
	golden(t, "schema.golden", all)
	if err := e.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := rows(t, e, query); again != all {
		t.Errorf("a second init changed the schema:\n%s", again)
	}
	if journal := rows(t, e, "PRAGMA journal_mode"); journal != "\"wal\"\n" {
		t.Errorf("journal mode %s", journal)
	}
}

// TestFormatRows pins the rows of a new volume.
func TestFormatRows(t *testing.T) {
	e := openAt(t, tempURL(t)+"?table_prefix=a")
	f := meta.NewFormat("vol", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	if err := meta.Create(t.Context(), e, f, meta.TimeOf(time.Unix(1795429376, 123456789))); err != nil {
		t.Fatal(err)
	}
	golden(t, "format.golden", dump(t, e, allTables("jfs_a_")...))
}

// TestRows pins one row of every kind that the engine writes.
func TestRows(t *testing.T) {
	e := openAt(t, tempURL(t))
	if err := e.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The first time is observed on a volume of the official client.
	a := meta.Attr{
		Flags: 1, Type: meta.TypeFile, Mode: 04644, UID: 4294967294, GID: 100, Nlink: 1, Length: 1 << 40, Rdev: 0x103, Parent: 2,
		Atime: meta.Time{Sec: 1795429782, Nsec: 554910441}, Mtime: meta.Time{Sec: -1, Nsec: 999999999}, Ctime: meta.Time{Sec: -7, Nsec: 1},
		AccessACL: 1, DefaultACL: 2, Tier: 3,
	}
	records := []meta.Slice{{Pos: 1, ID: 3, Size: 10485760, Len: 10485760}, {Pos: 5000, Len: 100}}
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetAttr(3, &a)
		tx.SetEntry(2, "n\xff", meta.Entry{Type: meta.TypeFile, Ino: 3})
		tx.SetEntry(meta.TrashIno+1, "2-3-n", meta.Entry{Type: meta.TypeFile, Ino: 3})
		tx.SetSymlink(4, "to\xfe")
		tx.SetXattr(3, "user.a", []byte{0, 1})
		tx.SetXattr(3, "user.empty", nil)
		tx.AppendSlices(3, 1, records[:1])
		tx.NewRef(3, 10485760)
		tx.NewRef(1<<63, 5)
		tx.SetDelFile(meta.DelFile{Ino: 9, Length: 1 << 33, Removed: 1795429782})
		tx.SetSession(meta.SessionRecord{Sid: 7, Expire: 60, Info: []byte(`{"Version":"1.4.1"}`)})
		tx.SetSession(meta.SessionRecord{Sid: 8, Expire: 60})
		tx.SetSustained(7, 3)
		tx.SetDirStat(2, meta.DirStat{Length: 1, Space: 4096, Inodes: 1})
		tx.SetCounter(meta.LastCleanupFiles, 1795429782)
		tx.AddUsage(8192, 2)
		return nil
	})
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error { // appended bytes stay bytes
		tx.AppendSlices(3, 1, records[1:])
		tx.AppendSlices(3, 1, records[:1])
		return nil
	})
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
		got, err := tx.Chunk(3, 1)
		if len(got) != 3 {
			t.Errorf("chunk %+v: %v", got, err)
		}
		tx.ReplaceSlices(3, 1, 2, []meta.Slice{{ID: 0x77, Size: 1, Len: 1}})
		tx.SetSession(meta.SessionRecord{Sid: 7, Expire: 61})
		return err
	})
	for _, seq := range []meta.Sequence{meta.SeqInode, meta.SeqSlice, meta.SeqSession, meta.SeqTrash, meta.SeqACL} {
		if _, err := e.Reserve(t.Context(), seq, 1024); err != nil {
			t.Fatal(err)
		}
	}
	got := dump(t, e, allTables("jfs_")...) + dump(t, e, "(SELECT name, seq FROM sqlite_sequence WHERE name = 'jfs_acl')") +
		"-- types of appended bytes\n" + rows(t, e, "SELECT typeof(slices), length(slices) FROM jfs_chunk")
	golden(t, "rows.golden", got)

	if err := e.View(t.Context(), meta.Want{}, func(r meta.Reader) error {
		b, _, err := r.Attr(3)
		if b != a {
			t.Errorf("attribute comes back as %+v", b)
		}
		s, _, err2 := r.Session(7)
		if !bytes.Equal(s.Info, []byte(`{"Version":"1.4.1"}`)) || s.Expire != 61 || err2 != nil {
			t.Errorf("session comes back as %+v: %v", s, err2)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
