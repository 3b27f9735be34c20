package sql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/internal/testenv"
	"jfs/meta"
)

// TestRoundTrips counts what the operations of a volume cost on a connection that is made and has met the statements
// before. The proxy counts on the wire, independently of the engine.
func TestRoundTrips(t *testing.T) {
	forServers(t, func(t *testing.T, p *place) {
		ctx := context.WithoutCancel(t.Context())
		proxy := testenv.StartProxy(t, p.Addr)
		// What collects usage in the background would be counted too.
		e := openRemote(t, withParam(p.url(t, proxy.Addr), "max_open_conns=1"), Options{FlushUsage: time.Hour})
		f := meta.NewFormat("vol", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
		f.TrashDays, f.DirStats = 0, false
		if err := meta.Create(ctx, e, f, meta.TimeOf(time.Now())); err != nil {
			t.Fatal(err)
		}
		v, err := meta.Open(ctx, e, meta.Options{SkipDirMtime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := v.Close(ctx); err != nil {
				t.Error(err)
			}
		}()
		var ino, dir meta.Ino
		var slice uint64
		mode := uint16(0o600)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		operations := []struct {
			name  string
			trips int64
			run   func(i int) error
		}{
			{"mkdir", 1, func(i int) (err error) {
				dir, _, err = v.Mknod(ctx, meta.Root, meta.RootIno, fmt.Sprint("d", i), meta.New{Type: meta.TypeDirectory, Mode: 0o755})
				return err
			}},
			{"create", 1, func(i int) (err error) {
				ino, _, err = v.Mknod(ctx, meta.Root, dir, fmt.Sprint("f", i), meta.New{Type: meta.TypeFile, Mode: 0o644})
				return err
			}},
			{"write", 2, func(int) error {
				slice++
				_, _, err := v.Write(ctx, ino, meta.Commit{Slices: []meta.Written{{Slice: meta.Slice{ID: slice, Size: 9, Len: 9}}}, Mtime: meta.TimeOf(time.Now())})
				return err
			}},
			{"look up", 1, func(i int) error {
				_, _, err := v.Lookup(ctx, meta.Root, dir, fmt.Sprint("f", i))
				return err
			}},
			{"stat", 1, func(int) error { _, err := v.GetAttr(ctx, ino); return err }},
			{"read a chunk's list", 1, func(int) error { _, err := v.Chunk(ctx, ino, 0); return err }},
			{"chmod", 2, func(int) error {
				mode ^= 0o040
				_, _, err := v.SetAttr(ctx, meta.Root, ino, meta.Change{Mode: &mode})
				return err
			}},
			{"truncate", 2, func(i int) error {
				_, err := v.Truncate(ctx, meta.Root, ino, uint64(100+i), false)
				return err
			}},
			{"set an xattr", 1, func(int) error { return v.SetXattr(ctx, meta.Root, ino, "user.a", []byte("b"), 0) }},
			{"read an xattr", 1, func(int) error { _, err := v.GetXattr(ctx, ino, "user.a"); return err }},
			{"link", 2, func(i int) error { _, err := v.Link(ctx, meta.Root, ino, dir, fmt.Sprint("l", i)); return err }},
			{"rename", 2, func(i int) error {
				return v.Rename(ctx, meta.Root, meta.Name{Dir: dir, Name: fmt.Sprint("l", i)}, meta.Name{Dir: dir, Name: fmt.Sprint("r", i)}, 0)
			}},
			{"list 3 entries with attributes", 1, func(int) error { _, _, err := v.Readdir(ctx, dir, "", 1000, true); return err }},
			{"unlink", 2, func(i int) error { return v.Unlink(ctx, meta.Root, dir, fmt.Sprint("r", i)) }},
			{"unlink the last name", 2, func(i int) error { return v.Unlink(ctx, meta.Root, dir, fmt.Sprint("f", i)) }},
			{"rmdir", 2, func(i int) error { return v.Rmdir(ctx, meta.Root, meta.RootIno, fmt.Sprint("d", i)) }},
			{"reserve numbers", 1, func(int) error { _, err := e.Reserve(ctx, meta.SeqSlice, 10); return err }},
		}
		slice, err = v.NewSlice(ctx)
		must(err)
		var table strings.Builder
		for i := range 3 {
			table.Reset()
			for _, op := range operations {
				before, own := proxy.Trips(), e.Stats().Trips
				must(op.run(i))
				trips, counted := proxy.Trips()-before, e.Stats().Trips-own
				if trips != counted {
					t.Errorf("%s: the engine counts %d round trips and the wire %d", op.name, counted, trips)
				}
				if i == 2 && trips != op.trips {
					t.Errorf("%s: %d round trips, want %d", op.name, trips, op.trips)
				}
				fmt.Fprintf(&table, "%-32s %d\n", op.name, trips)
			}
		}
		// A name that nobody has looked up before is taken for free: the first attempt is one trip and its end another, then
		// it is read. PostgreSQL's driver prepares what has failed once more, in two trips.
		before := proxy.Trips()
		for range 2 {
			if _, _, err := v.Mknod(ctx, meta.Root, meta.RootIno, "taken", meta.New{Type: meta.TypeFile, Mode: 0o644}); err != nil {
				if !errors.Is(err, posix.EEXIST) {
					t.Fatal(err)
				}
				break
			}
			before = proxy.Trips()
		}
		want := map[string]int64{"mysql": 4, "postgres": 6}[p.name]
		if trips := proxy.Trips() - before; trips != want {
			t.Errorf("create what is there: %d round trips, want %d", trips, want)
		}
		t.Logf("round trips on %s:\n%s", p.name, &table)
	})
}
