package object

import (
	"context"
	"errors"
	"sync"
)

// BulkDeleter is what a Store may be besides: one that removes many objects with one request. Wrappers of this package
// pass it on.
type BulkDeleter interface {
	// BulkLimit is the most keys that one request takes; 0: there is no such request, as a wrapper finds when its store
	// has none, or a store when its server does not know it.
	BulkLimit() int
	// DeleteBulk removes the objects of up to BulkLimit keys with one request. It returns nil when all of them are gone,
	// else one error for each key, nil for those that are. An object that is not there is no error. ErrInvalid says
	// that a key has to go by Delete.
	DeleteBulk(ctx context.Context, keys []string) []error
}

// BulkLimit is the most keys that DeleteBulk takes for a store; 0 if it has no such request.
func BulkLimit(store Store) int {
	if b, ok := store.(BulkDeleter); ok {
		return b.BulkLimit()
	}
	return 0
}

// DeleteBulk is the store's DeleteBulk, and an answer of ErrInvalid for each key if it has none.
func DeleteBulk(ctx context.Context, store Store, keys []string) []error {
	if b, ok := store.(BulkDeleter); ok && b.BulkLimit() > 0 { // it may have found out meanwhile that it has none
		return b.DeleteBulk(ctx, keys)
	}
	return sameError(len(keys), ErrInvalid)
}

// DeleteAll removes the objects of keys, many with a request where store can. slots has room for as many requests as may
// be under way, those of other calls with the same slots included. All keys are tried unless ctx ends. The result is nil
// when all objects are gone, else one error for each key, nil for those that are.
func DeleteAll(ctx context.Context, store Store, slots chan struct{}, keys []string) []error {
	d := deletion{store: store, slots: slots, errs: make([]error, len(keys))}
	single := []run{{keys, d.errs}}
	if limit := BulkLimit(store); limit > 0 && len(keys) > 1 {
		single = d.inBulk(ctx, limit, keys)
	}
	d.oneByOne(ctx, single)
	return failures(d.errs)
}

type deletion struct {
	store Store
	slots chan struct{}
	errs  []error
}

// run is some keys and the places of their errors.
type run struct {
	keys []string
	errs []error
}

// inBulk gives the keys that have to go one by one after all.
func (d *deletion) inBulk(ctx context.Context, limit int, keys []string) (left []run) {
	var wg sync.WaitGroup
	for from := 0; from < len(keys); from += limit {
		part := run{keys[from:min(from+limit, len(keys))], d.errs[from:min(from+limit, len(keys))]}
		if err := d.take(ctx); err != nil {
			part.fail(err)
			continue
		}
		wg.Go(func() {
			defer d.give()
			copy(part.errs, DeleteBulk(ctx, d.store, part.keys))
		})
	}
	wg.Wait()
	for i, err := range d.errs {
		if errors.Is(err, ErrInvalid) {
			left = append(left, run{keys[i : i+1], d.errs[i : i+1]})
		}
	}
	return left
}

func (d *deletion) oneByOne(ctx context.Context, runs []run) {
	var wg sync.WaitGroup
	for _, r := range runs {
		for i, key := range r.keys {
			if err := d.take(ctx); err != nil {
				r.errs[i] = err
				continue
			}
			wg.Go(func() {
				defer d.give()
				r.errs[i] = d.store.Delete(ctx, key)
			})
		}
	}
	wg.Wait()
}

// fail gives all keys of a run one error.
func (r run) fail(err error) {
	for i := range r.errs {
		r.errs[i] = err
	}
}

func (d *deletion) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case d.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *deletion) give() { <-d.slots }

// sameError is the answer of a bulk request that failed as a whole.
func sameError(n int, err error) []error {
	errs := make([]error, n)
	run{errs: errs}.fail(err)
	return errs
}
