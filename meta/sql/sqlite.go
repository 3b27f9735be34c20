package sql

import (
	"context"
	dbsql "database/sql"
	"database/sql/driver"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/mattn/go-sqlite3"
)

// sqlite is the dialect of SQLite.
func sqlite() *dialect {
	quote := func(name string) string { return "`" + name + "`" }
	return &dialect{
		name: "sqlite3",
		types: func(k kind, _ int) string {
			switch k {
			case kindI64, kindI32:
				return "INTEGER"
			case kindID64, kindID32:
				return "INTEGER PRIMARY KEY AUTOINCREMENT"
			case kindStr, kindText:
				return "TEXT"
			}
			return "BLOB"
		},
		quote: quote,
		// SQLite looks at the value of a bare parameter to estimate how many rows it finds, and for that
		// parses and plans the statement anew each time it is bound. A + in front of it changes nothing else.
		bind: func(text string) string { return strings.ReplaceAll(text, "?", "+?") },
		upsert: func(table, keys, cols, set string) string {
			return "INSERT INTO " + table + " (" + cols + ") VALUES " + placeholders(strings.Count(cols, ",")+1) +
				" ON CONFLICT (" + keys + ") DO UPDATE SET " + set
		},
		excluded: func(col string) string { return "excluded." + col },
		// || gives text whatever it joins; as text, length and substr would count characters.
		concat:       func(a, b string) string { return "CAST(" + a + " || " + b + " AS BLOB)" },
		tail:         func(a, from string) string { return "substr(CAST(" + a + " AS BLOB), " + from + ")" },
		beginRead:    "BEGIN",
		beginWrite:   "BEGIN IMMEDIATE",
		hasTable:     "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?",
		columns:      "SELECT name FROM pragma_table_info(?)",
		readSequence: "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = ?), 0)",
		// sqlite_sequence has no unique index to upsert on.
		setSequence: "INSERT OR REPLACE INTO sqlite_sequence (rowid, name, seq) SELECT (SELECT rowid FROM sqlite_sequence WHERE name = ?1), ?1, ?2",
		classify:    classifySQLite,
		usageInline: true,
	}
}

// classifySQLite goes by the codes of SQLite.
func classifySQLite(err error) fault {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return faultOther
	}
	switch e.Code {
	case sqlite3.ErrBusy, sqlite3.ErrLocked, // with all that they are extended by: recovery, snapshot, timeout
		sqlite3.ErrProtocol: // lost a race for the locks of the log too often, as when several processes begin to recover it
		return faultBusy
	case sqlite3.ErrConstraint:
		if e.ExtendedCode == sqlite3.ErrConstraintUnique || e.ExtendedCode == sqlite3.ErrConstraintPrimaryKey {
			return faultDuplicate
		}
	case sqlite3.ErrFull:
		return faultFull
	case sqlite3.ErrIoErr:
		return faultIO
	case sqlite3.ErrError:
		return faultStatement
	}
	return faultOther
}

// sqliteConnector opens connections to a database file that exists.
type sqliteConnector struct {
	dsn    string
	driver *sqlite3.SQLiteDriver
}

var _ driver.Connector = (*sqliteConnector)(nil)

func (c *sqliteConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c *sqliteConnector) Driver() driver.Driver                        { return c.driver }

// openSQLite gives a pool for the file of t. It never creates the file.
func openSQLite(t *target) *dbsql.DB {
	q := url.Values{}
	for k, v := range t.extra {
		q[k] = v
	}
	q.Set("mode", "rw")
	q.Set("_mutex", "no") // database/sql gives a connection to one caller at a time
	q.Set("_busy_timeout", strconv.Itoa(t.busyMillis))
	q.Set("_synchronous", t.synchronous)
	dsn := "file:" + (&url.URL{Path: t.path}).EscapedPath() + "?" + q.Encode()
	db := dbsql.OpenDB(&sqliteConnector{dsn: dsn, driver: &sqlite3.SQLiteDriver{}})
	db.SetMaxIdleConns(0) // the engine keeps the connections it wants
	return db
}
