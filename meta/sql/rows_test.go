package sql

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"jfs/meta"
)

// TestCorrupt: rows that break the format are named and harm no others.
func TestCorrupt(t *testing.T) {
	e := ready(t, "")
	for _, text := range []string{
		"INSERT INTO jfs_node SELECT 5, 99, flags, mode, uid, gid, atime, mtime, ctime, 0, 0, 0, nlink, length, rdev, parent, 0, 0, 0 FROM jfs_node WHERE inode = 1",
		"INSERT INTO jfs_node SELECT 6, 1, flags, mode, uid, gid, atime, mtime, ctime, 0, 1000, 0, nlink, length, rdev, parent, 0, 0, 0 FROM jfs_node WHERE inode = 1",
		"INSERT INTO jfs_node SELECT 7, 'x', flags, mode, uid, gid, atime, mtime, ctime, 0, 0, 0, nlink, length, rdev, parent, 0, 0, 0 FROM jfs_node WHERE inode = 1",
		"INSERT INTO jfs_edge (parent, name, inode, type) VALUES (1, x'61', 5, 1), (1, x'62', 6, 0)",
		"INSERT INTO jfs_chunk (inode, indx, slices) VALUES (5, 2, x'00')",
		// NULL in columns that came with later versions is 0.
		"INSERT INTO jfs_node SELECT 8, 1, flags, mode, uid, gid, atime, mtime, ctime, 0, 0, 0, nlink, length, NULL, NULL, NULL, NULL, NULL FROM jfs_node WHERE inode = 1",
	} {
		if _, err := e.db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	a := meta.Name{Dir: 1, Name: "a"}
	for what, read := range map[string]func(r meta.Reader) error{
		"inode 5":  func(r meta.Reader) error { _, _, err := r.Attr(5); return err },
		"inode 6":  func(r meta.Reader) error { _, _, err := r.Attr(6); return err },
		"inode 7":  func(r meta.Reader) error { _, _, err := r.Attr(7); return err },
		`1/"b"`:    func(r meta.Reader) error { _, _, err := r.Entry(1, "b"); return err },
		"indx 2":   func(r meta.Reader) error { _, err := r.Chunk(5, 2); return err },
		`name "b"`: func(r meta.Reader) error { _, _, err := r.Entries(1, "", 10, false); return err },
		"jfs_node inode 5": func(r meta.Reader) error {
			en, ok, err := r.Entry(a.Dir, a.Name) // the entry itself is sound
			if err != nil || !ok || en.Ino != 5 {
				t.Errorf("entry %+v %v %v", en, ok, err)
			}
			_, _, err = r.Attr(en.Ino)
			return err
		},
	} {
		err := e.View(t.Context(), meta.Want{Nodes: []meta.Name{a}}, read)
		if !errors.Is(err, meta.ErrCorrupt) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := e.View(t.Context(), meta.Want{}, func(r meta.Reader) error {
		a, ok, err := r.Attr(8)
		if !ok || a.Parent != 0 || a.Rdev != 0 || a.Tier != 0 {
			t.Errorf("inode 8: %+v %v", a, ok)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// TestColumns: a change of one column leaves what others hold, and an unchanged attribute is no write.
func TestColumns(t *testing.T) {
	e := ready(t, "")
	if err := e.writer.do(&request{ctx: t.Context(), want: &meta.Want{}, fn: func(tx *tx) error {
		a, _, err := tx.Attr(meta.RootIno)
		if err != nil {
			return err
		}
		tx.SetAttr(meta.RootIno, &a)
		if len(tx.ops) != 0 {
			t.Errorf("%d writes of an unchanged attribute", len(tx.ops))
		}
		a.Mode, a.Ctime.Nsec = 0700, a.Ctime.Nsec+1
		tx.SetAttr(meta.RootIno, &a)
		if len(tx.ops) != 1 || len(tx.ops[0].args) != 3 { // mode, ctimensec, inode
			t.Errorf("writes %+v", tx.ops)
		}
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
}

// TestStatements counts what operations cost: a statement each, and none is planned twice. Planning again would
// double the allocations.
func TestStatements(t *testing.T) {
	e := ready(t, "")
	createFile(t, e, 2)
	name := meta.Name{Dir: meta.RootIno, Name: "file-2"}
	lookup := func() {
		if err := e.View(t.Context(), meta.Want{Nodes: []meta.Name{name}}, func(r meta.Reader) error {
			en, ok, err := r.Entry(name.Dir, name.Name)
			if err != nil || !ok {
				return fmt.Errorf("entry: %v %w", ok, err)
			}
			if _, ok, err = r.Attr(en.Ino); !ok {
				t.Error("no inode")
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	for range cap(e.readers.slots) {
		lookup() // prepares the statement on each connection
	}
	if n := testing.AllocsPerRun(100, lookup); n > 45 {
		t.Errorf("a look-up allocates %v times: is its statement prepared each time?", n)
	}
	prepared := 0
	for range cap(e.readers.slots) {
		c := <-e.readers.slots
		for _, s := range c.stmts {
			if s != nil {
				prepared++
			}
		}
		e.readers.slots <- c
	}
	if want := cap(e.readers.slots); prepared != want { // neither BEGIN nor the inode by itself
		t.Errorf("%d statements are prepared, want %d", prepared, want)
	}
	// A create: two reads, two writes, and the counters once per commit; the touch falls into the window.
	if err := e.writer.do(&request{ctx: t.Context(), want: &meta.Want{}, fn: func(tx *tx) error {
		a, _, err := tx.Perm(meta.RootIno)
		if err != nil {
			return err
		}
		if _, _, err := tx.Entry(meta.RootIno, "new"); err != nil {
			return err
		}
		tx.SetEntry(meta.RootIno, "new", meta.Entry{Type: meta.TypeFile, Ino: 3})
		tx.SetAttr(3, &meta.Attr{Type: meta.TypeFile})
		tx.Touch(meta.RootIno, a.Mtime, 0, 100)
		tx.AddUsage(4096, 1)
		if len(tx.ops) != 2 || tx.ops[0].q != qNewEntry || tx.ops[1].q != qNewNode {
			t.Errorf("writes %+v", tx.ops)
		}
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
}

const childURL = "JFS_TEST_SQL_URL"

// TestTwoProcesses lets another process count together with this one.
func TestTwoProcesses(t *testing.T) {
	const each = 60
	count := func(e *Engine) {
		for range each {
			if err := e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error {
				n, err := tx.Counter("a")
				tx.SetCounter("a", n+1)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if url := os.Getenv(childURL); url != "" {
		count(openAt(t, url))
		return
	}
	e := ready(t, "")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTwoProcesses$")
	child.Env = append(os.Environ(), childURL+"="+sqliteScheme+e.t.path)
	var out strings.Builder
	child.Stdout, child.Stderr = &out, &out
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	count(e)
	if err := child.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if got, want := counters(t, e), fmt.Sprintf("\"a\" | %d\n\"usedSpace\" | 0\n", 2*each); got != want {
		t.Errorf("counters\n%s", got)
	}
}
