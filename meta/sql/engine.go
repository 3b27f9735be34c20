package sql

import (
	"context"
	dbsql "database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"jfs/meta"
)

// Options says how an engine works. The zero value works.
type Options struct {
	// Log gets what is of interest to operators; nil means nowhere.
	Log *slog.Logger
	// Readers is the number of connections for View; 0 means twice the processors, and 4 at least. The
	// parameter max_open_conns of the URL overrides it. They take memory for a page cache each, 2 MiB at most.
	Readers int

	// What follows is for databases on servers. Readers bounds their connections, which also write; 0 means four times
	// the processors, and 8 at least.

	// Password is used when the URL has none.
	Password string
	// Timeout bounds one round trip, also where the context has no deadline; 0 means 20 s. It should be more than the
	// 10 s that the server lets a statement wait for a lock.
	Timeout time.Duration
	// Patience bounds all attempts of one call, while others hold locks or the server is away; 0 means 30 s.
	Patience time.Duration
	// FlushUsage is how long changes of the volume's usage are collected; 0 means one second.
	FlushUsage time.Duration
}

// Engine is a meta.Engine on a database.
type Engine struct {
	d       *dialect
	t       *target
	db      *dbsql.DB
	texts   *[numStmts]statement
	readers *pool
	writer  *writer
	views   atomic.Int64
	closed  atomic.Bool
	log     *slog.Logger
}

var _ meta.Engine = (*Engine)(nil)

// Open opens the SQLite database of the URL sqlite3://PATH[?params], where PATH is the path of a file, taken
// literally. A file that is not there is created by Init and not before; until then the engine answers as
// one of an empty database. Parameters:
//
//	table_prefix=X       tables are named jfs_X_… instead of jfs_…: several volumes in one database
//	_busy_timeout=5000   milliseconds that SQLite waits for a lock of another process, at each attempt
//	_journal_mode=WAL    WAL, DELETE, TRUNCATE or PERSIST
//	_synchronous=NORMAL  NORMAL, FULL, EXTRA or OFF; see SQLite's pragma
//	max_open_conns=N     as Options.Readers
//
// Others that begin with _ are given to the driver, go-sqlite3; those of database servers have no effect.
func Open(ctx context.Context, url string, o Options) (*Engine, error) {
	t, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	size := t.readers
	if size == 0 {
		size = o.Readers
	}
	if size <= 0 {
		size = max(4, 2*runtime.GOMAXPROCS(0))
	}
	d := sqlite()
	e := &Engine{d: d, t: t, db: openSQLite(t), texts: statements(d, t.prefix), log: o.Log}
	e.readers = newPool(size, e.connect)
	e.writer = newWriter(d, o.Log, e.connectWriter)
	// What is no database, or may not be read, is to be known now.
	if _, err := e.formatted(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", t.path, err), e.Close())
	}
	return e, nil
}

// check looks at the path without touching it.
func (t *target) check() error {
	switch info, err := os.Stat(t.path); {
	case err == nil && info.IsDir():
		return fmt.Errorf("metadata database %s is a directory: give the path of a file", t.path)
	case errors.Is(err, fs.ErrNotExist):
		dir := filepath.Dir(t.path)
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return fmt.Errorf("metadata database %s: there is no directory %s: create it or correct the path", t.path, dir)
		}
	case err != nil:
		return fmt.Errorf("metadata database: %w", err)
	}
	return nil
}

// connect opens a connection to the file, which has to exist.
func (e *Engine) connect(ctx context.Context) (*conn, error) {
	if _, err := os.Stat(e.t.path); errors.Is(err, fs.ErrNotExist) {
		return nil, meta.ErrNotFormatted
	}
	raw, err := e.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("open metadata database %s: %w", e.t.path, err)
	}
	return newConn(raw, e.d, e.t.prefix, e.texts), nil
}

// connectWriter opens the connection for writing. Only it chooses the journal, so that a client which only
// reads leaves the file as it is.
func (e *Engine) connectWriter(ctx context.Context) (*conn, error) {
	c, err := e.connect(ctx)
	if err != nil {
		return nil, err
	}
	var mode string
	if err := c.QueryRowContext(ctx, "PRAGMA journal_mode = "+e.t.journal).Scan(&mode); err != nil {
		c.close()
		return nil, fmt.Errorf("set journal mode of %s: %w", e.t.path, err)
	}
	if !strings.EqualFold(mode, e.t.journal) {
		e.log.Warn("metadata database refuses its journal mode", "path", e.t.path, "wanted", e.t.journal, "has", mode)
	}
	return c, nil
}

