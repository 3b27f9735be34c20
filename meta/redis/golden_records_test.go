package redis

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/redis/rueidis"

	"jfs/meta"
)

// observedRule is a rule as an official client stored it: user 1000 and group 2000 besides the owner.
const observedRule = "0006 0004 0007 0004 00000001 000003e8 0007 00000001 000007d0 0005"

func quotaOf(kind meta.QuotaKind, id uint64) meta.QuotaKey { return meta.QuotaKey{Kind: kind, ID: id} }

// TestGoldenRecords compares all that is stored of locks, quotas, rules, replaced slices and detached inodes with
// the volume format. The values of replaced slices, ranges, rules and limits are observed ones.
func TestGoldenRecords(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	a, b := meta.LockOwner{Sid: 1, Owner: 0xfedcba9876543210}, meta.LockOwner{Sid: 258, Owner: 5}
	delayed := meta.Delayed{ID: 4108, At: 1795429668, Slices: []meta.SliceRef{{ID: 0x1006, Size: 100}, {ID: 0x1007, Size: 200}}}
	locks := func(tx meta.Tx) error {
		_, err := tx.Flocks(5)
		_, err2 := tx.Plocks(5)
		return errors.Join(err, err2)
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		err := locks(tx)
		tx.SetFlock(5, a, meta.FlockShared)
		tx.SetFlock(5, b, meta.FlockExclusive)
		tx.SetPlocks(5, a, []meta.Plock{{Type: meta.PlockWrite, PID: 0xb7d, Start: 5, End: 14}})
		tx.SetQuota(quotaOf(meta.QuotaDir, 258), meta.Quota{MaxSpace: 1 << 30, MaxInodes: 100, UsedSpace: 4096, UsedInodes: 1})
		tx.AddQuotaUsage(quotaOf(meta.QuotaDir, 258), 4096, -1)
		tx.AddQuotaUsage(quotaOf(meta.QuotaDir, 259), 4096, 1) // has none
		tx.AddQuotaUsage(quotaOf(meta.QuotaUser, 1000), 4096, 1)
		tx.AddQuotaUsage(quotaOf(meta.QuotaGroup, 1000), -4096, -1)
		_, err2 := tx.AddACL([]byte(unhex(t, observedRule)))
		tx.SetDelayed(delayed)
		tx.SetDetached(258, 0x6b041400)
		return errors.Join(err, err2)
	})
	none := unhex(t, "ffffffffffffffff ffffffffffffffff")
	want := map[string]string{
		"aclMaxId":                    "1",
		"acl 1":                       unhex(t, observedRule),
		"lockf5 1_FEDCBA9876543210":   "R",
		"lockf5 258_0000000000000005": "W",
		"lockp5 1_FEDCBA9876543210":   unhex(t, "00000001 00000b7d 0000000000000005 000000000000000e"),
		"locked1":                     "lockf5|lockp5", // shared locks too
		"locked258":                   "lockf5",
		"delSlices 4108_1795429668":   unhex(t, "0000000000001006 00000064 0000000000001007 000000c8"),
		"detachedNodes 258":           decimal(0x6b041400),
		"dirQuota 258":                unhex(t, "0000000040000000 0000000000000064"),
		"dirQuotaUsedSpace 258":       "8192",
		"dirQuotaUsedInodes 258":      "0",
		"userQuota 1000":              none,
		"userQuotaUsedSpace 1000":     "4096",
		"userQuotaUsedInodes 1000":    "1",
		"groupQuota 1000":             none,
		"groupQuotaUsedSpace 1000":    "-4096",
		"groupQuotaUsedInodes 1000":   "-1",
	}
	got := stored(t, e)
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%q holds %q, want %q", k, got[k], v)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%q was not expected", k)
		}
	}

	// Everything goes away again; rules and their counter never do.
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		err := locks(tx)
		for _, o := range []meta.LockOwner{a, b} {
			tx.SetFlock(5, o, meta.FlockNone)
			tx.SetPlocks(5, o, nil)
		}
		tx.DropQuota(quotaOf(meta.QuotaDir, 258))
		tx.DropQuota(quotaOf(meta.QuotaUser, 1000))
		tx.DropQuota(quotaOf(meta.QuotaGroup, 1000))
		tx.DropDelayed(delayed)
		tx.DropDetached(258)
		return err
	})
	if left := slices.Sorted(maps.Keys(stored(t, e))); !slices.Equal(left, []string{"acl 1", "aclMaxId"}) {
		t.Errorf("left over: %q", left)
	}
}

