package fs

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// AccessLog hands lines about what a mount does to those who read .accesslog. The zero value is ready.
type AccessLog struct {
	count atomic.Int32 // of readers, for those who want to know whether a line is worth making

	mu      sync.Mutex // guards readers; taken before a reader's
	readers map[*logReader]struct{}
}

// logRoom is what is kept for one reader that does not come along, in bytes: some 10,000 lines.
const logRoom = 1 << 20

// Active says whether anybody reads.
func (l *AccessLog) Active() bool { return l.count.Load() > 0 }

// Write gives a line, with its end, to all readers. It does not wait: who reads too slowly loses lines.
func (l *AccessLog) Write(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range l.readers {
		r.add(line)
	}
}

func (l *AccessLog) open() *logReader {
	r := &logReader{log: l, more: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readers == nil {
		l.readers = map[*logReader]struct{}{}
	}
	l.readers[r] = struct{}{}
	l.count.Add(1)
	return r
}

// logReader is one open .accesslog.
type logReader struct {
	log  *AccessLog
	more chan struct{} // lines have come

	mu   sync.Mutex // guards the rest
	buf  []byte     // whole lines
	lost int        // lines that there was no room for
}

func (r *logReader) add(line []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.buf)+len(line) > logRoom {
		r.lost++
		return
	}
	r.buf = append(r.buf, line...)
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// read gives lines, as many as fit. One that begins with "#" says that nothing has happened for a while, or how much
// was lost.
func (r *logReader) read(ctx context.Context, dst []byte) (int, error) {
	timer := time.NewTimer(streamWait)
	defer timer.Stop()
	for {
		if n := r.take(dst); n > 0 {
			return n, nil
		}
		select {
		case <-r.more:
		case <-timer.C:
			return copy(dst, "#\n"), nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (r *logReader) take(dst []byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.buf) <= len(dst) && r.lost > 0 {
		r.buf = fmt.Appendf(r.buf, "# %d lines were lost because they were read too slowly\n", r.lost)
		r.lost = 0
	}
	n := min(len(dst), len(r.buf))
	if n < len(r.buf) {
		if end := bytes.LastIndexByte(r.buf[:n], '\n'); end >= 0 {
			n = end + 1
		}
	}
	copy(dst, r.buf[:n])
	if r.buf = r.buf[n:]; len(r.buf) == 0 {
		r.buf = nil // what a burst needed is not kept
	}
	return n
}

func (r *logReader) close() {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.readers[r]; ok {
		delete(l.readers, r)
		l.count.Add(-1)
	}
}
