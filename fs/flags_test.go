package fs

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"jfs/meta"
	"jfs/meta/tkv"
)

// counted counts the views of a database.
type counted struct {
	meta.Engine
	views atomic.Int64
}

func (c *counted) View(ctx context.Context, want meta.Want, fn func(meta.Reader) error) error {
	c.views.Add(1)
	return c.Engine.View(ctx, want, fn)
}

// TestOpenCache: within the time an open asks nothing of the database; after it, what others have written is seen.
func TestOpenCache(t *testing.T) {
	r := newRig(t, nil)
	var clock atomic.Int64
	r.edit = func(o *Options) {
		o.OpenCache = time.Minute
		o.Now = func() time.Time { return time.Unix(2000000000+clock.Load(), 0) }
	}
	eng := &counted{Engine: tkv.New(r.kv, tkv.Options{})}
	t.Cleanup(func() { _ = eng.Close() })
	f := r.mountOn(eng, 0)
	r.edit = nil
	other := r.mount(0)

	h := create(t, f, "f")
	write(t, h, 0, []byte("old"))
	flushed(t, h)
	h.Release(t.Context())
	ino := h.Ino()
	reopen := func(flags int, want string) (views int64) {
		t.Helper()
		before := eng.views.Load()
		h, _, err := f.Open(t.Context(), meta.Root, ino, flags)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Release(t.Context())
		views = eng.views.Load() - before
		got := make([]byte, 10)
		n, err := h.Read(t.Context(), 0, got)
		if err != nil || string(got[:n]) != want {
			t.Errorf("read %q, %v, want %q", got[:n], err, want)
		}
		return views
	}
	if n := reopen(syscall.O_RDONLY, "old"); n != 0 {
		t.Errorf("%d views for an open of what was written just now", n)
	}
	g, _ := open(t, other, "f", syscall.O_RDWR)
	write(t, g, 0, []byte("newer"))
	flushed(t, g)
	g.Release(t.Context())
	clock.Store(59)
	if n := reopen(syscall.O_RDONLY, "old"); n != 0 {
		t.Errorf("%d views for an open within the time", n)
	}
	clock.Store(60)
	if n := reopen(syscall.O_RDONLY, "newer"); n != 1 {
		t.Errorf("%d views for an open after the time", n)
	}
	clock.Store(100)
	if n := reopen(syscall.O_RDWR|syscall.O_TRUNC, ""); n != 0 {
		t.Errorf("%d views for an open that cuts the file", n)
	}
	if _, _, err := f.Open(t.Context(), meta.Cred{UID: 7, GID: 7}, ino, syscall.O_WRONLY); err == nil {
		t.Error("a remembered attribute lets a stranger in")
	}
}

// TestNoOpenCache: without the option every open looks.
func TestNoOpenCache(t *testing.T) {
	r := newRig(t, nil)
	eng := &counted{Engine: tkv.New(r.kv, tkv.Options{})}
	t.Cleanup(func() { _ = eng.Close() })
	f := r.mountOn(eng, 0)
	h := create(t, f, "f")
	defer h.Release(t.Context())
	before := eng.views.Load()
	g, _, err := f.Open(t.Context(), meta.Root, h.Ino(), syscall.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Release(t.Context())
	if n := eng.views.Load() - before; n != 1 {
		t.Errorf("%d views for an open", n)
	}
}

// TestOpenInodes: how many closed files are remembered, or all of them.
func TestOpenInodes(t *testing.T) {
	for most, want := range map[int]int{3: 3, -1: 10} {
		r := newRig(t, nil)
		r.edit = func(o *Options) { o.OpenInodes = most }
		f := r.mount(0)
		for i := range 10 {
			create(t, f, fmt.Sprint(i)).Release(t.Context())
		}
		f.mu.Lock()
		if n := len(f.files); n != want {
			t.Errorf("%d files remembered with a limit of %d", n, most)
		}
		f.mu.Unlock()
	}
}

// TestSortDir: a listing of several pages comes in the order of names, in pieces too, and with what came meanwhile
// after a rewind.
func TestSortDir(t *testing.T) {
	r := newRig(t, nil)
	r.edit = func(o *Options) { o.SortDir, o.Virtual = true, &Virtual{} }
	f := r.mount(0)
	want := []string{".", "..", ".accesslog", ".config", ".stats"}
	mk := func(name string) {
		if _, err := f.Mknod(t.Context(), meta.Root, meta.RootIno, name, meta.New{Type: meta.TypeFile}); err != nil {
			t.Fatal(err)
		}
	}
	const n = 2500
	for i := range n {
		name := fmt.Sprintf("%04d", i*7%n)
		mk(name)
		want = append(want, name)
	}
	slices.Sort(want)
	d, err := f.OpenDir(t.Context(), meta.Root, meta.RootIno)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	list := func(plus bool) (got []string) {
		off := uint64(0)
		for more := true; more; {
			more = false
			room := 900
			err := d.Read(t.Context(), off, plus, func(e DirEntry) bool {
				if room--; room < 0 {
					more = true
					return false
				}
				if plus && e.Attr == nil && e.Name[0] != '.' {
					t.Errorf("%s has no attribute", e.Name)
				}
				got, off = append(got, e.Name), e.Off
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return got
	}
	for _, plus := range []bool{false, true} {
		if got := list(plus); !slices.Equal(got, want) {
			t.Errorf("%d names, want %d in order", len(got), len(want))
		}
	}
	mk("-first")
	if got := list(true); len(got) != len(want)+1 || got[2] != "-first" || !slices.IsSorted(got[2:]) {
		t.Errorf("after a rewind: %q", got[:6])
	}
}
