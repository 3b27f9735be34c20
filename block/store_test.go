package block

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jfs/compress"
	"jfs/internal/bytepool"
	"jfs/object"
	"jfs/object/faulty"
	"jfs/object/mem"
)

var (
	errBroke = errors.New("connection reset")
	keyA     = Key{Slice: 7, Index: 0, Size: 6000}
	nameA    = keyA.Name(false)
	dataA    = []byte(strings.Repeat("hello world ", 500))
)

func codec(t testing.TB, name string) compress.Codec {
	t.Helper()
	c, err := compress.New(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// filled is a store that has keyA.
func filled(t testing.TB, o Options) *mem.Store {
	t.Helper()
	m := mem.New()
	s := New(m, o)
	defer s.Close()
	if err := s.Put(t.Context(), keyA, dataA); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRoundTrip(t *testing.T) {
	noise := make([]byte, 100<<10)
	rand.NewChaCha8([32]byte{5}).Read(noise)
	for _, name := range []string{"none", "lz4", "zstd"} {
		for _, hash := range []bool{false, true} {
			pool := bytepool.New(1 << 20)
			s := New(mem.New(), Options{Codec: codec(t, name), HashPrefix: hash, Pool: pool, BlockSize: len(noise)})
			for i, data := range [][]byte{dataA, noise, []byte("x")} {
				key := Key{Slice: uint64(i + 1), Size: uint32(len(data))}
				if err := s.Put(t.Context(), key, data); err != nil {
					t.Fatal(err)
				}
				buf, err := s.Load(t.Context(), key)
				if err != nil || !bytes.Equal(buf.B, data) {
					t.Fatalf("%s: other bytes, %v", name, err)
				}
				buf.Release()
				for _, r := range [][2]int{{0, len(data)}, {len(data) / 2, len(data) - len(data)/2}, {0, 1}, {len(data), 0}} {
					dst := make([]byte, r[1])
					if err := s.ReadAt(t.Context(), key, dst, r[0]); err != nil || !bytes.Equal(dst, data[r[0]:r[0]+r[1]]) {
						t.Fatalf("%s %v: other bytes, %v", name, r, err)
					}
				}
			}
			if pool.Used() != 0 {
				t.Errorf("%s: %d bytes of the pool are still out", name, pool.Used())
			}
			s.Close()
		}
	}
}

// Objects as the official client writes them are read.
func TestOfficialObjects(t *testing.T) {
	for name, object16 := range map[string]string{
		"none": hex.EncodeToString(dataA),
		"lz4":  "cf68656c6c6f20776f726c64200c00" + strings.Repeat("ff", 23) + "63506f726c6420",
		"zstd": "28b52ffd607016a500006068656c6c6f20776f726c6420010061f7be2401",
	} {
		stored, err := hex.DecodeString(object16)
		if err != nil {
			t.Fatal(err)
		}
		m := mem.New()
		if err := m.Put(t.Context(), "chunks/0/0/7_0_6000", bytes.NewReader(stored)); err != nil {
			t.Fatal(err)
		}
		s := New(m, Options{Codec: codec(t, name)})
		buf, err := s.Load(t.Context(), keyA)
		if err != nil || !bytes.Equal(buf.B, dataA) {
			t.Errorf("%s: other bytes, %v", name, err)
		}
		s.Close()
	}
}

// Without a codec a read costs one request for just its bytes, with one it costs the object.
func TestReadAtCost(t *testing.T) {
	for _, name := range []string{"none", "lz4"} {
		m := filled(t, Options{Codec: codec(t, name)})
		want := int64(100)
		if name != "none" {
			info, err := m.Head(t.Context(), nameA)
			if err != nil {
				t.Fatal(err)
			}
			want = info.Size
		}
		var requests, got int64
		s := New(object.Measure(m, object.ObserverFunc(func(_ object.Op, n int64, _ time.Duration, _ error) {
			requests++
			got += n
		})), Options{Codec: codec(t, name)})
		if err := s.ReadAt(t.Context(), keyA, make([]byte, 100), 50); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if requests != 1 || got != want {
			t.Errorf("%s: %d requests, %d bytes, want %d", name, requests, got, want)
		}
	}
}

func TestWholeObjects(t *testing.T) {
	m := filled(t, Options{})
	var got int64
	s := New(object.Measure(m, object.ObserverFunc(func(_ object.Op, n int64, _ time.Duration, _ error) { got += n })), Options{WholeObjects: true})
	defer s.Close()
	dst := make([]byte, 10)
	if err := s.ReadAt(t.Context(), keyA, dst, 6); err != nil || string(dst) != "world hell" || got != 6000 {
		t.Errorf("%q of %d bytes, %v", dst, got, err)
	}
}

func TestWrongRequests(t *testing.T) {
	f := faulty.New(filled(t, Options{}))
	s := New(f, Options{BlockSize: 6000})
	defer s.Close()
	ctx := t.Context()
	for _, r := range [][2]int{{-1, 1}, {6000, 1}, {6001, 0}, {1, 6000}} {
		if err := s.ReadAt(ctx, keyA, make([]byte, r[1]), r[0]); !errors.Is(err, object.ErrInvalid) {
			t.Errorf("range %v: %v", r, err)
		}
	}
	huge := Key{Slice: 1, Size: 6001}
	_, loadErr := s.Load(ctx, huge)
	for _, err := range []error{loadErr, s.ReadAt(ctx, huge, make([]byte, 1), 0), s.Put(ctx, huge, make([]byte, 6001)), s.Put(ctx, keyA, dataA[1:])} {
		if !errors.Is(err, object.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, loadErr = s.Load(ended, keyA)
	for _, err := range []error{loadErr, s.ReadAt(ended, keyA, make([]byte, 1), 0), s.Put(ended, keyA, dataA), s.Delete(ended, keyA)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if f.Calls(faulty.Get)+f.Calls(faulty.Put)+f.Calls(faulty.Delete) != 0 {
		t.Error("a wrong request was sent")
	}
}

// reads are the ways to a block; each of them has to survive what happens to bodies.
var reads = map[string]func(*Store) error{
	"load": func(s *Store) error {
		buf, err := s.Load(context.Background(), keyA)
		if err == nil {
			buf.Release()
		}
		return err
	},
	"range": func(s *Store) error { return s.ReadAt(context.Background(), keyA, make([]byte, 5000), 500) },
	"whole": func(s *Store) error { return s.ReadAt(context.Background(), keyA, make([]byte, 6000), 0) },
}

func TestBrokenBodies(t *testing.T) {
	for _, name := range []string{"none", "lz4"} {
		for way, read := range reads {
			for _, c := range []struct {
				rule  faulty.Rule
				want  error
				calls int
			}{
				{faulty.Truncate(1, 20, errBroke), nil, 2},
				{faulty.Truncate(1, 20, nil), nil, 2},
				{faulty.Truncate(1, 0, io.ErrUnexpectedEOF), nil, 2},
				{faulty.TruncateAll(20, errBroke), errBroke, 3},
				{faulty.TruncateAll(20, nil), ErrCorrupt, 3},
				{faulty.TruncateAll(20, object.ErrDenied), object.ErrDenied, 1},
				{faulty.Always(faulty.Get, errBroke), errBroke, 1}, // the business of object.Retry
				{faulty.Always(faulty.Get, object.ErrNotFound), object.ErrNotFound, 1},
			} {
				pool := bytepool.New(1 << 20)
				o := Options{Codec: codec(t, name), Pool: pool}
				f := faulty.New(filled(t, o), c.rule)
				s := New(f, o)
				err := read(s)
				if !errors.Is(err, c.want) || f.Calls(faulty.Get) != c.calls {
					t.Errorf("%s, %s: %d requests instead of %d, %v", name, way, f.Calls(faulty.Get), c.calls, err)
				}
				if errors.Is(c.want, ErrCorrupt) && !strings.Contains(err.Error(), nameA) {
					t.Errorf("the error does not name the object: %v", err)
				}
				s.Close()
				if pool.Used() != 0 {
					t.Errorf("%s, %s: %d bytes of the pool are lost", name, way, pool.Used())
				}
			}
		}
	}
}

func TestCorruptObjects(t *testing.T) {
	for _, c := range []struct{ codec, stored string }{
		{"none", string(dataA[:5999])}, {"none", string(dataA) + "x"}, {"none", ""},
		{"lz4", ""}, {"lz4", "garbage that is no block"}, {"lz4", string(dataA)}, {"lz4", "\x10x"}, {"lz4", strings.Repeat("x", 50000)},
		{"zstd", ""}, {"zstd", "garbage that is no frame"}, {"zstd", strings.Repeat("x", 50000)},
	} {
		m := mem.New()
		if err := m.Put(t.Context(), nameA, strings.NewReader(c.stored)); err != nil {
			t.Fatal(err)
		}
		s := New(m, Options{Codec: codec(t, c.codec)})
		_, err := s.Load(t.Context(), keyA)
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), nameA) {
			t.Errorf("%s, %d bytes: %v", c.codec, len(c.stored), err)
		}
		s.Close()
	}
}

func TestMissingObject(t *testing.T) {
	s := New(mem.New(), Options{})
	defer s.Close()
	for way, read := range reads {
		if err := read(s); !errors.Is(err, object.ErrNotFound) {
			t.Errorf("%s: %v", way, err)
		}
	}
	if err := s.Delete(t.Context(), keyA, keyA); err != nil {
		t.Error(err)
	}
	if err := s.Delete(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDeleteIsBoundedAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		f := faulty.New(mem.New(), faulty.Gate(faulty.Delete, nil, gate), faulty.Nth(2, faulty.Delete, errBroke))
		s := New(f, Options{DeleteConcurrency: 3})
		defer s.Close()
		keys := make([]Key, 10)
		for i := range keys {
			keys[i] = Key{Slice: uint64(i), Size: 1}
		}
		done := make(chan error, 1)
		go func() { done <- s.Delete(t.Context(), keys...) }()
		synctest.Wait()
		if f.Calls(faulty.Delete) != 3 {
			t.Errorf("%d deletions at a time", f.Calls(faulty.Delete))
		}
		close(gate)
		if err := <-done; !errors.Is(err, errBroke) || f.Calls(faulty.Delete) != 10 {
			t.Errorf("%d deletions, %v", f.Calls(faulty.Delete), err)
		}
	})
}

func TestPutReportsTheStore(t *testing.T) {
	for _, name := range []string{"none", "zstd"} {
		s := New(faulty.New(mem.New(), faulty.Always(faulty.Put, errBroke)), Options{Codec: codec(t, name)})
		if err := s.Put(t.Context(), keyA, dataA); !errors.Is(err, errBroke) {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
	}
}
