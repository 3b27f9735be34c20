package object_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/time/rate"

	"jfs/object"
	"jfs/object/faulty"
	"jfs/object/mem"
)

// A limiter of rate 0 never refills: what its burst allows passes, then everything waits.

func TestLimitCountsBytesUp(t *testing.T) {
	up := rate.NewLimiter(0, 10)
	f := faulty.New(mem.New())
	s := object.Limit(f, up, nil)
	put(t, s, "a", "0123456")
	get(t, s, "a") // not limited
	if tokens := up.Tokens(); tokens != 3 {
		t.Errorf("%v tokens left", tokens)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, "b", strings.NewReader("0123")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if f.Calls(faulty.Put) != 1 {
		t.Error("the put was sent before its bytes were allowed")
	}
	put(t, s, "c", "012") // the put that left gave its tokens back
}

func TestLimitCountsBytesDown(t *testing.T) {
	down := rate.NewLimiter(0, 10)
	s := object.Limit(mem.New(), nil, down)
	put(t, s, "a", "0123456789abcdef")
	ctx, cancel := context.WithCancel(t.Context())

	body, err := s.Get(ctx, "a", 2, 4)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(body); err != nil || string(data) != "2345" {
		t.Fatalf("%q, %v", data, err)
	}
	if tokens := down.Tokens(); tokens != 6 {
		t.Errorf("%v tokens left", tokens)
	}

	body, err = s.Get(ctx, "a", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadFull(body, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := body.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestLimitPassesMoreThanABurst(t *testing.T) {
	up, down := rate.NewLimiter(1e12, 1000), rate.NewLimiter(1e12, 1000)
	s := object.Limit(mem.New(), up, down)
	data := strings.Repeat("x", 12345)
	put(t, s, "a", data)
	if get(t, s, "a") != data {
		t.Error("other bytes")
	}
}

func TestLimitRefusesAnUnusableLimiter(t *testing.T) {
	s := object.Limit(mem.New(), rate.NewLimiter(5, 0), nil)
	if err := s.Put(t.Context(), "a", strings.NewReader("x")); !errors.Is(err, object.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestLimiterRateChanges(t *testing.T) {
	l := object.NewLimiter(0)
	if l.Limit() != rate.Inf {
		t.Errorf("limit %v", l.Limit())
	}
	object.SetRate(l, 5000)
	if l.Limit() != 5000 || l.Burst() <= 0 {
		t.Errorf("limit %v, burst %d", l.Limit(), l.Burst())
	}
	object.SetRate(l, -1)
	if l.Limit() != rate.Inf {
		t.Errorf("limit %v", l.Limit())
	}
}
