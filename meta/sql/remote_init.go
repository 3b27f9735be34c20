package sql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"jfs/meta"
)

// connect makes a connection to the server.
func (t *server) connect(ctx context.Context, trips *atomic.Int64) (link, error) {
	if t.postgres != nil {
		return connectPostgres(ctx, t.postgres.Copy(), func(last func(*wire)) pgconn.DialFunc {
			return dialer(trips, last)
		})
	}
	return connectMySQL(ctx, t.mysql.Clone(), func(last func(*wire)) func(context.Context, string, string) (net.Conn, error) {
		return dialer(trips, last)
	})
}

// Init creates the tables and indexes that are missing, and the counters that a new volume has. Where nothing is
// missing it changes nothing and needs no privileges.
func (e *Remote) Init(ctx context.Context) error {
	err := e.retry(ctx, func(c *pooledLink) error { return e.createSchema(ctx, &remoteSession{e: e, c: c}) })
	if err == nil {
		err = e.Update(ctx, meta.Want{}, func(mt meta.Tx) error { return mt.(*remoteTx).createCounters() })
	}
	if err != nil {
		return fmt.Errorf("init metadata database %s: %w", e.t.where, err)
	}
	return nil
}

func (e *Remote) createSchema(ctx context.Context, s *remoteSession) error {
	tables, indexes := map[string]map[string]bool{}, map[string]bool{}
	var table, name string
	err := s.run(ctx,
		call{name: "list columns", text: e.d.server.allColumns, dest: []any{&table, &name}, row: func() error {
			if tables[table] == nil {
				tables[table] = map[string]bool{}
			}
			tables[table][name] = true
			return nil
		}},
		call{name: "list indexes", text: e.d.server.indexes, dest: []any{&name}, row: func() error {
			indexes[name] = true
			return nil
		}})
	if err != nil {
		return err
	}
	script := e.missing(tables, indexes)
	if len(script) == 0 {
		return nil
	}
	if lock := e.d.server.schemaLock; lock != "" {
		script = append([]string{lock}, script...)
	}
	ctx, cancel := context.WithTimeout(ctx, schemaTimeout)
	defer cancel()
	if err := s.c.script(ctx, strings.Join(script, ";\n")); err != nil {
		return fmt.Errorf("create tables: %w", e.d.explain(err))
	}
	return nil
}

// schemaTimeout bounds the creation of tables, and of columns and indexes in tables that are large already.
const schemaTimeout = 10 * time.Minute

// missing gives the statements that create what is not there.
func (e *Remote) missing(tables map[string]map[string]bool, indexes map[string]bool) (script []string) {
	for _, tab := range schema() {
		there := tables[e.t.prefix+tab.name]
		if there == nil {
			script = append(script, tab.create(e.d, e.t.prefix))
		}
		for _, c := range tab.cols {
			if there != nil && !there[c.name] {
				script = append(script, tab.addColumn(e.d, e.t.prefix, c))
			}
		}
		for _, ix := range tab.indexes {
			_, name, _ := tab.indexParts(e.d, e.t.prefix, ix)
			if !indexes[name] && (there != nil || !e.d.server.inline) {
				script = append(script, tab.createIndex(e.d, e.t.prefix, ix))
			}
		}
	}
	return script
}

// createCounters inserts them, so that one who comes late does not begin anew what is in use by then.
func (t *remoteTx) createCounters() error {
	return t.tx.createCounters(func(name string, value int64) { t.add(qNewCounter, name, value) })
}