// TestLockedSet: the set of a session names a hash as long as the session has a field in it.
func TestLockedSet(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	a, b, other := meta.LockOwner{Sid: 1, Owner: 1}, meta.LockOwner{Sid: 1, Owner: 2}, meta.LockOwner{Sid: 11, Owner: 1}
	set := func(change map[meta.LockOwner]meta.FlockType) {
		t.Helper()
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			_, err := tx.Flocks(5)
			for o, typ := range change {
				tx.SetFlock(5, o, typ)
			}
			return err
		})
	}
	want := func(when, one, eleven string) {
		t.Helper()
		got := stored(t, e)
		if got["locked1"] != one || got["locked11"] != eleven {
			t.Errorf("%s: %q and %q, want %q and %q", when, got["locked1"], got["locked11"], one, eleven)
		}
	}
	set(map[meta.LockOwner]meta.FlockType{a: meta.FlockShared, b: meta.FlockShared, other: meta.FlockShared})
	want("all lock", "lockf5", "lockf5")
	set(map[meta.LockOwner]meta.FlockType{a: meta.FlockNone})
	want("one of two unlocks", "lockf5", "lockf5")
	set(map[meta.LockOwner]meta.FlockType{b: meta.FlockNone})
	want("the other unlocks", "", "lockf5")
	set(map[meta.LockOwner]meta.FlockType{a: meta.FlockShared, b: meta.FlockShared})
	set(map[meta.LockOwner]meta.FlockType{a: meta.FlockNone, b: meta.FlockNone, other: meta.FlockNone})
	want("all unlock", "", "")

	err := e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error {
		tx.SetFlock(5, a, meta.FlockShared) // not read
		return nil
	})
	if err == nil || len(stored(t, e)) != 0 {
		t.Errorf("lock without a read: %v, %q", err, stored(t, e))
	}
}

// TestForeignQuotasAndScans: what other clients may leave, and keys that only look like records.
func TestForeignQuotasAndScans(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	list := unhex(t, "00000000 0000000000000003 00a00000 00000000 00a00000")
	attr := string(meta.EncodeAttr(&fileAttr))
	for _, c := range [][]string{
		{"HSET", "dirQuota", "3", unhex(t, "0000000040000000 0000000000000064")}, // no usage: not visible
		{"HSET", "dirQuotaUsedSpace", "3", "4096"},
		{"HSET", "userQuotaUsedInodes", "4", "5"}, // no limits
		{"RPUSH", "c5_0", list}, {"SET", "c5", "x"}, {"SET", "c05_0", "x"}, {"SET", "c5_00", "x"}, {"SET", "c5_0_0", "x"},
		{"SET", "c5_4294967296", "x"}, {"SET", "c_", "x"}, {"SET", "c5_-1", "x"}, {"SET", "cache_5", "x"}, {"SET", "xc5_0", "x"},
		{"SET", "i5", attr}, {"SET", "i", "x"}, {"SET", "i05", "x"}, {"SET", "i5x", "x"}, {"SET", "i+5", "x"},
		{"SET", "i18446744073709551616", "x"}, {"SET", "info", "x"}, {"SET", "xi5", "x"},
	} {
		raw(t, e, c...)
	}
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		if _, ok, err := r.Quota(quotaOf(meta.QuotaDir, 3)); ok || err != nil {
			t.Errorf("quota without usage: %v %v", ok, err)
		}
		want := meta.Quota{MaxSpace: -1, MaxInodes: -1, UsedInodes: 5}
		if q, ok, err := r.Quota(quotaOf(meta.QuotaUser, 4)); !ok || q != want || err != nil {
			t.Errorf("quota without limits: %+v %v %v", q, ok, err)
		}
		if all, err := r.Quotas(); err != nil || len(all) != 1 || all[quotaOf(meta.QuotaUser, 4)] != want {
			t.Errorf("quotas %+v %v", all, err)
		}
		chunks, next, err := r.ScanChunks("", 1000)
		if err != nil || next != "" || len(chunks) != 1 || chunks[0].ChunkID != (meta.ChunkID{Ino: 5}) || len(chunks[0].Slices) != 1 {
			t.Errorf("chunks %+v %q %v", chunks, next, err)
		}
		nodes, next, err := r.ScanNodes("", 1000)
		if err != nil || next != "" || len(nodes) != 1 || nodes[0] != (meta.Node{Ino: 5, Attr: fileAttr}) {
			t.Errorf("inodes %+v %q %v", nodes, next, err)
		}
		if _, _, err := r.ScanNodes("none", 5); err == nil {
			t.Error("a cursor of another engine is taken")
		}
		return nil
	})
}

