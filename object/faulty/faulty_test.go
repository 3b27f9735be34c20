package faulty_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"jfs/object"
	"jfs/object/faulty"
	"jfs/object/mem"
	"jfs/object/objecttest"
)

var errFault = errors.New("fault")

func TestConformance(t *testing.T) {
	objecttest.Run(t, func(*testing.T) object.Store { return faulty.New(mem.New()) })
}

func TestNth(t *testing.T) {
	s := faulty.New(mem.New(), faulty.Nth(2, faulty.Put, errFault))
	for i, want := range []error{nil, errFault, nil} {
		if err := s.Put(t.Context(), "key", strings.NewReader("x")); !errors.Is(err, want) {
			t.Errorf("put %d: %v", i+1, err)
		}
	}
	if s.Calls(faulty.Put) != 3 || s.Calls(faulty.Get) != 0 {
		t.Errorf("%d puts, %d gets", s.Calls(faulty.Put), s.Calls(faulty.Get))
	}
}

func TestLostDoesTheWork(t *testing.T) {
	inner := mem.New()
	s := faulty.New(inner, faulty.Lost(1, faulty.Put, errFault))
	if err := s.Put(t.Context(), "key", strings.NewReader("x")); !errors.Is(err, errFault) {
		t.Errorf("put: %v", err)
	}
	if _, err := inner.Head(t.Context(), "key"); err != nil {
		t.Errorf("head: %v", err)
	}
}

func TestTruncate(t *testing.T) {
	s := faulty.New(mem.New(), faulty.Truncate(1, 3, errFault), faulty.Truncate(2, 3, nil))
	if err := s.Put(t.Context(), "key", strings.NewReader("012345")); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		data string
		err  error
	}{{"012", errFault}, {"012", nil}, {"012345", nil}} {
		body, err := s.Get(t.Context(), "key", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(body)
		if string(data) != c.data || !errors.Is(err, c.err) {
			t.Errorf("get %d: %q, %v", i+1, data, err)
		}
	}
}

func TestHangEndsWithCtx(t *testing.T) {
	s := faulty.New(mem.New(), faulty.Hang(1, faulty.Head))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := s.Head(ctx, "key"); done <- err }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestGate(t *testing.T) {
	arrived, gate := make(chan struct{}), make(chan struct{})
	s := faulty.New(mem.New(), faulty.Gate(faulty.Delete, arrived, gate))
	done := make(chan error, 1)
	go func() { done <- s.Delete(t.Context(), "key") }()
	<-arrived
	select {
	case err := <-done:
		t.Fatalf("passed the gate: %v", err)
	default:
	}
	close(gate)
	if err := <-done; err != nil {
		t.Errorf("got %v", err)
	}
}
