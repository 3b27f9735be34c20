package cache

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"

	"jfs/block"
	"jfs/internal/bytepool"
)

var _ Tier = (*Disk)(nil)

// Disk is the tier on a local disk, one file per block, and one for the parts of a block that is not there whole. It
// survives a restart, and a crash costs at most the
// blocks being written. Until the scan that OpenDisk starts has seen everything, reads try the file itself.
//
// What is on the disk stays within MaxBytes by the space really allocated, but for the writes in flight, and
// but for what a scan under way has not yet found. Trouble with the disk stops writing for RetryAfter; reads
// become misses.
type Disk struct {
	o       DiskOptions
	log     *slog.Logger
	layout  *layout
	handles *handles
	health  health
	scratch sync.Pool // of *[pieceSize]byte
	writer  string    // this process's part of temporary names
	temps   atomic.Uint64
	counters

	stop    chan struct{} // closed by Close
	scanned chan struct{} // closed when the first scan is complete
	wg      sync.WaitGroup

	mu       sync.Mutex // guards the rest
	work     *sync.Cond // a block was queued, or the tier was closed
	idle     *sync.Cond // the queue became empty
	closed   bool
	complete bool // the first scan is over: what is not in the index is not on the disk
	scans    uint32
	index    *index
	pending  map[block.Key]*pending
	parts    map[block.Key][]*pending // parts of blocks likewise
	queue    []*pending               // of those the ones that no worker has taken
	queued   int64                    // bytes of pending
	reserved int64                    // space of the writes in flight
	writing  int64                    // number of the writes in flight
	pressure pressure

	partOpen sync.Mutex // held while a file with parts is opened, of which there must be one handle
	// partEntry is held while what such a file takes is measured and entered into the index, and while one is removed:
	// else one of two writers could enter what the file took before the other's write. Taken after partOpen, before mu.
	partEntry sync.Mutex
}

// pending is a block or a part of one on its way to the disk; reads find it here.
type pending struct {
	key     fileKey
	off     int // where in the block buf begins
	buf     *bytepool.Buf
	removed bool
}

// OpenDisk opens the cache in a directory, which it makes if need be.
func OpenDisk(dir string, o DiskOptions) (*Disk, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	l, err := openLayout(dir, o.Mode)
	if err != nil {
		return nil, err
	}
	var token [8]byte
	_, _ = rand.Read(token[:]) // never fails
	d := &Disk{
		o: o, log: o.Log.With("dir", dir), layout: l, handles: newHandles(o.OpenFiles),
		writer: hex.EncodeToString(token[:]),
		stop:   make(chan struct{}), scanned: make(chan struct{}),
		index: newIndex(o.Eviction), pending: make(map[block.Key]*pending), parts: make(map[block.Key][]*pending),
	}
	d.scratch.New = func() any { return new([pieceSize]byte) }
	d.work, d.idle = sync.NewCond(&d.mu), sync.NewCond(&d.mu)
	for range o.Workers {
		d.wg.Go(d.write)
	}
	d.wg.Go(d.keepHouse)
	return d, nil
}

// ReadAt implements Tier.
func (d *Disk) ReadAt(key block.Key, dst []byte, off int) bool {
	return d.read(d.fill(key, dst, off), len(dst))
}

// Has implements Tier.
func (d *Disk) Has(key block.Key) bool {
	d.mu.Lock()
	known := d.known(key)
	look := !known && !d.complete && !d.closed
	d.mu.Unlock()
	if !look {
		return known
	}
	var st syscall.Stat_t
	return syscall.Stat(d.layout.path(fileKey{Key: key}), &st) == nil && st.Size == fileSize(key)
}

// Put implements Tier. It retains buf until the block is written or dropped; QueueBytes bounds how much it
// retains in all, and a disk that does not answer holds no more than that.
func (d *Disk) Put(key block.Key, buf *bytepool.Buf) { d.put(context.Background(), key, buf, false) }

// known reports whether a block is there or on its way. d.mu is held.
func (d *Disk) known(key block.Key) bool {
	return d.pending[key] != nil || d.index.m[fileKey{Key: key}] != nil
}

// PutWait is Put for a block that is not to be dropped because too many wait: it waits until none does, or ctx ends.
func (d *Disk) PutWait(ctx context.Context, key block.Key, buf *bytepool.Buf) {
	d.put(ctx, key, buf, true)
}

func (d *Disk) put(ctx context.Context, key block.Key, buf *bytepool.Buf, wait bool) {
	size := int64(len(buf.B))
	if size == 0 || size != int64(key.Size) {
		return
	}
	if !d.writable() {
		d.drops.Add(1)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.known(key) {
		return
	}
	full := func() bool { return d.queued > 0 && d.queued+size > d.o.QueueBytes }
	if wait && full() {
		stop := context.AfterFunc(ctx, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.idle.Broadcast()
		})
		for full() && !d.closed && ctx.Err() == nil {
			d.idle.Wait()
		}
		stop()
		if d.closed || d.known(key) { // somebody else was faster
			return
		}
	}
	if full() {
		d.drops.Add(1)
		return
	}
	p := &pending{key: fileKey{Key: key}, buf: buf.Retain()}
	d.pending[key] = p
	d.enqueue(p)
}

// enqueue is called with mu held.
func (d *Disk) enqueue(p *pending) {
	d.queue = append(d.queue, p)
	d.queued += int64(len(p.buf.B))
	d.work.Signal()
}

// Remove implements Tier.
func (d *Disk) Remove(key block.Key) {
	d.mu.Lock()
	p := d.pending[key]
	if p != nil {
		p.removed = true
		delete(d.pending, key)
	}
	for _, p := range d.parts[key] {
		p.removed = true
	}
	delete(d.parts, key)
	blind := !d.complete && !d.closed
	whole, part := fileKey{Key: key}, fileKey{key, true}
	lookWhole := d.index.remove(d.index.m[whole]) || blind
	lookPart := d.index.remove(d.index.m[part]) || blind
	d.mu.Unlock()
	if lookWhole {
		d.unlink(whole)
	}
	if lookPart {
		d.unlink(part)
	}
}

// Flush waits until everything that was put before is written or dropped.
func (d *Disk) Flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.queued > 0 {
		d.idle.Wait()
	}
}

// Stats implements Tier.
func (d *Disk) Stats() Stats {
	s := d.snapshot()
	d.mu.Lock()
	defer d.mu.Unlock()
	s.Blocks, s.Bytes = int64(len(d.index.m)), d.index.space
	return s
}

// Close implements Tier. Blocks in the queue are still written.
func (d *Disk) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.work.Broadcast()
	d.mu.Unlock()
	close(d.stop)
	d.wg.Wait()
	d.handles.close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.index = newIndex(evictNone)
	return nil
}

// unlink removes a block's file. The index no longer has it.
func (d *Disk) unlink(key fileKey) {
	if key.part {
		d.partEntry.Lock()
		defer d.partEntry.Unlock()
		d.mu.Lock()
		back := d.index.m[key] != nil
		d.mu.Unlock()
		if back {
			return // it has grown since, and is counted again
		}
	}
	d.handles.drop(key)
	if err := syscall.Unlink(d.layout.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.trouble(&fs.PathError{Op: "unlink", Path: d.layout.path(key), Err: err})
	}
}

func (d *Disk) expired(used, now int64) bool {
	return d.o.Expire > 0 && now-used > int64(d.o.Expire)
}
