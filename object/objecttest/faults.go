package objecttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"jfs/object"
)

// concurrent: puts of one key leave one of the values, whole.
func concurrent(t *testing.T, s object.Store) {
	const writers, size = 8, 64 << 10
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			data := strings.Repeat(string(rune('a'+i)), size)
			if err := s.Put(t.Context(), "c/key", strings.NewReader(data)); err != nil {
				t.Errorf("put: %v", err)
			}
		})
	}
	wg.Wait()
	got := read(t, s, "c/key", 0, -1)
	if len(got) != size || strings.Count(got, got[:1]) != size {
		t.Fatalf("the object is a mixture of %d bytes", len(got))
	}
	sameKeys(t, list(t, s, "", "", 10), []string{"c/key"})
}

func cancelled(t *testing.T, s object.Store) {
	put(t, s, "key", "data")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := map[string]func() error{
		"get":    func() error { _, err := s.Get(ctx, "key", 0, -1); return err },
		"put":    func() error { return s.Put(ctx, "other", bytes.NewReader([]byte("x"))) },
		"head":   func() error { _, err := s.Head(ctx, "key"); return err },
		"delete": func() error { return s.Delete(ctx, "key") },
		"list":   func() error { _, _, err := s.List(ctx, "", "", 10); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	sameKeys(t, list(t, s, "", "", 10), []string{"key"})
}

func cancelledGet(t *testing.T, s object.Store) {
	put(t, s, "big", string(pattern(4<<20)))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	body, err := s.Get(ctx, "big", 0, -1)
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	defer body.Close()
	if _, err := io.ReadFull(body, make([]byte, 1000)); err != nil {
		t.Fatalf("read: %v", err)
	}
	cancel()
	if n, err := io.Copy(io.Discard, body); !errors.Is(err, context.Canceled) {
		t.Fatalf("read after cancel: %d bytes, %v", n, err)
	}
}

func cancelledPut(t *testing.T, s object.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// The hook runs at every read: signing may read the body once before it is sent.
	body := &hooked{Reader: *bytes.NewReader(pattern(8 << 20)), hook: cancel}
	err := s.Put(ctx, "c/never", body)
	body.returned.Store(true)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("put: got %v", err)
	}
	sameKeys(t, list(t, s, "", "", 10), nil)
	if body.late.Load() {
		t.Fatal("the body was read after put returned")
	}
}

// brokenPut: a body that fails leaves the previous object.
func brokenPut(t *testing.T, s object.Store) {
	put(t, s, "b/key", "old")
	broken := errors.New("the body broke")
	body := &failing{Reader: *bytes.NewReader(pattern(1 << 20)), at: 1 << 19, err: broken}
	if err := s.Put(t.Context(), "b/key", body); !errors.Is(err, broken) {
		t.Fatalf("put: got %v", err)
	}
	want(t, s, "b/key", 0, -1, "old")
	sameKeys(t, list(t, s, "", "", 10), []string{"b/key"})
}

// hooked calls hook at every read, and notes a read after returned was set.
type hooked struct {
	bytes.Reader
	hook     func()
	returned atomic.Bool
	late     atomic.Bool
}

func (h *hooked) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{h})
}

func (h *hooked) Read(p []byte) (int, error) {
	if h.returned.Load() {
		h.late.Store(true)
	}
	h.hook()
	return h.Reader.Read(p)
}

// failing gives err instead of what lies at byte at and beyond.
type failing struct {
	bytes.Reader
	at  int64
	err error
}

func (f *failing) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{f})
}

func (f *failing) Read(p []byte) (int, error) {
	done := f.Size() - int64(f.Len())
	if done >= f.at {
		return 0, f.err
	}
	return f.Reader.Read(p[:min(int64(len(p)), f.at-done)])
}