// Reserve takes numbers in one round trip. One that is repeated because its outcome is not known loses numbers and
// gives none twice.
func (e *Remote) Reserve(ctx context.Context, seq meta.Sequence, n uint64) (first uint64, err error) {
	if n > 1<<32 {
		return 0, fmt.Errorf("reserve %d numbers: want up to 2^32", n)
	}
	err = e.retry(ctx, func(c *pooledLink) (err error) {
		s := &remoteSession{e: e, c: c}
		defer s.rollback()
		rule, ok := sequences(seq)
		switch {
		case ok:
			first, err = s.reserve(ctx, rule, int64(n))
		case seq == meta.SeqACL:
			first, err = s.reserveACL(ctx, int64(n))
		default:
			err = fmt.Errorf("sequence %d is unknown", seq)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reserve numbers: %w", err)
	}
	return first, nil
}

func (s *remoteSession) reserve(ctx context.Context, rule sequence, n int64) (uint64, error) {
	var value number
	var ok bool
	var err error
	if n == 0 {
		ok, err = s.one(ctx, qCounter, []any{rule.counter}, &value)
		if !ok && rule.create {
			ok, value = true, number(rule.first)
		}
	} else {
		var calls []call
		for _, text := range s.e.d.server.reserve(rule.counter, rule.first, rule.create) {
			calls = append(calls, call{name: text.name, text: s.e.text(text.text)})
		}
		calls[0].args = []any{n}
		calls[len(calls)-1].dest = []any{&value}
		err = s.run(ctx, calls...)
		ok = value != 0
	}
	switch {
	case err != nil:
		return 0, err
	case !ok:
		// Beginning anew would give out numbers that are in use.
		return 0, fmt.Errorf("%w: there is no counter %s", meta.ErrCorrupt, rule.counter)
	}
	return uint64(int64(value) - n + rule.used), nil
}

// maxACLs bounds a reservation of ACL numbers, which are rows in some databases. Nobody needs so many.
const maxACLs = 10_000

func (s *remoteSession) reserveACL(ctx context.Context, n int64) (uint64, error) {
	var first number
	if n == 0 {
		err := s.run(ctx, call{name: "read sequence", text: s.e.text(s.e.d.server.nextACL), dest: []any{&first}})
		return uint64(first), err
	}
	if n > maxACLs {
		return 0, fmt.Errorf("%d ACLs at once: want up to %d", n, maxACLs)
	}
	s.begin(s.e.d.server.begin)
	var calls []call
	for _, text := range s.e.d.server.reserveACL(n) {
		calls = append(calls, call{name: text.name, text: s.e.text(text.text)})
	}
	calls[len(calls)-1].dest = []any{&first}
	err := s.run(ctx, calls...) // what is to stay does so although the transaction is rolled back
	return uint64(first), err
}

// addUsage writes collected changes of the usage.
func (e *Remote) addUsage(ctx context.Context, space, inodes int64) error {
	return e.retryOn(ctx, e.pool.takeSpare, func(c *pooledLink) error {
		s := &remoteSession{e: e, c: c}
		defer s.rollback()
		s.begin(e.d.server.begin)
		var calls []call
		for _, d := range [...]struct {
			name  string
			delta int64
		}{{counterInodes, inodes}, {counterSpace, space}} {
			if d.delta != 0 {
				calls = append(calls, s.call(qSumCounter, []any{d.name, d.delta}, nil))
			}
		}
		return s.commit(ctx, calls)
	})
}

// Erase empties all tables in one transaction. The tables stay, as in SQLite.
func (e *Remote) Erase(ctx context.Context) error {
	if err := e.usage.Flush(ctx); err != nil && !errors.Is(err, meta.ErrNotFormatted) { // or it would come after
		return fmt.Errorf("erase metadata database: %w", err)
	}
	err := e.retry(ctx, func(c *pooledLink) error {
		s := &remoteSession{e: e, c: c}
		defer s.rollback()
		s.begin(e.d.server.begin)
		var calls []call
		for _, tab := range schema() {
			calls = append(calls, call{name: "empty table " + e.t.prefix + tab.name, text: "DELETE FROM " + e.d.quote(e.t.prefix+tab.name)})
		}
		return s.commit(ctx, calls)
	})
	if err == nil {
		err = e.retry(ctx, func(c *pooledLink) error {
			s := &remoteSession{e: e, c: c}
			return s.run(ctx, call{name: "reset ACL numbers", text: e.text(e.d.server.resetACL), dest: e.d.resetDest()})
		})
	}
	if err != nil {
		return fmt.Errorf("erase metadata database: %w", err)
	}
	return nil
}

// resetDest is where the answer to resetACL goes, if there is one.
func (d *dialect) resetDest() []any {
	if d.server.lastID == "" {
		return []any{new(number)}
	}
	return nil
}
