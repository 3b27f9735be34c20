package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"jfs/internal/sleep"
)

// ErrTimeout: the store did not answer within the time of one attempt. It is never the end of the
// caller's own ctx.
var ErrTimeout = errors.New("no answer in time")

// RetryOptions tells Retry how patient to be. The zero value is that of the official client's defaults.
type RetryOptions struct {
	Attempts   int           // how often one request is sent in all; 0 means 10
	GetTimeout time.Duration // for one attempt of Get with its body, Head or List; 0 means 60 s
	PutTimeout time.Duration // for one attempt of Put, Delete or Create; 0 means 60 s

	// Sleep waits between attempts and returns early with an error when ctx ends; nil means a timer.
	Sleep func(ctx context.Context, d time.Duration) error
	Log   *slog.Logger // told of every repetition; nil means silence
	// OnRetry is told of every repetition too, for counting; nil: nobody is. Many goroutines call it at a time.
	OnRetry func(Op)
}

// The waits double from firstPause (firstThrottled when the store asks to slow down) up to maxPause, so
// ten attempts ride out a disturbance of about a minute.
const (
	firstPause     = 100 * time.Millisecond
	firstThrottled = time.Second
	maxPause       = 30 * time.Second
)

// Retry sends requests of store again that failed for a reason that may pass. ErrNotFound, ErrDenied,
// ErrInvalid and the end of the caller's ctx are answers and come back at once.
//
// Every attempt has a deadline. That of a Get goes on while its body is read, and counts only the time
// inside Read, so a slow consumer is not taken for a slow store. A body that fails is not repeated here:
// only the caller knows what it has done with the first half.
func Retry(store Store, o RetryOptions) Store {
	if o.Attempts <= 0 {
		o.Attempts = 10
	}
	if o.GetTimeout <= 0 {
		o.GetTimeout = 60 * time.Second
	}
	if o.PutTimeout <= 0 {
		o.PutTimeout = 60 * time.Second
	}
	if o.Sleep == nil {
		o.Sleep = sleep.For
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &retrying{Store: store, o: o}
}

type retrying struct {
	Store
	o RetryOptions
}

func (r *retrying) Unwrap() Store { return r.Store }

func (r *retrying) Create(ctx context.Context) error {
	return r.within(ctx, OpCreate, "", r.o.PutTimeout, r.Store.Create)
}

func (r *retrying) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	var body io.ReadCloser
	err := r.loop(ctx, OpGet, key, func() error {
		w := newWatch(ctx, r.o.GetTimeout)
		w.start()
		rc, err := r.Store.Get(w.ctx, key, off, n)
		w.stop()
		if err != nil {
			w.end()
			return verdict(ctx, OpGet, key, r.o.GetTimeout, err)
		}
		body = &watchedBody{ReadCloser: rc, ctx: ctx, key: key, limit: r.o.GetTimeout, watch: w}
		return nil
	})
	return body, err
}

func (r *retrying) Put(ctx context.Context, key string, body io.ReadSeeker) error {
	at, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	own := &ownBody{ReadSeeker: body}
	if _, ok := body.(*bytes.Reader); !ok { // that one cannot fail, and stores have faster ways with it
		body = own
	}
	return r.within(ctx, OpPut, key, r.o.PutTimeout, func(ctx context.Context) error {
		if _, err := body.Seek(at, io.SeekStart); err != nil {
			return fmt.Errorf("put %s: %w", key, err)
		}
		err := r.Store.Put(ctx, key, body)
		if own.err != nil && err != nil {
			return local{fmt.Errorf("put %s: read the body: %w", key, own.err)}
		}
		return err
	})
}

func (r *retrying) Head(ctx context.Context, key string) (info Info, err error) {
	err = r.within(ctx, OpHead, key, r.o.GetTimeout, func(ctx context.Context) (err error) {
		info, err = r.Store.Head(ctx, key)
		return err
	})
	return info, err
}

func (r *retrying) Delete(ctx context.Context, key string) error {
	return r.within(ctx, OpDelete, key, r.o.PutTimeout, func(ctx context.Context) error {
		return r.Store.Delete(ctx, key)
	})
}

