// Package usage collects changes of a volume's usage counters, for databases in which every client would
// otherwise contend for the same two records.
//
// What is collected is lost if the process dies; the counters are approximate by design.
package usage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"jfs/meta"
)

const (
	defaultInterval = time.Second
	// patience bounds a flush that nobody waits for. The next one tries again.
	patience = 10 * time.Second
)

// Options tune a Buffer; the zero value works.
type Options struct {
	Interval time.Duration // between two flushes; 0 means one second
	Log      *slog.Logger  // gets a warning when a flush goes wrong; nil: nobody does
}

// Buffer is safe for concurrent use.
type Buffer struct {
	write func(ctx context.Context, space, inodes int64) error
	log   *slog.Logger

	// flushing is held while collected changes are on their way: they are neither stored nor waiting then.
	// It is a channel so that waiting for it ends with a context. Taken before mu.
	flushing chan struct{}

	mu            sync.Mutex // guards space, inodes
	space, inodes int64

	stop, done chan struct{}
	closing    sync.Once
	closeErr   error
}

// New starts a buffer; write adds to the stored counters, all or nothing, within a bounded time.
func New(write func(ctx context.Context, space, inodes int64) error, opts Options) *Buffer {
	if opts.Interval <= 0 {
		opts.Interval = defaultInterval
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	b := &Buffer{write: write, log: opts.Log, flushing: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go b.run(opts.Interval)
	return b
}

func (b *Buffer) run(interval time.Duration) {
	defer close(b.done)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			if err := b.Flush(ctx); err != nil {
				b.log.Warn("usage counters are not up to date", "error", err)
			}
			cancel()
		case <-b.stop:
			return
		}
	}
}

// Add collects a change in bytes and inodes.
func (b *Buffer) Add(space, inodes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.space += space
	b.inodes += inodes
}

// take empties the buffer.
func (b *Buffer) take() (space, inodes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	space, inodes = b.space, b.inodes
	b.space, b.inodes = 0, 0
	return space, inodes
}

// Flush writes what is collected. After a failure it stays collected, unless the outcome is unknown: then it
// counts as written, since a lost change is no worse than a doubled one and less likely.
func (b *Buffer) Flush(ctx context.Context) error {
	if err := b.hold(ctx); err != nil {
		return err
	}
	defer b.release()
	space, inodes := b.take()
	if space == 0 && inodes == 0 {
		return nil
	}
	err := b.write(ctx, space, inodes)
	if err == nil {
		return nil
	}
	if !errors.Is(err, meta.ErrUnknown) {
		b.Add(space, inodes)
	}
	return fmt.Errorf("write usage counters: %w", err)
}

// Read adds what is collected to what stored returns, which must be the newest state.
func (b *Buffer) Read(ctx context.Context, stored func() (space, inodes int64, err error)) (space, inodes int64, err error) {
	if err := b.hold(ctx); err != nil {
		return 0, 0, err
	}
	defer b.release()
	if space, inodes, err = stored(); err != nil {
		return 0, 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return space + b.space, inodes + b.inodes, nil
}

// Close ends the flushes after a last one. Changes must not be added any more. Calls after the first give the
// same answer.
func (b *Buffer) Close() error {
	b.closing.Do(func() {
		close(b.stop)
		<-b.done
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		b.closeErr = b.Flush(ctx)
	})
	return b.closeErr
}

func (b *Buffer) hold(ctx context.Context) error {
	select {
	case b.flushing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *Buffer) release() { <-b.flushing }
