package upload_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"jfs/block"
	"jfs/internal/bytepool"
	"jfs/upload"
)

var errStore = errors.New("store says no")

// sink keeps blocks in memory. With a gate, each Put waits for a word.
type sink struct {
	gate    chan error
	started chan block.Key

	mu        sync.Mutex
	now, peak int
	blocks    map[block.Key][]byte
}

func newSink(gate chan error) *sink {
	return &sink{gate: gate, started: make(chan block.Key, 1000), blocks: map[block.Key][]byte{}}
}

func (s *sink) Put(ctx context.Context, key block.Key, data []byte) error {
	s.mu.Lock()
	s.now++
	s.peak = max(s.peak, s.now)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	s.started <- key
	if s.gate != nil {
		select {
		case err := <-s.gate:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	s.blocks[key] = bytes.Clone(data)
	s.mu.Unlock()
	return nil
}

func (s *sink) Delete(_ context.Context, keys ...block.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		delete(s.blocks, k)
	}
	return nil
}

// cacheOf holds what it is given until it is dropped.
type cacheOf struct {
	mu   sync.Mutex
	held map[block.Key]*bytepool.Buf
}

func (c *cacheOf) Put(k block.Key, b *bytepool.Buf) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[k] = b.Retain()
}

func (c *cacheOf) drop() {
	for _, b := range c.held {
		b.Release()
	}
}

// outcomes collects what done is told.
type outcomes struct {
	mu  sync.Mutex
	got map[block.Key][]error
}

func (o *outcomes) done(k block.Key) func(error) {
	return func(err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.got == nil {
			o.got = map[block.Key][]error{}
		}
		o.got[k] = append(o.got[k], err)
	}
}

func (o *outcomes) one(t *testing.T, k block.Key) error {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.got[k]) != 1 {
		t.Fatalf("done of %v was called %d times", k, len(o.got[k]))
	}
	return o.got[k][0]
}

func key(i int) block.Key { return block.Key{Slice: uint64(i), Size: 4096} }

func buf(t *testing.T, pool *bytepool.Pool, k block.Key) *bytepool.Buf {
	t.Helper()
	b, err := pool.Get(context.Background(), int(k.Size))
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.B {
		b.B[i] = byte(k.Slice)
	}
	return b
}

