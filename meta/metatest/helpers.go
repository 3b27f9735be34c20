package metatest

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"jfs/meta"
)

// patience bounds one call to an engine, so that a hang is a failure.
const patience = time.Minute

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func view(t *testing.T, e meta.Engine, want meta.Want, fn func(meta.Reader) error) {
	t.Helper()
	if err := e.View(soon(t), want, fn); err != nil {
		t.Fatalf("view: %v", err)
	}
}

func update(t *testing.T, e meta.Engine, want meta.Want, fn func(meta.Tx) error) {
	t.Helper()
	if err := e.Update(soon(t), want, fn); err != nil {
		t.Fatalf("update: %v", err)
	}
}

func reserve(t *testing.T, e meta.Engine, seq meta.Sequence, n uint64) uint64 {
	t.Helper()
	first, err := e.Reserve(soon(t), seq, n)
	if err != nil {
		t.Fatalf("reserve %d of sequence %d: %v", n, seq, err)
	}
	return first
}

// together runs n functions at once and fails the test with the first error.
func together(t *testing.T, n int, fn func(ctx context.Context, i int) error) {
	t.Helper()
	g, ctx := errgroup.WithContext(soon(t))
	start := make(chan struct{})
	for i := range n {
		g.Go(func() error {
			<-start
			return fn(ctx, i)
		})
	}
	close(start)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// meeting makes transactions overlap: whoever has run fn waits a little for the others to come as far, and no
// longer than a moment, as engines with a single writer never let two of them in.
type meeting struct {
	of   int64 // how many are expected
	came atomic.Int64
}

func (m *meeting) engine(e meta.Engine) meta.Engine { return meetingEngine{e, m} }

type meetingEngine struct {
	meta.Engine
	*meeting
}

func (m meetingEngine) Update(ctx context.Context, want meta.Want, fn func(meta.Tx) error) error {
	return m.Engine.Update(ctx, want, func(tx meta.Tx) error {
		err := fn(tx)
		m.came.Add(1)
		for i := 0; i < 2000 && m.came.Load() < m.of; i++ {
			runtime.Gosched()
		}
		return err
	})
}

// t0 is a time with nanoseconds that survives every engine.
var t0 = meta.Time{Sec: 1795429782, Nsec: 554910441}

func after(t meta.Time, d time.Duration) meta.Time { return meta.TimeOf(t.Time().Add(d)) }

func fileAttr(parent meta.Ino, length uint64) meta.Attr {
	return meta.Attr{Type: meta.TypeFile, Mode: 0644, UID: 1000, GID: 100, Atime: t0, Mtime: t0, Ctime: t0,
		Nlink: 1, Length: length, Parent: parent}
}

func dirAttr(parent meta.Ino) meta.Attr {
	return meta.Attr{Type: meta.TypeDirectory, Mode: 0755, UID: 1000, GID: 100, Atime: t0, Mtime: t0, Ctime: t0,
		Nlink: 2, Length: 4096, Parent: parent}
}

// put writes attributes as one change.
func put(t *testing.T, e meta.Engine, attrs map[meta.Ino]meta.Attr) {
	t.Helper()
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		for ino, a := range attrs {
			tx.SetAttr(ino, &a)
		}
		return nil
	})
}

// wantAttr compares a stored attribute, read as Attr and as Perm, named in advance and not; nil: there is none.
func wantAttr(t *testing.T, e meta.Engine, ino meta.Ino, want *meta.Attr) {
	t.Helper()
	check := func(how string, got meta.Attr, ok bool, err error) error {
		t.Helper()
		if err == nil && ok != (want != nil) {
			t.Errorf("%s of inode %d: ok=%v", how, ino, ok)
		} else if err == nil && ok && got != *want {
			t.Errorf("%s of inode %d:\n got %+v\nwant %+v", how, ino, got, *want)
		}
		return err
	}
	for _, w := range []meta.Want{{}, {Attrs: []meta.Ino{ino}, Perms: []meta.Ino{ino}}} {
		view(t, e, w, func(r meta.Reader) error {
			a, ok, err := r.Attr(ino)
			return check("attribute", a, ok, err)
		})
		view(t, e, w, func(r meta.Reader) error {
			a, ok, err := r.Perm(ino)
			return check("permissions", a, ok, err)
		})
	}
}

// wantEntry compares a stored entry; nil: there is none.
func wantEntry(t *testing.T, e meta.Engine, dir meta.Ino, name string, want *meta.Entry) {
	t.Helper()
	n := meta.Name{Dir: dir, Name: name}
	for _, w := range []meta.Want{{}, {Entries: []meta.Name{n}}, {Nodes: []meta.Name{n}}} {
		view(t, e, w, func(r meta.Reader) error {
			got, ok, err := r.Entry(dir, name)
			if err == nil && ok != (want != nil) {
				t.Errorf("entry %d/%q: ok=%v", dir, name, ok)
			} else if err == nil && ok && got != *want {
				t.Errorf("entry %d/%q: got %+v, want %+v", dir, name, got, *want)
			}
			return err
		})
	}
}

func wantChunk(t *testing.T, e meta.Engine, ino meta.Ino, index uint32, want []meta.Slice) {
	t.Helper()
	for _, w := range []meta.Want{{}, {Chunks: []meta.ChunkID{{Ino: ino, Index: index}}}} {
		view(t, e, w, func(r meta.Reader) error {
			got, err := r.Chunk(ino, index)
			if err == nil && !slices.Equal(got, want) {
				t.Errorf("chunk %d/%d:\n got %+v\nwant %+v", ino, index, got, want)
			}
			return err
		})
	}
}

// list reads a whole directory. between, if there is one, runs after each page.
func list(t *testing.T, e meta.Engine, dir meta.Ino, limit int, plus bool, between func()) map[string]meta.Dirent {
	t.Helper()
	all := map[string]meta.Dirent{}
	cursor := ""
	for pages := 0; ; pages++ {
		if pages > 100_000 {
			t.Fatalf("listing of %d does not end", dir)
		}
		var next string
		view(t, e, meta.Want{}, func(r meta.Reader) error {
			page, n, err := r.Entries(dir, cursor, limit, plus)
			for _, d := range page {
				all[d.Name] = d
			}
			next = n
			return err
		})
		if next == "" {
			return all
		}
		cursor = next
		if between != nil {
			between()
		}
	}
}

// equal reports a difference of two values of one type.
func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

// read returns one value out of a view.
func read[T any](t *testing.T, e meta.Engine, fn func(meta.Reader) (T, error)) T {
	t.Helper()
	var v T
	view(t, e, meta.Want{}, func(r meta.Reader) (err error) {
		v, err = fn(r)
		return err
	})
	return v
}

func numbered(prefix string, i ...int) string {
	for _, n := range i {
		prefix += fmt.Sprintf("-%d", n)
	}
	return prefix
}
