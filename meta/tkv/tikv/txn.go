package tikv

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"

	tikverr "github.com/tikv/client-go/v2/error"
	"github.com/tikv/client-go/v2/kv"
	client "github.com/tikv/client-go/v2/tikv"
	"github.com/tikv/client-go/v2/txnkv/txnsnapshot"

	"jfs/meta/tkv"
	"jfs/meta/tkv/internal/grace"
)

// emptyValue is stored in the place of an empty one. Nothing that the format stores looks like it; an official client,
// which cannot store empty values, shows it as it is.
const emptyValue = "\x00\xfd(empty)\xfd\x00"

func stored(v []byte) []byte {
	if len(v) == 0 {
		return []byte(emptyValue)
	}
	return v
}

func loaded(v []byte) []byte {
	if string(v) == emptyValue {
		return []byte{}
	}
	return v
}

// scanBatch is how many pairs one request of a scan without a limit asks for.
const scanBatch = 256

// snapshot reads the state at a time stamp.
type snapshot struct {
	store *Store
	ts    uint64
	view  *txnsnapshot.KVSnapshot
}

func (s *snapshot) Get(ctx context.Context, key []byte) ([]byte, error) {
	within, cancel := context.WithTimeout(ctx, s.store.timeout)
	defer cancel()
	v, err := s.view.Get(within, key)
	switch {
	case errors.Is(err, tikverr.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, readError(ctx, within, err)
	}
	return loaded(v), nil
}

func (s *snapshot) BatchGet(ctx context.Context, keys [][]byte) ([][]byte, error) {
	values := make([][]byte, len(keys))
	if len(keys) == 0 {
		return values, nil
	}
	within, cancel := context.WithTimeout(ctx, s.store.timeout)
	defer cancel()
	found, err := s.view.BatchGet(within, keys)
	if err != nil {
		return nil, readError(ctx, within, err)
	}
	for i, k := range keys {
		if v, ok := found[string(k)]; ok {
			values[i] = loaded(v)
		}
	}
	return values, nil
}

func (s *snapshot) Scan(ctx context.Context, begin, end []byte, limit int) ([]tkv.Pair, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if end != nil && bytes.Compare(begin, end) >= 0 {
		return nil, nil
	}
	var pairs []tkv.Pair
	// A scan knows no context, so it may outlive this call, on a snapshot and in a list of its own.
	within, cancel := context.WithTimeout(ctx, s.store.timeout)
	defer cancel()
	err := s.store.bounded(within, func() error {
		view := s.store.client.GetSnapshot(s.ts)
		view.SetScanBatchSize(scanBatch)
		if limit > 0 {
			view.SetScanBatchSize(max(2, min(limit, scanBatch))) // of one pair it makes its default
		}
		found, err := scan(view, begin, end, limit)
		if err == nil {
			pairs = found
		}
		return err
	})
	if err != nil {
		return nil, readError(ctx, within, err)
	}
	return pairs, nil
}

func scan(view *txnsnapshot.KVSnapshot, begin, end []byte, limit int) ([]tkv.Pair, error) {
	var pairs []tkv.Pair
	it, err := view.Iter(begin, end)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for it.Valid() {
		pairs = append(pairs, tkv.Pair{Key: bytes.Clone(it.Key()), Value: loaded(bytes.Clone(it.Value()))})
		if len(pairs) == limit {
			break
		}
		if err := it.Next(); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

// txn is a transaction: a snapshot, what was read of it, and what is to be written.
type txn struct {
	snapshot
	read   map[string]bool
	writes map[string][]byte // nil: delete
}

func (t *txn) Snapshot() tkv.Reader { return &t.snapshot }

func (t *txn) Get(ctx context.Context, key []byte) ([]byte, error) {
	t.read[string(key)] = true
	return t.snapshot.Get(ctx, key)
}

func (t *txn) BatchGet(ctx context.Context, keys [][]byte) ([][]byte, error) {
	for _, k := range keys {
		t.read[string(k)] = true
	}
	return t.snapshot.BatchGet(ctx, keys)
}

// Scan promises that what it found stays; what is added is not noticed.
func (t *txn) Scan(ctx context.Context, begin, end []byte, limit int) ([]tkv.Pair, error) {
	pairs, err := t.snapshot.Scan(ctx, begin, end, limit)
	for _, p := range pairs {
		t.read[string(p.Key)] = true
	}
	return pairs, err
}

func (t *txn) Put(key, value []byte) { t.writes[string(key)] = stored(value) }

func (t *txn) Delete(key []byte) { t.writes[string(key)] = nil }

// Commit writes at the time stamp of the snapshot, which fails if a key was written since then. What was only read is
// locked, which counts as a write for that matter.
func (t *txn) Commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil || len(t.writes) == 0 {
		return err
	}
	w, err := t.store.client.Begin(client.WithStartTS(t.ts))
	if err != nil {
		return readError(ctx, ctx, err)
	}
	w.SetEnable1PC(true)
	w.SetEnableAsyncCommit(true)
	for _, k := range slices.Sorted(maps.Keys(t.writes)) {
		if v := t.writes[k]; v == nil {
			err = w.Delete([]byte(k))
		} else {
			err = w.Set([]byte(k), v)
		}
		if err != nil {
			return commitError(err)
		}
	}
	var only [][]byte
	for _, k := range slices.Sorted(maps.Keys(t.read)) {
		if _, written := t.writes[k]; !written {
			only = append(only, []byte(k))
		}
	}
	within, cancel := grace.Context(ctx, t.store.timeout)
	defer cancel()
	if len(only) > 0 {
		if err := w.LockKeysWithWaitTime(within, kv.LockNoWait, only...); err != nil {
			return commitError(err)
		}
	}
	if err := w.Commit(within); err != nil {
		return commitError(err)
	}
	return nil
}

// Rollback has nothing to give back: nothing is locked before the commit.
func (t *txn) Rollback() {}