func TestUpload(t *testing.T) {
	ctx, s, pool, out := context.Background(), newSink(nil), bytepool.New(0), outcomes{}
	c := &cacheOf{held: map[block.Key]*bytepool.Buf{}}
	u := upload.New(s, upload.Options{Concurrency: 3, Cache: c})
	for i := range 100 {
		stored := func(err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.blocks[key(i)] == nil {
				t.Errorf("done before the store has block %d", i)
			}
			out.done(key(i))(err)
		}
		if err := u.Submit(ctx, key(i), buf(t, pool, key(i)), stored); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := out.one(t, key(i)); err != nil {
			t.Error(err)
		}
		if want := bytes.Repeat([]byte{byte(i)}, 4096); !bytes.Equal(s.blocks[key(i)], want) || !bytes.Equal(c.held[key(i)].B, want) {
			t.Errorf("block %d has wrong bytes", i)
		}
	}
	if s.peak > 3 {
		t.Errorf("%d uploads at a time", s.peak)
	}
	c.drop()
	if n := pool.Used(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
	if got := u.Stats(); got != (upload.Stats{Blocks: 100, Bytes: 100 * 4096}) {
		t.Errorf("%+v", got)
	}
	if err := u.Delete(ctx, key(1), key(2), key(1000)); err != nil || len(s.blocks) != 98 {
		t.Errorf("%d blocks after the deletion: %v", len(s.blocks), err)
	}
}

func TestUploadFails(t *testing.T) {
	ctx, pool, out := context.Background(), bytepool.New(0), outcomes{}
	gate := make(chan error, 2)
	c := &cacheOf{held: map[block.Key]*bytepool.Buf{}}
	u := upload.New(newSink(gate), upload.Options{Concurrency: 1, Cache: c})
	gate <- errStore
	gate <- nil
	for i := range 2 {
		if err := u.Submit(ctx, key(i), buf(t, pool, key(i)), out.done(key(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := out.one(t, key(0)); !errors.Is(err, errStore) {
		t.Errorf("done was told %v", err)
	}
	if err := out.one(t, key(1)); err != nil {
		t.Errorf("the upload after a failed one: %v", err)
	}
	if len(c.held) != 1 || c.held[key(1)] == nil {
		t.Errorf("%d blocks in the cache", len(c.held))
	}
	c.drop()
	if got := u.Stats(); pool.Used() != 0 || got != (upload.Stats{Blocks: 1, Bytes: 4096, Errors: 1}) {
		t.Errorf("%d bytes held, %+v", pool.Used(), got)
	}
}

func TestSubmitWaitsWhileBusy(t *testing.T) {
	pool, out := bytepool.New(0), outcomes{}
	gate := make(chan error)
	s := newSink(gate)
	u := upload.New(s, upload.Options{Concurrency: 2, Queue: 1})
	for i := range 3 {
		if err := u.Submit(context.Background(), key(i), buf(t, pool, key(i)), out.done(key(i))); err != nil {
			t.Fatal(err)
		}
	}
	<-s.started
	<-s.started
	if got := u.Stats(); got != (upload.Stats{Queued: 1, Uploading: 2, UploadingBytes: 3 * 4096}) {
		t.Errorf("%+v", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error)
	go func() { failed <- u.Submit(ctx, key(3), buf(t, pool, key(3)), out.done(key(3))) }()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("submit to a busy uploader: %v", err)
	}
	go func() { failed <- u.Submit(context.Background(), key(4), buf(t, pool, key(4)), out.done(key(4))) }()
	gate <- nil // makes a place
	if err := <-failed; err != nil {
		t.Errorf("submit once there is a place: %v", err)
	}
	for range 3 {
		gate <- nil
	}
	if err := u.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 1, 2, 4} {
		if err := out.one(t, key(i)); err != nil {
			t.Error(err)
		}
	}
	if out.got[key(3)] != nil || pool.Used() != 0 {
		t.Errorf("refused block: done told %v, %d bytes held", out.got[key(3)], pool.Used())
	}
}

func TestCloseAborts(t *testing.T) {
	pool, out := bytepool.New(0), outcomes{}
	s := newSink(make(chan error))
	u := upload.New(s, upload.Options{Concurrency: 1, Queue: 2})
	for i := range 3 {
		if err := u.Submit(context.Background(), key(i), buf(t, pool, key(i)), out.done(key(i))); err != nil {
			t.Fatal(err)
		}
	}
	<-s.started
	waiting := make(chan error)
	go func() { waiting <- u.Submit(context.Background(), key(3), buf(t, pool, key(3)), out.done(key(3))) }()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := u.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v", err)
	}
	for i := range 3 {
		if err := out.one(t, key(i)); !errors.Is(err, context.Canceled) {
			t.Errorf("block %d: done was told %v", i, err)
		}
	}
	if err := <-waiting; !errors.Is(err, upload.ErrClosed) {
		t.Errorf("a submit that waited: %v", err)
	}
	if err := u.Submit(context.Background(), key(5), buf(t, pool, key(5)), out.done(key(5))); !errors.Is(err, upload.ErrClosed) {
		t.Errorf("submit after close: %v", err)
	}
	if pool.Used() != 0 || len(s.blocks) != 0 {
		t.Errorf("%d bytes held, %d blocks stored", pool.Used(), len(s.blocks))
	}
	if err := u.Close(context.Background()); err != nil {
		t.Errorf("second close: %v", err)
	}
}

// TestInline: an upload in the caller's goroutine counts as one of the workers, and leaves nothing lying.
func TestInline(t *testing.T) {
	ctx, pool, out := context.Background(), bytepool.New(0), outcomes{}
	gate := make(chan error)
	s := newSink(gate)
	u := upload.New(s, upload.Options{Concurrency: 1, Queue: 2})
	taken := make(chan bool)
	go func() { taken <- u.Upload(key(0), buf(t, pool, key(0)), out.done(key(0))) }()
	<-s.started
	b := buf(t, pool, key(1))
	if u.Upload(key(1), b, out.done(key(1))) {
		t.Error("a second upload at a time")
	}
	if err := u.Submit(ctx, key(1), b, out.done(key(1))); err != nil { // waits for the first
		t.Fatal(err)
	}
	if got := u.Stats(); got.Uploading != 1 || got.Queued != 1 || got.UploadingBytes != 2*4096 {
		t.Errorf("while one uploads and one waits: %+v", got)
	}
	gate <- errStore
	if !<-taken {
		t.Error("the first was not taken")
	}
	gate <- nil
	if err := u.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := out.one(t, key(0)); !errors.Is(err, errStore) {
		t.Errorf("done was told %v", err)
	}
	if err := out.one(t, key(1)); err != nil {
		t.Error(err)
	}
	b = buf(t, pool, key(2))
	if u.Upload(key(2), b, out.done(key(2))) {
		t.Error("a closed uploader took a block")
	}
	b.Release()
	if got := u.Stats(); got != (upload.Stats{Blocks: 1, Bytes: 4096, Errors: 1}) || pool.Used() != 0 || s.peak != 1 {
		t.Errorf("%+v, %d bytes held, %d at a time", got, pool.Used(), s.peak)
	}
}