func (r *retrying) List(ctx context.Context, prefix, after string, limit int) (infos []Info, more bool, err error) {
	err = r.within(ctx, OpList, prefix, r.o.GetTimeout, func(ctx context.Context) (err error) {
		infos, more, err = r.Store.List(ctx, prefix, after, limit)
		return err
	})
	return infos, more, err
}

// within runs attempts that are over when do returns.
func (r *retrying) within(ctx context.Context, op Op, key string, limit time.Duration, do func(context.Context) error) error {
	return r.loop(ctx, op, key, func() error {
		attempt, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if err := do(attempt); err != nil {
			return verdict(ctx, op, key, limit, err)
		}
		return nil
	})
}

func (r *retrying) loop(ctx context.Context, op Op, key string, attempt func() error) error {
	// Each kind of failure has a count of its own: a connection that breaks among refusals is no reason to wait as long as
	// for the next refusal, and the other way round.
	var quick, throttled int
	for n := 1; ; n++ {
		err := attempt()
		if err == nil || final(err) || ctx.Err() != nil {
			return err
		}
		if n >= r.o.Attempts {
			return fmt.Errorf("%w (after %d attempts)", err, n)
		}
		count, slow := &quick, errors.Is(err, ErrThrottled)
		if slow {
			count = &throttled
		}
		*count++
		d := pause(*count, slow)
		if r.o.OnRetry != nil {
			r.o.OnRetry(op)
		}
		r.o.Log.Warn("repeat request to object store", "op", op.String(), "key", key, "attempt", n, "pause", d, "err", err)
		if err := r.o.Sleep(ctx, d); err != nil {
			return fmt.Errorf("%s %s: %w", op, key, err)
		}
	}
}

// ownBody remembers that the caller's body failed: that is no failure of the store.
type ownBody struct {
	io.ReadSeeker
	err error
}

func (b *ownBody) Read(p []byte) (int, error) {
	n, err := b.ReadSeeker.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// local marks an error that was made on this side, so the request is not sent again.
type local struct{ error }

func (l local) Unwrap() error { return l.error }

func final(err error) bool {
	return errors.As(err, new(local)) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrDenied) || errors.Is(err, ErrInvalid)
}

// verdict turns the error of an attempt into the one that callers see: while the caller's ctx goes on, no
// error may look like its end, because callers take that for their own wish; once it has ended, a transient
// failure is only its echo.
func verdict(ctx context.Context, op Op, key string, limit time.Duration, err error) error {
	ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	switch cause := ctx.Err(); {
	case cause != nil && (ended || !final(err)):
		return fmt.Errorf("%s %s: %w", op, key, cause)
	case ended:
		return fmt.Errorf("%s %s: %w (limit of one attempt %s)", op, key, ErrTimeout, limit)
	}
	return err
}

// pause is how long to wait after the n-th failure of a kind: doubling, with the upper half random so that clients
// that failed together do not come back together.
func pause(n int, throttled bool) time.Duration {
	d := firstPause
	if throttled {
		d = firstThrottled
	}
	for ; n > 1 && d < maxPause; n-- {
		d *= 2
	}
	d = min(d, maxPause)
	return d/2 + rand.N(d/2+1)
}

// watch is a deadline that runs only between start and stop. One goroutine at a time uses it.
type watch struct {
	ctx    context.Context
	cancel context.CancelFunc
	timer  *time.Timer
	left   time.Duration
	since  time.Time
}

func newWatch(parent context.Context, limit time.Duration) *watch {
	w := &watch{left: limit}
	w.ctx, w.cancel = context.WithCancel(parent)
	return w
}

func (w *watch) start() {
	w.since = time.Now()
	switch {
	case w.left <= 0:
		w.cancel()
	case w.timer == nil:
		w.timer = time.AfterFunc(w.left, w.cancel)
	default:
		w.timer.Reset(w.left)
	}
}

func (w *watch) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.left -= time.Since(w.since)
}

func (w *watch) end() { w.cancel() }

type watchedBody struct {
	io.ReadCloser
	ctx   context.Context // the caller's
	key   string
	limit time.Duration
	watch *watch
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.watch.start()
	n, err := b.ReadCloser.Read(p)
	b.watch.stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = verdict(b.ctx, OpGet, b.key, b.limit, err)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	err := b.ReadCloser.Close()
	b.watch.end()
	return err
}
