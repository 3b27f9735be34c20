package cache

import (
	"errors"
	"io/fs"
	"syscall"
	"time"

	"jfs/block"
)

// fill is ReadAt without counting hits, which several disks do together.
func (d *Disk) fill(key block.Key, dst []byte, off int) bool {
	if d.o.OnRead == nil {
		return d.lookUp(key, dst, off)
	}
	start := time.Now()
	found := d.lookUp(key, dst, off)
	if found {
		d.o.OnRead(time.Since(start))
	}
	return found
}

// lookUp is fill without measuring.
func (d *Disk) lookUp(key block.Key, dst []byte, off int) bool {
	if !inside(key, off, len(dst)) || key.Size == 0 {
		return false
	}
	d.mu.Lock()
	if p := d.waiting(key, off, len(dst)); p != nil {
		buf := p.buf.Retain()
		d.mu.Unlock()
		copy(dst, buf.B[off-p.off:])
		buf.Release()
		return true
	}
	whole := d.find(fileKey{Key: key})
	d.mu.Unlock()
	if whole.look && d.fillFile(whole, dst, off) {
		return true
	}
	if !hasParts(key) {
		return false
	}
	d.mu.Lock()
	part := d.find(fileKey{key, true})
	d.mu.Unlock()
	return part.look && d.fillFile(part, dst, off)
}

// waiting returns what waits to be written and holds n bytes at off of a block. d.mu is held.
func (d *Disk) waiting(key block.Key, off, n int) *pending {
	if p := d.pending[key]; p != nil {
		return p
	}
	if len(d.parts) == 0 {
		return nil
	}
	for _, p := range d.parts[key] {
		if p.off <= off && off+n <= p.off+len(p.buf.B) {
			return p
		}
	}
	return nil
}

// finding is what the index knows of a file.
type finding struct {
	key  fileKey
	e    *entry // nil: it is not known, but may be there nevertheless
	look bool   // whether the file is to be tried
	old  bool   // it has expired
}

// find looks a file up and notes its use. d.mu is held.
func (d *Disk) find(key fileKey) finding {
	e := d.index.m[key]
	f := finding{key: key, e: e, look: !d.closed && (e != nil || !d.complete)}
	if f.look && e != nil {
		now := d.o.Now().UnixNano()
		if f.old = d.expired(e.used, now); f.old {
			d.index.remove(e)
		} else {
			d.index.use(e, now)
		}
	}
	return f
}

// fillFile reads from a file that find has named.
func (d *Disk) fillFile(f finding, dst []byte, off int) bool {
	h := d.handle(f)
	if h == nil {
		return false
	}
	defer d.handles.release(h)
	if h.key.part {
		h.mu.RLock()
		defer h.mu.RUnlock()
		if !h.covers(off, len(dst)) {
			return false
		}
	}
	scratch := d.scratch.Get().(*[pieceSize]byte)
	err := h.read(dst, off, d.o.Checksum, scratch[:])
	d.scratch.Put(scratch)
	if err != nil {
		d.unreadable(f.key, f.e, err)
		return false
	}
	return true
}

// handle opens a file that find has named, unless it is open; nil is a miss. The caller releases it.
func (d *Disk) handle(f finding) *handle {
	if f.old {
		d.unlink(f.key)
		d.evictions.Add(1)
		return nil
	}
	if h := d.handles.get(f.key); h != nil {
		return h
	}
	if f.key.part {
		d.partOpen.Lock()
		defer d.partOpen.Unlock()
		if h := d.handles.get(f.key); h != nil {
			return h
		}
	}
	h, err := d.layout.open(f.key)
	if err != nil {
		d.unreadable(f.key, f.e, err)
		return nil
	}
	if !d.keepOpen(h, f.e == nil) {
		d.handles.release(h)
		return nil
	}
	return h
}

// keepOpen shares a handle just opened. A file found before the scan found it enters the index, unless it
// has expired, for which keepOpen is false.
func (d *Disk) keepOpen(h *handle, found bool) bool {
	if found {
		now := d.o.Now().UnixNano()
		if d.expired(h.used.UnixNano(), now) {
			d.unlink(h.key)
			return false
		}
		d.mu.Lock()
		if d.index.m[h.key] == nil && !d.closed {
			d.index.put(&entry{key: h.key, space: h.space, used: now, scan: d.scans})
		}
		d.mu.Unlock()
	}
	d.handles.put(h)
	d.mu.Lock()
	known := d.index.m[h.key] != nil
	d.mu.Unlock()
	if !known {
		d.handles.drop(h.key) // evicted meanwhile: an open handle would keep its space
	}
	return true
}

// unreadable deals with a failed read of a block that was known as e, or not known.
func (d *Disk) unreadable(key fileKey, e *entry, err error) {
	missing, broken := errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EIO)
	if !missing && !broken && !errors.Is(err, errDamaged) {
		d.log.Debug("cannot read cached block", "block", fileName(key), "err", err)
		return
	}
	d.handles.drop(key)
	d.mu.Lock()
	if e == nil {
		e = d.index.m[key]
	}
	current := d.index.m[key] == e
	d.index.remove(e)
	d.mu.Unlock()
	if missing {
		return
	}
	if current { // else somebody has written it anew
		d.unlink(key)
	}
	d.log.Warn("removed unreadable block from cache", "block", fileName(key), "err", err)
	if broken {
		d.trouble(err)
	}
}
