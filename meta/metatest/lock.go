package metatest

import (
	"context"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"

	"jfs/meta"
)

var lockCases = []testCase{
	{"Flock", testFlock},
	{"Plock", testPlock},
	{"FlockOneWinner", func(t *testing.T, e meta.Engine) { flockWinner(t, e) }},
	{"PlockPromise", func(t *testing.T, e meta.Engine) { plockPromise(t, e) }},
	{"SessionEnds", testSessionLocks},
	{"Locked", testLocked},
}

// testLocked: a session is found by its locks of both kinds, and by no others.
func testLocked(t *testing.T, e meta.Engine) {
	setFlocks(t, e, 700, flocks{owner1: meta.FlockShared, owner11: meta.FlockExclusive})
	setFlocks(t, e, 5, flocks{owner1: meta.FlockExclusive})
	setPlocks(t, e, 5, plocks{owner1b: {{Type: meta.PlockRead, PID: 1, Start: 2, End: 3}}})
	setPlocks(t, e, 70, plocks{owner1: {{Type: meta.PlockWrite, PID: 1, Start: 2, End: meta.PlockEOF}}, ownerBig: {{Start: 1, End: 1}}})
	setPlocks(t, e, 71, plocks{ownerBig: {{Start: 1, End: 1}}})
	setFlocks(t, e, 71, flocks{owner11: meta.FlockShared})
	setFlocks(t, e, 71, flocks{owner11: meta.FlockNone})
	want := map[uint64][]meta.Ino{1: {5, 70, 700}, 11: {700}, 1 << 40: {70, 71}, 2: nil}
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		for sid, inodes := range want {
			got, err := r.Locked(sid)
			if err != nil {
				return err
			}
			if !slices.Equal(got, inodes) {
				t.Errorf("session %d has locks on %v, want %v", sid, got, inodes)
			}
		}
		flocks, plocks, err := meta.LocksOf(r, 1)
		if err != nil {
			return err
		}
		wantFlocks := []meta.HeldFlock{{Inode: 5, Owner: owner1.Owner, Ltype: "W"}, {Inode: 700, Owner: owner1.Owner, Ltype: "R"}}
		wantPlocks := []meta.HeldPlock{
			{Inode: 5, Owner: 5, Records: []meta.HeldRange{{Type: meta.PlockRead, Pid: 1, Start: 2, End: 3}}},
			{Inode: 70, Owner: owner1.Owner, Records: []meta.HeldRange{{Type: meta.PlockWrite, Pid: 1, Start: 2, End: meta.PlockEOF}}},
		}
		if !reflect.DeepEqual(flocks, wantFlocks) || !reflect.DeepEqual(plocks, wantPlocks) {
			t.Errorf("locks %+v and %+v", flocks, plocks)
		}
		return nil
	})
}

// Owners whose numbers are easily mixed up: the kernel's are often beyond the signed range.
var (
	owner1   = meta.LockOwner{Sid: 1, Owner: 1<<63 + 5}
	owner1b  = meta.LockOwner{Sid: 1, Owner: 5}
	owner11  = meta.LockOwner{Sid: 11, Owner: 5}
	ownerBig = meta.LockOwner{Sid: 1 << 40, Owner: 1<<64 - 1}
)

type (
	flocks = map[meta.LockOwner]meta.FlockType
	plocks = map[meta.LockOwner][]meta.Plock
)

// setFlocks changes BSD locks of one inode in one change.
func setFlocks(t *testing.T, e meta.Engine, ino meta.Ino, change flocks) {
	t.Helper()
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		if _, err := tx.Flocks(ino); err != nil {
			return err
		}
		for o, typ := range change {
			tx.SetFlock(ino, o, typ)
		}
		return nil
	})
}

func setPlocks(t *testing.T, e meta.Engine, ino meta.Ino, change plocks) {
	t.Helper()
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		if _, err := tx.Plocks(ino); err != nil {
			return err
		}
		for o, locks := range change {
			tx.SetPlocks(ino, o, locks)
		}
		return nil
	})
}

