package object_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"jfs/object"
	"jfs/object/faulty"
	"jfs/object/mem"
)

var errBlip = errors.New("connection reset")

// napless records the pauses instead of taking them.
func napless(pauses *[]time.Duration) object.RetryOptions {
	return object.RetryOptions{Sleep: func(ctx context.Context, d time.Duration) error {
		*pauses = append(*pauses, d)
		return ctx.Err()
	}}
}

func TestRetryRepeatsUntilItWorks(t *testing.T) {
	f := faulty.New(mem.New(),
		faulty.First(3, faulty.Put, errBlip), faulty.First(2, faulty.Get, errBlip), faulty.First(1, faulty.Head, errBlip),
		faulty.First(1, faulty.Delete, errBlip), faulty.First(1, faulty.List, errBlip), faulty.First(1, faulty.Create, errBlip))
	var pauses []time.Duration
	s := object.Retry(f, napless(&pauses))
	ctx := t.Context()
	if err := s.Create(ctx); err != nil {
		t.Error(err)
	}
	put(t, s, "key", "data")
	if got := get(t, s, "key"); got != "data" {
		t.Errorf("got %q", got)
	}
	if info, err := s.Head(ctx, "key"); err != nil || info.Size != 4 {
		t.Errorf("head: %+v, %v", info, err)
	}
	if infos, _, err := s.List(ctx, "", "", 10); err != nil || len(infos) != 1 {
		t.Errorf("list: %+v, %v", infos, err)
	}
	if err := s.Delete(ctx, "key"); err != nil {
		t.Error(err)
	}
	want := map[object.Op]int{faulty.Create: 2, faulty.Put: 4, faulty.Get: 3, faulty.Head: 2, faulty.List: 2, faulty.Delete: 2}
	for op, n := range want {
		if f.Calls(op) != n {
			t.Errorf("%s: %d calls, want %d", op, f.Calls(op), n)
		}
	}
	if len(pauses) != 9 {
		t.Errorf("%d pauses", len(pauses))
	}
}

func TestRetryRewindsTheBody(t *testing.T) {
	inner := mem.New()
	f := faulty.New(inner, faulty.Lost(1, faulty.Put, errBlip)) // the first attempt reads the body to its end
	var pauses []time.Duration
	body := strings.NewReader("skip|data")
	if _, err := body.Seek(5, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := object.Retry(f, napless(&pauses)).Put(t.Context(), "key", body); err != nil {
		t.Fatal(err)
	}
	if got := get(t, inner, "key"); got != "data" || f.Calls(faulty.Put) != 2 {
		t.Errorf("got %q after %d calls", got, f.Calls(faulty.Put))
	}
}

type brokenBody struct{ bytes.Reader }

func (*brokenBody) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

func TestRetryBlamesTheBody(t *testing.T) {
	f := faulty.New(mem.New())
	var pauses []time.Duration
	body := &brokenBody{*bytes.NewReader([]byte("data"))}
	err := object.Retry(f, napless(&pauses)).Put(t.Context(), "key", body)
	if !errors.Is(err, io.ErrNoProgress) || f.Calls(faulty.Put) != 1 {
		t.Fatalf("%d calls, %v", f.Calls(faulty.Put), err)
	}
}

func TestRetryGivesUp(t *testing.T) {
	f := faulty.New(mem.New(), faulty.Always(faulty.Get, errBlip))
	var pauses []time.Duration
	_, err := object.Retry(f, napless(&pauses)).Get(t.Context(), "key", 0, -1)
	if !errors.Is(err, errBlip) || f.Calls(faulty.Get) != 10 {
		t.Fatalf("%d calls, %v", f.Calls(faulty.Get), err)
	}
	var last time.Duration
	for i, d := range pauses {
		full := 100 * time.Millisecond << i
		if d < full/2 || d > full {
			t.Errorf("pause %d is %s", i, d)
		}
		last += d
	}
	if last > time.Minute {
		t.Errorf("%s in all", last)
	}
}

// A connection that breaks after refusals, or before them, is waited for as the first of its kind.
func TestRetryCountsEachKind(t *testing.T) {
	refused := fmt.Errorf("slow down: %w", object.ErrThrottled)
	for _, errs := range [][]error{{refused, errBlip}, {errBlip, refused}} {
		f := faulty.New(mem.New(), faulty.First(4, faulty.Put, errs[0]), faulty.First(8, faulty.Put, errs[1]))
		var pauses []time.Duration
		put(t, object.Retry(f, napless(&pauses)), "key", "data")
		if len(pauses) != 8 {
			t.Fatalf("%d pauses", len(pauses))
		}
		for i, d := range pauses {
			full := 100 * time.Millisecond << (i % 4)
			if errors.Is(errs[i/4], object.ErrThrottled) {
				full *= 10
			}
			if d < full/2 || d > full {
				t.Errorf("pause %d is %s, want up to %s", i, d, full)
			}
		}
	}
}

func TestRetryIsSlowerWhenThrottled(t *testing.T) {
	f := faulty.New(mem.New(), faulty.Always(faulty.Head, fmt.Errorf("slow down: %w", object.ErrThrottled)))
	var pauses []time.Duration
	o := napless(&pauses)
	o.Attempts = 8
	_, err := object.Retry(f, o).Head(t.Context(), "key")
	if !errors.Is(err, object.ErrThrottled) || len(pauses) != 7 {
		t.Fatalf("%d pauses, %v", len(pauses), err)
	}
	for i, d := range pauses {
		full := min(time.Second<<i, 30*time.Second)
		if d < full/2 || d > full {
			t.Errorf("pause %d is %s", i, d)
		}
	}
}

func TestRetryTakesAnswersAsAnswers(t *testing.T) {
	for _, answer := range []error{object.ErrNotFound, object.ErrDenied, object.ErrInvalid} {
		f := faulty.New(mem.New(), faulty.Always(faulty.Get, fmt.Errorf("get: %w", answer)))
		var pauses []time.Duration
		if _, err := object.Retry(f, napless(&pauses)).Get(t.Context(), "key", 0, -1); !errors.Is(err, answer) {
			t.Errorf("got %v, want %v", err, answer)
		}
		if f.Calls(faulty.Get) != 1 || len(pauses) != 0 {
			t.Errorf("%v: %d calls, %d pauses", answer, f.Calls(faulty.Get), len(pauses))
		}
	}
}

func TestRetryEndsWithTheCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := faulty.New(mem.New(), faulty.Always(faulty.Put, errBlip))
	s := object.Retry(f, object.RetryOptions{Sleep: func(ctx context.Context, _ time.Duration) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}})
	err := s.Put(ctx, "key", bytes.NewReader(nil))
	if !errors.Is(err, context.Canceled) || f.Calls(faulty.Put) != 1 {
		t.Fatalf("%d calls, %v", f.Calls(faulty.Put), err)
	}
}

