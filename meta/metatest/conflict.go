package metatest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

var conflictCases = []testCase{
	{"Increments", testIncrements},
	{"WriteSkew", testWriteSkew},
	{"PermSkew", testPermSkew},
	{"OneWinner", testOneWinner},
	{"CompactWhileAppending", testCompactWhileAppending},
	{"Settings", testSettings},
}

// testSettings changes the settings from many sides; no change gets lost.
func testSettings(t *testing.T, e meta.Engine) {
	const workers, rounds = 4, 10
	ctx := context.Background()
	f := meta.NewFormat("vol", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	f.TrashDays = 0
	if err := meta.Create(ctx, e, f, meta.Time{Sec: 1}); err != nil {
		t.Fatal(err)
	}
	together(t, workers, func(ctx context.Context, _ int) error {
		for range rounds {
			_, err := meta.Edit(ctx, e, meta.Time{Sec: 1}, func(f *meta.Format, missing error) error {
				f.Capacity++
				return missing
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if f, err := meta.Load(ctx, e); err != nil || f.Capacity != workers*rounds {
		t.Errorf("%d changes are left of %d, %v", f.Capacity, workers*rounds, err)
	}
	if _, err := meta.Edit(ctx, e, meta.Time{Sec: 7}, func(f *meta.Format, _ error) error { f.TrashDays = 1; return nil }); err != nil {
		t.Fatal(err)
	}
	wantAttr(t, e, meta.TrashIno, &meta.Attr{
		Type: meta.TypeDirectory, Mode: 0555, Nlink: 2, Length: 4096, Parent: meta.RootIno,
		Atime: meta.Time{Sec: 7}, Mtime: meta.Time{Sec: 7}, Ctime: meta.Time{Sec: 7},
	})
}

// testIncrements counts up one attribute from many sides. Each run also writes an entry of its own name: those
// of runs that lost must not be left behind.
func testIncrements(t *testing.T, e meta.Engine) {
	const workers, rounds = 8, 20
	put(t, e, map[meta.Ino]meta.Attr{5: fileAttr(1, 0)})
	together(t, workers, func(ctx context.Context, w int) error {
		for i := range rounds {
			run := 0
			var wrote meta.Entry
			if err := e.Update(ctx, meta.Want{Attrs: []meta.Ino{5}}, func(tx meta.Tx) error {
				run++
				a, ok, err := tx.Attr(5)
				if err != nil || !ok {
					return errors.Join(err, missing(ok))
				}
				a.Length++
				tx.SetAttr(5, &a)
				wrote = meta.Entry{Type: meta.TypeFile, Ino: meta.Ino(1000 + a.Length)}
				tx.SetEntry(9, numbered("run", w, i, run), wrote)
				return nil
			}); err != nil {
				return err
			}
			if err := e.View(ctx, meta.Want{}, func(r meta.Reader) error {
				got, ok, err := r.Entry(9, numbered("run", w, i, run))
				if err == nil && (!ok || got != wrote) {
					t.Errorf("the last run wrote %+v, found %v %+v", wrote, ok, got)
				}
				return err
			}); err != nil {
				return err
			}
		}
		return nil
	})
	want := fileAttr(1, workers*rounds)
	wantAttr(t, e, 5, &want)
	all := list(t, e, 9, 1000, false, nil)
	seen := map[meta.Ino]bool{}
	for _, d := range all {
		seen[d.Ino] = true
	}
	if len(all) != workers*rounds || len(seen) != workers*rounds {
		t.Errorf("%d entries with %d numbers, want %d of both", len(all), len(seen), workers*rounds)
	}
}

// testWriteSkew: each of two clears its own record if both are set; at least one must stay.
func testWriteSkew(t *testing.T, e meta.Engine) {
	for round := range 15 {
		pair := [2]meta.Ino{meta.Ino(100 + 2*round), meta.Ino(101 + 2*round)}
		put(t, e, map[meta.Ino]meta.Attr{pair[0]: fileAttr(1, 1), pair[1]: fileAttr(1, 1)})
		m := meeting{of: 2}
		together(t, 2, func(ctx context.Context, w int) error {
			return m.engine(e).Update(ctx, meta.Want{Attrs: pair[:]}, func(tx meta.Tx) error {
				a, _, err := tx.Attr(pair[w])
				if err != nil {
					return err
				}
				b, _, err := tx.Attr(pair[1-w])
				if err != nil || a.Length+b.Length < 2 {
					return err
				}
				a.Length = 0
				tx.SetAttr(pair[w], &a)
				return nil
			})
		})
		sum := read(t, e, func(r meta.Reader) (uint64, error) {
			a, _, err := r.Attr(pair[0])
			if err != nil {
				return 0, err
			}
			b, _, err := r.Attr(pair[1])
			return a.Length + b.Length, err
		})
		if sum != 1 {
			t.Fatalf("round %d: %d records are set, want 1", round, sum)
		}
	}
}

// testPermSkew: a file may be made as long as the directory allows it; the directory is closed as long as the
// file is not there. Both at once must not happen, although one side reads the directory with Perm only.
func testPermSkew(t *testing.T, e meta.Engine) {
	for round := range 15 {
		dir, file := meta.Ino(100+2*round), meta.Ino(101+2*round)
		put(t, e, map[meta.Ino]meta.Attr{dir: dirAttr(1)})
		m := meeting{of: 2}
		together(t, 3, func(ctx context.Context, w int) error {
			switch w {
			case 0:
				return m.engine(e).Update(ctx, meta.Want{Perms: []meta.Ino{dir}, Attrs: []meta.Ino{file}}, func(tx meta.Tx) error {
					d, ok, err := tx.Perm(dir)
					if err != nil || !ok {
						return errors.Join(err, missing(ok))
					}
					if _, _, err := tx.Attr(file); err != nil || d.Mode == 0 {
						return err
					}
					a := fileAttr(dir, 0)
					tx.SetAttr(file, &a)
					if round%2 == 0 { // with a write of the directory and without
						tx.Touch(dir, after(t0, 1e9), 0, 0)
					}
					return nil
				})
			case 1:
				return m.engine(e).Update(ctx, meta.Want{Attrs: []meta.Ino{dir, file}}, func(tx meta.Tx) error {
					d, ok, err := tx.Attr(dir)
					if err != nil || !ok {
						return errors.Join(err, missing(ok))
					}
					if _, there, err := tx.Attr(file); err != nil || there {
						return err
					}
					d.Mode = 0
					tx.SetAttr(dir, &d)
					return nil
				})
			default:
				return touch(ctx, e, dir, 1)
			}
		})
		view(t, e, meta.Want{}, func(r meta.Reader) error {
			d, _, err := r.Attr(dir)
			if err != nil {
				return err
			}
			_, there, err := r.Attr(file)
			if there == (d.Mode == 0) {
				t.Errorf("round %d: mode %o and file: %v", round, d.Mode, there)
			}
			if d.Nlink != 3 {
				t.Errorf("round %d: nlink %d, want 3", round, d.Nlink)
			}
			return err
		})
	}
}

// touch is a change in a directory that needs only its permission.
func touch(ctx context.Context, e meta.Engine, dir meta.Ino, nlink int32) error {
	return e.Update(ctx, meta.Want{Perms: []meta.Ino{dir}}, func(tx meta.Tx) error {
		_, ok, err := tx.Perm(dir)
		if err != nil || !ok {
			return errors.Join(err, missing(ok))
		}
		tx.Touch(dir, after(t0, 1e9), nlink, 0)
		return nil
	})
}

// testOneWinner lets many create the same name.
func testOneWinner(t *testing.T, e meta.Engine) {
	oneWinner(t, e)
}

func oneWinner(t *testing.T, engines ...meta.Engine) {
	e := engines[0]
	const workers, rounds = 6, 10
	put(t, e, map[meta.Ino]meta.Attr{2: dirAttr(1)})
	for round := range rounds {
		name := numbered("name", round)
		var won, lost atomic.Int64
		m := meeting{of: workers}
		together(t, workers, func(ctx context.Context, w int) error {
			ino := meta.Ino(1000 + round*workers + w)
			err := create(ctx, m.engine(engines[w%len(engines)]), 2, name, ino)
			switch {
			case err == nil:
				won.Store(int64(ino))
			case errors.Is(err, posix.EEXIST):
				lost.Add(1)
			default:
				return err
			}
			return nil
		})
		if lost.Load() != workers-1 {
			t.Errorf("round %d: %d found the name taken, want %d", round, lost.Load(), workers-1)
		}
		wantEntry(t, e, 2, name, &meta.Entry{Type: meta.TypeFile, Ino: meta.Ino(won.Load())})
		for w := range workers {
			ino := meta.Ino(1000 + round*workers + w)
			var want *meta.Attr
			if ino == meta.Ino(won.Load()) {
				a := fileAttr(2, 0)
				want = &a
			}
			wantAttr(t, e, ino, want)
		}
	}
}

// create is the core of the operation of that name.
func create(ctx context.Context, e meta.Engine, dir meta.Ino, name string, ino meta.Ino) error {
	want := meta.Want{Perms: []meta.Ino{dir}, Entries: []meta.Name{{Dir: dir, Name: name}}}
	return e.Update(ctx, want, func(tx meta.Tx) error {
		_, ok, err := tx.Perm(dir)
		if err != nil || !ok {
			return errors.Join(err, missing(ok))
		}
		if _, taken, err := tx.Entry(dir, name); err != nil {
			return err
		} else if taken {
			return posix.EEXIST
		}
		a := fileAttr(dir, 0)
		tx.SetAttr(ino, &a)
		tx.SetEntry(dir, name, meta.Entry{Type: meta.TypeFile, Ino: ino})
		tx.Touch(dir, after(t0, 1e9), 0, 0)
		tx.AddUsage(4096, 1)
		return nil
	})
}

// testCompactWhileAppending replaces prefixes of a chunk while others append: no record is lost or doubled.
func testCompactWhileAppending(t *testing.T, e meta.Engine) {
	const writers, each = 3, 25
	put(t, e, map[meta.Ino]meta.Attr{5: fileAttr(1, 0)})
	replaced := map[uint64]int{} // of the compactor only, until together returns
	merged := uint64(1 << 40)
	var writing atomic.Int64
	writing.Store(writers)
	together(t, writers+1, func(ctx context.Context, w int) error {
		if w < writers {
			defer writing.Add(-1)
			for i := range each {
				s := meta.Slice{ID: uint64(1 + w*each + i), Size: 10, Len: 10}
				if err := e.Update(ctx, meta.Want{Attrs: []meta.Ino{5}}, func(tx meta.Tx) error {
					if _, _, err := tx.Attr(5); err != nil {
						return err
					}
					tx.AppendSlices(5, 0, []meta.Slice{s})
					return nil
				}); err != nil {
					return err
				}
			}
			return nil
		}
		for writing.Load() > 0 {
			var taken []meta.Slice
			merged++
			if err := e.Update(ctx, meta.Want{Attrs: []meta.Ino{5}, Chunks: []meta.ChunkID{{Ino: 5}}}, func(tx meta.Tx) error {
				all, err := tx.Chunk(5, 0)
				taken = nil
				if err != nil || len(all) < 4 {
					return err
				}
				taken = append(taken, all[:len(all)-1]...)
				tx.ReplaceSlices(5, 0, len(taken), []meta.Slice{{ID: merged, Size: 10, Len: 10}})
				return nil
			}); err != nil {
				return err
			}
			for _, s := range taken {
				replaced[s.ID]++
			}
		}
		return nil
	})
	for _, s := range read(t, e, func(r meta.Reader) ([]meta.Slice, error) { return r.Chunk(5, 0) }) {
		replaced[s.ID]++
	}
	for id := range uint64(writers * each) {
		if replaced[id+1] != 1 {
			t.Errorf("record %d is there %d times", id+1, replaced[id+1])
		}
	}
}
