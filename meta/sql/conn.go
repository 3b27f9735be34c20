package sql

import (
	"context"
	dbsql "database/sql"
	"errors"
	"fmt"

	"jfs/meta"
)

// conn is one connection and the statements prepared on it. It serves one caller at a time.
//
// Statements of SQLite run without the caller's context: they are short, the driver would start a goroutine
// for each, and readers look at their context between statements.
type conn struct {
	*dbsql.Conn
	d      *dialect
	prefix string
	texts  *[numStmts]statement
	stmts  [numStmts]*dbsql.Stmt
	masks  map[uint32]*dbsql.Stmt // of updateNode

	scratch
}

var _ session = (*conn)(nil)

func newConn(raw *dbsql.Conn, d *dialect, prefix string, texts *[numStmts]statement) *conn {
	c := &conn{Conn: raw, d: d, prefix: prefix, texts: texts, masks: map[uint32]*dbsql.Stmt{}}
	c.point()
	return c
}

// close ends the connection; its statements go with it.
func (c *conn) close() error {
	for _, s := range c.stmts {
		if s != nil {
			s.Close()
		}
	}
	for _, s := range c.masks {
		s.Close()
	}
	return c.Conn.Close()
}

func (c *conn) stmt(q stmt) (*dbsql.Stmt, error) {
	if s := c.stmts[q]; s != nil {
		return s, nil
	}
	s, err := c.PrepareContext(context.Background(), c.texts[q].text)
	if err != nil {
		return nil, err
	}
	c.stmts[q] = s
	return s, nil
}

// maskStmt is the statement that writes the columns of mask of an inode.
func (c *conn) maskStmt(mask uint32) (*dbsql.Stmt, error) {
	if s := c.masks[mask]; s != nil {
		return s, nil
	}
	s, err := c.PrepareContext(context.Background(), updateNode(c.d, c.prefix, mask))
	if err != nil {
		return nil, err
	}
	c.masks[mask] = s
	return s, nil
}

// exec runs a statement and gives the number of rows it changed.
func (c *conn) exec(q stmt, args ...any) (int64, error) {
	s, err := c.stmt(q)
	if err != nil {
		return 0, c.wrap(q, err)
	}
	return c.execStmt(q, s, args)
}

func (c *conn) execStmt(q stmt, s *dbsql.Stmt, args []any) (int64, error) {
	res, err := s.Exec(args...)
	if err != nil {
		return 0, c.wrap(q, err)
	}
	n, err := res.RowsAffected()
	return n, c.wrap(q, err)
}

func (c *conn) space() *scratch { return &c.scratch }

func (c *conn) one(_ context.Context, q stmt, args []any, dest ...any) (ok bool, err error) {
	s, err := c.stmt(q)
	if err == nil {
		err = s.QueryRow(args...).Scan(dest...)
	}
	if errors.Is(err, dbsql.ErrNoRows) {
		return false, nil
	}
	return err == nil, c.wrap(q, err)
}

// many asks for one after the other: SQLite has no round trips to save.
func (c *conn) many(ctx context.Context, q stmt, list [][]any, fn func(i int, ok bool) error, dest ...any) error {
	for i, args := range list {
		ok, err := c.one(ctx, q, args, dest...)
		if err == nil {
			err = fn(i, ok)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) each(_ context.Context, q stmt, args []any, fn func() error, dest ...any) error {
	s, err := c.stmt(q)
	if err != nil {
		return c.wrap(q, err)
	}
	rows, err := s.Query(args...)
	if err != nil {
		return c.wrap(q, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return c.wrap(q, err)
		}
		if err := fn(); err != nil {
			return err
		}
	}
	return c.wrap(q, rows.Err())
}

// wrap names the statement, and finds out whether one failed because the database holds no volume: there is
// no code for a missing table.
func (c *conn) wrap(q stmt, err error) error {
	if err == nil {
		return nil
	}
	if c.d.classify(err) == faultStatement && q != qHasTable {
		if ok, e := c.hasTable(); e == nil && !ok {
			return fmt.Errorf("%s: %w", c.texts[q].name, meta.ErrNotFormatted)
		}
	}
	return fmt.Errorf("%s: %w", c.texts[q].name, err)
}

// hasTable says whether the tables of the volume are there.
func (c *conn) hasTable() (bool, error) {
	var one number
	return c.one(context.Background(), qHasTable, []any{c.prefix + "setting"}, &one)
}
