package object_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"jfs/object"
	"jfs/object/mem"
	"jfs/object/objecttest"
)

// The wrappers keep the promises of what they wrap.
func TestWrappersConform(t *testing.T) {
	wrap := map[string]func() object.Store{
		"retry":   func() object.Store { return object.Retry(mem.New(), object.RetryOptions{}) },
		"limit":   func() object.Store { return object.Limit(mem.New(), object.NewLimiter(0), object.NewLimiter(0)) },
		"measure": func() object.Store { return object.Measure(mem.New(), object.ObserverFunc(ignore)) },
		"prefix":  func() object.Store { return object.Prefix(mem.New(), "vol/") },
		"sharded": func() object.Store { return object.Sharded(stores(3)) },
		"all": func() object.Store {
			s := object.Measure(object.Prefix(object.Sharded(stores(5)), "vol/"), object.ObserverFunc(ignore))
			return object.Limit(object.Retry(s, object.RetryOptions{}), nil, nil)
		},
	}
	for name, open := range wrap {
		t.Run(name, func(t *testing.T) {
			objecttest.Run(t, func(*testing.T) object.Store { return open() })
		})
	}
}

func TestUnwrap(t *testing.T) {
	inner := mem.New()
	for name, s := range map[string]object.Store{
		"retry":   object.Retry(inner, object.RetryOptions{}),
		"limit":   object.Limit(inner, nil, nil),
		"measure": object.Measure(inner, object.ObserverFunc(ignore)),
		"prefix":  object.Prefix(inner, "vol/"),
	} {
		u, ok := s.(interface{ Unwrap() object.Store })
		if !ok || u.Unwrap() != object.Store(inner) {
			t.Errorf("%s does not unwrap to its store", name)
		}
	}
}

func TestPrefixIsolates(t *testing.T) {
	inner := mem.New()
	a, b := object.Prefix(inner, "a/"), object.Prefix(inner, "b/")
	put(t, a, "key", "of a")
	put(t, b, "key", "of b")
	put(t, inner, "c", "outside")
	if got := get(t, a, "key"); got != "of a" {
		t.Errorf("got %q", got)
	}
	infos, more, err := b.List(t.Context(), "", "", 10)
	if err != nil || more || len(infos) != 1 || infos[0].Key != "key" {
		t.Errorf("list: %+v, %v, %v", infos, more, err)
	}
	if a.String() != "mem://a/" {
		t.Errorf("name %q", a)
	}
}

func TestMeasureReportsBytesOnce(t *testing.T) {
	type seen struct {
		op    object.Op
		bytes int64
		err   error
	}
	var got []seen
	s := object.Measure(mem.New(), object.ObserverFunc(func(op object.Op, n int64, took time.Duration, err error) {
		if took < 0 {
			t.Errorf("%s took %s", op, took)
		}
		got = append(got, seen{op, n, err})
	}))
	ctx := t.Context()
	check := func(want seen) {
		t.Helper()
		if len(got) != 1 || got[0].op != want.op || got[0].bytes != want.bytes || !errors.Is(got[0].err, want.err) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		got = nil
	}

	put(t, s, "key", "0123456789")
	check(seen{object.OpPut, 10, nil})
	get(t, s, "key")
	check(seen{object.OpGet, 10, nil})

	body, err := s.Get(ctx, "key", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(body, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if len(got) != 0 {
		t.Errorf("an open body was reported: %+v", got)
	}
	body.Close()
	body.Close()
	check(seen{object.OpGet, 4, nil})

	_, _ = s.Get(ctx, "absent", 0, -1)
	check(seen{object.OpGet, 0, object.ErrNotFound})
	_, _ = s.Head(ctx, "key")
	check(seen{object.OpHead, 0, nil})
	_, _, _ = s.List(ctx, "", "", 1)
	check(seen{object.OpList, 0, nil})
	_ = s.Delete(ctx, "key")
	check(seen{object.OpDelete, 0, nil})
	_ = s.Create(ctx)
	check(seen{object.OpCreate, 0, nil})
	_ = s.Put(ctx, "", strings.NewReader("xx"))
	check(seen{object.OpPut, 0, object.ErrInvalid})
}

func TestOpNames(t *testing.T) {
	for i := range object.Ops {
		if object.Op(i).String() == "unknown" {
			t.Errorf("operation %d has no name", i)
		}
	}
}

func ignore(object.Op, int64, time.Duration, error) {}

func stores(n int) []object.Store {
	s := make([]object.Store, n)
	for i := range s {
		s[i] = mem.New()
	}
	return s
}

func put(t *testing.T, s object.Store, key, data string) {
	t.Helper()
	if err := s.Put(t.Context(), key, strings.NewReader(data)); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func get(t *testing.T, s object.Store, key string) string {
	t.Helper()
	data, err := fetch(t.Context(), s, key)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	return data
}

func fetch(ctx context.Context, s object.Store, key string) (string, error) {
	body, err := s.Get(ctx, key, 0, -1)
	if err != nil {
		return "", err
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	return string(data), err
}
