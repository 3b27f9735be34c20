package metatest

import (
	"errors"
	"slices"
	"testing"

	"jfs/meta"
)

var delayedCases = []testCase{
	{"Slices", testDelayed},
	{"Detached", testDetached},
	{"ErrorWritesNothing", testRecordsError},
}

func testDelayed(t *testing.T, e meta.Engine) {
	many := make([]meta.SliceRef, 1000)
	for i := range many {
		many[i] = meta.SliceRef{ID: uint64(i) << 20, Size: uint32(i)}
	}
	all := []meta.Delayed{
		{ID: 4108, At: 1795429668, Slices: []meta.SliceRef{{ID: 0x1006, Size: 100}, {ID: 0x1007, Size: 200}}},
		{ID: 9, At: 1795429669, Slices: many},
		// One item per record, so the same slice may be there twice.
		{ID: 1<<63 - 1, At: 1795429670, Slices: []meta.SliceRef{{ID: 1, Size: 1}, {ID: 1, Size: 1}, {ID: 1<<63 + 1, Size: 1<<32 - 1}}},
		{ID: 4110, At: 1795429670, Slices: []meta.SliceRef{{ID: 5, Size: 5}}},
	}
	get := func(before int64, limit int) []meta.Delayed {
		got := read(t, e, func(r meta.Reader) ([]meta.Delayed, error) { return r.DelayedSlices(before, limit) })
		slices.SortFunc(got, func(a, b meta.Delayed) int {
			if a.At != b.At {
				return int(a.At - b.At)
			}
			return len(b.Slices) - len(a.Slices)
		})
		return got
	}
	wantFirst := func(before int64, n int) {
		t.Helper()
		got := get(before, 100)
		if len(got)+n > 0 {
			equal(t, "delayed slices", got, slices.Clone(all[:n]))
		}
	}
	wantFirst(1<<40, 0)
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		for _, d := range all {
			tx.SetDelayed(d)
		}
		return nil
	})
	for _, c := range []struct {
		before int64
		n      int
	}{{1795429668, 0}, {1795429669, 1}, {1795429670, 2}, {1795429671, 4}, {1 << 40, 4}} {
		wantFirst(c.before, c.n)
	}
	for limit := range 3 {
		if got := get(1795429671, limit); len(got) != limit {
			t.Errorf("%d of at most %d", len(got), limit)
		}
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.DropDelayed(all[1])
		tx.DropDelayed(all[3])
		tx.DropDelayed(meta.Delayed{ID: 77, At: 1}) // is not there
		return nil
	})
	equal(t, "after a drop", get(1<<40, 100), []meta.Delayed{all[0], all[2]})
}

func testDetached(t *testing.T, e meta.Engine) {
	get := func(before int64, limit int) []meta.Ino {
		got := read(t, e, func(r meta.Reader) ([]meta.Ino, error) { return r.Detached(before, limit) })
		slices.Sort(got)
		return got
	}
	if got := get(1<<40, 10); len(got) != 0 {
		t.Errorf("detached inodes of an empty volume: %v", got)
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetDetached(10, 1000)
		tx.SetDetached(300, 2000)
		tx.SetDetached(1<<60+1, 2000)
		tx.SetDetached(11, 3000)
		return nil
	})
	for _, c := range []struct {
		before int64
		want   []meta.Ino
	}{{999, nil}, {1000, []meta.Ino{10}}, {2000, []meta.Ino{10, 300, 1<<60 + 1}}, {1 << 40, []meta.Ino{10, 11, 300, 1<<60 + 1}}} {
		if got := get(c.before, 100); !slices.Equal(got, c.want) {
			t.Errorf("detached until %d: %v, want %v", c.before, got, c.want)
		}
	}
	for limit := range 3 {
		if got := get(2000, limit); len(got) != limit {
			t.Errorf("%d of at most %d", len(got), limit)
		}
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.DropDetached(300)
		tx.DropDetached(77) // is not there
		tx.SetDetached(10, 5000)
		return nil
	})
	if got := get(4999, 100); !slices.Equal(got, []meta.Ino{11, 1<<60 + 1}) {
		t.Errorf("after a drop: %v", got)
	}
}

// testRecordsError: a change that fails has written none of these records.
func testRecordsError(t *testing.T, e meta.Engine) {
	enough := errors.New("enough")
	if err := e.Update(soon(t), meta.Want{}, func(tx meta.Tx) error {
		_, err := tx.Flocks(5)
		_, err2 := tx.Plocks(5)
		tx.SetFlock(5, owner1, meta.FlockShared)
		tx.SetPlocks(5, owner1, []meta.Plock{{End: 5}})
		tx.SetDelayed(meta.Delayed{ID: 5, At: 5, Slices: []meta.SliceRef{{ID: 1, Size: 1}}})
		tx.SetDetached(5, 5)
		tx.SetQuota(dirQuota(5), meta.Quota{})
		tx.AddQuotaUsage(userQuota(5), 5, 5)
		return errors.Join(err, err2, enough)
	}); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	wantFlocks(t, e, 5, nil)
	wantPlocks(t, e, 5, nil)
	wantQuotas(t, e, nil)
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		delayed, err := r.DelayedSlices(1<<40, 9)
		detached, err2 := r.Detached(1<<40, 9)
		if len(delayed)+len(detached) > 0 {
			t.Errorf("written: %v %v", delayed, detached)
		}
		return errors.Join(err, err2)
	})
}
