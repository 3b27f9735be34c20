package sql

import (
	"context"
	"fmt"
	"os"

	"jfs/meta"
)

// Names of counters that only engines know.
const (
	counterSpace  = "usedSpace"
	counterInodes = "totalInodes"
)

// sequence says how an allocator is stored.
type sequence struct {
	counter string
	first   int64 // initial value of the row
	used    int64 // 1: the stored value is the last number given out; 0: the next one
	create  bool  // the row comes with the first number
}

// sequences gives the allocators that are rows of jfs_counter; the numbers of ACLs are row ids of theirs.
func sequences(s meta.Sequence) (sequence, bool) {
	switch s {
	case meta.SeqInode:
		return sequence{counter: "nextInode", first: 2}, true
	case meta.SeqSlice:
		return sequence{counter: "nextChunk", first: 1}, true
	case meta.SeqSession:
		return sequence{counter: "nextSession", used: 1, create: true}, true
	case meta.SeqTrash:
		return sequence{counter: "nextTrash", used: 1, create: true}, true
	}
	return sequence{}, false
}

// Init creates the database, its tables and indexes, and the counters that a new volume has. On a volume of
// an older version it adds the tables, columns and indexes that came later.
func (e *Engine) Init(ctx context.Context) error {
	f, err := os.OpenFile(e.t.path, os.O_CREATE|os.O_RDWR, 0o644) // an empty file is an empty database
	if err != nil {
		return fmt.Errorf("create metadata database: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("create metadata database: %w", err)
	}
	err = e.writer.do(&request{ctx: ctx, want: &meta.Want{}, alone: true, fn: func(t *tx) error {
		err := t.createSchema()
		if err == nil {
			err = t.createCounters(t.SetCounter)
		}
		t.broken = err // what has been done already must not be committed
		return err
	}})
	if err != nil {
		return fmt.Errorf("init metadata database %s: %w", e.t.path, err)
	}
	return nil
}

func (t *tx) createSchema() error {
	d, prefix := t.conn.d, t.conn.prefix
	run := func(text string) error {
		_, err := t.conn.ExecContext(context.Background(), text)
		return err
	}
	for _, tab := range schema() {
		if err := run(tab.create(d, prefix)); err != nil {
			return fmt.Errorf("create table %s%s: %w", prefix, tab.name, err)
		}
		there, err := t.columns(prefix + tab.name)
		if err != nil {
			return err
		}
		for _, c := range tab.cols {
			if there[c.name] {
				continue
			}
			if err := run(tab.addColumn(d, prefix, c)); err != nil {
				return fmt.Errorf("add column %s to %s%s: %w", c.name, prefix, tab.name, err)
			}
		}
		for _, ix := range tab.indexes {
			if err := run(tab.createIndex(d, prefix, ix)); err != nil {
				return fmt.Errorf("create index of %s%s: %w", prefix, tab.name, err)
			}
		}
	}
	return nil
}

func (t *tx) columns(table string) (map[string]bool, error) {
	rows, err := t.conn.QueryContext(context.Background(), t.conn.d.columns, table)
	if err != nil {
		return nil, fmt.Errorf("list columns of %s: %w", table, err)
	}
	defer rows.Close()
	there := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("list columns of %s: %w", table, err)
		}
		there[name] = true
	}
	return there, rows.Err()
}

// createCounters writes the counters of an empty volume, in the order of the format.
func (t *tx) createCounters(set func(name string, value int64)) error {
	var n number
	if _, err := t.one(qCounters, nil, &n); err != nil || n > 0 {
		return err
	}
	for _, c := range [...]struct {
		name  string
		value int64
	}{
		{"nextInode", 2}, {"nextChunk", 1}, {"nextSession", 0},
		{counterSpace, 0}, {counterInodes, 0}, {meta.NextCleanupSlices, 0},
	} {
		set(c.name, c.value)
	}
	return nil
}

// Reserve takes numbers in a transaction of its own.
func (e *Engine) Reserve(ctx context.Context, seq meta.Sequence, n uint64) (first uint64, err error) {
	if n > 1<<32 {
		return 0, fmt.Errorf("reserve %d numbers: want up to 2^32", n)
	}
	err = e.writer.do(&request{ctx: ctx, want: &meta.Want{}, fn: func(t *tx) (err error) {
		first, err = t.reserve(seq, int64(n))
		return err
	}})
	if err != nil {
		return 0, fmt.Errorf("reserve numbers: %w", err)
	}
	return first, nil
}

func (t *tx) reserve(seq meta.Sequence, n int64) (uint64, error) {
	var value number
	s, ok := sequences(seq)
	if !ok {
		if seq != meta.SeqACL {
			return 0, fmt.Errorf("sequence %d is unknown", seq)
		}
		table := t.conn.prefix + "acl"
		if _, err := t.one(qReadSequence, []any{table}, &value); err != nil {
			return 0, err
		}
		if n > 0 {
			t.add(qSetSequence, table, int64(value)+n)
		}
		return uint64(value) + 1, nil
	}
	ok, err := t.one(qCounter, []any{s.counter}, &value)
	if err != nil {
		return 0, err
	}
	if !ok {
		if !s.create {
			// Beginning anew would give out numbers that are in use.
			return 0, fmt.Errorf("%w: there is no counter %s", meta.ErrCorrupt, s.counter)
		}
		value = number(s.first)
	}
	if n > 0 {
		t.SetCounter(s.counter, int64(value)+n)
	}
	return uint64(int64(value) + s.used), nil
}
