package block

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"jfs/internal/bytepool"
	"jfs/object"
	"jfs/object/faulty"
	"jfs/object/mem"
)

type loaded struct {
	buf *bytepool.Buf
	err error
}

func loadAsync(ctx context.Context, s *Store, key Key) <-chan loaded {
	done := make(chan loaded, 1)
	go func() {
		buf, err := s.Load(ctx, key)
		done <- loaded{buf, err}
	}()
	return done
}

func TestConcurrentLoadsShareOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		f := faulty.New(filled(t, Options{}), faulty.Gate(faulty.Get, nil, gate))
		pool := bytepool.New(8192) // room for one block
		s := New(f, Options{Pool: pool})
		defer s.Close()
		var waiting []<-chan loaded
		for range 10 {
			waiting = append(waiting, loadAsync(t.Context(), s, keyA))
		}
		synctest.Wait()
		close(gate)
		for _, done := range waiting {
			l := <-done
			if l.err != nil || !bytes.Equal(l.buf.B, dataA) {
				t.Fatalf("other bytes, %v", l.err)
			}
			if pool.Used() != 8192 {
				t.Errorf("%d bytes of the pool are out", pool.Used())
			}
			l.buf.Release()
		}
		if f.Calls(faulty.Get) != 1 || pool.Used() != 0 {
			t.Errorf("%d requests, %d bytes of the pool are lost", f.Calls(faulty.Get), pool.Used())
		}
	})
}

func TestLeavingDoesNotDisturbOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		f := faulty.New(filled(t, Options{}), faulty.Gate(faulty.Get, nil, gate))
		pool := bytepool.New(8192)
		s := New(f, Options{Pool: pool})
		defer s.Close()
		firstCtx, leave := context.WithCancel(t.Context())
		first := loadAsync(firstCtx, s, keyA) // the one that started the request
		synctest.Wait()
		second := loadAsync(t.Context(), s, keyA)
		synctest.Wait()
		leave()
		if l := <-first; !errors.Is(l.err, context.Canceled) {
			t.Errorf("the first: %v", l.err)
		}
		close(gate)
		l := <-second
		if l.err != nil {
			t.Fatalf("the second: %v", l.err)
		}
		l.buf.Release()
		if f.Calls(faulty.Get) != 1 || pool.Used() != 0 {
			t.Errorf("%d requests, %d bytes of the pool are lost", f.Calls(faulty.Get), pool.Used())
		}
	})
}

func TestTheLastToLeaveEndsTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := faulty.New(filled(t, Options{}), faulty.Hang(1, faulty.Get))
		pool := bytepool.New(8192)
		s := New(f, Options{Pool: pool})
		defer s.Close()
		ctx, leave := context.WithCancel(t.Context())
		a, b := loadAsync(ctx, s, keyA), loadAsync(ctx, s, keyA)
		synctest.Wait()
		leave()
		for _, done := range []<-chan loaded{a, b} {
			if l := <-done; !errors.Is(l.err, context.Canceled) {
				t.Errorf("got %v", l.err)
			}
		}
		synctest.Wait()
		if pool.Used() != 0 {
			t.Errorf("the request still holds %d bytes", pool.Used())
		}
		// Whoever comes next gets a request of his own, and not the end of that one.
		l := <-loadAsync(t.Context(), s, keyA)
		if l.err != nil || f.Calls(faulty.Get) != 2 {
			t.Fatalf("%d requests, %v", f.Calls(faulty.Get), l.err)
		}
		l.buf.Release()
	})
}

func TestCloseEndsLoadsAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := faulty.New(filled(t, Options{}), faulty.Hang(1, faulty.Get))
		pool := bytepool.New(8192)
		s := New(f, Options{Pool: pool})
		hung := loadAsync(t.Context(), s, keyA)
		synctest.Wait()
		starved := loadAsync(t.Context(), s, Key{Slice: 8, Size: 100}) // waits for the pool
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if pool.Used() != 0 {
			t.Errorf("close did not wait: %d bytes are out", pool.Used())
		}
		for _, done := range []<-chan loaded{hung, starved} {
			if l := <-done; !errors.Is(l.err, ErrClosed) || errors.Is(l.err, context.Canceled) {
				t.Errorf("got %v", l.err)
			}
		}
		if _, err := s.Load(t.Context(), keyA); !errors.Is(err, ErrClosed) {
			t.Errorf("after close: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("second close: %v", err)
		}
	})
}

func TestRequestsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		f := faulty.New(mem.New(), faulty.Gate(faulty.Get, nil, gate))
		s := New(f, Options{GetConcurrency: 3})
		defer s.Close()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() { _, _ = s.Load(t.Context(), Key{Slice: uint64(i), Size: 1}) })
			wg.Go(func() { _ = s.ReadAt(t.Context(), Key{Slice: uint64(i), Size: 2}, make([]byte, 1), 0) })
		}
		synctest.Wait()
		if f.Calls(faulty.Get) != 3 {
			t.Errorf("%d requests at a time", f.Calls(faulty.Get))
		}
		close(gate)
		wg.Wait()
		if f.Calls(faulty.Get) != 20 {
			t.Errorf("%d requests", f.Calls(faulty.Get))
		}
	})
}

func TestLoadWaitsForTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := faulty.New(filled(t, Options{}))
		pool := bytepool.New(8192)
		s := New(f, Options{Pool: pool})
		defer s.Close()
		held := pool.TryGet(8192)
		ctx, leave := context.WithCancel(t.Context())
		impatient := loadAsync(ctx, s, keyA)
		patient := loadAsync(t.Context(), s, keyA)
		synctest.Wait()
		if f.Calls(faulty.Get) != 0 {
			t.Error("a request was sent for which there is no memory")
		}
		leave()
		if l := <-impatient; !errors.Is(l.err, context.Canceled) {
			t.Errorf("got %v", l.err)
		}
		held.Release()
		l := <-patient
		if l.err != nil || pool.Used() != 8192 {
			t.Fatalf("%d bytes of the pool are out, %v", pool.Used(), l.err)
		}
		l.buf.Release()
	})
}

// A reader that holds the whole budget can still read a compressed volume, also when a load that waits for
// the budget is already on its way.
func TestReadAtNeverWaitsForTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Codec: codec(t, "lz4"), Pool: bytepool.New(8192)}
		s := New(faulty.New(filled(t, o)), o)
		defer s.Close()
		held := o.Pool.TryGet(8192)

		if err := s.ReadAt(t.Context(), keyA, held.B[:100], 12); err != nil || !bytes.Equal(held.B[:100], dataA[12:112]) {
			t.Fatalf("alone: other bytes, %v", err)
		}

		starved := loadAsync(t.Context(), s, keyA)
		synctest.Wait()
		if err := s.ReadAt(t.Context(), keyA, held.B[:100], 24); err != nil || !bytes.Equal(held.B[:100], dataA[24:124]) {
			t.Fatalf("joined: other bytes, %v", err)
		}
		l := <-starved
		if l.err != nil || !bytes.Equal(l.buf.B, dataA) {
			t.Fatalf("the load: other bytes, %v", l.err)
		}
		l.buf.Release()
		if o.Pool.Used() != 8192 || s.spare.Used() != 0 {
			t.Errorf("pool %d, spare %d bytes", o.Pool.Used(), s.spare.Used())
		}
		held.Release()
	})
}

// Everything at once, with callers who leave at random moments: no bytes may be lost or mixed up.
func TestStress(t *testing.T) {
	for _, name := range []string{"none", "zstd"} {
		pool := bytepool.New(5 * 8192)
		o := Options{Codec: codec(t, name), Pool: pool, GetConcurrency: 4}
		m := mem.New()
		s := New(faulty.New(m, faulty.Nth(11, faulty.Get, errBroke), faulty.Truncate(20, 5, nil)), o)
		keys := make([]Key, 8)
		for i := range keys {
			keys[i] = Key{Slice: uint64(i), Size: 6000}
			if err := s.Put(t.Context(), keys[i], bytes.Repeat([]byte{byte(i)}, 6000)); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for g := range 12 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(g), 1))
				for range 200 {
					i := r.IntN(len(keys))
					ctx, cancel := context.WithCancel(t.Context())
					if r.IntN(3) == 0 {
						go cancel()
					}
					got := make([]byte, 10)
					var err error
					if r.IntN(2) == 0 {
						err = s.ReadAt(ctx, keys[i], got, r.IntN(5990))
					} else {
						var buf *bytepool.Buf
						if buf, err = s.Load(ctx, keys[i]); err == nil {
							copy(got, buf.B[r.IntN(5990):])
							buf.Release()
						}
					}
					cancel()
					switch {
					case err == nil:
						if !bytes.Equal(got, bytes.Repeat([]byte{byte(i)}, 10)) {
							t.Errorf("block %d gave % x", i, got)
						}
					case !errors.Is(err, context.Canceled) && !errors.Is(err, errBroke):
						t.Errorf("block %d: %v", i, err)
					}
				}
			})
		}
		wg.Wait()
		s.Close()
		if pool.Used() != 0 || s.spare.Used() != 0 {
			t.Errorf("%s: %d and %d bytes are lost", name, pool.Used(), s.spare.Used())
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	const size = 4 << 20
	for _, name := range []string{"none", "lz4", "zstd"} {
		b.Run(name, func(b *testing.B) {
			var store object.Store = mem.New()
			s := New(store, Options{Codec: codec(b, name), Pool: bytepool.New(64 << 20)})
			defer s.Close()
			key := Key{Slice: 1, Size: size}
			data := make([]byte, size)
			rand.NewChaCha8([32]byte{6}).Read(data[:size/2])
			if err := s.Put(b.Context(), key, data); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				buf, err := s.Load(b.Context(), key)
				if err != nil {
					b.Fatal(err)
				}
				buf.Release()
			}
		})
	}
}
