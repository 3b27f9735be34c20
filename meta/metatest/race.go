package metatest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

var raceCases = []testCase{
	{"CreateInOneDirectory", testParallelCreate},
	{"CreateAgainstRmdir", testCreateRmdir},
	{"LinksOfOneDirectory", testParallelTouch},
}

// testParallelCreate: changes in one directory must get through, however many there are.
func testParallelCreate(t *testing.T, e meta.Engine) {
	const workers, each = 8, 20
	put(t, e, map[meta.Ino]meta.Attr{2: dirAttr(1)})
	var tries atomic.Int64
	together(t, workers, func(ctx context.Context, w int) error {
		for i := range each {
			err := create(ctx, countingEngine{e, &tries}, 2, numbered("f", w, i), meta.Ino(1000+w*each+i))
			if err != nil {
				return err
			}
		}
		return nil
	})
	t.Logf("%d runs for %d changes", tries.Load(), workers*each)
	if n := len(list(t, e, 2, 1000, false, nil)); n != workers*each {
		t.Errorf("%d entries, want %d", n, workers*each)
	}
	equal(t, "usage", usageOf(t, e), usage{4096 * workers * each, workers * each})
}

// countingEngine counts the runs of fn.
type countingEngine struct {
	meta.Engine
	runs *atomic.Int64
}

func (c countingEngine) Update(ctx context.Context, want meta.Want, fn func(meta.Tx) error) error {
	return c.Engine.Update(ctx, want, func(tx meta.Tx) error {
		c.runs.Add(1)
		return fn(tx)
	})
}

// testCreateRmdir removes a directory while others create in it: none is left without its directory.
func testCreateRmdir(t *testing.T, e meta.Engine) {
	createAgainstRmdir(t, e, e)
}

func createAgainstRmdir(t *testing.T, creators, remover meta.Engine) {
	const workers, rounds = 3, 20
	parent := dirAttr(1)
	parent.Nlink = 2 + rounds
	put(t, creators, map[meta.Ino]meta.Attr{2: parent})
	removed := 0
	for round := range rounds {
		dir, name := meta.Ino(1000+100*round), numbered("dir", round)
		a := dirAttr(2)
		update(t, creators, meta.Want{}, func(tx meta.Tx) error {
			tx.SetAttr(dir, &a)
			tx.SetEntry(2, name, meta.Entry{Type: meta.TypeDirectory, Ino: dir})
			return nil
		})
		var created atomic.Int64
		var gone atomic.Bool
		m := meeting{of: int64(1 + round%(workers+1))} // at one, who comes first goes first
		together(t, workers+1, func(ctx context.Context, w int) error {
			var err error
			if w == workers {
				err = rmdir(ctx, m.engine(remover), 2, name)
				gone.Store(err == nil)
			} else if err = create(ctx, m.engine(creators), dir, numbered("f", w), dir+1+meta.Ino(w)); err == nil {
				created.Add(1)
			}
			if errors.Is(err, posix.ENOENT) || errors.Is(err, posix.ENOTEMPTY) {
				return nil
			}
			return err
		})
		if gone.Load() {
			removed++
			wantAttr(t, creators, dir, nil)
		}
		if left := len(list(t, creators, dir, 100, false, nil)); gone.Load() && (left != 0 || created.Load() != 0) ||
			!gone.Load() && int64(left) != created.Load() {
			t.Fatalf("round %d: removed %v, created %d, left %d", round, gone.Load(), created.Load(), left)
		}
		for w := range workers {
			if gone.Load() {
				wantAttr(t, creators, dir+1+meta.Ino(w), nil)
			}
		}
	}
	t.Logf("removed %d of %d directories", removed, rounds)
	view(t, creators, meta.Want{}, func(r meta.Reader) error {
		a, _, err := r.Attr(2)
		equal(t, "links of the parent", a.Nlink, uint32(2+rounds-removed))
		return err
	})
}

// testParallelTouch: no change of nlink is lost.
func testParallelTouch(t *testing.T, e meta.Engine) {
	const workers, each = 8, 20
	want := dirAttr(1)
	want.Nlink = 100
	put(t, e, map[meta.Ino]meta.Attr{2: want})
	together(t, workers, func(ctx context.Context, w int) error {
		for i := range each {
			n := int32(1)
			if i%4 == 3 {
				n = -1
			}
			if err := touch(ctx, e, 2, n); err != nil {
				return err
			}
		}
		return nil
	})
	want.Nlink = 100 + workers*each/2
	want.Mtime = after(t0, 1e9)
	want.Ctime = want.Mtime
	wantAttr(t, e, 2, &want)
}

var reserveCases = []testCase{
	{"Starts", testReserveStarts},
	{"Disjoint", testReserveDisjoint},
}

func testReserveStarts(t *testing.T, e meta.Engine) {
	// The volume skips inodes 0 and 1.
	if first := reserve(t, e, meta.SeqInode, 1024); first != 1 && first != 2 {
		t.Errorf("inodes begin at %d, want 1 (Redis) or 2", first)
	}
	for _, c := range []struct {
		name string
		seq  meta.Sequence
	}{{"slices", meta.SeqSlice}, {"sessions", meta.SeqSession}, {"trash", meta.SeqTrash}} {
		equal(t, c.name+" begin at", reserve(t, e, c.seq, 1), 1)
		equal(t, c.name+" go on at", reserve(t, e, c.seq, 1), 2)
	}
	equal(t, "a batch of slices", reserve(t, e, meta.SeqSlice, 4096), 3)
	equal(t, "slices behind a batch", reserve(t, e, meta.SeqSlice, 1), 4099)
}

func testReserveDisjoint(t *testing.T, e meta.Engine) {
	reserveDisjoint(t, e, e)
}

func reserveDisjoint(t *testing.T, engines ...meta.Engine) {
	const workers, each = 6, 15
	for _, seq := range []meta.Sequence{meta.SeqInode, meta.SeqSlice, meta.SeqSession, meta.SeqTrash} {
		var mu sync.Mutex // guards taken
		var taken [][2]uint64
		together(t, workers, func(ctx context.Context, w int) error {
			for i := range each {
				n := uint64(1 + (w*7+i*3)%20)
				first, err := engines[w%len(engines)].Reserve(ctx, seq, n)
				if err != nil {
					return err
				}
				mu.Lock()
				taken = append(taken, [2]uint64{first, first + n})
				mu.Unlock()
			}
			return nil
		})
		slices.SortFunc(taken, func(a, b [2]uint64) int { return int(a[0]) - int(b[0]) })
		for i := 1; i < len(taken); i++ {
			if taken[i][0] < taken[i-1][1] {
				t.Fatalf("sequence %d: ranges %v and %v overlap", seq, taken[i-1], taken[i])
			}
		}
	}
}
