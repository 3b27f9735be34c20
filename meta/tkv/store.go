// Package tkv stores a volume's metadata in an ordered, transactional key space: one Engine over a small Store
// interface, which each database implements.
//
// Keys and values are those of the volume format, so official clients of the same database and Engine see each
// other's changes. The engine is optimistic: it reads from a snapshot, the store refuses a commit when what was
// read under a promise has changed, and the engine starts again.
package tkv

import (
	"context"
	"errors"
)

// ErrConflict: a transaction did not commit, because of another one; it may succeed when it is run again. Any
// call of a Txn may return it.
var ErrConflict = errors.New("conflicting change")

// Store is an ordered, transactional key space. Keys and values are bytes; keys ascend bytewise.
//
// Calls end within a bounded time when the database does not answer, also without a deadline in ctx.
type Store interface {
	// Name is the scheme of the store: "tikv", "etcd", "mem".
	Name() string
	// Begin starts a transaction on the state of this moment, or of a later one.
	Begin(ctx context.Context) (Txn, error)
	Close() error
}

// Collector is a Store that keeps replaced values until Collect is called, which clients do every hour.
type Collector interface {
	Collect(ctx context.Context) error
}

// Reader reads from one state of a store. What it returns must not be changed.
type Reader interface {
	// Get returns nil if there is no such key; the value of a key that is there is never nil.
	Get(ctx context.Context, key []byte) ([]byte, error)
	// BatchGet is Get of several keys in as few round trips as the store can; the values are in the order
	// of the keys.
	BatchGet(ctx context.Context, keys [][]byte) ([][]byte, error)
	// Scan returns the first limit pairs with begin ≤ key < end in ascending order. A nil end is the end of
	// the key space; limit 0 is no limit.
	Scan(ctx context.Context, begin, end []byte, limit int) ([]Pair, error)
}

// Pair is a key with its value.
type Pair struct{ Key, Value []byte }

// Txn is a transaction, for one goroutine. Its reads do not see its own writes.
type Txn interface {
	// Reader's Get and BatchGet are promises: Commit fails with ErrConflict if one of the keys changed after
	// the snapshot was taken, and no other transaction commits in between. A store that cannot check what
	// was only read has to lock or rewrite these keys. Scan promises the same for the range that it went
	// through, where the store can; callers that need that promise also write a key that every change
	// of the range writes.
	Reader
	// Snapshot reads the same state without a promise.
	Snapshot() Reader
	// Put and Delete take effect at Commit; the last write of a key counts. The slices belong to the
	// transaction from now on. A store that has to make a large change in parts makes them in this order.
	Put(key, value []byte)
	Delete(key []byte)
	// Commit applies all writes or none. An error that wraps meta.ErrUnknown tells that it is not known
	// which; ErrConflict that there was none.
	Commit(ctx context.Context) error
	// Rollback ends a transaction that was not committed; after Commit it does nothing.
	Rollback()
}
