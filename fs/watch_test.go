package fs

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/meta/redis"
)

// TestWatchedRoundTrips asserts what each operation costs on Redis when the server tells of changes, with the
// look-ups that the kernel makes before it.
func TestWatchedRoundTrips(t *testing.T) {
	server := testenv.StartRedis(t)
	ctx := context.WithoutCancel(t.Context())
	connect := func(o redis.Options) *redis.Engine {
		eng, err := redis.Open(ctx, "redis://"+server.Addr+"/1", o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = eng.Close() })
		return eng
	}
	eng, other := connect(redis.Options{}), connect(redis.Options{})
	f := meta.NewFormat("test", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	f.BlockSize, f.TrashDays, f.DirStats = testBlock>>10, 0, false // statistics are written in the background
	if err := meta.Create(ctx, eng, f, meta.Time{Sec: 1}); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, maxDeletes: -1} // data is freed in the background, many files at a time
	fs, theirs := r.mountOn(eng, 0), r.mountOn(other, 0)
	told := make(chan meta.Notice, 1000)
	fs.Watch().OnChange(func(n meta.Notice) { told <- n })

	root := meta.Root
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	look := func(dir meta.Ino, name string) meta.Ino {
		n, err := fs.Lookup(ctx, root, dir, name)
		if err != nil {
			return 0
		}
		return n.Ino
	}
	create := func(f *FS, dir meta.Ino, name string, data int) meta.Ino {
		n, h, err := f.Create(ctx, root, dir, name, meta.New{Mode: 0644}, syscall.O_RDWR|syscall.O_EXCL)
		must(err)
		if data > 0 {
			write(t, h, 0, make([]byte, data))
			must(h.Flush(ctx))
		}
		h.Release(ctx)
		return n.Ino
	}
	mkdir := func(dir meta.Ino, name string) meta.Ino {
		n, err := fs.Mknod(ctx, root, dir, name, meta.New{Type: meta.TypeDirectory, Mode: 0755})
		must(err)
		return n.Ino
	}
	list := func(dir meta.Ino) {
		d, err := fs.OpenDir(ctx, root, dir)
		must(err)
		must(d.Read(ctx, 0, true, func(DirEntry) bool { return true }))
	}
	made := create(theirs, meta.RootIno, "made", 4096)
	d := mkdirOnce(theirs, meta.RootIno, "theirs")
	for i := range 200 {
		create(theirs, d, fmt.Sprint("f", i), 0)
	}
	own := mkdir(meta.RootIno, "own")
	create(fs, own, "first", 1) // takes numbers for slices
	mon := watch(t, server.Addr)
	var sub meta.Ino
	for _, c := range []struct {
		name string
		want int
		op   func()
	}{
		{"stat", 2, func() { look(meta.RootIno, "made") }}, // nobody waits for the second, which has the file watched
		{"stat of a missing name", 1, func() { look(d, "absent") }},
		{"stat again", 0, func() { look(meta.RootIno, "made") }},
		{"open, read, close", 1, func() { readOnce(t, fs, made) }},
		{"open, read, close again", 0, func() { readOnce(t, fs, made) }},
		{"ls -l of 200 files", 5, // in 3 round trips
			func() { list(look(meta.RootIno, "theirs")) }},
		{"ls -l of 200 files again", 3, func() { list(look(meta.RootIno, "theirs")) }}, // in 2: the look-up costs nothing
		{"stat of 200 files", 0, func() {
			for i := range 200 {
				look(d, fmt.Sprint("f", i))
			}
		}},
		{"stat of a missing name in it", 0, func() { look(d, "none") }},
		{"create in it, with its look-up", 1, func() { look(d, "e"); create(fs, d, "e", 0) }},
		{"create in an own directory", 1, func() { look(own, "e"); create(fs, own, "e", 0) }},
		{"create, write 4 KiB, close", 2, func() { look(own, "w"); create(fs, own, "w", 4096) }},
		{"mkdir", 1, func() { look(own, "sub"); sub = mkdir(own, "sub") }},
		{"unpacking into a new directory, 20 files", 20, func() {
			for i := range 20 {
				name := fmt.Sprint("f", i)
				look(own, "sub")
				look(sub, name)
				create(fs, sub, name, 0)
			}
		}},
		{"stat of what was made", 0, func() { look(sub, "f7"); look(own, "sub"); look(meta.RootIno, "own") }},
		{"unlink", 1, func() { look(sub, "f7"); must(fs.Unlink(ctx, root, sub, "f7")) }},
		{"stat of what was removed", 0, func() { look(sub, "f7") }},
		{"rename", 1, func() {
			look(sub, "f8")
			look(sub, "g")
			must(fs.Rename(ctx, root, meta.Name{Dir: sub, Name: "f8"}, meta.Name{Dir: sub, Name: "g"}, 0))
		}},
		{"mkdir and rmdir, with their look-ups", 2, func() {
			look(own, "gone")
			mkdir(own, "gone")
			look(own, "gone")
			must(fs.Rmdir(ctx, root, own, "gone"))
		}},
		{"rename over a file", 1, func() {
			look(sub, "f9")
			look(sub, "g")
			must(fs.Rename(ctx, root, meta.Name{Dir: sub, Name: "f9"}, meta.Name{Dir: sub, Name: "g"}, 0))
		}},
		{"chmod", 1, func() {
			mode := uint16(0600)
			_, err := fs.SetAttr(ctx, root, look(sub, "g"), SetAttr{Change: meta.Change{Mode: &mode}}, nil)
			must(err)
		}},
		{"link", 1, func() {
			_, err := fs.Link(ctx, root, look(sub, "g"), sub, "h")
			must(err)
		}},
		{"stat after the rename", 0, func() { look(sub, "f8"); look(sub, "g") }},
	} {
		if got := mon.count(t, server.Addr, func() { c.op(); must(fs.Watch().Settle(ctx)) }); len(got) != c.want {
			t.Errorf("%s: %d commands, want %d:\n%s", c.name, len(got), c.want, strings.Join(got, "\n"))
		}
	}

	h, _, err := theirs.Open(ctx, root, made, syscall.O_RDWR)
	must(err)
	write(t, h, 0, []byte("changed"))
	must(h.Flush(ctx))
	h.Release(ctx)
	for late := time.After(10 * time.Second); ; {
		select {
		case n := <-told:
			if n.Ino != made {
				continue
			}
		case <-late:
			t.Fatal("not told of a write of another mount")
		}
		break
	}
	h, keep, err := fs.Open(ctx, root, made, syscall.O_RDONLY)
	must(err)
	defer h.Release(ctx)
	got := [7]byte{}
	if _, err := h.Read(ctx, 0, got[:]); err != nil || string(got[:]) != "changed" || keep {
		t.Errorf("read %q, %v after a write of another mount (old pages kept: %v)", got, err, keep)
	}
}

