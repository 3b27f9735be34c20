package block

import (
	"context"
	"errors"
	"fmt"
	"io"

	"jfs/internal/bytepool"
	"jfs/object"
)

// load fetches a block for a flight.
//
// The order makes a deadlock impossible: memory of the budget is taken first, and whoever has a slot for a
// request waits only for the object store. When budget is cut short because somebody waits who may hold
// memory of it himself, the block gets memory beyond it, and only after it has a slot, so that there are
// never more such blocks being fetched than slots.
func (s *Store) load(ctx, budget context.Context, key Key, name string, urgent bool) (buf *bytepool.Buf, err error) {
	if urgent {
		buf = s.o.Pool.TryGet(int(key.Size))
	} else if buf, err = s.o.Pool.Get(budget, int(key.Size)); err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("load %s: %w", name, ctx.Err())
	}
	defer func() {
		if err != nil && buf != nil {
			buf.Release()
			buf = nil
		}
	}()
	if err := take(ctx, s.gets); err != nil {
		return buf, fmt.Errorf("load %s: %w", name, err)
	}
	defer give(s.gets)
	if buf == nil {
		if buf, err = s.spare.Get(ctx, int(key.Size)); err != nil {
			return nil, fmt.Errorf("load %s: %w", name, err)
		}
	}
	return buf, s.attempts(ctx, name, func() error {
		if s.raw {
			return s.fetchRaw(ctx, name, buf.B)
		}
		return s.fetchPacked(ctx, name, buf.B)
	})
}

// bodyError marks a failure of a body, after the request itself went well.
type bodyError struct{ error }

func (b bodyError) Unwrap() error { return b.error }

// attempts repeats what failed because of a body: it broke off, or holds something else than it should,
// which a proxy or the network may have done to this one copy.
func (s *Store) attempts(ctx context.Context, name string, fetch func() error) error {
	for n := 1; ; n++ {
		err := fetch()
		var body bodyError
		if err == nil || !errors.As(err, &body) || ctx.Err() != nil {
			return err
		}
		s.o.Log.Warn("body of object is bad", "object", name, "attempt", n, "err", body.error)
		if n >= s.o.BodyAttempts {
			return fmt.Errorf("%w (read %d times)", body.error, n)
		}
	}
}

// fetchRaw fills dst with an object that has exactly its length.
func (s *Store) fetchRaw(ctx context.Context, name string, dst []byte) error {
	body, err := s.objects.Get(ctx, name, 0, -1)
	if err != nil {
		return err
	}
	defer body.Close()
	n, err := fill(body, dst)
	if err != nil {
		return broken(name, err)
	}
	if n == len(dst) {
		extra, err := fill(body, make([]byte, 1))
		if err != nil {
			return broken(name, err)
		}
		if extra == 0 {
			return nil
		}
		return corrupt(name, fmt.Errorf("it has more than %d bytes", len(dst)))
	}
	return corrupt(name, fmt.Errorf("it has %d bytes instead of %d", n, len(dst)))
}

// fetchRange fills dst from a range of an object.
func (s *Store) fetchRange(ctx context.Context, name string, dst []byte, off int) error {
	body, err := s.objects.Get(ctx, name, int64(off), int64(len(dst)))
	if err != nil {
		return err
	}
	defer body.Close()
	n, err := fill(body, dst)
	if err != nil {
		return broken(name, err)
	}
	if n < len(dst) {
		return corrupt(name, fmt.Errorf("it ends at byte %d, inside of the range [%d, +%d)", off+n, off, len(dst)))
	}
	return nil
}

// fetchPacked fills dst from an object that is compressed to whatever length.
func (s *Store) fetchPacked(ctx context.Context, name string, dst []byte) error {
	body, err := s.objects.Get(ctx, name, 0, -1)
	if err != nil {
		return err
	}
	defer body.Close()
	packed := s.scratch.get(packedBound(max(s.o.Codec.Bound(len(dst)), len(dst))))
	defer s.scratch.put(packed)
	n, err := fill(body, *packed)
	if err != nil {
		return broken(name, err)
	}
	if n == len(*packed) {
		return corrupt(name, fmt.Errorf("it has %d bytes or more, for a block of %d", n, len(dst)))
	}
	m, err := s.o.Codec.Decompress(dst, (*packed)[:n])
	if err != nil {
		return corrupt(name, err)
	}
	if m != len(dst) {
		return corrupt(name, fmt.Errorf("it holds %d bytes instead of %d", m, len(dst)))
	}
	return nil
}

// packedBound is a length that no compressed block of bound bytes reaches: encoders of other clients pad
// incompressible data with up to 1/128 more than ours, and one byte more tells the end.
func packedBound(bound int) int { return bound + bound/128 + 1024 }

// fill reads until dst is full or body ends, and takes only a failure for an error.
func fill(body io.Reader, dst []byte) (n int, err error) {
	for n < len(dst) && err == nil {
		var m int
		m, err = body.Read(dst[n:])
		n += m
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

func corrupt(name string, why error) error {
	return bodyError{fmt.Errorf("object %s: %w: %w", name, ErrCorrupt, why)}
}

// broken keeps answers of the store as they are, whatever stage they came at.
func broken(name string, err error) error {
	err = fmt.Errorf("object %s: %w", name, err)
	if errors.Is(err, object.ErrNotFound) || errors.Is(err, object.ErrDenied) || errors.Is(err, object.ErrInvalid) {
		return err
	}
	return bodyError{err}
}
