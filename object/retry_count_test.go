package object_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"jfs/object"
)

// flaky fails the first requests to put.
type flaky struct {
	object.Store
	left int
}

func (f *flaky) Put(ctx context.Context, key string, body io.ReadSeeker) error {
	if f.left > 0 {
		f.left--
		return errors.New("broken connection")
	}
	return nil
}

// Every repetition is counted, and the first attempt is none.
func TestRetriesAreCounted(t *testing.T) {
	var told []object.Op
	s := object.Retry(&flaky{left: 2}, object.RetryOptions{
		Sleep:   func(context.Context, time.Duration) error { return nil },
		OnRetry: func(op object.Op) { told = append(told, op) },
	})
	for range 2 {
		if err := s.Put(t.Context(), "k", strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	if len(told) != 2 || told[0] != object.OpPut {
		t.Errorf("told of %v", told)
	}
}