// TestWatchedTrash asserts what removals cost when there is a trash.
func TestWatchedTrash(t *testing.T) {
	server := testenv.StartRedis(t)
	ctx := context.WithoutCancel(t.Context())
	eng, err := redis.Open(ctx, "redis://"+server.Addr+"/1", redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = eng.Close() })
	f := meta.NewFormat("test", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	f.BlockSize, f.TrashDays, f.DirStats = testBlock>>10, 1, false
	if err := meta.Create(ctx, eng, f, meta.Time{Sec: 1}); err != nil {
		t.Fatal(err)
	}
	fs := (&rig{t: t, maxDeletes: -1}).mountOn(eng, 0)
	dir := mkdirOnce(fs, meta.RootIno, "d")
	mon := watch(t, server.Addr)
	for i := range 3 {
		name, sub := fmt.Sprint("f", i), fmt.Sprint("d", i)
		_, h, err := fs.Create(ctx, meta.Root, dir, name, meta.New{Mode: 0644}, syscall.O_RDWR)
		if err != nil {
			t.Fatal(err)
		}
		write(t, h, 0, make([]byte, 4096))
		if err := h.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		h.Release(ctx)
		mkdirOnce(fs, dir, sub)
		for what, remove := range map[string]func() error{
			"unlink": func() error { return fs.Unlink(ctx, meta.Root, dir, name) },
			"rmdir":  func() error { return fs.Rmdir(ctx, meta.Root, dir, sub) },
		} {
			got := mon.count(t, server.Addr, func() {
				if err := remove(); err != nil {
					t.Error(err)
				}
				_ = fs.Watch().Settle(ctx)
			})
			if i > 0 && len(got) != 1 { // the first one makes the directory of this hour
				t.Errorf("%s: %d commands, want 1:\n%s", what, len(got), strings.Join(got, "\n"))
			}
		}
	}
}
