package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// worker is one thread of a phase.
type worker struct {
	*run
	phase  Phase
	thread int
	dirs   []string // of its tree
	buf    []byte   // for reading
	rnd    *rand.Rand
	open   map[int]*os.File // of random
	times  times
	done   *counts
}

func (r *run) newWorker(p Phase, thread int, done *counts) *worker {
	w := &worker{
		run: r, phase: p, thread: thread, dirs: r.tree(p, thread), times: times{}, done: done,
		rnd: rand.New(rand.NewPCG(r.seed, uint64(thread))),
	}
	if p.Op == Read || p.Op == Random {
		w.buf = make([]byte, min(p.block(r.cfg), p.longest()+1)) // + 1 to see a file that is too long
	}
	return w
}

// order is that of the items; nil for the usual one.
func (w *worker) order(n int) []int {
	switch {
	case w.phase.Op == Rmdir:
		list := make([]int, n)
		for i := range list {
			list[i] = n - 1 - i
		}
		return list
	case w.phase.Shuffle:
		return w.rnd.Perm(n)
	}
	return nil
}

// path is where the i-th file lies.
func (w *worker) path(i int) string {
	dir := w.dir
	if n := len(w.dirs); n > 0 {
		dir = w.dirs[i%n]
	}
	name := fmt.Sprintf("%s.%d.%d", w.phase.Set, w.thread, i)
	if w.renamed[w.phase.Set] {
		name += ".renamed"
	}
	return filepath.Join(dir, name)
}

// start is where the contents of the i-th file begin. Files written at the same time are neighbours in the pattern, so
// that a block packed of them has no repetition.
func (w *worker) start(i int) int64 {
	return w.data.start(i*w.cfg.Threads+w.thread, w.phase.longest())
}

func (w *worker) write(ctx context.Context, i int) error {
	name, start, size := w.path(i), w.start(i), w.phase.size(i)
	at := time.Now()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	at = w.times.took("open", at)
	block := w.phase.block(w.cfg)
	for off := int64(0); off < size && err == nil; {
		if err = ctx.Err(); err != nil {
			break
		}
		var n int
		n, err = f.Write(w.data.at(start, off, int(min(block, size-off))))
		at = w.times.took("write", at)
		off += int64(n)
		w.done.bytes.Add(int64(n))
	}
	if w.phase.Sync && err == nil {
		err = f.Sync()
		at = w.times.took("fsync", at)
	}
	// A file system may say only now that the data did not get through.
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	w.times.took("close", at)
	if w.phase.Attrs && err == nil {
		if err = os.Chmod(name, 0o640); err == nil {
			err = os.Chtimes(name, time.Unix(1_700_000_000, 0), time.Unix(1_700_000_000, 0))
		}
	}
	return err
}

func (w *worker) read(ctx context.Context, i int) error {
	name, start, size := w.path(i), w.start(i), w.phase.size(i)
	at := time.Now()
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // nothing was written
	at = w.times.took("open", at)
	off := int64(0)
	for off <= size {
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
		w.times.took("read", at)
		if off+int64(n) <= size && !w.matches(w.buf[:n], w.data.at(start, off, n)) {
			return fmt.Errorf("read %s: %w: bytes %d to %d differ", name, ErrContents, off, off+int64(n))
		}
		at = time.Now()
		off += int64(n)
		w.done.bytes.Add(int64(n))
	}
	return checkLength(name, off, size)
}

// What Sample compares: a few bytes of each page, so that a page which is missing or misplaced is seen, and few cache
// lines are touched.
const (
	samplePage = 4096
	sampleSize = 16
)

func (w *worker) matches(got, want []byte) bool {
	if w.phase.Verify == Full || len(got) <= sampleSize {
		return bytes.Equal(got, want)
	}
	for at := 0; at+sampleSize <= len(got); at += samplePage {
		if !bytes.Equal(got[at:at+sampleSize], want[at:at+sampleSize]) {
			return false
		}
	}
	end := len(got) - sampleSize
	return bytes.Equal(got[end:], want[end:])
}

// random reads or writes at a place that is a multiple of the block, in one of the thread's files.
func (w *worker) random() error {
	i := w.rnd.IntN(max(w.phase.Files, 1))
	f, err := w.opened(i)
	if err != nil {
		return err
	}
	block := w.phase.block(w.cfg)
	off := w.rnd.Int64N(w.phase.size(i)/block) * block
	data := w.data.at(w.start(i), off, int(block))
	at := time.Now()
	if w.rnd.IntN(100) < w.phase.Writes {
		_, err = f.WriteAt(data, off)
		at = w.times.took("write", at)
		if w.phase.Sync && err == nil {
			err = f.Sync()
			w.times.took("fsync", at)
		}
		w.done.bytes.Add(block)
		return err
	}
	n, err := f.ReadAt(w.buf[:block], off)
	w.times.took("read", at)
	switch {
	case err != nil:
		return err
	case !w.matches(w.buf[:n], data):
		return fmt.Errorf("read %s: %w: bytes %d to %d differ", f.Name(), ErrContents, off, off+block)
	}
	w.done.bytes.Add(block)
	return nil
}

func (w *worker) opened(i int) (*os.File, error) {
	if f := w.open[i]; f != nil {
		return f, nil
	}
	mode := os.O_RDONLY
	if w.phase.Writes > 0 {
		mode = os.O_RDWR
	}
	f, err := os.OpenFile(w.path(i), mode, 0)
	if err != nil {
		return nil, err
	}
	if w.open == nil {
		w.open = map[int]*os.File{}
	}
	w.open[i] = f
	return f, nil
}

// closeAll closes what random has opened; what it has written may fail only now.
func (w *worker) closeAll(err error) error {
	for _, f := range w.open {
		at := time.Now()
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		w.times.took("close", at)
	}
	return err
}

func (w *worker) stat(i int) error {
	info, err := os.Stat(w.path(i))
	if err != nil {
		return err
	}
	return checkLength(w.path(i), info.Size(), w.phase.size(i))
}

// name makes, renames or removes the i-th file.
func (w *worker) name(i int) error {
	path := w.path(i)
	switch w.phase.Op {
	case Create:
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		return f.Close()
	case Rename:
		if w.renamed[w.phase.Set] {
			return os.Rename(path, path[:len(path)-len(".renamed")])
		}
		return os.Rename(path, path+".renamed")
	}
	return os.Remove(path)
}

// directory makes, lists or removes the i-th directory.
func (w *worker) directory(i int) error {
	path := w.dir
	if len(w.dirs) > 0 {
		path = w.dirs[i]
	}
	switch w.phase.Op {
	case Mkdir:
		return os.Mkdir(path, 0o777)
	case Rmdir:
		return os.Remove(path)
	}
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		if _, ierr := e.Info(); ierr != nil && !errors.Is(ierr, os.ErrNotExist) && err == nil {
			err = ierr
		}
	}
	return err
}

func checkLength(name string, n, want int64) error {
	if n > want {
		return fmt.Errorf("%s: %w: longer than %d bytes", name, ErrContents, want)
	}
	if n < want {
		return fmt.Errorf("%s: %w: %d bytes of %d", name, ErrContents, n, want)
	}
	return nil
}
