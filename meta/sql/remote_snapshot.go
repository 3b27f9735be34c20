package sql

import (
	"context"
	"encoding/binary"
	"hash/maphash"
)

// repeatable is a call that was made, and a digest of its rows.
type repeatable struct {
	call
	sum maphash.Hash
}

// watch lets the digest follow the rows of a call.
func (r *repeatable) watch() call {
	c := r.call
	then := c.row
	c.row = func() error {
		digest(&r.sum, c.dest)
		if then == nil {
			return nil
		}
		return then()
	}
	return c
}

// again is the call once more, into room of its own.
func (r *repeatable) again(seed maphash.Seed) *repeatable {
	other := &repeatable{call: r.call}
	other.sum.SetSeed(seed)
	other.row = nil
	other.dest = make([]any, len(r.dest))
	for i, d := range r.dest {
		switch d.(type) {
		case *number:
			other.dest[i] = new(number)
		case *string:
			other.dest[i] = new(string)
		default:
			other.dest[i] = new([]byte)
		}
	}
	return other
}

func digest(h *maphash.Hash, dest []any) {
	var b [9]byte
	for _, d := range dest {
		var bytes []byte
		switch d := d.(type) {
		case *number:
			binary.LittleEndian.PutUint64(b[:8], uint64(*d))
		case *string:
			bytes = []byte(*d)
			binary.LittleEndian.PutUint64(b[:8], uint64(len(bytes)))
		case *[]byte:
			bytes = *d
			binary.LittleEndian.PutUint64(b[:8], uint64(len(bytes)))
			if b[8] = 0; bytes == nil {
				b[8] = 1
			}
		}
		_, _ = h.Write(b[:]) // never fails
		_, _ = h.Write(bytes)
	}
}

// runLazy is run in a session that is lazy.
func (s *remoteSession) runLazy(ctx context.Context, calls []call) error {
	if s.first == nil {
		s.first = []*repeatable{}
		for i := range calls {
			if calls[i].dest != nil {
				r := &repeatable{call: calls[i]}
				s.first = append(s.first, r)
				calls[i] = r.watch()
			}
		}
		return s.send(ctx, calls)
	}
	s.lazy = false
	s.begin(s.e.d.server.beginRead)
	repeated := make([]*repeatable, len(s.first))
	for i, r := range s.first {
		repeated[i] = r.again(r.sum.Seed())
		s.pending = append(s.pending, repeated[i].watch())
	}
	if err := s.send(ctx, calls); err != nil {
		return err
	}
	for i, r := range repeated {
		if r.sum.Sum64() != s.first[i].sum.Sum64() {
			return errStale
		}
	}
	return nil
}
