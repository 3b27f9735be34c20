// Package upload brings written blocks to the object store.
//
// Through mode: when done is called without an error, the object store has the block. Nothing else is
// promised and nothing is kept here: a block whose upload fails for good is reported to done and forgotten,
// so whoever commits metadata must wait for every block that the commit names. Retrying one request is the
// matter of the object store beneath; what comes back from there is final.
package upload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"jfs/block"
	"jfs/internal/bytepool"
)

// DefaultConcurrency is the default of the flag --max-uploads.
const DefaultConcurrency = 20

// ErrClosed: the Uploader takes no more blocks.
var ErrClosed = errors.New("uploader is closed")

// Submitter is what a writer of files sees of uploading; each mode of writing is one.
type Submitter interface {
	// Submit takes over one reference to buf, whose bytes are the block and must not change any more, in
	// every case. It waits while too much is under way. Without an error done will be called exactly
	// once, from another goroutine, with the outcome; with an error (ctx ended, ErrClosed) never.
	// done must not wait for another Submit.
	Submit(ctx context.Context, key block.Key, buf *bytepool.Buf, done func(error)) error
}

// Inline is an optional part of a Submitter for callers that wait anyway.
type Inline interface {
	// Upload is Submit, but uploads in the caller's goroutine, and calls done from it, if an upload may begin at once.
	// Otherwise it says false, and has taken nothing.
	Upload(key block.Key, buf *bytepool.Buf, done func(error)) bool
}

// Cache takes blocks that were uploaded. It retains or copies what it keeps.
type Cache interface {
	Put(key block.Key, buf *bytepool.Buf)
}

// Options say how an Uploader works. The zero value works.
type Options struct {
	Concurrency int // uploads at a time; 0 means DefaultConcurrency
	// Queue is how many blocks may wait besides, so that a worker which is done finds the next one at
	// once; 0 means a quarter of Concurrency, at least 1.
	Queue int
	Cache Cache        // offered each block that was uploaded, before done is called; nil: none
	Log   *slog.Logger // told of failed uploads; nil: nothing is logged
}

// Stats is a snapshot of an Uploader.
type Stats struct {
	Queued         int   // blocks waiting
	Uploading      int   // blocks under way
	UploadingBytes int64 // bytes of both
	Blocks         int64 // uploaded since the start
	Bytes          int64 // bytes of these
	Errors         int64 // uploads that failed
}

var (
	_ Submitter = (*Uploader)(nil)
	_ Inline    = (*Uploader)(nil)
)

// Uploader is through mode.
type Uploader struct {
	sink    block.Sink
	o       Options
	slots   chan struct{} // one for each block queued or under way
	closing chan struct{} // closed by Close
	ctx     context.Context
	abort   context.CancelFunc // ends the uploads under way
	wg      sync.WaitGroup

	mu      sync.Mutex // guards the rest
	closed  bool
	workers int
	queue   []job
	stats   Stats
}

type job struct {
	key  block.Key
	buf  *bytepool.Buf
	done func(error)
}

// New makes an Uploader to sink.
func New(sink block.Sink, o Options) *Uploader {
	if o.Concurrency <= 0 {
		o.Concurrency = DefaultConcurrency
	}
	if o.Queue <= 0 {
		o.Queue = max(o.Concurrency/4, 1)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	u := &Uploader{sink: sink, o: o,
		slots: make(chan struct{}, o.Concurrency+o.Queue), closing: make(chan struct{})}
	u.ctx, u.abort = context.WithCancel(context.Background())
	return u
}

// Submit implements Submitter. ctx bounds the waiting only: a block that was taken is uploaded whatever
// becomes of the request that brought it.
func (u *Uploader) Submit(ctx context.Context, key block.Key, buf *bytepool.Buf, done func(error)) error {
	if err := u.submit(ctx, job{key, buf, done}); err != nil {
		buf.Release()
		return fmt.Errorf("submit block %s: %w", key.Name(false), err)
	}
	return nil
}

func (u *Uploader) submit(ctx context.Context, j job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case u.slots <- struct{}{}:
	case <-u.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		<-u.slots
		return ErrClosed
	}
	u.queue = append(u.queue, j)
	u.stats.Queued++
	u.stats.UploadingBytes += int64(j.key.Size)
	if u.workers < u.o.Concurrency {
		u.workers++
		u.wg.Go(u.work)
	}
	return nil
}

// Upload implements Inline.
func (u *Uploader) Upload(key block.Key, buf *bytepool.Buf, done func(error)) bool {
	select {
	case u.slots <- struct{}{}:
	default:
		return false
	}
	u.mu.Lock()
	if u.closed || u.workers >= u.o.Concurrency {
		u.mu.Unlock()
		<-u.slots
		return false
	}
	u.workers++
	u.wg.Add(1)
	u.stats.Uploading++
	u.stats.UploadingBytes += int64(key.Size)
	u.mu.Unlock()
	defer u.wg.Done()

	u.upload(job{key, buf, done})
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.queue) > 0 { // of others, who may have counted on this worker
		u.wg.Go(u.work)
	} else {
		u.workers--
	}
	return true
}

// Delete removes blocks that were uploaded in vain, because the commit that names them was refused.
func (u *Uploader) Delete(ctx context.Context, keys ...block.Key) error {
	return u.sink.Delete(ctx, keys...)
}

// Stats returns a snapshot.
func (u *Uploader) Stats() Stats {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stats
}

// Close takes no more blocks and waits until those taken are uploaded, each with its done called. When ctx
// ends first, the remaining uploads are aborted, which their done is told, and Close returns ctx's error.
func (u *Uploader) Close(ctx context.Context) error {
	u.mu.Lock()
	if !u.closed {
		u.closed = true
		close(u.closing)
	}
	u.mu.Unlock()

	drained := make(chan struct{})
	go func() {
		u.wg.Wait()
		close(drained)
	}()
	defer u.abort()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
	}
	left := u.Stats()
	u.abort()
	<-drained
	return fmt.Errorf("close uploader with %d blocks not uploaded: %w", left.Queued+left.Uploading, ctx.Err())
}

// work uploads until the queue is empty.
func (u *Uploader) work() {
	for {
		u.mu.Lock()
		if len(u.queue) == 0 {
			u.workers--
			u.mu.Unlock()
			return
		}
		j := u.queue[0]
		u.queue[0] = job{}
		u.queue = u.queue[1:]
		u.stats.Queued--
		u.stats.Uploading++
		u.mu.Unlock()
		u.upload(j)
	}
}

func (u *Uploader) upload(j job) {
	err := u.ctx.Err()
	if err == nil {
		err = u.sink.Put(u.ctx, j.key, j.buf.B)
	}
	if err == nil && u.o.Cache != nil {
		u.o.Cache.Put(j.key, j.buf)
	}
	j.buf.Release()
	if err != nil {
		err = fmt.Errorf("upload block %s: %w", j.key.Name(false), err)
		u.o.Log.Error("upload failed", "err", err)
	}

	u.mu.Lock()
	u.stats.Uploading--
	u.stats.UploadingBytes -= int64(j.key.Size)
	if err == nil {
		u.stats.Blocks++
		u.stats.Bytes += int64(j.key.Size)
	} else {
		u.stats.Errors++
	}
	u.mu.Unlock()
	j.done(err)
	<-u.slots
}
