package cache

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"time"
)

// allocUnit is what space is reserved in before a file's real allocation is known, in bytes.
const allocUnit = 4096

// write is a worker: it writes queued blocks until the tier is closed and the queue is empty.
func (d *Disk) write() {
	var sums []byte
	for {
		d.mu.Lock()
		for len(d.queue) == 0 && !d.closed {
			d.work.Wait()
		}
		if len(d.queue) == 0 {
			d.mu.Unlock()
			return
		}
		p := d.queue[0]
		d.queue[0] = nil
		d.queue = d.queue[1:]
		removed := p.removed
		d.mu.Unlock()

		if !removed {
			sums = appendSums(sums[:0], p.buf.B)
			start := time.Now()
			if d.store(p, sums) {
				d.wrote(len(p.buf.B))
				if d.o.OnWrite != nil {
					d.o.OnWrite(time.Since(start))
				}
			} else {
				d.drops.Add(1)
			}
		}

		d.mu.Lock()
		d.arrived(p)
		d.queued -= int64(len(p.buf.B))
		p.buf.Release() // with mu held, so that queued never says less than what is held
		if d.queued == 0 {
			d.idle.Broadcast()
		}
		d.mu.Unlock()
	}
}

// arrived takes what was queued off the blocks that wait. d.mu is held.
func (d *Disk) arrived(p *pending) {
	k := p.key.Key
	if d.pending[k] == p {
		delete(d.pending, k)
	}
	if i := slices.Index(d.parts[k], p); i >= 0 {
		if d.parts[k] = slices.Delete(d.parts[k], i, i+1); len(d.parts[k]) == 0 {
			delete(d.parts, k)
		}
	}
}

// store writes one block, or part of one, if there is room, and reports whether it did.
func (d *Disk) store(p *pending, sums []byte) bool {
	if !d.writable() || d.relieve() {
		return false
	}
	need := (int64(len(p.buf.B)) + int64(len(sums)) + allocUnit - 1) / allocUnit * allocUnit
	if p.key.part {
		need += 2 * allocUnit // the checksums lie apart and may touch two units
	}
	if !d.reserve(need) {
		return false
	}
	put := d.storeWhole
	if p.key.part {
		put = d.storePart
	}
	err := put(p, sums, need)
	if err != nil {
		d.trouble(err)
		return false
	}
	d.makeRoom(0, 0) // the file may have taken more than was reserved
	if d.health.recovered() {
		d.log.Info("cache directory works again")
	}
	return true
}

// storeWhole writes a block and gives the need bytes reserved for it back.
func (d *Disk) storeWhole(p *pending, sums []byte, need int64) error {
	space, err := d.writeFile(p, sums)
	part := fileKey{p.key.Key, true}

	d.mu.Lock()
	d.reserved -= need
	d.writing--
	removed, parts := p.removed, false
	if err == nil && !removed {
		d.index.put(&entry{key: p.key, space: space, used: d.o.Now().UnixNano(), scan: d.scans})
		parts = d.index.remove(d.index.m[part])
	}
	d.mu.Unlock()
	if err == nil && removed {
		d.unlink(p.key)
	}
	if parts {
		d.unlink(part) // the block has them all
	}
	return err
}

func (d *Disk) writeFile(p *pending, sums []byte) (int64, error) {
	if d.health.troubled() {
		if err := d.layout.restore(); err != nil {
			return 0, err
		}
	}
	writer := d.writer + "-" + strconv.FormatUint(d.temps.Add(1), 36)
	space, err := d.layout.write(p.key, p.buf.B, sums, writer)
	if errors.Is(err, fs.ErrNotExist) { // emptied beneath us
		if err = d.layout.restore(); err == nil {
			space, err = d.layout.write(p.key, p.buf.B, sums, writer)
		}
	}
	return space, err
}

// reserve makes room for a file of need bytes and keeps it; false if there is none to be had.
func (d *Disk) reserve(need int64) bool {
	if need > d.o.MaxBytes {
		return false
	}
	return d.makeRoom(need, 1)
}

// makeRoom evicts until need more bytes in n more files fit, and reserves them.
func (d *Disk) makeRoom(need, n int64) bool {
	var out []fileKey
	var beside int64
	if d.o.Beside != nil {
		beside = d.o.Beside()
	}
	d.mu.Lock()
	full := func() bool {
		return d.index.space+d.reserved+beside+need > d.o.MaxBytes ||
			d.o.MaxItems > 0 && int64(len(d.index.m))+d.writing+n > d.o.MaxItems
	}
	for full() {
		e := d.index.order.victim()
		if !d.index.remove(e) {
			break
		}
		out = append(out, e.key)
	}
	ok := !full()
	if ok {
		d.reserved += need
		d.writing += n
	}
	d.mu.Unlock()
	d.evict(out)
	return ok
}

// evict removes the files of blocks that the index has given up.
func (d *Disk) evict(keys []fileKey) {
	for _, k := range keys {
		d.unlink(k)
	}
	d.evictions.Add(int64(len(keys)))
}

// discard is evict for entries that have to be looked up, because no policy chose them.
func (d *Disk) discard(want func(*entry) bool) {
	var out []fileKey
	d.mu.Lock()
	for _, e := range d.index.m {
		if want(e) {
			out = append(out, e.key)
			d.index.remove(e)
		}
	}
	d.mu.Unlock()
	d.evict(out)
}

// writable reports whether a write may be tried now.
func (d *Disk) writable() bool { return d.health.usable(d.o.Now()) }

// trouble stops writing for a while.
func (d *Disk) trouble(err error) {
	if d.health.fail(d.o.Now().Add(d.o.RetryAfter)) {
		d.log.Error("cache directory does not work; nothing is written to it for a while", "retry", d.o.RetryAfter, "err", err)
	}
}
