// Package faulty disturbs and counts the requests to an object store, for tests of what lies above it.
//
//	store := faulty.New(mem.New(), faulty.Nth(3, faulty.Put, err))
package faulty

import (
	"context"
	"io"
	"sync/atomic"

	"jfs/object"
)

// Store passes requests on to another store unless a rule says otherwise.
type Store struct {
	store object.Store
	rules []Rule
	calls [object.Ops]atomic.Int64
}

var (
	_ object.Store       = (*Store)(nil)
	_ object.BulkDeleter = (*Store)(nil)
)

// New makes a store with rules, which are applied in their order.
func New(store object.Store, rules ...Rule) *Store { return &Store{store: store, rules: rules} }

// Calls returns how often op was called, failures included.
func (s *Store) Calls(op object.Op) int { return int(s.calls[op].Load()) }

// Unwrap returns the store below.
func (s *Store) Unwrap() object.Store { return s.store }

// String names the store below.
func (s *Store) String() string { return s.store.String() }

// run counts a call, and does it between the rules that it hits.
func (s *Store) run(ctx context.Context, op object.Op, do func() error) (hit []Rule, err error) {
	n := int(s.calls[op].Add(1))
	for _, r := range s.rules {
		if r.op == op && r.hits(n) {
			hit = append(hit, r)
		}
	}
	for _, r := range hit {
		if r.before != nil {
			if err := r.before(ctx); err != nil {
				return nil, err
			}
		}
	}
	if err := do(); err != nil {
		return nil, err
	}
	for _, r := range hit {
		if r.after != nil {
			if err := r.after(); err != nil {
				return hit, err
			}
		}
	}
	return hit, nil
}

// Create makes the bucket.
func (s *Store) Create(ctx context.Context) error {
	_, err := s.run(ctx, Create, func() error { return s.store.Create(ctx) })
	return err
}

// Get opens a range of an object.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	var body io.ReadCloser
	hit, err := s.run(ctx, Get, func() (err error) {
		body, err = s.store.Get(ctx, key, off, n)
		return err
	})
	if err != nil {
		if body != nil {
			body.Close()
		}
		return nil, err
	}
	for _, r := range hit {
		if r.body != nil {
			body = r.body(body)
		}
	}
	return body, nil
}

// Put stores an object.
func (s *Store) Put(ctx context.Context, key string, body io.ReadSeeker) error {
	_, err := s.run(ctx, Put, func() error { return s.store.Put(ctx, key, body) })
	return err
}

// Head describes an object.
func (s *Store) Head(ctx context.Context, key string) (info object.Info, err error) {
	_, err = s.run(ctx, Head, func() (err error) {
		info, err = s.store.Head(ctx, key)
		return err
	})
	return info, err
}

// Delete removes an object.
func (s *Store) Delete(ctx context.Context, key string) error {
	_, err := s.run(ctx, Delete, func() error { return s.store.Delete(ctx, key) })
	return err
}

// BulkLimit is that of the store below.
func (s *Store) BulkLimit() int {
	return object.BulkLimit(s.store)
}

// DeleteBulk removes objects. It is one call of Delete, and a rule that hits it lets all keys fail.
func (s *Store) DeleteBulk(ctx context.Context, keys []string) (errs []error) {
	_, err := s.run(ctx, Delete, func() error {
		errs = object.DeleteBulk(ctx, s.store, keys)
		return nil
	})
	if err != nil {
		errs = make([]error, len(keys))
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

// List returns a page of objects.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) (infos []object.Info, more bool, err error) {
	_, err = s.run(ctx, List, func() (err error) {
		infos, more, err = s.store.List(ctx, prefix, after, limit)
		return err
	})
	return infos, more, err
}
