package object

import (
	"context"
	"fmt"
	"io"
	"time"

	"golang.org/x/time/rate"

	"jfs/internal/sleep"
)

// limitBurst is what may pass at once: small against a second of any usable limit, large against a packet.
const limitBurst = 1 << 20

// NewLimiter makes a limiter for Limit; 0 or less bytes a second means no limit until SetRate sets one.
func NewLimiter(bytesPerSecond int64) *rate.Limiter {
	l := rate.NewLimiter(rate.Inf, limitBurst)
	SetRate(l, bytesPerSecond)
	return l
}

// SetRate changes a limiter at run time; 0 or less bytes a second means no limit.
func SetRate(l *rate.Limiter, bytesPerSecond int64) {
	if bytesPerSecond <= 0 {
		l.SetLimit(rate.Inf)
		return
	}
	l.SetLimit(rate.Limit(bytesPerSecond))
}

// Limit holds the bytes per second of Put (up) and Get (down) to those of the limiters; nil means no limit.
// Only the bytes of objects count.
//
// The wait for a Put, and for a Get of a known range, is over before the request is sent; other Gets wait
// while the body is read. So put Limit around Retry, not inside: waiting then costs no attempt its deadline.
func Limit(store Store, up, down *rate.Limiter) Store {
	return &limited{Store: store, up: up, down: down}
}

type limited struct {
	Store
	up, down *rate.Limiter
}

func (l *limited) Unwrap() Store { return l.Store }

func (l *limited) Put(ctx context.Context, key string, body io.ReadSeeker) error {
	if l.up != nil {
		n, err := Remaining(body)
		if err != nil {
			return fmt.Errorf("put %s: %w", key, err)
		}
		if err := pay(ctx, l.up, n); err != nil {
			return fmt.Errorf("put %s: wait for the upload limit: %w", key, err)
		}
	}
	return l.Store.Put(ctx, key, body)
}

func (l *limited) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if l.down == nil {
		return l.Store.Get(ctx, key, off, n)
	}
	if n >= 0 {
		if err := pay(ctx, l.down, n); err != nil {
			return nil, fmt.Errorf("get %s: wait for the download limit: %w", key, err)
		}
		return l.Store.Get(ctx, key, off, n)
	}
	body, err := l.Store.Get(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	return &limitedBody{ReadCloser: body, ctx: ctx, limiter: l.down}, nil
}

type limitedBody struct {
	io.ReadCloser
	ctx     context.Context
	limiter *rate.Limiter
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if step := b.limiter.Burst(); step > 0 && len(p) > step {
		p = p[:step]
	}
	n, err := b.ReadCloser.Read(p)
	if payErr := pay(b.ctx, b.limiter, int64(n)); payErr != nil {
		return n, fmt.Errorf("wait for the download limit: %w", payErr)
	}
	return n, err
}

// pay takes n tokens, in steps that the limiter's burst allows, and waits for each.
func pay(ctx context.Context, l *rate.Limiter, n int64) error {
	for n > 0 {
		if l.Limit() == rate.Inf {
			return ctx.Err()
		}
		step := min(n, int64(l.Burst()))
		if step <= 0 {
			return fmt.Errorf("the limiter has a burst of 0 bytes, make it with NewLimiter: %w", ErrInvalid)
		}
		r := l.ReserveN(time.Now(), int(step))
		if !r.OK() {
			continue // the burst was made smaller in between
		}
		if d := r.Delay(); d > 0 {
			if err := sleep.For(ctx, d); err != nil {
				r.Cancel()
				return err
			}
		}
		n -= step
	}
	return nil
}
