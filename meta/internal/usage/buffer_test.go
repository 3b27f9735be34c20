package usage_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jfs/meta"
	"jfs/meta/internal/usage"
)

// counters are the stored ones.
type counters struct {
	mu   sync.Mutex // guards what follows
	now  stored
	fail error
}

type stored struct {
	space, inodes int64
	writes        int
}

func (c *counters) write(_ context.Context, space, inodes int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.writes++
	if c.fail != nil {
		return c.fail
	}
	c.now.space += space
	c.now.inodes += inodes
	return nil
}

func (c *counters) failWith(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = err
}

func (c *counters) want(t *testing.T, when string, want stored) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now != want {
		t.Errorf("%s: %+v, want %+v", when, c.now, want)
	}
}

func (c *counters) read() (int64, int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.space, c.now.inodes, nil
}

func TestWritesOncePerInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counters
		b := usage.New(c.write, usage.Options{})
		for range 10 {
			b.Add(4096, 1)
		}
		b.Add(-4096, 0)
		c.want(t, "at once", stored{})
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		c.want(t, "after the first interval", stored{9 * 4096, 10, 1})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		c.want(t, "with nothing to write", stored{9 * 4096, 10, 1})
		b.Add(1, 1)
		for range 2 {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			c.want(t, "after close", stored{9*4096 + 1, 11, 2})
		}
	})
}

func TestKeepsWhatWasNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counters
		b := usage.New(c.write, usage.Options{})
		down := errors.New("down")
		c.failWith(down)
		b.Add(10, 1)
		if err := b.Flush(context.Background()); !errors.Is(err, down) {
			t.Errorf("flush: %v", err)
		}
		space, inodes, err := b.Read(context.Background(), c.read)
		if space != 10 || inodes != 1 || err != nil {
			t.Errorf("read %d, %d: %v", space, inodes, err)
		}
		c.failWith(nil)
		time.Sleep(1500 * time.Millisecond) // the next interval makes up for it
		synctest.Wait()
		c.want(t, "after the next interval", stored{10, 1, 2})
		c.failWith(meta.ErrUnknown)
		b.Add(5, 1)
		if err := b.Flush(context.Background()); !errors.Is(err, meta.ErrUnknown) {
			t.Errorf("flush: %v", err)
		}
		c.failWith(nil)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		c.want(t, "after a write of unknown outcome, which is not repeated", stored{10, 1, 3})
	})
}

// TestReadWhileWriting: what is on its way is counted once.
func TestReadWhileWriting(t *testing.T) {
	var c counters
	var once sync.Once
	entered, release := make(chan struct{}), make(chan struct{})
	b := usage.New(func(ctx context.Context, space, inodes int64) error {
		once.Do(func() { close(entered) })
		<-release
		return c.write(ctx, space, inodes)
	}, usage.Options{Interval: time.Hour})
	b.Add(7, 1)
	flushed := make(chan error)
	go func() { flushed <- b.Flush(context.Background()) }()
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := b.Read(ctx, c.read); !errors.Is(err, context.Canceled) {
		t.Errorf("read with a cancelled context: %v", err)
	}
	type answer struct {
		space, inodes int64
		err           error
	}
	got := make(chan answer)
	go func() {
		space, inodes, err := b.Read(context.Background(), c.read)
		got <- answer{space, inodes, err}
	}()
	b.Add(1, 1) // never waits
	close(release)
	if err := <-flushed; err != nil {
		t.Error(err)
	}
	if a := <-got; a != (answer{8, 2, nil}) {
		t.Errorf("read %+v", a)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
