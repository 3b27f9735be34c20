package main

import (
	"context"
	"io"
	"sync/atomic"

	"jfs/object"
)

// swapStore is a store that can be replaced while it is used: by a new key or another address of the same
// objects. Requests under way end where they began.
type swapStore struct {
	now atomic.Pointer[object.Store]
}

var (
	_ object.Store       = (*swapStore)(nil)
	_ object.BulkDeleter = (*swapStore)(nil)
)

func newSwapStore(s object.Store) *swapStore {
	w := &swapStore{}
	w.swap(s)
	return w
}

func (w *swapStore) swap(s object.Store) { w.now.Store(&s) }

func (w *swapStore) store() object.Store { return *w.now.Load() }

func (w *swapStore) String() string { return w.store().String() }

func (w *swapStore) Create(ctx context.Context) error { return w.store().Create(ctx) }

func (w *swapStore) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	return w.store().Get(ctx, key, off, n)
}

func (w *swapStore) Put(ctx context.Context, key string, body io.ReadSeeker) error {
	return w.store().Put(ctx, key, body)
}

func (w *swapStore) Head(ctx context.Context, key string) (object.Info, error) {
	return w.store().Head(ctx, key)
}

func (w *swapStore) Delete(ctx context.Context, key string) error { return w.store().Delete(ctx, key) }

func (w *swapStore) BulkLimit() int {
	return object.BulkLimit(w.store())
}

func (w *swapStore) DeleteBulk(ctx context.Context, keys []string) []error {
	store := w.store()
	if object.BulkLimit(store) >= len(keys) {
		return object.DeleteBulk(ctx, store, keys)
	}
	errs := make([]error, len(keys)) // it was replaced by one that takes fewer
	for i, key := range keys {
		errs[i] = store.Delete(ctx, key)
	}
	return errs
}

func (w *swapStore) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, bool, error) {
	return w.store().List(ctx, prefix, after, limit)
}