// formatted says whether the database has the tables of a volume.
func (e *Engine) formatted(ctx context.Context) (bool, error) {
	c, err := e.borrow(ctx)
	if errors.Is(err, meta.ErrNotFormatted) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer e.readers.put(c)
	for i := 1; ; i++ {
		there, err := c.hasTable()
		if !e.again(ctx, err, i) {
			return there, err
		}
	}
}

// borrow takes a connection for reading. To open one takes a look at the database, which another process may have locked
// or be recovering.
func (e *Engine) borrow(ctx context.Context) (*conn, error) {
	for i := 1; ; i++ {
		c, err := e.readers.take(ctx)
		if !e.again(ctx, err, i) {
			return c, err
		}
	}
}

// again waits before another attempt to read, if it is of use after the error of the i-th.
func (e *Engine) again(ctx context.Context, err error, i int) bool {
	if err == nil || e.d.classify(err) != faultBusy || i == maxAttempts || ctx.Err() != nil {
		return false
	}
	e.writer.retries.Add(1)
	backoff(ctx, i)
	return true
}

// Name gives the scheme of the database.
func (e *Engine) Name() string { return e.d.name }

// Update runs fn on the goroutine of the writer; see meta.Engine. fn must not call the engine.
func (e *Engine) Update(ctx context.Context, want meta.Want, fn func(meta.Tx) error) error {
	return e.writer.do(&request{ctx: ctx, want: &want, fn: func(t *tx) error { return fn(t) }})
}

// View runs fn in a snapshot. It begins no transaction for a fn that reads the one record it wants, because
// one statement is a snapshot by itself. fn must not call the engine.
func (e *Engine) View(ctx context.Context, want meta.Want, fn func(meta.Reader) error) error {
	r := &reader{}
	c, err := e.borrow(ctx)
	if errors.Is(err, meta.ErrNotFormatted) {
		r.reset(ctx, nil, &want)
		return fn(r)
	}
	if err != nil {
		return err
	}
	e.views.Add(1)
	usable := true
	defer func() {
		if usable {
			e.readers.put(c)
		} else {
			e.readers.drop(c)
		}
	}()
	single := len(want.Attrs)+len(want.Perms)+len(want.Entries)+len(want.Nodes)+len(want.Chunks) == 1
	for i := 1; ; i++ {
		r.reset(ctx, c, &want)
		r.single = single
		usable = false // until the transaction has ended
		err := e.snapshot(r, c, fn, &usable)
		if r.again {
			single = false
			continue
		}
		if !usable || !e.again(ctx, err, i) {
			return err
		}
	}
}

// snapshot runs fn in a transaction for reading, if it needs one. ended says that none is left open.
func (e *Engine) snapshot(r *reader, c *conn, fn func(meta.Reader) error, ended *bool) error {
	if r.single {
		*ended = true
		return fn(r)
	}
	if _, err := c.exec(qBeginRead); err != nil {
		*ended = e.d.classify(err) == faultBusy
		return err
	}
	defer func() {
		_, err := c.exec(qRollback) // there is nothing to commit
		*ended = err == nil
	}()
	return fn(r)
}

// Stats counts what an engine has done since it was opened.
type Stats struct {
	Views   int64 // calls of View
	Updates int64 // transactions that were committed, those of Reserve and Init included
	Commits int64 // commits of the database: fewer, when transactions share one
	Retries int64 // waits for other processes, above SQLite's own
	Trips   int64 // round trips to a server, those of connecting included
}

// Stats gives a snapshot of the counts.
func (e *Engine) Stats() Stats {
	w := e.writer
	return Stats{Views: e.views.Load(), Updates: w.updates.Load(), Commits: w.commits.Load(), Retries: w.retries.Load()}
}

// Close waits for the transactions that are queued or running and closes the database. The last process that
// closes one moves its log into the file.
func (e *Engine) Close() error {
	if e.closed.Swap(true) {
		return nil
	}
	c := e.writer.stop()
	err := e.readers.close()
	if c != nil {
		err = errors.Join(err, c.close())
	}
	return errors.Join(err, e.db.Close())
}
