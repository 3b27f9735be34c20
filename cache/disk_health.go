package cache

import (
	"sync"
	"syscall"
	"time"
)

// health remembers that a directory failed, until a write succeeds.
type health struct {
	mu    sync.Mutex // guards the rest
	bad   bool
	until time.Time // not to be tried before
}

// usable reports whether a write may be tried.
func (h *health) usable(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.bad || !now.Before(h.until)
}

func (h *health) troubled() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bad
}

// fail notes a failure and reports whether it is news.
func (h *health) fail(until time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	news := !h.bad
	h.bad, h.until = true, until
	return news
}

// recovered notes a success and reports whether it is news.
func (h *health) recovered() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	news := h.bad
	h.bad = false
	return news
}

// pressure is the state of the watch over the file system's free space. The disk's mutex guards it.
type pressure struct {
	next time.Time // no eviction before
}

// pressurePause is how long after an eviction for free space the next one waits: some file systems give
// space back later than they say, and asking again at once would empty the cache.
const pressurePause = time.Second

// relieve reports whether the file system has too little free space for another block, and evicts what the
// cache can contribute.
func (d *Disk) relieve() bool {
	bytes, files := d.shortage()
	if bytes <= 0 && files <= 0 {
		return false
	}
	var out []fileKey
	now := d.o.Now()
	d.mu.Lock()
	if !now.Before(d.pressure.next) {
		d.pressure.next = now.Add(pressurePause)
		for bytes > 0 || files > 0 {
			e := d.index.order.victim()
			if !d.index.remove(e) {
				break
			}
			out = append(out, e.key)
			bytes -= e.space
			files--
		}
	}
	d.mu.Unlock()
	d.evict(out)
	return true
}

// shortage is how many bytes and inodes are missing to FreeRatio; 0 or less is enough.
func (d *Disk) shortage() (bytes, files int64) {
	var st syscall.Statfs_t
	if d.o.FreeRatio < 0 || syscall.Statfs(d.layout.dir, &st) != nil {
		return 0, 0 // a directory that is gone is found out by writing
	}
	unit := st.Frsize
	if unit == 0 {
		unit = st.Bsize
	}
	bytes = int64(float64(st.Blocks)*d.o.FreeRatio-float64(st.Bavail)) * unit
	if st.Files > 0 { // else inodes are made as needed
		files = int64(float64(st.Files)*d.o.FreeRatio - float64(st.Ffree))
	}
	return bytes, files
}
