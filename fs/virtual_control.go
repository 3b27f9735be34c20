package fs

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// Controller carries out what is asked for through the control file.
type Controller interface {
	// Serve carries out a command for who. It may tell report, from several goroutines, two numbers that show how far
	// it has come. What it returns is given to the asker as it is.
	Serve(ctx context.Context, who meta.Cred, command uint32, payload []byte, report func(a, b uint64)) (answer []byte)
}

const (
	requestHead = 8       // command and size of the payload, 4 bytes each, most significant first
	requestMost = 1 << 20 // bytes of a payload; lists of paths are the longest

	progressSize = 17   // 0xFE and two numbers of 8 bytes
	progressMark = 0xFE // volume format, section 14

	progressPause = 250 * time.Millisecond // between two items of progress
	streamWait    = time.Second            // of a read that finds nothing: long enough to be cheap for who polls
)

// asker is one open control file: requests go in, progress and answers come out.
type asker struct {
	fs     *FS
	who    meta.Cred
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex // guards the rest
	request  []byte     // what has come of the next request
	busy     bool       // a request is being carried out
	progress [2]uint64
	fresh    bool // progress has not been read
	answer   []byte
	answered chan struct{} // closed when there is an answer
}

func newAsker(f *FS, who meta.Cred) *asker {
	a := &asker{fs: f, who: who, answered: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancel(f.ctx)
	return a
}

// write takes a piece of a request, and begins to carry it out when it is complete.
func (a *asker) write(src []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy {
		return 0, posix.EBUSY
	}
	a.request = append(a.request, src...)
	if len(a.request) < requestHead {
		return len(src), nil
	}
	command, size := binary.BigEndian.Uint32(a.request), binary.BigEndian.Uint32(a.request[4:])
	switch have := len(a.request) - requestHead; {
	case size > requestMost || have > int(size):
		a.request = nil
		return 0, posix.EINVAL
	case have < int(size):
		return len(src), nil
	}
	payload := a.request[requestHead:]
	a.request, a.busy, a.fresh, a.answer, a.answered = nil, true, false, nil, make(chan struct{})
	a.fs.work.Go(func() { a.serve(command, payload) })
	return len(src), nil
}

func (a *asker) serve(command uint32, payload []byte) {
	answer := []byte{byte(posix.ENOTSUP)}
	if c := a.fs.opt.Virtual.Control; c != nil {
		answer = c.Serve(a.ctx, a.who, command, payload, a.report)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.busy, a.answer = false, answer
	close(a.answered)
}

func (a *asker) report(x, y uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.progress, a.fresh = [2]uint64{x, y}, true
}

// read gives progress and the answer as they come. An item of progress is given whole.
func (a *asker) read(ctx context.Context, dst []byte) (int, error) {
	for waited := time.Duration(0); ; waited += progressPause {
		n, answered := a.take(dst)
		if n > 0 || answered == nil || waited >= streamWait {
			return n, nil
		}
		timer := time.NewTimer(progressPause)
		select {
		case <-answered:
		case <-timer.C:
		case <-ctx.Done():
		case <-a.ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if a.ctx.Err() != nil {
			return 0, a.ctx.Err()
		}
	}
}

// take moves what is there into dst. Without a request under way there is nothing to wait for, and answered is nil.
func (a *asker) take(dst []byte) (n int, answered <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fresh && len(dst) >= progressSize {
		dst[0] = progressMark
		binary.BigEndian.PutUint64(dst[1:], a.progress[0])
		binary.BigEndian.PutUint64(dst[9:], a.progress[1])
		a.fresh, n = false, progressSize
	}
	m := copy(dst[n:], a.answer)
	if m > 0 { // nothing may come between the pieces of an answer
		a.fresh = false
	}
	a.answer = a.answer[m:]
	if a.busy {
		answered = a.answered
	}
	return n + m, answered
}