func wantFlocks(t *testing.T, e meta.Engine, ino meta.Ino, want flocks) {
	t.Helper()
	got := read(t, e, func(r meta.Reader) (flocks, error) { return r.Flocks(ino) })
	if len(got)+len(want) > 0 {
		equal(t, "flocks of "+ino.String(), got, want)
	}
}

func wantPlocks(t *testing.T, e meta.Engine, ino meta.Ino, want plocks) {
	t.Helper()
	got := read(t, e, func(r meta.Reader) (plocks, error) { return r.Plocks(ino) })
	if len(got)+len(want) > 0 {
		equal(t, "plocks of "+ino.String(), got, want)
	}
}

func testFlock(t *testing.T, e meta.Engine) {
	wantFlocks(t, e, 5, nil)
	setFlocks(t, e, 5, flocks{owner1: meta.FlockShared, owner1b: meta.FlockShared})
	setFlocks(t, e, 5, flocks{owner11: meta.FlockShared, ownerBig: meta.FlockShared})
	setFlocks(t, e, 6, flocks{owner1: meta.FlockExclusive})
	wantFlocks(t, e, 5, flocks{owner1: meta.FlockShared, owner1b: meta.FlockShared, owner11: meta.FlockShared, ownerBig: meta.FlockShared})
	wantFlocks(t, e, 6, flocks{owner1: meta.FlockExclusive})
	wantFlocks(t, e, 7, nil)
	setFlocks(t, e, 5, flocks{owner1b: meta.FlockNone, ownerBig: meta.FlockNone, meta.LockOwner{Sid: 99}: meta.FlockNone})
	setFlocks(t, e, 5, flocks{owner1: meta.FlockExclusive}) // from shared
	wantFlocks(t, e, 5, flocks{owner1: meta.FlockExclusive, owner11: meta.FlockShared})
	setFlocks(t, e, 5, flocks{owner1: meta.FlockNone, owner11: meta.FlockNone})
	wantFlocks(t, e, 5, nil)
	wantFlocks(t, e, 6, flocks{owner1: meta.FlockExclusive})
}

func testPlock(t *testing.T, e meta.Engine) {
	some := []meta.Plock{
		{Type: meta.PlockWrite, PID: 0xb7d, Start: 5, End: 14},
		{Type: meta.PlockRead, PID: 1<<32 - 1, Start: 20, End: 20},
		{Type: meta.PlockRead, PID: 7, Start: 1 << 40, End: meta.PlockEOF},
	}
	wantPlocks(t, e, 5, nil)
	setPlocks(t, e, 5, plocks{owner1: some, owner11: some[1:]})
	setPlocks(t, e, 5, plocks{ownerBig: some[:1]})
	setPlocks(t, e, 6, plocks{owner1: some[2:]})
	setFlocks(t, e, 5, flocks{owner1: meta.FlockShared}) // of the other kind
	wantPlocks(t, e, 5, plocks{owner1: some, owner11: some[1:], ownerBig: some[:1]})
	wantPlocks(t, e, 6, plocks{owner1: some[2:]})
	setPlocks(t, e, 5, plocks{owner1: some[:2], owner11: nil, owner1b: nil})
	wantPlocks(t, e, 5, plocks{owner1: some[:2], ownerBig: some[:1]})
	setPlocks(t, e, 5, plocks{owner1: nil, ownerBig: nil})
	wantPlocks(t, e, 5, nil)
	wantFlocks(t, e, 5, flocks{owner1: meta.FlockShared})
}

// flockWinner lets many take an exclusive lock if there is none: one gets it.
func flockWinner(t *testing.T, engines ...meta.Engine) {
	const workers, rounds = 6, 10
	for round := range rounds {
		ino := meta.Ino(100 + round)
		if round%2 == 1 { // one that is there is released in the same moment
			setFlocks(t, engines[0], ino, flocks{ownerBig: meta.FlockShared})
		}
		var won atomic.Int64
		m := meeting{of: workers}
		together(t, workers, func(ctx context.Context, w int) error {
			e, got := m.engine(engines[w%len(engines)]), false
			err := e.Update(ctx, meta.Want{}, func(tx meta.Tx) error {
				locks, err := tx.Flocks(ino)
				if err != nil {
					return err
				}
				delete(locks, ownerBig)
				if got = len(locks) == 0; got {
					tx.SetFlock(ino, ownerBig, meta.FlockNone)
					tx.SetFlock(ino, meta.LockOwner{Sid: uint64(w + 1), Owner: 7}, meta.FlockExclusive)
				}
				return nil
			})
			if got {
				won.Add(1)
			}
			return err
		})
		if won.Load() != 1 {
			t.Errorf("round %d: %d hold the lock, want 1", round, won.Load())
		}
		if all := read(t, engines[0], func(r meta.Reader) (flocks, error) { return r.Flocks(ino) }); len(all) != 1 {
			t.Errorf("round %d: locks %v, want one", round, all)
		}
	}
}

