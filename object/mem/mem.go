// Package mem is an object store in memory: the test double of the rooms above.
package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"time"

	"jfs/object"
)

// Store keeps objects until it is dropped. Its zero value is not usable, see New.
type Store struct {
	mu      sync.RWMutex // guards objects and keys
	objects map[string]entry
	keys    []string // sorted
	bulk    int      // never changed
}

type entry struct {
	data     []byte // never changed once it is here
	modified time.Time
}

var (
	_ object.Store       = (*Store)(nil)
	_ object.BulkDeleter = (*Store)(nil)
)

// New makes an empty store.
func New() *Store { return NewBulk(0) }

// NewBulk makes an empty store that removes up to limit objects with one request; 0: it has no such request.
func NewBulk(limit int) *Store { return &Store{objects: map[string]entry{}, bulk: limit} }

// String names the store.
func (s *Store) String() string { return "mem://" }

// Create does nothing, the store is always there.
func (s *Store) Create(ctx context.Context) error { return ctx.Err() }

// Get opens a range of an object.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if off < 0 {
		return nil, fmt.Errorf("get %s: offset %d is negative: %w", key, off, object.ErrInvalid)
	}
	e, err := s.find(ctx, object.OpGet, key)
	if err != nil {
		return nil, err
	}
	data := e.data[min(off, int64(len(e.data))):]
	if n >= 0 {
		data = data[:min(n, int64(len(data)))]
	}
	return &body{ctx: ctx, r: *bytes.NewReader(data)}, nil
}

// Put stores a copy of body.
func (s *Store) Put(ctx context.Context, key string, body io.ReadSeeker) error {
	if key == "" {
		return fmt.Errorf("put: the key is empty: %w", object.ErrInvalid)
	}
	n, err := object.Remaining(body)
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(body, data); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[key]; !ok {
		i := sort.SearchStrings(s.keys, key)
		s.keys = append(s.keys, "")
		copy(s.keys[i+1:], s.keys[i:])
		s.keys[i] = key
	}
	s.objects[key] = entry{data: data, modified: time.Now()}
	return nil
}

// Head describes an object.
func (s *Store) Head(ctx context.Context, key string) (object.Info, error) {
	e, err := s.find(ctx, object.OpHead, key)
	if err != nil {
		return object.Info{}, err
	}
	return object.Info{Key: key, Size: int64(len(e.data)), Modified: e.modified}, nil
}

// Delete removes an object.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[key]; ok {
		delete(s.objects, key)
		i := sort.SearchStrings(s.keys, key)
		s.keys = append(s.keys[:i], s.keys[i+1:]...)
	}
	return nil
}

// BulkLimit is what NewBulk was given.
func (s *Store) BulkLimit() int { return s.bulk }

// DeleteBulk removes objects.
func (s *Store) DeleteBulk(ctx context.Context, keys []string) []error {
	var errs []error
	for i, key := range keys {
		err := s.Delete(ctx, key)
		if len(keys) > s.bulk {
			err = fmt.Errorf("delete %s: %d keys in a request of at most %d: %w", key, len(keys), s.bulk, object.ErrInvalid)
		}
		if err != nil && errs == nil {
			errs = make([]error, len(keys))
		}
		if errs != nil {
			errs[i] = err
		}
	}
	return errs
}

// List returns a page of the objects.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, fmt.Errorf("list %s: %w", prefix, err)
	}
	if limit <= 0 {
		return nil, false, fmt.Errorf("list %s: limit %d is not positive: %w", prefix, limit, object.ErrInvalid)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	i := sort.SearchStrings(s.keys, max(prefix, after))
	var infos []object.Info
	for ; i < len(s.keys) && strings.HasPrefix(s.keys[i], prefix); i++ {
		key := s.keys[i]
		if key == after {
			continue
		}
		if len(infos) == limit {
			return infos, true, nil
		}
		e := s.objects[key]
		infos = append(infos, object.Info{Key: key, Size: int64(len(e.data)), Modified: e.modified})
	}
	return infos, false, nil
}

func (s *Store) find(ctx context.Context, op object.Op, key string) (entry, error) {
	if err := ctx.Err(); err != nil {
		return entry{}, fmt.Errorf("%s %s: %w", op, key, err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.objects[key]
	if !ok {
		return entry{}, fmt.Errorf("%s %s: %w", op, key, object.ErrNotFound)
	}
	return e, nil
}

type body struct {
	ctx context.Context
	r   bytes.Reader
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}

func (b *body) Close() error { return nil }
