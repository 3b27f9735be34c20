package cache

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"syscall"

	"jfs/block"
	"jfs/internal/bytepool"
)

// A file with parts of a block grows in place. A page's data is written before its checksums, so after a kill of the
// process a page is there or is not; after a crash of the machine the checksums tell. When all pages are there, the
// file is that of the whole block, and gets its name.

// PutPart implements Tier, under the same bounds as Put.
func (d *Disk) PutPart(key block.Key, buf *bytepool.Buf, off int) {
	size := int64(len(buf.B))
	if !isPart(key, off, len(buf.B)) {
		return
	}
	if !d.writable() {
		d.drops.Add(1)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed || d.known(key) || d.waiting(key, off, len(buf.B)) != nil:
		return
	case d.queued > 0 && d.queued+size > d.o.QueueBytes:
		d.drops.Add(1)
		return
	}
	p := &pending{key: fileKey{key, true}, off: off, buf: buf.Retain()}
	d.parts[key] = append(d.parts[key], p)
	d.enqueue(p)
}

// HasPart implements Tier.
func (d *Disk) HasPart(key block.Key, off, n int) bool {
	if !inside(key, off, n) {
		return false
	}
	var part finding
	d.mu.Lock()
	known := d.known(key) || d.waiting(key, off, n) != nil
	if !known && hasParts(key) {
		part = d.find(fileKey{key, true})
	}
	d.mu.Unlock()
	if known {
		return true
	}
	if part.look && d.covers(part, off, n) {
		return true
	}
	return d.Has(key) // which looks further while the first scan runs
}

// covers reports whether a file with parts has n bytes at off.
func (d *Disk) covers(part finding, off, n int) bool {
	h := d.handle(part)
	if h == nil {
		return false
	}
	defer d.handles.release(h)
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.covers(off, n)
}

// storePart writes a part and gives the need bytes reserved for it back.
func (d *Disk) storePart(p *pending, sums []byte, need int64) error {
	h, err := d.partFile(p.key)
	whole, space, gone := false, int64(0), false
	if err == nil {
		defer d.handles.release(h)
		if whole, err = h.add(p.buf.B, sums, p.off); err == nil {
			space, gone, err = h.taken()
		}
	}
	key := p.key
	if whole && err == nil && !gone {
		key.part = false
		if err = os.Rename(d.layout.path(p.key), d.layout.path(key)); errors.Is(err, fs.ErrNotExist) {
			gone, err = true, nil // removed meanwhile
		}
	}

	d.mu.Lock()
	d.reserved -= need
	d.writing--
	removed := p.removed || d.index.m[fileKey{Key: p.key.Key}] != nil // the whole block has arrived
	if err == nil && !removed && !gone {
		if !key.part {
			d.index.remove(d.index.m[p.key])
		}
		d.index.put(&entry{key: key, space: space, used: d.o.Now().UnixNano(), scan: d.scans})
	}
	d.mu.Unlock()
	if !key.part {
		d.handles.drop(p.key)
	}
	if removed && err == nil {
		d.unlink(p.key)
		if p.removed {
			d.unlink(key)
		}
	}
	return err
}

// partFile opens the file with parts of a block, and makes it if need be. The caller releases it.
func (d *Disk) partFile(key fileKey) (*handle, error) {
	if h := d.handles.get(key); h != nil {
		return h, nil
	}
	d.partOpen.Lock()
	defer d.partOpen.Unlock()
	if h := d.handles.get(key); h != nil {
		return h, nil
	}
	h, err := d.layout.open(key)
	if err == nil {
		d.handles.put(h)
		return h, nil
	}
	if errors.Is(err, errDamaged) { // left by a crash
		_ = os.Remove(d.layout.path(key))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if d.health.troubled() {
		if err := d.layout.restore(); err != nil {
			return nil, err
		}
	}
	h, err = d.layout.makePart(key)
	if errors.Is(err, fs.ErrNotExist) { // emptied beneath us
		if err = d.layout.restore(); err == nil {
			h, err = d.layout.makePart(key)
		}
	}
	if err == nil {
		d.handles.put(h)
	}
	return h, err
}

// makePart makes a file without a page.
func (l *layout) makePart(key fileKey) (*handle, error) {
	if err := mkdir(l.sub(key.Slice), l.dirMode()); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(l.path(key), os.O_RDWR|os.O_CREATE, l.mode)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(fileSize(key.Key)); err != nil {
		_ = f.Close()
		return nil, err
	}
	_ = f.Close()
	return l.open(key) // with what another process may have written meanwhile
}

// covers reports whether the pages of [off, off+n) are there. h.mu is held.
func (h *handle) covers(off, n int) bool {
	from, to := pageSpan(h.key.Key, off, n)
	for i := from / pieceSize; i < pieces(to); i++ {
		if binary.BigEndian.Uint32(h.sums[4*i:]) == 0 { // one page in 2^28 has such a checksum, and is never kept
			return false
		}
	}
	return true
}

// add writes whole pages with their checksums, and reports whether all of the block is there now.
func (h *handle) add(data, sums []byte, off int) (whole bool, err error) {
	if _, err := h.file.WriteAt(data, int64(off)); err != nil {
		return false, err
	}
	at := 4 * (off / pieceSize)
	if _, err := h.file.WriteAt(sums, int64(h.key.Size)+int64(at)); err != nil {
		return false, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	copy(h.sums[at:], sums)
	return h.covers(0, int(h.key.Size)), nil
}

// taken is the space of a file that was written to; gone says that it has no name any more.
func (h *handle) taken() (space int64, gone bool, err error) {
	info, err := h.file.Stat()
	if err != nil {
		return 0, false, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return allocated(info), ok && st.Nlink == 0, nil
}

// PutPart implements Tier.
func (d *Disks) PutPart(key block.Key, buf *bytepool.Buf, off int) {
	if !d.HasPart(key, off, len(buf.B)) {
		d.choose(key, func(disk *Disk) { disk.PutPart(key, buf, off) })
	}
}

// HasPart implements Tier.
func (d *Disks) HasPart(key block.Key, off, n int) bool {
	for _, disk := range d.dirs {
		if disk.HasPart(key, off, n) {
			return true
		}
	}
	return false
}
