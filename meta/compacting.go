package meta

import (
	"context"
	"sync"
)

// compacting decides when a chunk is compacted in the background, and sees to it that few are at a time.
type compacting struct {
	v    *Volume
	ctx  context.Context // ends the compactions under way
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex // guards the rest
	closed  bool       // no more are taken
	counts  map[ChunkID]listLength
	busy    map[ChunkID]chan struct{} // waiting or being compacted; closed at the end
	waiting []ChunkID                 // in the order in which they came
	running int
}

// listLength is the number of records of a chunk.
type listLength struct {
	now  int // as last seen, and what this client has added since
	left int // what the last compaction left: there is no use in another one until there are more
}

// When a chunk is compacted, as the volume format has it.
const (
	compactRunning   = 10   // compactions of one client at a time
	compactWaiting   = 1000 // chunks that may wait; what comes then is left to the next read or write
	compactReadAt    = 5    // records, or items of the view, that a reader finds
	compactWriteEach = 100  // a writer asks for it at each so many records
	compactWriteFrom = 350  // ... and from here on each time
	compactWriteWait = 2500 // a writer waits for it: some databases hold no more than 2730 records

	compactCounts = 10_000 // chunks whose counts are kept
)

func (c *compacting) init(v *Volume) {
	c.v = v
	if v.opt.Compact == nil || v.opt.ReadOnly {
		return
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.counts, c.busy = map[ChunkID]listLength{}, map[ChunkID]chan struct{}{}
}

func (c *compacting) off() bool { return c.stop == nil }

func (c *compacting) close() {
	if c.off() {
		return
	}
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.wg.Wait()
}

// read takes notice of a list that was read.
func (c *compacting) read(id ChunkID, records []Slice) {
	if c.off() || len(records) < 2 {
		return
	}
	n := c.note(id, func(n *listLength) { n.now = len(records) })
	if n.left != n.now && (n.now >= compactReadAt || len(View(records)) >= compactReadAt) {
		c.ask(id)
	}
}

// note changes what is known of a chunk.
func (c *compacting) note(id ChunkID, change func(*listLength)) listLength {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, known := c.counts[id]
	if !known && len(c.counts) >= compactCounts {
		for other := range c.counts { // any: a lost count only delays a compaction
			delete(c.counts, other)
			break
		}
	}
	change(&n)
	c.counts[id] = n
	return n
}

// wrote takes notice of records that were appended. The count is this client's own, because an append does not tell
// the length of the list and a read for it would cost a round trip. For a chunk that has become very long it returns
// only when that was compacted.
func (c *compacting) wrote(ctx context.Context, id ChunkID, added int) {
	if c.off() {
		return
	}
	n := c.note(id, func(n *listLength) { n.now += added }).now
	if n <= compactWriteFrom && n/compactWriteEach == (n-added)/compactWriteEach {
		return
	}
	done := c.ask(id)
	if n < compactWriteWait || done == nil {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// all has the chunks of records compacted and waits for it. It says whether there was anything to do.
func (c *compacting) all(ctx context.Context, ino Ino, ws []Written) bool {
	if c.off() {
		return false
	}
	asked := map[uint32]bool{}
	for _, w := range ws {
		if asked[w.Index] {
			continue
		}
		asked[w.Index] = true
		done := c.ask(ChunkID{ino, w.Index})
		if done == nil {
			continue
		}
		select {
		case <-done:
		case <-ctx.Done():
			return false
		}
	}
	return len(asked) > 0
}

// ask has a chunk compacted in the background. done is closed when that is over, and nil when too many wait.
func (c *compacting) ask(id ChunkID) (done <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.busy[id]; d != nil {
		return d
	}
	if c.closed || len(c.waiting) >= compactWaiting {
		return nil
	}
	d := make(chan struct{})
	c.busy[id] = d
	if c.running >= compactRunning {
		c.waiting = append(c.waiting, id)
		return d
	}
	c.running++
	c.wg.Go(func() { c.work(id) })
	return d
}

// work compacts a chunk and then those that wait.
func (c *compacting) work(id ChunkID) {
	for {
		c.run(id)
		c.mu.Lock()
		close(c.busy[id])
		delete(c.busy, id)
		if len(c.waiting) == 0 {
			c.running--
			c.mu.Unlock()
			return
		}
		id, c.waiting = c.waiting[0], c.waiting[1:]
		c.mu.Unlock()
	}
}

func (c *compacting) run(id ChunkID) {
	if c.ctx.Err() != nil {
		return
	}
	left, err := c.v.opt.Compact(c.ctx, id.Ino, id.Index)
	if err != nil {
		if c.ctx.Err() == nil {
			c.v.log.Warn("compact", "inode", id.Ino, "chunk", id.Index, "err", err)
		}
		return
	}
	c.note(id, func(n *listLength) { n.now, n.left = left, left })
}
