package sleep

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestFor(t *testing.T) {
	for _, d := range []time.Duration{-1, 0, time.Millisecond} {
		if err := For(t.Context(), d); err != nil {
			t.Errorf("%v: %v", d, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, d := range []time.Duration{0, time.Hour} {
		if err := For(ctx, d); !errors.Is(err, context.Canceled) {
			t.Errorf("%v after the end: %v", d, err)
		}
	}
}
