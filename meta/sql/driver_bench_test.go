package sql_test

import (
	"context"
	dbsql "database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	_ "github.com/mattn/go-sqlite3"
	_ "modernc.org/sqlite"
)

// BenchmarkDriver compares the SQLite drivers on the statements of a create and on point reads. It is the
// measurement behind the choice of the driver; nothing here uses the engine.
func BenchmarkDriver(b *testing.B) {
	for _, driver := range []struct{ name, registered string }{
		{"mattn", "sqlite3"},
		{"modernc", "sqlite"},
	} {
		b.Run(driver.name, func(b *testing.B) {
			for _, sync := range []string{"FULL", "NORMAL"} {
				b.Run("create/"+sync, func(b *testing.B) { benchCreate(b, driver.registered, sync) })
			}
			for _, parallel := range []int{1, 8} {
				b.Run(fmt.Sprintf("read/%d", parallel), func(b *testing.B) { benchRead(b, driver.registered, parallel) })
			}
		})
	}
}

const benchSchema = `
CREATE TABLE node (inode INTEGER PRIMARY KEY NOT NULL, type INTEGER NOT NULL, mode INTEGER NOT NULL,
	uid INTEGER NOT NULL, gid INTEGER NOT NULL, atime INTEGER NOT NULL, mtime INTEGER NOT NULL,
	ctime INTEGER NOT NULL, nlink INTEGER NOT NULL, length INTEGER NOT NULL, parent INTEGER);
CREATE TABLE edge (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, parent INTEGER NOT NULL, name BLOB NOT NULL,
	inode INTEGER NOT NULL, type INTEGER NOT NULL);
CREATE UNIQUE INDEX edge_name ON edge (parent, name);
CREATE INDEX edge_inode ON edge (inode);
CREATE TABLE counter (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL);
INSERT INTO counter VALUES ('usedSpace', 0);
INSERT INTO node VALUES (1, 2, 511, 0, 0, 1, 1, 1, 2, 4096, 1)`

const (
	benchNode    = `SELECT type, mode, uid, gid, atime, mtime, ctime, nlink, length, parent FROM node WHERE inode = ?`
	benchEntry   = `SELECT inode, type FROM edge WHERE parent = ? AND name = ?`
	benchNewEdge = `INSERT INTO edge (parent, name, inode, type) VALUES (?, ?, ?, ?)`
	benchNewNode = `INSERT INTO node VALUES (?, 1, 420, 0, 0, ?, ?, ?, 1, 0, ?)`
	benchParent  = `UPDATE node SET nlink = nlink + ?, mtime = ?, ctime = ? WHERE inode = ?`
	benchCounter = `UPDATE counter SET value = value + ? WHERE name = ?`
)

func benchDB(b *testing.B, driver string) *dbsql.DB {
	b.Helper()
	db, err := dbsql.Open(driver, filepath.Join(b.TempDir(), "bench.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return db
}

type benchConn struct {
	*dbsql.Conn
	b     *testing.B
	stmts map[string]*dbsql.Stmt
}

func benchOpen(b *testing.B, db *dbsql.DB, sync string) *benchConn {
	b.Helper()
	conn, err := db.Conn(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	c := &benchConn{conn, b, map[string]*dbsql.Stmt{}}
	b.Cleanup(func() { conn.Close() })
	for _, pragma := range []string{"busy_timeout = 5000", "journal_mode = WAL", "synchronous = " + sync} {
		if _, err := conn.ExecContext(context.Background(), "PRAGMA "+pragma); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

func (c *benchConn) stmt(text string) *dbsql.Stmt {
	s := c.stmts[text]
	if s == nil {
		var err error
		if s, err = c.PrepareContext(context.Background(), text); err != nil {
			c.b.Fatal(err)
		}
		c.stmts[text] = s
	}
	return s
}

func (c *benchConn) exec(text string, args ...any) {
	if _, err := c.stmt(text).Exec(args...); err != nil {
		c.b.Error(text, err)
	}
}

func (c *benchConn) node(ino int64) error {
	var v [10]int64
	return c.stmt(benchNode).QueryRow(ino).Scan(&v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7], &v[8], &v[9])
}

func (c *benchConn) schema() {
	for _, s := range strings.Split(benchSchema, ";") {
		c.exec(s)
	}
}

// benchCreate is one transaction of two reads and four writes.
func benchCreate(b *testing.B, driver, sync string) {
	c := benchOpen(b, benchDB(b, driver), sync)
	c.schema()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		ino, now := int64(i+2), int64(i)
		name := fmt.Appendf(nil, "file-%d", i)
		c.exec("BEGIN IMMEDIATE")
		if err := c.node(1); err != nil {
			b.Fatal(err)
		}
		var a, t int64
		if err := c.stmt(benchEntry).QueryRow(1, name).Scan(&a, &t); err != dbsql.ErrNoRows {
			b.Fatal(err)
		}
		c.exec(benchNewEdge, 1, name, ino, 1)
		c.exec(benchNewNode, ino, now, now, now, 1)
		c.exec(benchParent, 0, now, now, 1)
		c.exec(benchCounter, 4096, "usedSpace")
		c.exec("COMMIT")
	}
}

func benchRead(b *testing.B, driver string, parallel int) {
	const nodes = 20000
	db := benchDB(b, driver)
	c := benchOpen(b, db, "NORMAL")
	c.schema()
	c.exec("BEGIN IMMEDIATE")
	for i := range nodes {
		c.exec(benchNewNode, i+2, i, i, i, 1)
	}
	c.exec("COMMIT")
	conns := make(chan *benchConn, parallel)
	for range parallel {
		conns <- benchOpen(b, db, "NORMAL")
	}
	var at atomic.Int64
	b.SetParallelism((parallel + 1) / 2) // per processor; the conns bound what runs at once
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c := <-conns
		defer func() { conns <- c }()
		for pb.Next() {
			if err := c.node(2 + at.Add(7919)%nodes); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
