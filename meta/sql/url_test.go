package sql

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jfs/meta"
)

func TestParseURL(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]target{
		"sqlite3://a.db":               {path: wd + "/a.db", prefix: "jfs_", busyMillis: 5000, journal: "WAL", synchronous: "NORMAL"},
		"sqlite3://../x/a%20b.db":      {path: filepath.Dir(wd) + "/x/a%20b.db", prefix: "jfs_", busyMillis: 5000, journal: "WAL", synchronous: "NORMAL"},
		"sqlite3:///var/jfs #1.db":     {path: "/var/jfs #1.db", prefix: "jfs_", busyMillis: 5000, journal: "WAL", synchronous: "NORMAL"},
		"sqlite3:///a?table_prefix=X1": {path: "/a", prefix: "jfs_X1_", busyMillis: 5000, journal: "WAL", synchronous: "NORMAL"},
		"sqlite3:///a?cache=shared&_journal=wal&_timeout=7&max_open_conns=9&max_idle_conns=1&max_idle_time=5&max_life_time=9&_sync=normal": {
			path: "/a", prefix: "jfs_", busyMillis: 7, journal: "WAL", synchronous: "NORMAL", readers: 9},
		"sqlite3:///a?_journal_mode=TRUNCATE&_busy_timeout=0&_synchronous=2&mode=rwc&_txlock=deferred": {
			path: "/a", prefix: "jfs_", journal: "TRUNCATE", synchronous: "2"},
	} {
		got, err := parseURL(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if len(got.extra) != 0 {
			t.Errorf("%s: for the driver %v", url, got.extra)
		}
		got.extra = nil
		if got.path != want.path || got.prefix != want.prefix || got.busyMillis != want.busyMillis ||
			got.journal != want.journal || got.synchronous != want.synchronous || got.readers != want.readers {
			t.Errorf("%s:\n got %+v\nwant %+v", url, *got, want)
		}
	}
	got, err := parseURL("sqlite3:///a?_cache_size=-4000")
	if err != nil || got.extra.Get("_cache_size") != "-4000" {
		t.Errorf("parameter of the driver: %v %v", got, err)
	}
	for url, hint := range map[string]string{
		"redis://h/1":                          "sqlite3://PATH",
		"sqlite3://":                           "path of the database is missing",
		"sqlite3://?table_prefix=x":            "path of the database is missing",
		"sqlite3://:memory:":                   "path of a file",
		"sqlite3://file:a.db":                  "path of a file",
		"sqlite3://a\x00b":                     "NUL",
		"sqlite3://a?table_prefix=":            "letters, digits",
		"sqlite3://a?table_prefix=x;drop":      "parameters",
		"sqlite3://a?table_prefix=x%27":        "letters, digits",
		"sqlite3://a?max_open_conns=-1":        "whole number",
		"sqlite3://a?_busy_timeout=5s":         "whole number",
		"sqlite3://a?_journal_mode=OFF":        "none of",
		"sqlite3://a?_synchronous=sometimes":   "none of",
		"sqlite3://a?mode=memory":              "cannot be had",
		"sqlite3://a?tableprefix=x":            "unknown",
		"sqlite3://a?table_prefix=%zz":         "parameters",
		"sqlite3://a?table_prefix=x&unknown=1": "unknown",
	} {
		if _, err := parseURL(url); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("%q: %v, want a hint at %q", url, err, hint)
		}
	}
}

func TestNoSecretsInErrors(t *testing.T) {
	for _, url := range []string{
		"redis://user:secret@h/1", "secret", "sqlite3://?_auth_pass=secret", "sqlite3://a?_auth_pass=secret&x=1",
		"sqlite3://a?_auth_pass=secret&_timeout=x",
	} {
		if _, err := parseURL(url); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, hint := range map[string]string{
		dir:                          "is a directory",
		filepath.Join(dir, "x", "a"): "there is no directory " + filepath.Join(dir, "x"),
		filepath.Join(garbage, "a"):  "not a directory",
		garbage:                      "not a database",
	} {
		e, err := Open(t.Context(), sqliteScheme+path, Options{})
		if err == nil {
			e.Close()
		}
		if err == nil || !strings.Contains(err.Error(), hint) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q and the path", path, err, hint)
		}
	}
}

// TestNotFormatted: nothing but Init creates the file or writes into it.
func TestNotFormatted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd ?#%41 name.db") // a ? would begin the parameters
	path = strings.ReplaceAll(path, "?", "")
	look := func(e *Engine) {
		t.Helper()
		if err := e.View(t.Context(), meta.Want{}, func(r meta.Reader) error {
			if s, err := r.Setting(); s != nil || err != nil {
				t.Errorf("setting %q: %v", s, err)
			}
			for _, plus := range []bool{false, true} {
				if _, _, err := r.Entries(1, "", 10, plus); !errors.Is(err, meta.ErrNotFormatted) {
					t.Errorf("entries: %v", err)
				}
			}
			if _, _, err := r.Entry(1, "a"); !errors.Is(err, meta.ErrNotFormatted) {
				t.Errorf("entry: %v", err)
			}
			_, _, err := r.Attr(1)
			return err
		}); !errors.Is(err, meta.ErrNotFormatted) {
			t.Errorf("view: %v", err)
		}
		if err := e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error {
			tx.SetCounter("x", 1)
			return nil
		}); !errors.Is(err, meta.ErrNotFormatted) {
			t.Errorf("update: %v", err)
		}
		if _, err := e.Reserve(t.Context(), meta.SeqInode, 1); !errors.Is(err, meta.ErrNotFormatted) {
			t.Errorf("reserve: %v", err)
		}
	}
	e, other := openAt(t, sqliteScheme+path), openAt(t, sqliteScheme+path)
	look(e)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the file is there: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil { // as sqlite3 leaves it that was only started
		t.Fatal(err)
	}
	look(e)
	if got := rows(t, e, "SELECT count(*) FROM sqlite_master"); got != "0\n" {
		t.Errorf("tables: %s", got)
	}
	if err := e.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, e := range []*Engine{e, other} { // one that was opened before the file was there
		if first, err := e.Reserve(t.Context(), meta.SeqSlice, 1); err != nil || first == 0 {
			t.Errorf("after init: %d %v", first, err)
		}
	}
}

// TestUpgrade gives tables of an older version what came later.
func TestUpgrade(t *testing.T) {
	e := ready(t, "")
	for _, text := range []string{
		"ALTER TABLE jfs_node DROP COLUMN tier_id", "ALTER TABLE jfs_node DROP COLUMN atimensec",
		"DROP TABLE jfs_change_log", "DROP INDEX IDX_jfs_chunk_ref_refs", "UPDATE jfs_counter SET value = 77 WHERE name = 'nextInode'",
	} {
		if _, err := e.db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.View(t.Context(), meta.Want{}, func(r meta.Reader) error {
		a, ok, err := r.Attr(meta.RootIno)
		if !ok || a.Tier != 0 || a.Mode != 0777 {
			t.Errorf("root %+v", a)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if first, err := e.Reserve(t.Context(), meta.SeqInode, 1); first != 77 {
		t.Errorf("next inode %d: %v", first, err)
	}
	got := rows(t, e, "SELECT count(*) FROM sqlite_master WHERE name IN ('jfs_change_log', 'IDX_jfs_chunk_ref_refs')")
	if got != "2\n" {
		t.Errorf("%s of 2 are there", got)
	}
}