// TestCorruptFields: what breaks the format is named.
func TestCorruptFields(t *testing.T) {
	s := start(t)
	for _, c := range []struct {
		command []string
		read    func(r meta.Reader) error
	}{
		{[]string{"HSET", "lockf5", "1_0000000000000001", "X"}, func(r meta.Reader) error { _, err := r.Flocks(5); return err }},
		{[]string{"HSET", "lockf5", "1-1", "R"}, func(r meta.Reader) error { _, err := r.Flocks(5); return err }},
		{[]string{"HSET", "lockp5", "1_0000000000000001", "short"}, func(r meta.Reader) error { _, err := r.Plocks(5); return err }},
		{[]string{"HSET", "lockp5", "a_b", ""}, func(r meta.Reader) error { _, err := r.Plocks(5); return err }},
		{[]string{"HSET", "delSlices", "5", ""}, func(r meta.Reader) error { _, err := r.DelayedSlices(9, 9); return err }},
		{[]string{"HSET", "delSlices", "5_5", "short"}, func(r meta.Reader) error { _, err := r.DelayedSlices(9, 9); return err }},
		{[]string{"ZADD", "detachedNodes", "5", "x"}, func(r meta.Reader) error { _, err := r.Detached(9, 9); return err }},
		{[]string{"HSET", "acl", "x", "rule"}, func(r meta.Reader) error { _, err := r.ACLs(); return err }},
		{[]string{"HSET", "dirQuotaUsedInodes", "5", "x"}, func(r meta.Reader) error { _, _, err := r.Quota(quotaOf(meta.QuotaDir, 5)); return err }},
		{[]string{"HSET", "dirQuotaUsedInodes", "x", "5"}, func(r meta.Reader) error { _, err := r.Quotas(); return err }},
		{[]string{"RPUSH", "c5_0", "short"}, func(r meta.Reader) error { _, _, err := r.ScanChunks("", 9); return err }},
		{[]string{"SET", "i5", "short"}, func(r meta.Reader) error { _, _, err := r.ScanNodes("", 9); return err }},
	} {
		e := open(t, s.empty(), Options{})
		raw(t, e, c.command...)
		if err := e.View(t.Context(), meta.Want{}, c.read); !errors.Is(err, meta.ErrCorrupt) {
			t.Errorf("%q: %v", c.command, err)
		}
	}
}

// TestRecordTrips counts the round trips of these records.
func TestRecordTrips(t *testing.T) {
	var count trips
	e := open(t, start(t).empty(), count.options())
	changing := func(fn func(tx meta.Tx) error) func() {
		return func() { update(t, e, meta.Want{}, fn) }
	}
	reading := func(fn func(r meta.Reader) error) func() {
		return func() { view(t, e, meta.Want{}, fn) }
	}
	me := meta.LockOwner{Sid: 1, Owner: 1}
	for _, c := range []struct {
		name string
		fn   func()
		want int64
	}{
		{"lock", changing(func(tx meta.Tx) error { _, err := tx.Flocks(5); tx.SetFlock(5, me, meta.FlockShared); return err }), 2},
		{"usage", changing(func(tx meta.Tx) error {
			for kind := range meta.QuotaGroup + 1 {
				tx.AddQuotaUsage(quotaOf(kind, 5), 1, 1)
			}
			return nil
		}), 1},
		{"quota", reading(func(r meta.Reader) error { _, _, err := r.Quota(quotaOf(meta.QuotaUser, 5)); return err }), 1},
		{"quotas", reading(func(r meta.Reader) error { _, err := r.Quotas(); return err }), 1},
		{"new rule", changing(func(tx meta.Tx) error { _, err := tx.AddACL([]byte("rule")); return err }), 2},
		{"rule", reading(func(r meta.Reader) error { _, _, err := r.ACL(1); return err }), 1},
		{"delayed slices", reading(func(r meta.Reader) error { _, err := r.DelayedSlices(5, 5); return err }), 1},
		{"detached inodes", reading(func(r meta.Reader) error { _, err := r.Detached(5, 5); return err }), 1},
		{"scan of nothing", reading(func(r meta.Reader) error { _, _, err := r.ScanChunks("", 1000); return err }), 1},
	} {
		if n := count.during(c.fn); n != c.want {
			t.Errorf("%s: %d round trips, want %d", c.name, n, c.want)
		}
	}
}

// TestLockWatchers: an official client that watches a hash of locks sees a change of ours.
func TestLockWatchers(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	client, release := e.client.Dedicate()
	defer release()
	b := client.B()
	client.Do(t.Context(), b.Watch().Key("lockf5").Build())
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		_, err := tx.Flocks(5)
		tx.SetFlock(5, meta.LockOwner{Sid: 1}, meta.FlockShared)
		return err
	})
	client.Do(t.Context(), b.Multi().Build())
	client.Do(t.Context(), b.Set().Key("private").Value("x").Build())
	if _, err := client.Do(t.Context(), b.Exec().Build()).ToArray(); !rueidis.IsRedisNil(err) {
		t.Errorf("who watches the locks saw nothing: %v", err)
	}
}
