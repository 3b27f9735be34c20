package distant

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"jfs/object"
	"jfs/object/mem"
	"jfs/object/objecttest"
)

func TestConformance(t *testing.T) {
	objecttest.Run(t, func(*testing.T) object.Store {
		return New(mem.New(), Options{Delay: time.Microsecond, Bandwidth: 1 << 30})
	})
}

// TestErrors: of what changes something, half of the failures come after the change.
func TestErrors(t *testing.T) {
	below := mem.New()
	s := New(below, Options{Errors: 0.1})
	draws := []float64{0.05, 0.9, 0.05, 0.1, 0.2, 0.05}
	s.chance = func() float64 {
		one := draws[0]
		draws = draws[1:]
		return one
	}
	put := func(key string) error { return s.Put(t.Context(), key, bytes.NewReader([]byte("x"))) }
	for i, one := range []struct {
		fails, there bool
	}{{true, false}, {true, true}, {false, true}} {
		key := string(rune('a' + i))
		err := put(key)
		if errors.Is(err, ErrInjected) != one.fails {
			t.Errorf("%s: %v", key, err)
		}
		if _, err := below.Head(t.Context(), key); (err == nil) != one.there {
			t.Errorf("%s is there: %v", key, err)
		}
	}
	if _, err := s.Get(t.Context(), "c", 0, -1); !errors.Is(err, ErrInjected) || len(draws) != 0 {
		t.Errorf("%v, %v left", err, draws)
	}
}

func TestInterrupted(t *testing.T) {
	s := New(mem.New(), Options{Delay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Head(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, err := range s.DeleteBulk(ctx, []string{"a", "b"}) {
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}
