package object_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jfs/object"
	"jfs/object/faulty"
	"jfs/object/mem"
)

// picky is a store whose bulk requests fail for some keys.
type picky struct {
	*mem.Store
	fail func(key string, request int) error

	mu       sync.Mutex // guards the rest
	requests [][]string
	singles  []string
}

func (p *picky) DeleteBulk(ctx context.Context, keys []string) []error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, slices.Clone(keys))
	errs := make([]error, len(keys))
	for i, key := range keys {
		if p.fail != nil {
			errs[i] = p.fail(key, len(p.requests))
		}
		if errs[i] == nil {
			errs[i] = p.Delete(ctx, key)
		}
	}
	return errs
}

// one is a store of which the deletions of single objects are noted.
type one struct{ *picky }

func (o one) Delete(ctx context.Context, key string) error {
	o.mu.Lock()
	o.singles = append(o.singles, key)
	o.mu.Unlock()
	return o.picky.Delete(ctx, key)
}

func numbered(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("key%04d", i)
	}
	return keys
}

func left(t *testing.T, s object.Store) int {
	t.Helper()
	infos, more, err := s.List(t.Context(), "", "", 10_000)
	if err != nil || more {
		t.Fatal(more, err)
	}
	return len(infos)
}

func TestDeleteAllCountsRequests(t *testing.T) {
	for _, c := range []struct{ limit, keys, want int }{
		{0, 25, 25}, {10, 25, 3}, {10, 20, 2}, {10, 1, 1}, {10, 0, 0}, {1000, 1000, 1}, {1000, 1001, 2},
	} {
		f := faulty.New(mem.NewBulk(c.limit))
		s := object.Prefix(object.Measure(object.Limit(object.Retry(f, object.RetryOptions{}), nil, nil), object.ObserverFunc(ignore)), "vol/")
		for _, key := range numbered(c.keys) {
			put(t, s, key, "x")
		}
		if errs := object.DeleteAll(t.Context(), s, make(chan struct{}, 3), numbered(c.keys)); errs != nil {
			t.Error(errs)
		}
		if n := f.Calls(faulty.Delete); n != c.want || left(t, f) != 0 {
			t.Errorf("%d keys with a limit of %d: %d requests, want %d; %d objects are left", c.keys, c.limit, n, c.want, left(t, f))
		}
	}
}

func TestDeleteAllIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		f := faulty.New(mem.NewBulk(10), faulty.Gate(faulty.Delete, nil, gate))
		slots := make(chan struct{}, 2)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan []error, 2)
		for range 2 {
			go func() { done <- object.DeleteAll(ctx, f, slots, numbered(35)) }()
		}
		synctest.Wait()
		if n := f.Calls(faulty.Delete); n != 2 {
			t.Errorf("%d requests at a time", n)
		}
		cancel()
		for range 2 {
			for _, err := range <-done {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			}
		}
	})
}

// What a request could not delete is asked for again, alone; what it cannot name goes by Delete.
func TestDeleteAllRepeats(t *testing.T) {
	p := &picky{Store: mem.NewBulk(100), fail: func(key string, request int) error {
		switch {
		case key == "key0003" && request < 3, key == "key0007" && request < 2:
			return errBlip
		case key == "key0005":
			return fmt.Errorf("no: %w", object.ErrDenied)
		case key == "key0009":
			return fmt.Errorf("not this way: %w", object.ErrInvalid)
		}
		return nil
	}}
	for _, key := range numbered(12) {
		put(t, p, key, "x")
	}
	var pauses []time.Duration
	s := object.Retry(one{p}, napless(&pauses))
	errs := object.DeleteAll(t.Context(), s, make(chan struct{}, 3), numbered(12))
	for i, err := range errs {
		if i == 5 && !errors.Is(err, object.ErrDenied) || i != 5 && err != nil {
			t.Errorf("key %d: %v", i, err)
		}
	}
	if len(errs) != 12 || left(t, p) != 1 {
		t.Errorf("%d answers, %d objects are left", len(errs), left(t, p))
	}
	want := [][]string{numbered(12), {"key0003", "key0007"}, {"key0003"}}
	if !slices.EqualFunc(p.requests, want, slices.Equal) || !slices.Equal(p.singles, []string{"key0009"}) || len(pauses) != 2 {
		t.Errorf("requests %v, alone %v, %d pauses", p.requests, p.singles, len(pauses))
	}
}

func TestDeleteAllGivesUp(t *testing.T) {
	f := faulty.New(mem.NewBulk(100), faulty.Always(faulty.Delete, errBlip))
	put(t, f, "key0001", "x")
	var pauses []time.Duration
	s := object.Retry(f, napless(&pauses))
	errs := object.DeleteAll(t.Context(), s, make(chan struct{}, 3), numbered(3))
	if len(errs) != 3 || !errors.Is(errs[0], errBlip) || !errors.Is(errs[2], errBlip) || f.Calls(faulty.Delete) != 10 {
		t.Errorf("%v after %d requests", errs, f.Calls(faulty.Delete))
	}
}

func TestShardsDeleteInBulk(t *testing.T) {
	shards := []*faulty.Store{faulty.New(mem.NewBulk(50)), faulty.New(mem.NewBulk(70), faulty.Always(faulty.Delete, errBlip)), faulty.New(mem.NewBulk(60))}
	s := object.Sharded([]object.Store{shards[0], shards[1], shards[2]})
	if n := object.BulkLimit(s); n != 50 {
		t.Errorf("limit %d", n)
	}
	for _, key := range numbered(50) {
		put(t, s, key, "x")
	}
	of := left(t, shards[1])
	errs := object.DeleteAll(t.Context(), s, make(chan struct{}, 3), numbered(50))
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	if failed != of || left(t, s) != of {
		t.Errorf("%d errors and %d objects are left, want %d", failed, left(t, s), of)
	}
	for i, f := range shards {
		if f.Calls(faulty.Delete) != 1 {
			t.Errorf("shard %d got %d requests", i, f.Calls(faulty.Delete))
		}
	}
	if n := object.BulkLimit(object.Sharded([]object.Store{mem.NewBulk(10), mem.New()})); n != 0 {
		t.Errorf("limit %d where a shard has no bulk request", n)
	}
}
