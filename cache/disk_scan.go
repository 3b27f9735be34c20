package cache

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

const (
	// houseInterval is how often free space is looked after while nothing is written.
	houseInterval = 15 * time.Second
	// sweepInterval is how often expired blocks are looked for.
	sweepInterval = time.Minute
	// tempLife is how old a temporary file must be to be taken for a leftover of a crash; younger ones may
	// belong to another process.
	tempLife = time.Hour
	// scanBatch is how many names are read from a directory at a time.
	scanBatch = 512
)

// keepHouse is the goroutine that scans, expires, and keeps space free.
func (d *Disk) keepHouse() {
	defer d.closeScanned()
	d.scan()
	tick := time.NewTicker(houseInterval)
	defer tick.Stop()
	start := d.o.Now()
	scanned, swept := start, start
	for {
		select {
		case <-d.stop:
			return
		case <-tick.C:
		}
		now := d.o.Now()
		if d.o.ScanInterval > 0 && now.Sub(scanned) >= d.o.ScanInterval {
			d.scan()
			scanned = now
		}
		if now.Sub(swept) >= sweepInterval {
			d.sweep()
			swept = now
		}
		d.relieve()
	}
}

// closeScanned says that the first scan is over; also when Close ended it.
func (d *Disk) closeScanned() {
	select {
	case <-d.scanned:
	default:
		close(d.scanned)
	}
}

// sweep removes the blocks that were not read for too long.
func (d *Disk) sweep() {
	if d.o.Expire <= 0 {
		return
	}
	now := d.o.Now().UnixNano()
	d.discard(func(e *entry) bool { return d.expired(e.used, now) })
}

// scan brings the index and the directory together: it adds files that the index does not know and forgets
// entries whose files are gone.
func (d *Disk) scan() {
	d.mu.Lock()
	d.scans++
	scan := d.scans
	d.mu.Unlock()
	for n := range 256 {
		if !d.scanDir(d.layout.sub(uint64(n)), byte(n), scan) {
			return // closed
		}
	}

	var gone []*entry
	d.mu.Lock()
	if !d.complete {
		d.complete = true
		d.index.order.sort()
	}
	for _, e := range d.index.m {
		if e.scan < scan {
			gone = append(gone, e)
		}
	}
	d.mu.Unlock()
	for _, e := range gone {
		if _, err := os.Lstat(d.layout.path(e.key)); errors.Is(err, fs.ErrNotExist) {
			d.handles.drop(e.key)
			d.mu.Lock()
			d.index.remove(e)
			d.mu.Unlock()
		}
	}
	d.sweep()
	d.makeRoom(0, 0)
	d.relieve()
	d.closeScanned()
}

// scanDir looks at one directory; false means that the tier was closed.
func (d *Disk) scanDir(name string, fan byte, scan uint32) bool {
	dir, err := os.Open(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			d.log.Warn("cannot scan cache directory", "err", err)
		}
		return true
	}
	defer dir.Close()
	for {
		select {
		case <-d.stop:
			return false
		default:
		}
		names, err := dir.Readdirnames(scanBatch)
		for _, file := range names {
			d.scanFile(name+"/"+file, file, fan, scan)
		}
		if err != nil {
			if err != io.EOF {
				d.log.Warn("cannot scan cache directory", "err", err)
			}
			return true
		}
		d.makeRoom(0, 0) // a smaller MaxBytes than last time takes effect as files are found
	}
}

func (d *Disk) scanFile(path, name string, fan byte, scan uint32) {
	key, ok := parseName(name)
	if !ok || byte(key.Slice) != fan {
		d.scanTemp(path, name)
		return
	}
	d.mu.Lock()
	known := d.seen(key, scan)
	d.mu.Unlock()
	if known {
		return
	}
	info, err := os.Lstat(path)
	if err != nil {
		return // removed since
	}
	if !info.Mode().IsRegular() || info.Size() != fileSize(key.Key) || key.Size == 0 {
		_ = os.Remove(path)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.seen(key, scan) {
		return
	}
	d.index.put(&entry{key: key, space: allocated(info), used: lastUse(info).UnixNano(), scan: scan})
}

// seen marks a known block; it is called with mu held.
func (d *Disk) seen(key fileKey, scan uint32) bool {
	e := d.index.m[key]
	if e != nil {
		e.scan = scan
	}
	return e != nil
}

func (d *Disk) scanTemp(path, name string) {
	if !strings.HasPrefix(name, ".") || !strings.HasSuffix(name, tempSuffix) {
		return // not ours
	}
	info, err := os.Lstat(path)
	if err == nil && d.o.Now().Sub(info.ModTime()) > tempLife {
		_ = os.Remove(path)
	}
}
