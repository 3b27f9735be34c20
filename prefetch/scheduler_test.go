package prefetch_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"jfs/block"
	"jfs/prefetch"
)

// gate is a fetch that waits for a word on each block.
type gate struct {
	started chan prefetch.Piece
	word    chan error

	mu   sync.Mutex
	now  int
	peak int
	done []prefetch.Piece
}

func newGate() *gate { return &gate{started: make(chan prefetch.Piece, 100), word: make(chan error)} }

func (g *gate) fetch(ctx context.Context, k block.Key, off, n int) error {
	g.mu.Lock()
	g.now++
	g.peak = max(g.peak, g.now)
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.now--
		g.done = append(g.done, prefetch.Piece{Key: k, Off: off, Len: n})
		g.mu.Unlock()
	}()
	g.started <- prefetch.Piece{Key: k, Off: off, Len: n}
	select {
	case err := <-g.word:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func keys(from, n uint64) (ks []prefetch.Piece) {
	for i := range n {
		ks = append(ks, prefetch.Whole(block.Key{Slice: from + i, Size: 1 << 20}))
	}
	return ks
}

func TestSchedulerFetchesInOrder(t *testing.T) {
	g := newGate()
	s := prefetch.New(g.fetch, prefetch.Options{Concurrency: 1})
	want := keys(1, 20)
	s.Submit(want...)
	for i := range want {
		if k := <-g.started; k != want[i] {
			t.Errorf("block %d is %v", i, k)
		}
		g.word <- nil
	}
	s.Close()
	if got := s.Stats(); got != (prefetch.Stats{Submitted: 20, Fetched: 20}) {
		t.Errorf("%+v", got)
	}
	if !slices.Equal(g.done, want) {
		t.Errorf("fetched %v", g.done)
	}
}

func TestSchedulerBounds(t *testing.T) {
	g := newGate()
	s := prefetch.New(g.fetch, prefetch.Options{MaxBytes: 6 << 20, Concurrency: 3})
	s.Submit(keys(1, 10)...)
	for range 3 {
		<-g.started
	}
	want := prefetch.Stats{Queued: 3, Running: 3, Bytes: 6 << 20, Submitted: 10, Dropped: 4}
	if got := s.Stats(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	s.Submit(keys(1, 6)...) // queued or running
	want.Submitted, want.Duplicates = 16, 6
	if got := s.Stats(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for range 6 {
		g.word <- nil
	}
	for range 3 {
		<-g.started
	}
	s.Close()
	if g.peak != 3 {
		t.Errorf("%d fetches at a time", g.peak)
	}
	if got := s.Stats(); got != (prefetch.Stats{Submitted: 16, Fetched: 6, Dropped: 4, Duplicates: 6}) {
		t.Errorf("%+v", got)
	}
}

func TestSchedulerLargeBlock(t *testing.T) {
	g := newGate()
	s := prefetch.New(g.fetch, prefetch.Options{MaxBytes: 1 << 20})
	s.Submit(prefetch.Whole(block.Key{Slice: 1, Size: 4 << 20}), prefetch.Whole(block.Key{Slice: 2, Size: 1}))
	<-g.started
	g.word <- nil
	s.Close()
	if got := s.Stats(); got != (prefetch.Stats{Submitted: 2, Fetched: 1, Dropped: 1}) {
		t.Errorf("%+v", got)
	}
}

func TestSchedulerCancel(t *testing.T) {
	g := newGate()
	s := prefetch.New(g.fetch, prefetch.Options{Concurrency: 1})
	ks := keys(1, 4)
	s.Submit(ks...)
	<-g.started
	s.Cancel(ks[0], ks[1], ks[1], prefetch.Whole(block.Key{Slice: 99}))
	if k := <-g.started; k != ks[2] {
		t.Errorf("after the cancelled ones comes %v", k)
	}
	s.Submit(ks[1]) // a cancelled block may be wanted again
	g.word <- nil
	<-g.started
	g.word <- errors.New("no luck")
	<-g.started
	g.word <- nil
	s.Close()
	if got := s.Stats(); got != (prefetch.Stats{Submitted: 5, Fetched: 2, Failed: 1, Cancelled: 2}) {
		t.Errorf("%+v", got)
	}
}

func TestSchedulerClose(t *testing.T) {
	g := newGate()
	s := prefetch.New(g.fetch, prefetch.Options{Concurrency: 2})
	s.Submit(keys(1, 10)...)
	<-g.started
	<-g.started
	s.Close()
	s.Submit(keys(50, 1)...)
	s.Close()
	if got := s.Stats(); got != (prefetch.Stats{Submitted: 11, Cancelled: 10, Dropped: 1}) {
		t.Errorf("%+v", got)
	}
	if g.now != 0 {
		t.Errorf("%d fetches still run", g.now)
	}
}

// What is there already is not fetched, and the delay is that of real fetches.
func TestSchedulerReadyAndDelay(t *testing.T) {
	g := newGate()
	var mu sync.Mutex
	now := time.Unix(1000, 0)
	there := keys(1, 3)
	s := prefetch.New(g.fetch, prefetch.Options{
		Concurrency: 1,
		Has: func(k block.Key, off, n int) bool {
			return slices.Contains(there, prefetch.Piece{Key: k, Off: off, Len: n})
		},
		Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now },
	})
	fetch := func(key uint64, took time.Duration, want time.Duration) {
		t.Helper()
		if !s.Submit(keys(key, 1)...) {
			t.Error("refused")
		}
		<-g.started
		mu.Lock()
		now = now.Add(took)
		mu.Unlock()
		g.word <- nil
		s.Submit(keys(99, 1)...) // begins when the one before is done
		<-g.started
		if got := s.Delay(); got != want {
			t.Errorf("delay %v, want %v", got, want)
		}
		s.Cancel(keys(99, 1)...)
	}
	if !s.Submit(keys(1, 3)...) || s.Delay() != 0 {
		t.Error("what is there was refused, or counts as a fetch")
	}
	fetch(10, 80*time.Millisecond, 80*time.Millisecond)
	fetch(11, 160*time.Millisecond, 90*time.Millisecond)
	piece := prefetch.Piece{Key: block.Key{Slice: 1, Size: 1 << 20}, Off: 4096, Len: 8192} // a part is not the block
	s.Submit(piece)
	if got := <-g.started; got != piece {
		t.Errorf("fetches %v", got)
	}
	g.word <- nil
	s.Close()
	if s.Submit(keys(50, 1)...) {
		t.Error("taken after Close")
	}
	if got := s.Stats(); got != (prefetch.Stats{Submitted: 9, Ready: 3, Fetched: 3, Cancelled: 2, Dropped: 1}) {
		t.Errorf("%+v", got)
	}
}
