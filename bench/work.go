package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// ErrContents means that a file is not as it was written.
var ErrContents = errors.New("not what was written")

// tick is how often Progress hears of a running phase; often enough for an eye.
const tick = 100 * time.Millisecond

// counts is what the threads of a phase have done so far.
type counts struct {
	files, bytes atomic.Int64
}

// phase runs one phase on all threads; the first that fails stops the others.
func (r *run) phase(ctx context.Context, p Phase) PhaseResult {
	workers := make([]worker, r.cfg.Threads)
	var done counts
	for i := range workers {
		workers[i] = worker{run: r, phase: p, thread: i, done: &done}
		if p.Op == Read {
			workers[i].buf = make([]byte, min(r.cfg.BlockSize, p.Size+1)) // + 1 to see a file that is too long
		}
	}
	stop := r.watch(p, &done)
	group, ctx := errgroup.WithContext(ctx)
	begin := r.now()
	for i := range workers {
		group.Go(func() error { return workers[i].work(ctx) })
	}
	err := group.Wait()
	elapsed := r.now().Sub(begin)
	stop()
	return PhaseResult{
		Phase:   p,
		Threads: r.cfg.Threads,
		Files:   done.files.Load(),
		Bytes:   done.bytes.Load(),
		Elapsed: elapsed,
		Err:     err,
	}
}

// watch tells Progress how far the phase is until stop is called.
func (r *run) watch(p Phase, done *counts) (stop func()) {
	if r.Progress == nil {
		return func() {}
	}
	files := int64(r.cfg.Threads) * int64(p.Files)
	tell := func() {
		r.Progress(Progress{
			Phase: p, Files: done.files.Load(), Bytes: done.bytes.Load(),
			TotalFiles: files, TotalBytes: files * p.moves(),
		})
	}
	tell()
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				tell()
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
		tell()
	}
}

// worker is one thread of a phase.
type worker struct {
	*run
	phase  Phase
	thread int
	buf    []byte // for reading
	done   *counts
}

func (w *worker) work(ctx context.Context) error {
	for i := range w.phase.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := filepath.Join(w.dir, fmt.Sprintf("%s.%d.%d", w.phase.Set, w.thread, i))
		// Files written at the same time are neighbours in the pattern, so that a block packed of them has no repetition.
		start := w.data.start(i*w.cfg.Threads+w.thread, w.phase.Size)
		var err error
		switch w.phase.Op {
		case Write:
			err = w.write(ctx, name, start)
		case Read:
			err = w.read(ctx, name, start)
		case Stat:
			err = w.stat(name)
		}
		if err != nil {
			return err
		}
		w.done.files.Add(1)
	}
	return nil
}

func (w *worker) write(ctx context.Context, name string, start int64) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	for off := int64(0); off < w.phase.Size && err == nil; {
		if err = ctx.Err(); err != nil {
			break
		}
		var n int
		n, err = f.Write(w.data.at(start, off, int(min(w.cfg.BlockSize, w.phase.Size-off))))
		off += int64(n)
		w.done.bytes.Add(int64(n))
	}
	// A file system may say only now that the data did not get through.
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (w *worker) read(ctx context.Context, name string, start int64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // nothing was written
	off := int64(0)
	for off <= w.phase.Size {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.Read(w.buf)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if w.phase.Verify && off+int64(n) <= w.phase.Size && !bytes.Equal(w.buf[:n], w.data.at(start, off, n)) {
			return fmt.Errorf("read %s: %w: bytes %d to %d differ", name, ErrContents, off, off+int64(n))
		}
		off += int64(n)
		w.done.bytes.Add(int64(n))
	}
	return w.checkLength(name, off)
}

func (w *worker) stat(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return w.checkLength(name, info.Size())
}

func (w *worker) checkLength(name string, n int64) error {
	if n > w.phase.Size {
		return fmt.Errorf("%s: %w: longer than %d bytes", name, ErrContents, w.phase.Size)
	}
	if n < w.phase.Size {
		return fmt.Errorf("%s: %w: %d bytes of %d", name, ErrContents, n, w.phase.Size)
	}
	return nil
}
