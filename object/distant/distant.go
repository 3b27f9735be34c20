// Package distant makes a store behave like one that is far away: each request takes longer, bytes come and go slowly, and
// some requests fail. It is for measurements on one machine of what a client does with a store in a cloud.
package distant

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"jfs/object"
)

// Options say how far away it is. The zero value is no distance.
type Options struct {
	Delay     time.Duration // that each request takes longer
	Bandwidth int64         // bytes a second, in each direction, of all requests together; 0: no limit
	// Errors is the share of requests that fail, from 0 to 1. Half of those that change something fail after the change is
	// made, as when an answer is lost.
	Errors float64
}

// ErrInjected is how requests fail. Like a broken connection, it is transient.
var ErrInjected = errors.New("injected: the connection to the store was broken")

// Store passes requests on, late or not at all.
type Store struct {
	object.Store
	o      Options
	chance func() float64
}

var (
	_ object.Store       = (*Store)(nil)
	_ object.BulkDeleter = (*Store)(nil)
)

// New puts a distance before a store. Put it inside of object.Retry, where a network would be.
func New(store object.Store, o Options) *Store {
	if o.Bandwidth > 0 {
		store = object.Limit(store, object.NewLimiter(o.Bandwidth), object.NewLimiter(o.Bandwidth))
	}
	return &Store{Store: store, o: o, chance: rand.Float64}
}

// Unwrap returns the store behind the distance.
func (s *Store) Unwrap() object.Store { return s.Store }

// request waits, and does what is asked for, unless the request is one that fails.
func (s *Store) request(ctx context.Context, changes bool, do func() error) error {
	if s.o.Delay > 0 {
		t := time.NewTimer(s.o.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if s.o.Errors <= 0 || s.chance() >= s.o.Errors {
		return do()
	}
	if changes && s.chance() < 0.5 {
		if err := do(); err != nil {
			return err
		}
	}
	return ErrInjected
}

// Create implements object.Store.
func (s *Store) Create(ctx context.Context) error {
	return s.request(ctx, true, func() error { return s.Store.Create(ctx) })
}

// Get implements object.Store.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (body io.ReadCloser, err error) {
	err = s.request(ctx, false, func() (err error) {
		body, err = s.Store.Get(ctx, key, off, n)
		return err
	})
	return body, err
}

// Put implements object.Store.
func (s *Store) Put(ctx context.Context, key string, body io.ReadSeeker) error {
	return s.request(ctx, true, func() error { return s.Store.Put(ctx, key, body) })
}

// Head implements object.Store.
func (s *Store) Head(ctx context.Context, key string) (info object.Info, err error) {
	err = s.request(ctx, false, func() (err error) {
		info, err = s.Store.Head(ctx, key)
		return err
	})
	return info, err
}

// Delete implements object.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.request(ctx, true, func() error { return s.Store.Delete(ctx, key) })
}

// BulkLimit is that of the store behind.
func (s *Store) BulkLimit() int { return object.BulkLimit(s.Store) }

// DeleteBulk implements object.BulkDeleter. It is one request.
func (s *Store) DeleteBulk(ctx context.Context, keys []string) (errs []error) {
	if err := s.request(ctx, true, func() error {
		errs = object.DeleteBulk(ctx, s.Store, keys)
		return nil
	}); err != nil {
		errs = make([]error, len(keys))
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

// List implements object.Store.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) (infos []object.Info, more bool, err error) {
	err = s.request(ctx, false, func() (err error) {
		infos, more, err = s.Store.List(ctx, prefix, after, limit)
		return err
	})
	return infos, more, err
}
