package maintain

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"jfs/meta"
	"jfs/meta/tkv"
	tkvmem "jfs/meta/tkv/mem"
)

// twice computes each change anew, as an engine does when another client was first.
type twice struct{ meta.Engine }

func (e twice) Update(ctx context.Context, want meta.Want, fn func(meta.Tx) error) error {
	first := true
	return e.Engine.Update(ctx, want, func(tx meta.Tx) error {
		if first {
			first = false
			_ = fn(tx) // it fails or not: what is computed anew counts
		}
		return fn(tx)
	})
}

type restarts struct{ changes, anew atomic.Int64 }

func (*restarts) Operation(string, time.Duration) {}
func (r *restarts) Transaction(_ time.Duration, n int) {
	r.changes.Add(1)
	r.anew.Add(int64(n))
}

// A change that is computed once is no restart; one that is computed twice is one.
func TestRestartsAreCounted(t *testing.T) {
	for _, again := range []bool{false, true} {
		w := worldOn(t, tkvmem.NewEngine(tkv.Options{}), nil)
		eng := w.eng
		if again {
			eng = twice{eng}
		}
		var seen restarts
		v, err := meta.Open(w.ctx, eng, meta.Options{Observer: &seen, MaxDeletes: -1})
		w.noErr(err)
		seen.changes.Store(0)
		seen.anew.Store(0)
		w.noErr(v.SetXattr(w.ctx, meta.Root, meta.RootIno, "user.a", []byte("b"), 0))
		want := int64(0)
		if again {
			want = seen.changes.Load()
		}
		if seen.changes.Load() == 0 || seen.anew.Load() != want {
			t.Errorf("%d changes, %d computed anew, want %d", seen.changes.Load(), seen.anew.Load(), want)
		}
		w.noErr(v.Close(w.ctx))
	}
}
