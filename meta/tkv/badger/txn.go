package badger

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"jfs/meta"
	"jfs/meta/tkv"
	"jfs/meta/tkv/internal/grace"
)

// snapshot reads one state.
type snapshot struct {
	view *badger.Txn
}

// item is a pair with the number of the commit that wrote it.
type item struct {
	tkv.Pair
	version uint64
}

func copyOf(it *badger.Item) (item, error) {
	v, err := it.ValueCopy(nil)
	if err != nil {
		return item{}, fmt.Errorf("badger: %w", err)
	}
	if v == nil {
		v = []byte{}
	}
	return item{tkv.Pair{Key: it.KeyCopy(nil), Value: v}, it.Version()}, nil
}

// get gives version 0 for a key that is not there.
func (s snapshot) get(ctx context.Context, key []byte) (item, error) {
	if err := ctx.Err(); err != nil {
		return item{}, err
	}
	it, err := s.view.Get(key)
	switch {
	case errors.Is(err, badger.ErrKeyNotFound):
		return item{}, nil
	case err != nil:
		return item{}, fmt.Errorf("badger: %w", err)
	}
	return copyOf(it)
}

func (s snapshot) Get(ctx context.Context, key []byte) ([]byte, error) {
	it, err := s.get(ctx, key)
	return it.Value, err
}

func (s snapshot) BatchGet(ctx context.Context, keys [][]byte) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		it, err := s.get(ctx, k)
		if err != nil {
			return nil, err
		}
		values[i] = it.Value
	}
	return values, nil
}

func (s snapshot) Scan(ctx context.Context, begin, end []byte, limit int) ([]tkv.Pair, error) {
	var pairs []tkv.Pair
	err := s.each(ctx, begin, end, limit, true, func(it *badger.Item) error {
		found, err := copyOf(it)
		pairs = append(pairs, found.Pair)
		return err
	})
	return pairs, err
}

// prefetched is how many values badger reads ahead, for which it starts as many goroutines.
const prefetched = 100

// each calls fn for the first limit items of a range; values says whether it looks at them.
func (s snapshot) each(ctx context.Context, begin, end []byte, limit int, values bool, fn func(*badger.Item) error) error {
	opts := badger.DefaultIteratorOptions
	opts.PrefetchValues = values && limit != 1
	opts.PrefetchSize = prefetched
	if limit > 0 {
		opts.PrefetchSize = min(limit, prefetched)
	}
	it := s.view.NewIterator(opts)
	defer it.Close()
	n := 0
	for it.Seek(begin); it.Valid(); it.Next() {
		if end != nil && bytes.Compare(it.Item().Key(), end) >= 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(it.Item()); err != nil {
			return err
		}
		if n++; n == limit {
			break
		}
	}
	return ctx.Err()
}

// txn is a transaction: a snapshot, what was read of it, and what is to be written.
type txn struct {
	snapshot
	store  *Store
	read   map[string]uint64 // version of each key that was read; 0: there was none
	ranges []scanned
	writes map[string][]byte // nil: delete
}

// scanned is a range with what was found in it.
type scanned struct {
	begin, end []byte
	limit      int
	found      []found
}

type found struct {
	key     string
	version uint64
}

func (t *txn) Snapshot() tkv.Reader { return t.snapshot }

func (t *txn) Get(ctx context.Context, key []byte) ([]byte, error) {
	it, err := t.get(ctx, key)
	if err == nil {
		t.read[string(key)] = it.version
	}
	return it.Value, err
}

func (t *txn) BatchGet(ctx context.Context, keys [][]byte) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		var err error
		if values[i], err = t.Get(ctx, k); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func (t *txn) Scan(ctx context.Context, begin, end []byte, limit int) ([]tkv.Pair, error) {
	var pairs []tkv.Pair
	r := scanned{begin: begin, end: end, limit: limit}
	err := t.each(ctx, begin, end, limit, true, func(it *badger.Item) error {
		one, err := copyOf(it)
		pairs = append(pairs, one.Pair)
		r.found = append(r.found, found{string(one.Key), one.version})
		return err
	})
	if err != nil {
		return nil, err
	}
	t.ranges = append(t.ranges, r)
	return pairs, nil
}

func (t *txn) Put(key, value []byte) {
	if value == nil {
		value = []byte{}
	}
	t.writes[string(key)] = value
}

func (t *txn) Delete(key []byte) { t.writes[string(key)] = nil }

// Commit compares what was read with the state of this moment, and writes, before the next one does. Badger's own detection of conflicts knows no ranges,
// and cannot read without a promise what a transaction reads with one.
func (t *txn) Commit(ctx context.Context) error {
	if len(t.writes) == 0 {
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s := t.store
	within, cancel := grace.Context(ctx, commitTime)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
	case <-within.Done():
		return fmt.Errorf("badger: wait for another commit: is the disk full? %w", within.Err())
	}
	w, err := t.prepare(ctx)
	if err != nil {
		<-s.turn
		return err
	}
	done := make(chan error, 1)
	w.CommitWith(func(err error) {
		s.news.Store(true)
		<-s.turn
		done <- err
	})
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("badger: commit: %w", err)
		}
		return nil
	case <-within.Done():
		return fmt.Errorf("badger: %w: commit: is the disk full? %w", meta.ErrUnknown, within.Err())
	}
}

// prepare compares, and gives a transaction of badger's with the writes. It is this one's turn.
func (t *txn) prepare(ctx context.Context) (*badger.Txn, error) {
	if err := t.check(ctx); err != nil {
		return nil, err
	}
	w := t.store.db.NewTransaction(true)
	for k, v := range t.writes {
		var err error
		if v == nil {
			err = w.Delete([]byte(k))
		} else {
			err = w.Set([]byte(k), v)
		}
		if err != nil {
			w.Discard()
			return nil, fmt.Errorf("badger: change of %d keys: %w", len(t.writes), err)
		}
	}
	return w, nil
}

// check compares what was read with what is there now.
func (t *txn) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := snapshot{t.store.db.NewTransaction(false)}
	defer now.view.Discard()
	if now.view.ReadTs() == t.view.ReadTs() { // nobody has committed since
		return nil
	}
	for k, version := range t.read {
		it, err := now.view.Get([]byte(k))
		switch {
		case errors.Is(err, badger.ErrKeyNotFound):
			if version != 0 {
				return tkv.ErrConflict
			}
		case err != nil:
			return fmt.Errorf("badger: %w", err)
		case it.Version() != version:
			return tkv.ErrConflict
		}
	}
	for _, r := range t.ranges {
		n := 0
		err := now.each(ctx, r.begin, r.end, r.limit, false, func(it *badger.Item) error {
			if n >= len(r.found) || r.found[n] != (found{string(it.Key()), it.Version()}) {
				return tkv.ErrConflict
			}
			n++
			return nil
		})
		if err != nil {
			return err
		}
		if n != len(r.found) {
			return tkv.ErrConflict
		}
	}
	return nil
}

// Rollback gives the snapshot free.
func (t *txn) Rollback() { t.view.Discard() }
