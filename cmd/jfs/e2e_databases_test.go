package main

import (
	"fmt"
	"testing"

	"jfs/internal/testenv"
)

// database is a kind of database. fresh starts its server, if it has one, and gives what gives the URL of an empty
// database at each call.
type database struct {
	name  string
	fresh func(t *testing.T, w *world) func() string
	alone bool // one process at a time may open it
}

// allDatabases are the databases that volumes move in and survive deaths in. SQLite comes first.
func allDatabases() []database {
	numbered := func(format string, args ...any) func() string {
		n := 0
		return func() string { n++; return fmt.Sprintf(format, append(append([]any(nil), args...), n)...) }
	}
	return []database{
		{name: "sqlite", fresh: func(_ *testing.T, w *world) func() string {
			return numbered("sqlite3://%s/meta%d.db", w.dir)
		}},
		{name: "redis", fresh: func(t *testing.T, _ *world) func() string {
			return numbered("redis://%s/%d", testenv.Redis(t, "--databases", "1024"))
		}},
		{name: "postgres", fresh: func(t *testing.T, _ *world) func() string {
			return numbered("postgres://%s@%s/%s?table_prefix=v%d", testenv.SQLUser, testenv.StartPostgres(t).Addr, testenv.SQLUser)
		}},
		{name: "mariadb", fresh: func(t *testing.T, _ *world) func() string {
			return numbered("mysql://%s@(%s)/%s?table_prefix=v%d", testenv.SQLUser, testenv.StartMariaDB(t).Addr, testenv.SQLUser)
		}},
		{name: "etcd", fresh: func(t *testing.T, _ *world) func() string {
			return numbered("etcd://%s/v%d", testenv.StartEtcd(t).Addr)
		}},
		{name: "badger", alone: true, fresh: func(_ *testing.T, w *world) func() string {
			return numbered("badger://%s/badger%d", w.dir)
		}},
	}
}

// databases are those whose clients are killed: all in full size, and otherwise the two that most people use.
func databases() []database { return allDatabases()[:soaking(2, 6)] }
