package redis

import (
	"context"
	"errors"
	"os"
	"time"
)

// catchUpIn is how long a look at the memory may wait for others to process what has come. It takes microseconds,
// unless more comes all the time; asking the server is the alternative.
const catchUpIn = 10 * time.Millisecond

// catchUp waits until all is processed that has come until now, so that the memory is not older than what has arrived
// here. false means that it cannot be relied on.
func (l *link) catchUp(ctx context.Context) bool {
	began := l.src.socket.tries.Load()
	var late <-chan time.Time
	for {
		l.mu.Lock()
		switch {
		case l.err != nil:
			l.mu.Unlock()
			return false
		case l.role == roleFree && l.src.plain:
			l.role = roleCaller
			l.mu.Unlock()
			for l.reason() == nil && (l.in.Buffered() > 0 || pollable(l.conn) != nothingToRead) {
				l.readNext()
			}
			l.release()
			return l.reason() == nil
		case l.upToDate(began):
			l.mu.Unlock()
			return true
		case l.role == roleFree: // only a read can tell what TLS holds back, and may have to wait
			l.role = roleKeeper
			l.handOver()
		}
		caught := l.progress()
		done := l.upToDate(began) // which was told to nobody before there was the channel
		l.mu.Unlock()
		if done {
			return true
		}
		if late == nil {
			t := time.NewTimer(catchUpIn)
			defer t.Stop()
			late = t.C
		}
		select {
		case <-caught:
		case <-l.dead:
		case <-ctx.Done():
			return false
		case <-late:
			return false
		}
	}
}

// settle waits until what was asked before is answered, or the link has ended.
func (l *link) settle(ctx context.Context) error {
	l.mu.Lock()
	asked := l.answered + uint64(len(l.calls)-l.head)
	for l.err == nil && l.answered < asked {
		if l.role == roleFree { // nobody waits for those answers
			l.role = roleKeeper
			l.handOver()
		}
		progress := l.progress()
		l.mu.Unlock()
		select {
		case <-progress:
		case <-l.dead:
		case <-ctx.Done():
			return ctx.Err()
		}
		l.mu.Lock()
	}
	l.mu.Unlock()
	return nil
}

// progress gives what is closed when all that has come is processed, or nobody reads any more. l.mu is held.
func (l *link) progress() <-chan struct{} {
	if l.caught == nil {
		l.caught = make(chan struct{})
		l.src.socket.watched.Store(true)
	}
	return l.caught
}

// upToDate says that all is processed that had come when the reader had looked so often at the socket.
func (l *link) upToDate(before uint64) bool {
	// A later look has found nothing, or, in this order: what the look at the socket does not find, because it was read, is being processed.
	return l.src.socket.emptied.Load() > before || pollable(l.conn) == nothingToRead && !l.src.socket.busy.Load()
}

// readAll is called by whoever reads, when all that has come is processed.
func (l *link) readAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wake()
}

// wake wakes those who wait for what has come to be processed. l.mu is held.
func (l *link) wake() {
	if l.caught != nil {
		close(l.caught)
		l.caught = nil
		l.src.socket.watched.Store(false)
	}
}

// readOwn reads until the caller's own answers are there. It gives up when ctx ends, and says so.
func (l *link) readOwn(ctx context.Context, c *call) bool {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.reader == c {
				l.cut = true
				_ = l.conn.SetReadDeadline(time.Unix(1, 0))
			}
		})
		defer stop()
	}
	own := true
	for len(c.done) == 0 {
		if !l.await() {
			if own = ctx.Err() == nil; own {
				continue // the cut was meant for another
			}
			break
		}
		l.readNext()
	}
	l.release()
	return own
}

// release gives up a caller's role.
func (l *link) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reader = nil
	l.uncut()
	switch {
	case l.err != nil:
		l.role = roleFree
	case l.head < len(l.calls) || l.in.Buffered() > 0:
		l.role = roleKeeper
		l.handOver()
	default:
		l.free()
	}
}

// handOver wakes the keeper, which has got the role. l.mu is held.
func (l *link) handOver() {
	select {
	case l.turn <- struct{}{}:
	default: // it has not come to the turn before
	}
}

// free lets the next caller read, or the keeper when there is none for a while. l.mu is held.
func (l *link) free() {
	l.role, l.freed = roleFree, time.Now()
	if !l.armed {
		l.armed = true
		l.idle.Reset(idleAfter)
	}
	l.wake()
}

func (l *link) uncut() {
	if l.cut {
		l.cut = false
		_ = l.conn.SetReadDeadline(time.Time{})
	}
}

// await waits until there is something to read, or the link has failed. false means that a caller was cut short.
func (l *link) await() bool {
	l.src.between = true
	_, err := l.in.Peek(1)
	l.src.between = false
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return true // readNext meets what other error there is
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uncut()
	return false
}

// readNext processes one answer or push, or the end of the connection.
func (l *link) readNext() {
	m, err := readReply(l.in)
	switch {
	case err != nil:
		l.fail(err)
	case m.kind == replyPush:
		l.onPush(m)
	default:
		l.answer(m)
	}
}

// keep reads while it is the keeper's turn.
func (l *link) keep() {
	defer close(l.ended)
	for {
		l.serve()
		select {
		case <-l.dead:
			return
		case <-l.turn:
		case <-l.idle.C:
			if !l.tired() {
				continue
			}
		}
	}
}

// tired takes the role when nobody has had it for a while.
func (l *link) tired() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.armed = false; l.role != roleFree {
		return false // whoever gives it up arms the timer again
	}
	if wait := idleAfter - time.Since(l.freed); wait > 0 {
		l.armed = true
		l.idle.Reset(wait)
		return false
	}
	l.role = roleKeeper
	return true
}

// serve reads while the keeper has the role, which it gives up after answers when nobody waits any more.
func (l *link) serve() {
	for l.mine() {
		l.await()
		l.readNext()
	}
}

// mine says whether the keeper is to go on reading.
func (l *link) mine() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err == nil && l.role == roleKeeper
}

// leave lets the keeper give up the role after the last answer, so that the next caller reads itself.
func (l *link) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.role == roleKeeper && l.head == len(l.calls) && l.in.Buffered() == 0 && l.err == nil {
		l.free()
	}
}
