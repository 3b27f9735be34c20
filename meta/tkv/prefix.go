package tkv

import (
	"context"
	"slices"
)

// WithPrefix gives a view of the part of a store whose keys begin with prefix. Volumes that share a database
// are kept apart by it.
func WithPrefix(s Store, prefix string) Store {
	if prefix == "" {
		return s
	}
	return prefixed{s, []byte(prefix)}
}

type prefixed struct {
	Store
	prefix []byte
}

func (s prefixed) Begin(ctx context.Context) (Txn, error) {
	txn, err := s.Store.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return prefixedTxn{txn, prefixedReader{txn, s.prefix}}, nil
}

// Collect is that of the whole store.
func (s prefixed) Collect(ctx context.Context) error {
	if c, ok := s.Store.(Collector); ok {
		return c.Collect(ctx)
	}
	return nil
}

type prefixedTxn struct {
	txn Txn
	prefixedReader
}

func (t prefixedTxn) Snapshot() Reader                 { return prefixedReader{t.txn.Snapshot(), t.prefix} }
func (t prefixedTxn) Put(key, value []byte)            { t.txn.Put(t.key(key), value) }
func (t prefixedTxn) Delete(key []byte)                { t.txn.Delete(t.key(key)) }
func (t prefixedTxn) Commit(ctx context.Context) error { return t.txn.Commit(ctx) }
func (t prefixedTxn) Rollback()                        { t.txn.Rollback() }

type prefixedReader struct {
	r      Reader
	prefix []byte
}

func (r prefixedReader) key(key []byte) []byte { return slices.Concat(r.prefix, key) }

func (r prefixedReader) Get(ctx context.Context, key []byte) ([]byte, error) {
	return r.r.Get(ctx, r.key(key))
}

func (r prefixedReader) BatchGet(ctx context.Context, keys [][]byte) ([][]byte, error) {
	full := make([][]byte, len(keys))
	for i, k := range keys {
		full[i] = r.key(k)
	}
	return r.r.BatchGet(ctx, full)
}

func (r prefixedReader) Scan(ctx context.Context, begin, end []byte, limit int) ([]Pair, error) {
	if end == nil {
		end = after(r.prefix)
	} else {
		end = r.key(end)
	}
	pairs, err := r.r.Scan(ctx, r.key(begin), end, limit)
	for i := range pairs {
		pairs[i].Key = pairs[i].Key[len(r.prefix):]
	}
	return pairs, err
}

// after is the first key behind all keys with the prefix; nil if there is none.
func after(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := slices.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}