// plockPromise lets each take the first byte that nobody has: no two may get the same.
func plockPromise(t *testing.T, engines ...meta.Engine) {
	const workers, each = 5, 6
	together(t, workers, func(ctx context.Context, w int) error {
		for range each {
			me := meta.LockOwner{Sid: uint64(w%2 + 1), Owner: uint64(w)}
			err := engines[w%len(engines)].Update(ctx, meta.Want{}, func(tx meta.Tx) error {
				all, err := tx.Plocks(5)
				if err != nil {
					return err
				}
				first := uint64(0)
				for _, locks := range all {
					first += uint64(len(locks))
				}
				tx.SetPlocks(5, me, append(all[me], meta.Plock{Type: meta.PlockWrite, PID: uint32(w), Start: first, End: first}))
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	taken := map[uint64]bool{}
	for _, locks := range read(t, engines[0], func(r meta.Reader) (plocks, error) { return r.Plocks(5) }) {
		for _, l := range locks {
			taken[l.Start] = true
		}
	}
	if len(taken) != workers*each {
		t.Errorf("%d bytes are locked, want %d", len(taken), workers*each)
	}
}

// testSessionLocks: what a session holds goes with it, and what others hold stays.
func testSessionLocks(t *testing.T, e meta.Engine) {
	lock := []meta.Plock{{Type: meta.PlockRead, PID: 1, End: meta.PlockEOF}}
	drop := func(before func(tx meta.Tx) error, sids ...uint64) {
		t.Helper()
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			if before != nil {
				if err := before(tx); err != nil {
					return err
				}
			}
			for _, sid := range sids {
				tx.DropSession(sid)
			}
			return nil
		})
	}
	setFlocks(t, e, 5, flocks{owner1: meta.FlockShared, owner1b: meta.FlockShared, owner11: meta.FlockShared})
	setFlocks(t, e, 6, flocks{owner1: meta.FlockExclusive})
	setFlocks(t, e, 7, flocks{ownerBig: meta.FlockExclusive})
	setPlocks(t, e, 5, plocks{owner1: lock, owner11: lock})
	setPlocks(t, e, 8, plocks{owner1b: lock})
	// One owner of several of a session unlocks: the others are still the session's.
	setFlocks(t, e, 5, flocks{owner1b: meta.FlockNone})
	// The last owner of a session unlocks, and others still hold the same inode.
	setPlocks(t, e, 5, plocks{owner1: nil})
	drop(nil, 1)
	wantFlocks(t, e, 5, flocks{owner11: meta.FlockShared})
	wantFlocks(t, e, 6, nil)
	wantFlocks(t, e, 7, flocks{ownerBig: meta.FlockExclusive})
	wantPlocks(t, e, 5, plocks{owner11: lock})
	wantPlocks(t, e, 8, nil)
	// Locks of the same change go too.
	drop(func(tx meta.Tx) error {
		if _, err := tx.Flocks(9); err != nil {
			return err
		}
		if _, err := tx.Plocks(5); err != nil {
			return err
		}
		tx.SetFlock(9, owner1, meta.FlockExclusive)
		tx.SetPlocks(5, owner1, lock)
		return nil
	}, 1, ownerBig.Sid)
	wantFlocks(t, e, 9, nil)
	wantFlocks(t, e, 7, nil)
	wantPlocks(t, e, 5, plocks{owner11: lock})
	drop(nil, 11, 12)
	wantFlocks(t, e, 5, nil)
	wantPlocks(t, e, 5, nil)
}
