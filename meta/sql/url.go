package sql

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// The defaults of the format for SQLite, and ours where it has none.
const (
	defaultBusyMillis = 5000
	defaultJournal    = "WAL"
	// NORMAL, as the official client: a commit survives the end of the process, and a loss of power takes the
	// newest commits in their order, as on a file system with a journal. FULL is a sync of the disk per commit,
	// which costs a create several times over.
	defaultSynchronous = "NORMAL"
)

const sqliteScheme = "sqlite3://"

// target is what a URL says about a SQLite database.
type target struct {
	path        string // absolute
	prefix      string // of table names: "jfs_" or "jfs_X_"
	busyMillis  int    // how long SQLite itself waits for another process
	journal     string
	synchronous string
	readers     int        // 0: not given
	extra       url.Values // passed to the driver as they are
}

var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9_]+$`)

// parseURL reads sqlite3://PATH[?params]. PATH is taken literally, as the official client does: there is no
// percent-encoding, and a relative path is one of the working directory.
func parseURL(raw string) (*target, error) {
	rest, ok := strings.CutPrefix(raw, sqliteScheme)
	if !ok {
		// The rest is not shown: it may hold a password.
		scheme, _, ok := strings.Cut(raw, "://")
		if !ok {
			scheme = ""
		}
		return nil, fmt.Errorf("metadata url with scheme %q: want sqlite3://PATH", scheme)
	}
	path, query, _ := strings.Cut(rest, "?")
	raw = sqliteScheme + path // for errors, without the parameters
	switch {
	case path == "":
		return nil, fmt.Errorf("metadata url %q: the path of the database is missing: want sqlite3://PATH", raw)
	case path == ":memory:" || strings.HasPrefix(path, "file:"):
		return nil, fmt.Errorf("metadata url %q: give the path of a file, neither file: nor :memory: before it", raw)
	case strings.ContainsRune(path, 0):
		return nil, fmt.Errorf("metadata url %q: the path holds a NUL byte", raw)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("metadata url %q: %w", raw, err)
	}
	t := &target{
		path: abs, prefix: "jfs_", busyMillis: defaultBusyMillis,
		journal: defaultJournal, synchronous: defaultSynchronous, extra: url.Values{},
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("metadata url %q: parameters: %w", raw, err)
	}
	for name, values := range params {
		if err := t.set(name, values[len(values)-1]); err != nil {
			return nil, fmt.Errorf("metadata url %q: parameter %s: %w", raw, name, err)
		}
	}
	return t, nil
}

// set applies one parameter of the URL. The names are those of the format and of the driver.
func (t *target) set(name, value string) (err error) {
	switch name {
	case "table_prefix":
		if !prefixPattern.MatchString(value) {
			return fmt.Errorf("%q is not made of letters, digits and _", value)
		}
		t.prefix = "jfs_" + value + "_"
	case "max_open_conns":
		t.readers, err = wholeNumber(value)
	case "max_idle_conns", "max_idle_time", "max_life_time":
		// For servers: connections to a file cost nothing while they are idle.
	case "cache":
		// Shared page caches lock whole tables between the connections of a process, which WAL need not.
	case "mode":
		if value != "rw" && value != "rwc" {
			return fmt.Errorf("%q cannot be had: the database is opened for reading and writing", value)
		}
	case "_txlock":
		// The engine says itself how each transaction begins.
	case "_busy_timeout", "_timeout":
		t.busyMillis, err = wholeNumber(value)
	case "_journal_mode", "_journal":
		t.journal, err = oneOf(value, "WAL", "DELETE", "TRUNCATE", "PERSIST")
	case "_synchronous", "_sync":
		t.synchronous, err = oneOf(value, "FULL", "NORMAL", "EXTRA", "OFF", "2", "1", "3", "0")
	default:
		if !strings.HasPrefix(name, "_") && name != "vfs" {
			return fmt.Errorf("unknown; known are table_prefix, max_open_conns, _busy_timeout, _journal_mode, _synchronous and the driver's others that begin with _")
		}
		t.extra.Set(name, value)
	}
	return err
}

func wholeNumber(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a whole number from 0 up", s)
	}
	return n, nil
}

func oneOf(s string, known ...string) (string, error) {
	for _, k := range known {
		if strings.EqualFold(s, k) {
			return k, nil
		}
	}
	return "", fmt.Errorf("%q is none of %s", s, strings.Join(known, ", "))
}
