package metatest

import (
	"context"
	"testing"

	"jfs/meta"
)

var quotaCases = []testCase{
	{"RoundTrip", testQuota},
	{"AddUsage", testQuotaUsage},
	{"Parallel", func(t *testing.T, e meta.Engine) { quotaSums(t, e) }},
	{"UnknownKind", testQuotaKind},
}

type quotas = map[meta.QuotaKey]meta.Quota

func dirQuota(id uint64) meta.QuotaKey   { return meta.QuotaKey{Kind: meta.QuotaDir, ID: id} }
func userQuota(id uint64) meta.QuotaKey  { return meta.QuotaKey{Kind: meta.QuotaUser, ID: id} }
func groupQuota(id uint64) meta.QuotaKey { return meta.QuotaKey{Kind: meta.QuotaGroup, ID: id} }

// wantQuotas compares all records, one by one and listed.
func wantQuotas(t *testing.T, e meta.Engine, want quotas, missing ...meta.QuotaKey) {
	t.Helper()
	got := read(t, e, meta.Reader.Quotas)
	if len(got)+len(want) > 0 {
		equal(t, "quotas", got, want)
	}
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		for k, q := range want {
			got, ok, err := r.Quota(k)
			if err != nil || !ok || got != q {
				t.Errorf("quota %+v: %+v %v %v, want %+v", k, got, ok, err, q)
			}
		}
		for _, k := range missing {
			if got, ok, err := r.Quota(k); ok || err != nil {
				t.Errorf("quota %+v: %+v %v %v, want none", k, got, ok, err)
			}
		}
		return nil
	})
}

func changeQuotas(t *testing.T, e meta.Engine, fn func(tx meta.Tx)) {
	t.Helper()
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		fn(tx)
		return nil
	})
}

func testQuota(t *testing.T, e meta.Engine) {
	wantQuotas(t, e, nil, dirQuota(5), userQuota(5), groupQuota(5))
	want := quotas{ // the numbers are those of three name spaces
		dirQuota(5):       {MaxSpace: 1 << 30, MaxInodes: 100, UsedSpace: 4096, UsedInodes: 1},
		dirQuota(1 << 60): {MaxSpace: -1, MaxInodes: -1},
		userQuota(5):      {MaxSpace: 1<<63 - 1, MaxInodes: 1<<63 - 1, UsedSpace: -4096, UsedInodes: -1},
		userQuota(0):      {MaxSpace: -1, MaxInodes: 7, UsedSpace: 1 << 62},
		groupQuota(5):     {UsedInodes: 1 << 40},
		groupQuota(65534): {MaxSpace: 5, MaxInodes: 6, UsedSpace: 7, UsedInodes: 8},
	}
	changeQuotas(t, e, func(tx meta.Tx) {
		for k, q := range want {
			tx.SetQuota(k, q)
		}
	})
	wantQuotas(t, e, want, dirQuota(65534), userQuota(65534), groupQuota(0))
	want[dirQuota(5)] = meta.Quota{MaxSpace: 5, MaxInodes: 1 << 33, UsedSpace: 1 << 33, UsedInodes: -5}
	want[userQuota(0)] = meta.Quota{}
	delete(want, groupQuota(5))
	delete(want, dirQuota(1<<60))
	changeQuotas(t, e, func(tx meta.Tx) {
		tx.SetQuota(dirQuota(5), want[dirQuota(5)])
		tx.SetQuota(userQuota(0), want[userQuota(0)])
		tx.DropQuota(groupQuota(5))
		tx.DropQuota(dirQuota(1 << 60))
		tx.DropQuota(dirQuota(77)) // has none
	})
	wantQuotas(t, e, want, groupQuota(5), dirQuota(1<<60), dirQuota(77))
}

