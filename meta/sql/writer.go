package sql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

const (
	// maxAttempts, and sleeping up to i² ms after the i-th, are rules of the format.
	maxAttempts = 50
	// maxGroup and maxHold bound how long other processes wait for the write lock.
	maxGroup = 256
	maxHold  = 50 * time.Millisecond
)

// writer is the one goroutine that changes the database, on one connection. It runs the transactions that
// wait one after the other inside one transaction of the database, so that they share its commit, and
// answers them after it.
type writer struct {
	queue
	d    *dialect
	open func(context.Context) (*conn, error)
	log  *slog.Logger

	stopped chan struct{} // closed when the goroutine has ended

	updates, commits, retries atomic.Int64

	// What follows belongs to the goroutine.
	c     *conn
	tx    tx
	group []*request // running and not answered; the last one's function may be on the stack
}

func newWriter(d *dialect, log *slog.Logger, open func(context.Context) (*conn, error)) *writer {
	w := &writer{d: d, open: open, log: log, stopped: make(chan struct{})}
	w.wake = make(chan struct{}, 1)
	go w.loop()
	return w
}

// stop lets what is queued finish and gives back the connection, if there is one.
func (w *writer) stop() *conn {
	w.queue.close()
	<-w.stopped
	return w.c
}

func (w *writer) loop() {
	ended := false
	defer func() {
		if ended {
			close(w.stopped)
			return
		}
		w.orphaned()
		go w.loop()
	}()
	for {
		some, closed := w.ready()
		switch {
		case some:
			w.serve()
		case closed:
			ended = true
			return
		default:
			<-w.wake
		}
	}
}

// orphaned cleans up after a function that ended this goroutine, as one does that ends a test from inside.
// Its caller must not wait for ever, and the others of the group have done nothing wrong.
func (w *writer) orphaned() {
	w.rollback()
	last := len(w.group) - 1
	guilty := w.group[last]
	w.back(w.group[:last])
	w.group = nil
	guilty.err = errors.New("transaction's function ended the goroutine that it ran on")
	close(guilty.done)
}

// serve commits one group.
func (w *writer) serve() {
	if err := w.begin(); err != nil {
		// All that wait would meet the same.
		for r := w.next(0); r != nil; r = w.next(0) {
			w.group = append(w.group, r)
		}
		w.finish(err)
		return
	}
	err := w.run()
	if err != nil && len(w.group) > 1 {
		// What one member cannot write must not harm the others. It is rare enough to do all again, each by
		// itself, and to spare every member a savepoint.
		w.rollback()
		w.back(w.group)
		w.group = nil
		return
	}
	if err == nil {
		err = w.commit()
	}
	if err != nil {
		w.rollback()
	}
	w.finish(err)
}

// begin gets the write lock, unless everyone stops waiting for it.
func (w *writer) begin() error {
	for i := 1; ; i++ {
		err := w.tryBegin()
		if err == nil {
			return nil
		}
		if w.d.classify(err) != faultBusy {
			w.disconnect()
			return err
		}
		if i == maxAttempts {
			return fmt.Errorf("another process keeps the database locked, gave up after %d attempts: %w", i, err)
		}
		w.retries.Add(1)
		w.log.Debug("metadata database is locked by another process", "attempt", i)
		backoff(context.Background(), i)
		if some, _ := w.ready(); !some {
			return err // answers nobody
		}
	}
}

func (w *writer) tryBegin() error {
	if w.c == nil {
		c, err := w.open(context.Background())
		if err != nil {
			return err
		}
		w.c = c
	}
	_, err := w.c.exec(qBeginWrite)
	return err
}

// run runs the functions of what waits, and their writes.
func (w *writer) run() error {
	start := time.Now()
	var space, inodes int64
	for len(w.group) < maxGroup {
		r := w.next(len(w.group))
		if r == nil {
			break
		}
		w.group = append(w.group, r)
		t := &w.tx
		t.reset(r.ctx, w.c, r.want)
		r.err = r.call(t)
		if r.err == nil {
			if r.err = t.flush(); r.err != nil {
				r.err = w.meaning(r.err)
				return r.err
			}
			space, inodes = space+t.space, inodes+t.inodes
		}
		if t.broken != nil {
			return t.broken
		}
		if r.alone || time.Since(start) > maxHold {
			break
		}
	}
	return w.meaning(w.addUsage(space, inodes))
}

// addUsage adds to the counters what the group changed.
func (w *writer) addUsage(space, inodes int64) error {
	for _, c := range [...]struct {
		name  string
		delta int64
	}{{counterSpace, space}, {counterInodes, inodes}} {
		if c.delta == 0 {
			continue
		}
		n, err := w.c.exec(qAddCounter, c.delta, c.name)
		if err == nil && n == 0 {
			_, err = w.c.exec(qSetCounter, c.name, c.delta)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) commit() error {
	for i := 1; ; i++ {
		_, err := w.c.exec(qCommit)
		switch f := w.d.classify(err); {
		case err == nil:
			w.commits.Add(1)
			return nil
		case f == faultBusy && i < maxAttempts:
			w.retries.Add(1)
			backoff(context.Background(), i)
		case f == faultIO:
			// The log may hold the commit although its write or sync failed. A new connection reads it
			// again.
			w.disconnect()
			return fmt.Errorf("%w: %w", meta.ErrUnknown, err)
		default:
			return w.meaning(err)
		}
	}
}

// rollback ends the transaction without its writes. A connection on which that fails is given up, which has
// the same effect.
func (w *writer) rollback() {
	if w.c == nil {
		return
	}
	if _, err := w.c.exec(qRollback); err != nil {
		w.drop()
	}
}

// disconnect gives up the connection, and with it the lock it may hold.
func (w *writer) disconnect() {
	w.rollback()
	w.drop()
}

func (w *writer) drop() {
	if w.c == nil {
		return
	}
	if err := w.c.close(); err != nil {
		w.log.Warn("closing a connection of the metadata database", "error", err)
	}
	w.c = nil
}

// finish answers the group. err is why nothing was committed; then the reason for which a function failed
// counts only when it was alone, because it may have read what others of the group wrote.
func (w *writer) finish(err error) {
	for _, r := range w.group {
		if err != nil && (r.err == nil || len(w.group) > 1) {
			r.err = err
		}
		if r.err == nil {
			w.updates.Add(1)
		}
		close(r.done)
	}
	clear(w.group)
	w.group = w.group[:0]
}

// meaning turns a database without space into the fact of the file system.
func (w *writer) meaning(err error) error {
	if err != nil && w.d.classify(err) == faultFull {
		return fmt.Errorf("%w: %w", posix.ENOSPC, err)
	}
	return err
}

// backoff sleeps up to i² ms.
func backoff(ctx context.Context, i int) {
	t := time.NewTimer(rand.N(time.Duration(i*i) * time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
