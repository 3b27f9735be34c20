package block

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"jfs/compress"
	"jfs/internal/bytepool"
	"jfs/object"
)

// ErrCorrupt: there is an object, and it does not hold the block that its name promises.
var ErrCorrupt = errors.New("corrupt object")

// ErrClosed: the store was used after Close.
var ErrClosed = errors.New("block store is closed")

// Options says how the volume stores blocks, and how much at a time. The zero value is a volume without
// compression and hash prefix.
type Options struct {
	BlockSize  int            // the volume's block size in bytes, which no block may exceed; 0 means unchecked
	Codec      compress.Codec // nil means none
	HashPrefix bool           // the volume's layout of object names

	// WholeObjects says that the object store cannot read ranges, as one that encrypts cannot. A codec
	// other than none implies it.
	WholeObjects bool

	// Pool is the budget for loaded blocks; nil means one without limit.
	Pool *bytepool.Pool

	GetConcurrency    int // requests for objects at a time; 0 means 200
	DeleteConcurrency int // requests for deletion at a time; 0 means 10

	// BodyAttempts is how often an object is asked for whose body breaks off or is damaged; 0 means 3.
	// Requests that fail as a whole are repeated by object.Retry instead.
	BodyAttempts int

	Log *slog.Logger // told of damaged and broken bodies; nil means silence
}

// Store maps blocks to objects. Encryption, where a volume has it, is a wrapper of the object store that
// lies below: compression has to come first.
type Store struct {
	objects object.Store
	o       Options
	whole   bool // ranges cannot be read
	raw     bool // objects are the blocks themselves

	gets    chan struct{} // a slot per request
	deletes chan struct{}

	// spare is memory beyond the budget for blocks that somebody waits for who may hold the budget.
	spare   *bytepool.Pool
	scratch scratch // compressed bytes on their way; never part of the budget

	flights flights
}

var (
	_ Source = (*Store)(nil)
	_ Sink   = (*Store)(nil)
)

// New makes a Store over objects, whose keys are those below the volume's prefix.
func New(objects object.Store, o Options) *Store {
	if o.Codec == nil {
		o.Codec = compress.None{}
	}
	if o.Pool == nil {
		o.Pool = bytepool.New(0)
	}
	if o.GetConcurrency <= 0 {
		o.GetConcurrency = 200
	}
	if o.DeleteConcurrency <= 0 {
		o.DeleteConcurrency = 10
	}
	if o.BodyAttempts <= 0 {
		o.BodyAttempts = 3
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		objects: objects,
		o:       o,
		raw:     o.Codec.Name() == compress.None{}.Name(),
		gets:    make(chan struct{}, o.GetConcurrency),
		deletes: make(chan struct{}, o.DeleteConcurrency),
		spare:   bytepool.New(0),
	}
	s.whole = o.WholeObjects || !s.raw
	s.flights.init()
	return s
}

// Close ends all Loads with ErrClosed and waits for them. Other methods run in their callers' goroutines
// and end with those.
func (s *Store) Close() error {
	s.flights.close()
	return nil
}

// WholeBlocks reports whether ReadAt has to load the whole block to give a part of it.
func (s *Store) WholeBlocks() bool { return s.whole }

// Load returns the whole block; the caller releases it. Callers that want one block at the same time share
// one request; it ends early only when none of them is left.
//
// The block's memory is asked of the Pool once, before anything else is taken. A caller that itself holds
// memory of that Pool should use ReadAt, which never waits for the Pool.
func (s *Store) Load(ctx context.Context, key Key) (*bytepool.Buf, error) {
	name, err := s.check(ctx, "load", key)
	if err != nil {
		return nil, err
	}
	return s.flights.join(ctx, key, name, false, s.load)
}

// ReadAt fills dst with the block's bytes from off on, with a range of the object where ranges can be
// read, else from the whole object. It may be called with memory of the Pool in hand.
func (s *Store) ReadAt(ctx context.Context, key Key, dst []byte, off int) error {
	name, err := s.check(ctx, "read", key)
	if err != nil {
		return err
	}
	if off < 0 || off > int(key.Size) || len(dst) > int(key.Size)-off {
		return fmt.Errorf("read %s: bytes [%d, +%d) are not all of the block: %w", name, off, len(dst), object.ErrInvalid)
	}
	if len(dst) == 0 {
		return nil
	}
	if s.whole {
		buf, err := s.flights.join(ctx, key, name, true, s.load)
		if err != nil {
			return err
		}
		copy(dst, buf.B[off:])
		buf.Release()
		return nil
	}
	if err := take(ctx, s.gets); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer give(s.gets)
	return s.attempts(ctx, name, func() error {
		if len(dst) == int(key.Size) {
			return s.fetchRaw(ctx, name, dst)
		}
		return s.fetchRange(ctx, name, dst, off)
	})
}

// Put stores a block, whose data has exactly key.Size bytes. It returns when the object store has it.
func (s *Store) Put(ctx context.Context, key Key, data []byte) error {
	name, err := s.check(ctx, "put", key)
	if err != nil {
		return err
	}
	if len(data) != int(key.Size) {
		return fmt.Errorf("put %s: %d bytes of data for a block of %d: %w", name, len(data), key.Size, object.ErrInvalid)
	}
	if s.raw {
		return s.objects.Put(ctx, name, bytes.NewReader(data))
	}
	packed := s.scratch.get(s.o.Codec.Bound(len(data)))
	defer s.scratch.put(packed)
	n, err := s.o.Codec.Compress(*packed, data)
	if err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return s.objects.Put(ctx, name, bytes.NewReader((*packed)[:n]))
}

// Delete removes blocks, many with a request where the object store can. It tries all of them unless ctx ends, and
// returns the first error.
func (s *Store) Delete(ctx context.Context, keys ...Key) error {
	for _, err := range s.DeleteEach(ctx, keys) {
		if err != nil {
			return err
		}
	}
	return nil
}

// DeleteEach does what Delete does, and returns nil when all blocks are gone, else one error for each key, nil for
// those that are.
func (s *Store) DeleteEach(ctx context.Context, keys []Key) []error {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = key.Name(s.o.HashPrefix)
	}
	errs := object.DeleteAll(ctx, s.objects, s.deletes, names)
	for i, err := range errs {
		if err != nil && ctx.Err() != nil {
			errs[i] = fmt.Errorf("delete %s: %w", names[i], err)
		}
	}
	return errs
}

// check refuses what no request can help, and gives the object's name. A size beyond the volume's comes
// from damaged metadata and would cost that much memory.
func (s *Store) check(ctx context.Context, verb string, key Key) (name string, err error) {
	name = key.Name(s.o.HashPrefix)
	if s.o.BlockSize > 0 && int(key.Size) > s.o.BlockSize {
		return "", fmt.Errorf("%s %s: the volume's blocks have at most %d bytes: %w", verb, name, s.o.BlockSize, object.ErrInvalid)
	}
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("%s %s: %w", verb, name, err)
	}
	return name, nil
}

// take waits for a slot; give returns it.
func take(ctx context.Context, slots chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func give(slots chan struct{}) { <-slots }

var _ io.Closer = (*Store)(nil)