// testQuotaUsage: who owns files has a record from the first one on; a directory only when it was given one.
func testQuotaUsage(t *testing.T, e meta.Engine) {
	add := func(space, inodes int64, keys ...meta.QuotaKey) {
		t.Helper()
		changeQuotas(t, e, func(tx meta.Tx) {
			for _, k := range keys {
				tx.AddQuotaUsage(k, space, inodes)
			}
		})
	}
	add(4096, 1, dirQuota(5), userQuota(5), groupQuota(6))
	want := quotas{
		userQuota(5):  {MaxSpace: -1, MaxInodes: -1, UsedSpace: 4096, UsedInodes: 1},
		groupQuota(6): {MaxSpace: -1, MaxInodes: -1, UsedSpace: 4096, UsedInodes: 1},
	}
	wantQuotas(t, e, want, dirQuota(5))
	limits := meta.Quota{MaxSpace: 1 << 40, MaxInodes: 9}
	changeQuotas(t, e, func(tx meta.Tx) {
		tx.SetQuota(dirQuota(5), limits)
		tx.SetQuota(dirQuota(6), limits)
		tx.SetQuota(userQuota(5), limits)
	})
	add(1<<40, 1, dirQuota(5), userQuota(5), groupQuota(6))
	add(-4096, 0, dirQuota(5), groupQuota(6))
	add(0, -2, userQuota(5), groupQuota(6))
	// The limits are those that were set, and usage may pass them or fall below 0.
	want = quotas{
		dirQuota(5):   {MaxSpace: 1 << 40, MaxInodes: 9, UsedSpace: 1<<40 - 4096, UsedInodes: 1},
		dirQuota(6):   limits,
		userQuota(5):  {MaxSpace: 1 << 40, MaxInodes: 9, UsedSpace: 1 << 40, UsedInodes: -1},
		groupQuota(6): {MaxSpace: -1, MaxInodes: -1, UsedSpace: 1 << 40, UsedInodes: 0},
	}
	wantQuotas(t, e, want, userQuota(6), groupQuota(5))
	// Several additions of one change, to a record that it has set.
	changeQuotas(t, e, func(tx meta.Tx) {
		tx.SetQuota(dirQuota(6), meta.Quota{MaxSpace: 1, MaxInodes: 2, UsedSpace: 3, UsedInodes: 4})
		tx.AddQuotaUsage(dirQuota(6), 10, 20)
		tx.AddQuotaUsage(dirQuota(6), 100, -200)
	})
	want[dirQuota(6)] = meta.Quota{MaxSpace: 1, MaxInodes: 2, UsedSpace: 113, UsedInodes: -176}
	wantQuotas(t, e, want)
	changeQuotas(t, e, func(tx meta.Tx) { tx.DropQuota(dirQuota(5)) })
	add(1, 1, dirQuota(5))
	delete(want, dirQuota(5))
	wantQuotas(t, e, want, dirQuota(5))
}

// quotaSums adds from many sides.
func quotaSums(t *testing.T, engines ...meta.Engine) {
	const workers, each = 4, 15
	changeQuotas(t, engines[0], func(tx meta.Tx) { tx.SetQuota(dirQuota(5), meta.Quota{MaxSpace: 7, MaxInodes: 8, UsedSpace: 100}) })
	together(t, workers, func(ctx context.Context, w int) error {
		for i := range each {
			if err := engines[w%len(engines)].Update(ctx, meta.Want{}, func(tx meta.Tx) error {
				tx.AddQuotaUsage(dirQuota(5), 4096, 1)
				tx.AddQuotaUsage(userQuota(1000), int64(i), -1)
				tx.AddQuotaUsage(groupQuota(uint64(w%2)), 1, 2)
				tx.AddQuotaUsage(dirQuota(6), 1, 1) // has none
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	const n = workers * each
	wantQuotas(t, engines[0], quotas{
		dirQuota(5):     {MaxSpace: 7, MaxInodes: 8, UsedSpace: 100 + n*4096, UsedInodes: n},
		userQuota(1000): {MaxSpace: -1, MaxInodes: -1, UsedSpace: workers * each * (each - 1) / 2, UsedInodes: -n},
		groupQuota(0):   {MaxSpace: -1, MaxInodes: -1, UsedSpace: n / 2, UsedInodes: n},
		groupQuota(1):   {MaxSpace: -1, MaxInodes: -1, UsedSpace: n / 2, UsedInodes: n},
	}, dirQuota(6))
}

// testQuotaKind: what is no kind of quota is an error, and nothing of the change is written.
func testQuotaKind(t *testing.T, e meta.Engine) {
	bad := meta.QuotaKey{Kind: 3, ID: 5}
	for name, fn := range map[string]func(tx meta.Tx) error{
		"read": func(tx meta.Tx) error { _, _, err := tx.Quota(bad); return err },
		"set":  func(tx meta.Tx) error { tx.SetQuota(bad, meta.Quota{}); return nil },
		"drop": func(tx meta.Tx) error { tx.DropQuota(bad); return nil },
		"add":  func(tx meta.Tx) error { tx.AddQuotaUsage(bad, 1, 1); return nil },
	} {
		if err := e.Update(soon(t), meta.Want{}, func(tx meta.Tx) error {
			tx.SetQuota(userQuota(5), meta.Quota{})
			return fn(tx)
		}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	wantQuotas(t, e, nil, userQuota(5))
}
