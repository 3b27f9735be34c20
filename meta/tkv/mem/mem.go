// Package mem is a key space in the memory of this process, which ends with it: for tests and trials.
//
// It is a real optimistic store: transactions read a snapshot, and the first of two that do not go together
// commits. Ranges that were scanned are checked as well as single keys.
package mem

import (
	"bytes"
	"context"
	"sync"

	"github.com/tidwall/btree"

	"jfs/meta/tkv"
)

// Store is an empty key space at first.
type Store struct {
	mu      sync.Mutex // guards what follows
	tree    *btree.BTreeG[item]
	version uint64 // of the last commit
}

// item is a pair with the commit that wrote it. Items and their bytes are never changed.
type item struct {
	key, value []byte
	version    uint64
}

var _ tkv.Store = (*Store)(nil)

// New makes a store.
func New() *Store {
	less := func(a, b item) bool { return bytes.Compare(a.key, b.key) < 0 }
	return &Store{tree: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})}
}

// NewEngine makes an engine on a store of its own.
func NewEngine(opts tkv.Options) *tkv.Engine { return tkv.New(New(), opts) }

// Name is "mem".
func (s *Store) Name() string { return "mem" }

// Close does nothing: engines may share a store.
func (s *Store) Close() error { return nil }

// Begin takes a snapshot, which costs no copy.
func (s *Store) Begin(ctx context.Context) (tkv.Txn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := snapshot{s.tree.IsoCopy()}
	return &txn{snapshot: snap, store: s, read: map[string]uint64{}, writes: map[string][]byte{}}, nil
}

// snapshot reads one state.
type snapshot struct {
	tree *btree.BTreeG[item]
}

func (s snapshot) Get(ctx context.Context, key []byte) ([]byte, error) {
	it, _ := s.tree.Get(item{key: key})
	return it.value, ctx.Err()
}

func (s snapshot) BatchGet(ctx context.Context, keys [][]byte) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		it, _ := s.tree.Get(item{key: k})
		values[i] = it.value
	}
	return values, ctx.Err()
}

func (s snapshot) Scan(ctx context.Context, begin, end []byte, limit int) ([]tkv.Pair, error) {
	var pairs []tkv.Pair
	for _, it := range s.items(begin, end, limit) {
		pairs = append(pairs, tkv.Pair{Key: it.key, Value: it.value})
	}
	return pairs, ctx.Err()
}

func (s snapshot) items(begin, end []byte, limit int) []item {
	var found []item
	s.tree.Ascend(item{key: begin}, func(it item) bool {
		if end != nil && bytes.Compare(it.key, end) >= 0 {
			return false
		}
		found = append(found, it)
		return limit == 0 || len(found) < limit
	})
	return found
}