func TestRetryWakesFromItsPause(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pausing := slog.New(onRecord(cancel)) // told just before the pause
	f := faulty.New(mem.New(), faulty.Always(faulty.Head, object.ErrThrottled))
	if _, err := object.Retry(f, object.RetryOptions{Log: pausing}).Head(ctx, "key"); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestAttemptHasADeadline(t *testing.T) {
	f := faulty.New(mem.New(), faulty.Hang(1, faulty.Put), faulty.Hang(1, faulty.Get), faulty.Hang(1, faulty.List))
	var pauses []time.Duration
	o := napless(&pauses)
	o.GetTimeout, o.PutTimeout = time.Millisecond, time.Millisecond
	// Later attempts are not hung up; let them have the time they need.
	s := object.Retry(f, o)
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"put":  func() error { return s.Put(ctx, "key", strings.NewReader("data")) },
		"list": func() error { _, _, err := s.List(ctx, "", "", 1); return err },
		"get": func() error {
			_, err := fetch(ctx, s, "key")
			if errors.Is(err, object.ErrNotFound) {
				return nil // ran before the put
			}
			return err
		},
	} {
		if err := call(); err != nil && !errors.Is(err, object.ErrTimeout) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, op := range []object.Op{faulty.Put, faulty.Get, faulty.List} {
		if f.Calls(op) < 2 {
			t.Errorf("%s was not repeated", op)
		}
	}
}

func TestTimeoutIsNotTheCallersDeadline(t *testing.T) {
	f := faulty.New(mem.New(), faulty.Hang(1, faulty.Head), faulty.Hang(1, faulty.Get))
	s := object.Retry(f, object.RetryOptions{Attempts: 1, GetTimeout: time.Millisecond})
	_, headErr := s.Head(t.Context(), "key")
	_, getErr := s.Get(t.Context(), "key", 0, -1)
	for _, err := range []error{headErr, getErr} {
		if !errors.Is(err, object.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}

// stuck is a store whose bodies block after the first byte until the ctx of Get ends.
type stuck struct{ object.Store }

type stuckBody struct {
	ctx   context.Context
	begun bool
}

func (s stuck) Get(ctx context.Context, _ string, _, _ int64) (io.ReadCloser, error) {
	return &stuckBody{ctx: ctx}, nil
}

func (b *stuckBody) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		return copy(p, "x"), nil
	}
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}

func (b *stuckBody) Close() error { return nil }

func TestBodyHasADeadline(t *testing.T) {
	s := object.Retry(stuck{mem.New()}, object.RetryOptions{GetTimeout: 20 * time.Millisecond})
	_, err := fetch(t.Context(), s, "key")
	if !errors.Is(err, object.ErrTimeout) || errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestBodyEndsWithTheCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := object.Retry(stuck{mem.New()}, object.RetryOptions{})
	body, err := s.Get(ctx, "key", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if n, err := body.Read(make([]byte, 10)); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	cancel()
	if _, err := body.Read(make([]byte, 10)); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

// onRecord is a log handler that calls a function for each record.
type onRecord func()

func (f onRecord) Enabled(context.Context, slog.Level) bool  { return true }
func (f onRecord) Handle(context.Context, slog.Record) error { f(); return nil }
func (f onRecord) WithAttrs([]slog.Attr) slog.Handler        { return f }
func (f onRecord) WithGroup(string) slog.Handler             { return f }
