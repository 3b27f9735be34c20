package object

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The wrappers pass bulk deletions on.

func (l *limited) BulkLimit() int { return BulkLimit(l.Store) }

func (l *limited) DeleteBulk(ctx context.Context, keys []string) []error {
	return DeleteBulk(ctx, l.Store, keys)
}

func (p *prefixed) BulkLimit() int { return BulkLimit(p.Store) }

func (p *prefixed) DeleteBulk(ctx context.Context, keys []string) []error {
	whole := make([]string, len(keys))
	for i, key := range keys {
		whole[i] = p.prefix + key
	}
	return DeleteBulk(ctx, p.Store, whole)
}

// BulkLimit is that of the shard that takes fewest keys.
func (s *sharded) BulkLimit() int {
	least := BulkLimit(s.stores[0])
	for _, store := range s.stores[1:] {
		least = min(least, BulkLimit(store))
	}
	return least
}

// DeleteBulk sends one request to each shard that has some of the objects.
func (s *sharded) DeleteBulk(ctx context.Context, keys []string) []error {
	places := make([][]int, len(s.stores))
	for i, key := range keys {
		n := s.index(key)
		places[n] = append(places[n], i)
	}
	errs := make([]error, len(keys))
	_ = s.each(ctx, func(ctx context.Context, shard int) error { // the errors are in errs
		if len(places[shard]) == 0 {
			return nil
		}
		part := make([]string, len(places[shard]))
		for k, i := range places[shard] {
			part[k] = keys[i]
		}
		for k, err := range DeleteBulk(ctx, s.stores[shard], part) {
			errs[places[shard][k]] = err
		}
		return nil // the others go on
	})
	return failures(errs)
}

// failures gives nil if there are none.
func failures(errs []error) []error {
	for _, err := range errs {
		if err != nil {
			return errs
		}
	}
	return nil
}

func (m *measured) BulkLimit() int { return BulkLimit(m.Store) }

// DeleteBulk is reported as one deletion; with its first error if not all objects are gone.
func (m *measured) DeleteBulk(ctx context.Context, keys []string) []error {
	start := time.Now()
	errs := DeleteBulk(ctx, m.Store, keys)
	var first error
	for _, err := range errs {
		if err != nil {
			first = err
			break
		}
	}
	m.o.Observe(OpDelete, 0, time.Since(start), first)
	return errs
}

func (r *retrying) BulkLimit() int { return BulkLimit(r.Store) }

// DeleteBulk asks again for the keys only that failed for a reason that may pass.
func (r *retrying) DeleteBulk(ctx context.Context, keys []string) []error {
	if len(keys) == 0 {
		return nil
	}
	errs := make([]error, len(keys))
	left, places := keys, make([]int, len(keys))
	for i := range places {
		places[i] = i
	}
	what := fmt.Sprintf("%s and %d more", keys[0], len(keys)-1)
	_ = r.within(ctx, OpDelete, what, r.o.PutTimeout, func(attempt context.Context) (again error) { // the errors are in errs
		got := DeleteBulk(attempt, r.Store, left)
		var keep []string
		var at []int
		for k, i := range places {
			errs[i] = nil
			if got == nil || got[k] == nil {
				continue
			}
			errs[i] = verdict(ctx, OpDelete, left[k], r.o.PutTimeout, got[k])
			if !final(errs[i]) {
				keep, at = append(keep, left[k]), append(at, i)
				again = pick(again, got[k])
			}
		}
		left, places = keep, at
		return again
	})
	return failures(errs)
}

// pick keeps of two failures the one that asks for the longer pause.
func pick(a, b error) error {
	if a == nil || errors.Is(b, ErrThrottled) {
		return b
	}
	return a
}
