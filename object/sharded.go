package object

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"
)

// shardFanOut bounds the requests to different shards that one call has open at a time.
const shardFanOut = 16

// Sharded spreads objects over stores: an object lies in store FNV-1a-32(key) mod len(stores). The hash
// includes the volume's prefix, so Prefix belongs around Sharded, not inside. There must be a store.
func Sharded(stores []Store) Store { return &sharded{stores: stores} }

type sharded struct{ stores []Store }

func (s *sharded) Unwrap() []Store { return s.stores }

func (s *sharded) String() string {
	return fmt.Sprintf("%s and %d more shards", s.stores[0], len(s.stores)-1)
}

func (s *sharded) of(key string) Store { return s.stores[s.index(key)] }

func (s *sharded) index(key string) int { return int(fnv1a(key) % uint32(len(s.stores))) }

// fnv1a is hash/fnv's New32a without the allocation.
func fnv1a(key string) uint32 {
	h := uint32(2166136261)
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return h
}

func (s *sharded) Create(ctx context.Context) error {
	return s.each(ctx, func(ctx context.Context, i int) error { return s.stores[i].Create(ctx) })
}

func (s *sharded) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	return s.of(key).Get(ctx, key, off, n)
}

func (s *sharded) Put(ctx context.Context, key string, body io.ReadSeeker) error {
	return s.of(key).Put(ctx, key, body)
}

func (s *sharded) Head(ctx context.Context, key string) (Info, error) {
	return s.of(key).Head(ctx, key)
}

func (s *sharded) Delete(ctx context.Context, key string) error { return s.of(key).Delete(ctx, key) }

// List merges the shards' lists. Each is asked for its share of the page first and again when it runs out,
// so that a page does not cost the whole limit from every shard.
func (s *sharded) List(ctx context.Context, prefix, after string, limit int) ([]Info, bool, error) {
	if limit <= 0 {
		return nil, false, fmt.Errorf("list %s: limit %d is not positive: %w", prefix, limit, ErrInvalid)
	}
	n := len(s.stores)
	page := min(limit, limit/n+limit/(4*n)+8) // the share, and some more because shares vary
	cursors := make([]cursor, n)
	err := s.each(ctx, func(ctx context.Context, i int) error {
		cursors[i] = cursor{store: s.stores[i], prefix: prefix, after: after, more: true}
		return cursors[i].fill(ctx, page)
	})
	if err != nil {
		return nil, false, err
	}

	infos := make([]Info, 0, min(limit, 1<<10))
	for {
		var first *cursor
		for i := range cursors {
			c := &cursors[i]
			if len(c.infos) == 0 {
				if err := c.fill(ctx, page); err != nil {
					return nil, false, err
				}
			}
			if len(c.infos) > 0 && (first == nil || c.infos[0].Key < first.infos[0].Key) {
				first = c
			}
		}
		switch {
		case first == nil:
			return infos, false, nil
		case len(infos) == limit:
			return infos, true, nil
		}
		infos = append(infos, first.infos[0])
		first.infos = first.infos[1:]
	}
}

// cursor is the part of one shard's list that is not merged yet.
type cursor struct {
	store         Store
	prefix, after string
	infos         []Info
	more          bool
}

func (c *cursor) fill(ctx context.Context, n int) error {
	if !c.more {
		return nil
	}
	infos, more, err := c.store.List(ctx, c.prefix, c.after, n)
	if err != nil {
		return err
	}
	if len(infos) > 0 {
		c.after = infos[len(infos)-1].Key
	}
	c.infos, c.more = infos, more && len(infos) > 0
	return nil
}

func (s *sharded) each(ctx context.Context, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(shardFanOut)
	for i := range s.stores {
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
}
