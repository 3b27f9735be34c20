package mem

import (
	"context"

	"jfs/meta/tkv"
)

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
	found      []item
}

func (t *txn) Snapshot() tkv.Reader { return t.snapshot }

func (t *txn) Get(ctx context.Context, key []byte) ([]byte, error) {
	it, _ := t.tree.Get(item{key: key})
	t.read[string(key)] = it.version
	return it.value, ctx.Err()
}

func (t *txn) BatchGet(ctx context.Context, keys [][]byte) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		it, _ := t.tree.Get(item{key: k})
		t.read[string(k)] = it.version
		values[i] = it.value
	}
	return values, ctx.Err()
}

func (t *txn) Scan(ctx context.Context, begin, end []byte, limit int) ([]tkv.Pair, error) {
	found := t.items(begin, end, limit)
	t.ranges = append(t.ranges, scanned{begin, end, limit, found})
	pairs := make([]tkv.Pair, 0, len(found))
	for _, it := range found {
		pairs = append(pairs, tkv.Pair{Key: it.key, Value: it.value})
	}
	return pairs, ctx.Err()
}

func (t *txn) Put(key, value []byte) {
	if value == nil {
		value = []byte{}
	}
	t.writes[string(key)] = value
}

func (t *txn) Delete(key []byte) { t.writes[string(key)] = nil }

// Commit compares what was read with the state of this moment.
func (t *txn) Commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := t.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if !t.valid() {
		return tkv.ErrConflict
	}
	s.version++
	for k, v := range t.writes {
		it := item{key: []byte(k), value: v, version: s.version}
		if v == nil {
			s.tree.Delete(it)
		} else {
			s.tree.Set(it)
		}
	}
	return nil
}

// valid is called with the store's lock held.
func (t *txn) valid() bool {
	now := snapshot{t.store.tree}
	for k, version := range t.read {
		it, _ := now.tree.Get(item{key: []byte(k)})
		if it.version != version {
			return false
		}
	}
	for _, r := range t.ranges {
		found := now.items(r.begin, r.end, r.limit)
		if len(found) != len(r.found) {
			return false
		}
		for i := range found {
			// A key that went away and came back has another version.
			if found[i].version != r.found[i].version || string(found[i].key) != string(r.found[i].key) {
				return false
			}
		}
	}
	return true
}

// Rollback has nothing to give back.
func (t *txn) Rollback() {}
