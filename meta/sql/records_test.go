package sql_test

import (
	dbsql "database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3"

	"jfs/meta"
	"jfs/meta/sql"
)

// observedRule is a rule as an official client stored it: user 1000 and group 2000 besides the owner.
const observedRule = "0006 0004 0007 0004 00000001 000003e8 0007 00000001 000007d0 0005"

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// prepared gives an engine on a new database, and the database without the engine.
func prepared(t *testing.T) (*sql.Engine, *dbsql.DB) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "meta.db")
	e, err := sql.Open(t.Context(), "sqlite3://"+path, sql.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if err := e.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := dbsql.Open("sqlite3", "file:"+path+"?_busy_timeout=5000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e, db
}

// values gives the rows of a table, each as one line of values with their storage classes.
func values(t *testing.T, db *dbsql.DB, table string) []string {
	t.Helper()
	rows, err := db.Query("SELECT * FROM " + table + " ORDER BY 1, 2")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for rows.Next() {
		cells, dest := make([]any, len(cols)), make([]any, len(cols))
		for i := range cells {
			dest[i] = &cells[i]
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		for i, c := range cells {
			if b, ok := c.([]byte); ok {
				cells[i] = fmt.Sprintf("x'%x'", b)
			}
		}
		all = append(all, strings.TrimSuffix(fmt.Sprintln(cells...), "\n"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func change(t *testing.T, e *sql.Engine, fn func(tx meta.Tx) error) {
	t.Helper()
	if err := e.Update(t.Context(), meta.Want{}, fn); err != nil {
		t.Fatal(err)
	}
}

func look(t *testing.T, e *sql.Engine, fn func(r meta.Reader) error) {
	t.Helper()
	if err := e.View(t.Context(), meta.Want{}, fn); err != nil {
		t.Error(err)
	}
}

func quotaOf(kind meta.QuotaKind, id uint64) meta.QuotaKey { return meta.QuotaKey{Kind: kind, ID: id} }

// TestGoldenRecords compares the rows of locks, quotas, rules, replaced slices and detached inodes with the volume
// format. The bytes of replaced slices, ranges and rules are observed ones.
func TestGoldenRecords(t *testing.T) {
	e, db := prepared(t)
	a, b := meta.LockOwner{Sid: 1, Owner: 1<<64 - 5}, meta.LockOwner{Sid: 258, Owner: 5}
	delayed := meta.Delayed{ID: 4108, At: 1795429668, Slices: []meta.SliceRef{{ID: 0x1006, Size: 100}, {ID: 0x1007, Size: 200}}}
	change(t, e, func(tx meta.Tx) error {
		tx.SetFlock(5, a, meta.FlockShared)
		tx.SetFlock(5, b, meta.FlockShared)
		tx.SetFlock(5, b, meta.FlockExclusive)
		tx.SetPlocks(5, a, []meta.Plock{{Type: meta.PlockWrite, PID: 0xb7d, Start: 5, End: 14}})
		tx.SetQuota(quotaOf(meta.QuotaDir, 258), meta.Quota{MaxSpace: 1 << 30, MaxInodes: 100, UsedSpace: 4096, UsedInodes: 1})
		tx.AddQuotaUsage(quotaOf(meta.QuotaDir, 258), 4096, -1)
		tx.AddQuotaUsage(quotaOf(meta.QuotaDir, 259), 4096, 1) // has none
		tx.AddQuotaUsage(quotaOf(meta.QuotaUser, 1000), 4096, 1)
		tx.AddQuotaUsage(quotaOf(meta.QuotaGroup, 1000), -4096, -1)
		_, err := tx.AddACL(unhex(t, observedRule))
		_, err2 := tx.AddACL(unhex(t, "0007 0005 ffff 0000 00000000 00000000"))
		tx.SetDelayed(delayed)
		tx.SetDetached(258, 1795429668)
		return errors.Join(err, err2)
	})
	want := map[string][]string{
		"jfs_flock":            {"1 5 1 -5 82", "2 5 258 5 87"},
		"jfs_plock":            {"1 5 1 -5 x'0000000100000b7d0000000000000005000000000000000e'"},
		"jfs_dir_quota":        {"258 1073741824 100 8192 0"},
		"jfs_user_group_quota": {"1 1000 -1 -1 4096 1", "2 1000 -1 -1 -4096 -1"},
		"jfs_acl":              {"1 6 4 7 4 x'000003e80007' x'000007d00005'", "2 7 5 65535 0 x'' x''"},
		"jfs_delslices":        {"4108 1795429668 x'0000000000001006000000640000000000001007000000c8'"},
		"jfs_detached_node":    {"258 1795429668"},
	}
	for table, rows := range want {
		if got := values(t, db, table); !slices.Equal(got, rows) {
			t.Errorf("%s: %q, want %q", table, got, rows)
		}
	}
	// What an official client inserts gets a number behind ours, and ours one behind its.
	if _, err := db.Exec("INSERT INTO jfs_acl (owner, `group`, mask, other, named_users, named_groups) VALUES (7, 7, 7, 7, NULL, x'000000010004')"); err != nil {
		t.Fatal(err)
	}
	var id uint32
	change(t, e, func(tx meta.Tx) (err error) {
		id, err = tx.AddACL(unhex(t, observedRule))
		return err
	})
	if id != 4 {
		t.Errorf("rule %d, want 4", id)
	}
	look(t, e, func(r meta.Reader) error {
		rule, ok, err := r.ACL(3)
		if !ok || !slices.Equal(rule, unhex(t, "0007 0007 0007 0007 00000000 00000001 00000001 0004")) {
			t.Errorf("rule of another client: %v %x", ok, rule)
		}
		return err
	})

	// Everything goes away again; rules never do.
	change(t, e, func(tx meta.Tx) error {
		tx.SetFlock(5, a, meta.FlockNone)
		tx.SetPlocks(5, a, nil)
		tx.DropSession(258)
		tx.DropQuota(quotaOf(meta.QuotaDir, 258))
		tx.DropQuota(quotaOf(meta.QuotaUser, 1000))
		tx.DropQuota(quotaOf(meta.QuotaGroup, 1000))
		tx.DropDelayed(delayed)
		tx.DropDetached(258)
		return nil
	})
	for table := range want {
		if got := values(t, db, table); len(got) > 0 && table != "jfs_acl" {
			t.Errorf("%s: left over %q", table, got)
		}
	}
}

// TestOddRecords: rows that break the format are named.
func TestOddRecords(t *testing.T) {
	e, db := prepared(t)
	for _, insert := range []string{
		"jfs_flock (inode, sid, owner, ltype) VALUES (5, 1, 1, 88)",
		"jfs_plock (inode, sid, owner, records) VALUES (5, 1, 1, x'00')",
		"jfs_plock (inode, sid, owner, records) VALUES (6, 1, 1, x'')", // no range: no lock
		"jfs_acl (id, owner, `group`, mask, other, named_users, named_groups) VALUES (1, 70000, 0, 0, 0, x'', x''), (2, 0, 0, 0, 0, x'00', x'')",
		"jfs_delslices (chunkid, deleted, slices) VALUES (7, 5, x'00')",
		"jfs_chunk (inode, indx, slices) VALUES (5, 2, x'00')",
		"jfs_node SELECT 5, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0",
		"jfs_user_group_quota VALUES (3, 5, 1, 1, 1, 1)", // a kind of another version
	} {
		if _, err := db.Exec("INSERT INTO " + insert); err != nil {
			t.Fatalf("%s: %v", insert, err)
		}
	}
	for what, read := range map[string]func(r meta.Reader) error{
		"jfs_flock inode 5":      func(r meta.Reader) error { _, err := r.Flocks(5); return err },
		"jfs_plock inode 5":      func(r meta.Reader) error { _, err := r.Plocks(5); return err },
		"jfs_acl id 1":           func(r meta.Reader) error { _, _, err := r.ACL(1); return err },
		"jfs_acl id 2":           func(r meta.Reader) error { _, _, err := r.ACL(2); return err },
		"jfs_acl id":             func(r meta.Reader) error { _, err := r.ACLs(); return err },
		"jfs_delslices":          func(r meta.Reader) error { _, err := r.DelayedSlices(9, 9); return err },
		"jfs_chunk inode 5 indx": func(r meta.Reader) error { _, _, err := r.ScanChunks("", 9); return err },
		"jfs_node inode 5":       func(r meta.Reader) error { _, _, err := r.ScanNodes("", 9); return err },
	} {
		err := e.View(t.Context(), meta.Want{}, read)
		if !errors.Is(err, meta.ErrCorrupt) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	look(t, e, func(r meta.Reader) error {
		locks, err := r.Plocks(6)
		all, err2 := r.Quotas()
		if len(locks)+len(all) > 0 {
			t.Errorf("locks %v, quotas %v", locks, all)
		}
		if _, _, err := r.ScanChunks("none", 5); err == nil {
			t.Error("a cursor of another engine is taken")
		}
		return errors.Join(err, err2)
	})
	err := e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error {
		tx.SetDetached(1, 1)
		_, _ = tx.AddACL([]byte("no rule")) // the commit fails even when this is overlooked
		return nil
	})
	if !errors.Is(err, meta.ErrCorrupt) || len(values(t, db, "jfs_detached_node")) != 0 {
		t.Errorf("a rule that is none: %v", err)
	}
}

// TestScanEnds: the inodes at both ends of the column are found, and the last one ends the scan.
func TestScanEnds(t *testing.T) {
	e, _ := prepared(t)
	want := []meta.Ino{1 << 63, 1<<64 - 1, 1, meta.TrashIno, 1<<63 - 1} // in the order of the signed column
	change(t, e, func(tx meta.Tx) error {
		for _, ino := range want {
			tx.SetAttr(ino, &meta.Attr{Type: meta.TypeFile})
		}
		return nil
	})
	for limit := range 7 {
		var got []meta.Ino
		for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
			look(t, e, func(r meta.Reader) error {
				page, next, err := r.ScanNodes(cursor, limit)
				for _, n := range page {
					got = append(got, n.Ino)
				}
				cursor = next
				return err
			})
			if pages > 10 {
				t.Fatalf("limit %d: the scan does not end", limit)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: %v", limit, got)
		}
	}
}

// TestNoDatabase: records of a database that is not there are no database's.
func TestNoDatabase(t *testing.T) {
	e, err := sql.Open(t.Context(), "sqlite3://"+filepath.Join(t.TempDir(), "none.db"), sql.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for name, read := range map[string]func(r meta.Reader) error{
		"Flocks":     func(r meta.Reader) error { _, err := r.Flocks(5); return err },
		"Quotas":     func(r meta.Reader) error { _, err := r.Quotas(); return err },
		"ACL":        func(r meta.Reader) error { _, _, err := r.ACL(1); return err },
		"ScanChunks": func(r meta.Reader) error { _, _, err := r.ScanChunks("", 9); return err },
		"ScanNodes":  func(r meta.Reader) error { _, _, err := r.ScanNodes("", 9); return err },
	} {
		if err := e.View(t.Context(), meta.Want{}, read); !errors.Is(err, meta.ErrNotFormatted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
