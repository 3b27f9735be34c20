package maintain

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/meta/metatest"
	"jfs/meta/tkv"
	tkvmem "jfs/meta/tkv/mem"
)

// dying is the engine of a process that is killed after some transactions: it cleans nothing up.
type dying struct {
	meta.Engine
	left atomic.Int64
}

var errKilled = errors.New("killed")

func (d *dying) Update(ctx context.Context, want meta.Want, fn func(meta.Tx) error) error {
	if d.left.Add(-1) < 0 {
		return errKilled
	}
	return d.Engine.Update(ctx, want, fn)
}

func (d *dying) Erase(context.Context) error { return errKilled }

// TestLoadAfterKill: nothing of a load that was killed at any point is in the volume that the next one makes.
func TestLoadAfterKill(t *testing.T) {
	dump := func(seed uint64) ([]byte, string) {
		source := tkvmem.NewEngine(tkv.Options{})
		t.Cleanup(func() { source.Close() })
		metatest.History(t, source, seed, 100)
		v := open(t, source)
		extra(t, v)
		return dumped(t, v, DumpOptions{}), parent.ReplaceAllString(withinLength(t, metatest.Tree(t, v)), "")
	}
	first, _ := dump(1)
	second, want := dump(2)
	server := testenv.StartRedis(t)
	for i, after := range []int64{1, 2, 3, 5, 8} {
		for name, e := range engines(t, server, i) {
			killed := &dying{Engine: e}
			killed.left.Store(after)
			if err := Load(t.Context(), killed, bytes.NewReader(first), LoadOptions{}); !errors.Is(err, errKilled) {
				t.Fatalf("%s, %d transactions: %v", name, after, err)
			}
			if err := Load(t.Context(), e, bytes.NewReader(second), LoadOptions{}); err != nil {
				t.Fatalf("%s, %d transactions: %v", name, after, err)
			}
			v := open(t, e)
			if got := parent.ReplaceAllString(metatest.Tree(t, v), ""); got != want {
				t.Errorf("%s, %d transactions: another tree: %s", name, after, lineDifference(want, got))
			}
			metatest.CheckClosed(t, v)
		}
	}
}
