package sql

import (
	"context"
	"fmt"

	"jfs/meta"
)

// Erase empties all tables in one transaction. The tables stay: other clients may be using them, and whoever formats the
// database again finds what it needs.
func (e *Engine) Erase(ctx context.Context) error {
	err := e.writer.do(&request{ctx: ctx, want: &meta.Want{}, alone: true, fn: func(t *tx) error {
		err := t.erase()
		t.broken = err // what has been done already must not be committed
		return err
	}})
	if err != nil {
		return fmt.Errorf("erase metadata database: %w", err)
	}
	return nil
}

func (t *tx) erase() error {
	for _, tab := range schema() {
		if _, err := t.conn.ExecContext(t.ctx, "DELETE FROM "+t.conn.d.quote(t.conn.prefix+tab.name)); err != nil {
			return fmt.Errorf("empty table %s%s: %w", t.conn.prefix, tab.name, err)
		}
	}
	t.add(qSetSequence, t.conn.prefix+"acl", int64(0))
	return nil
}

// HasDelayed says whether a set of replaced slices is there; nobody else writes while a transaction runs.
func (r *reader) HasDelayed(d meta.Delayed) (bool, error) {
	var id number
	return r.one(qHasDelayed, []any{int64(d.ID), d.At}, &id)
}

// SpareRefs gives none: every slice has its row here.
func (r *reader) SpareRefs(int) ([]meta.SliceRef, error) { return nil, nil }
