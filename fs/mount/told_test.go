package mount

import (
	"testing"
	"time"

	"jfs/meta"
)

func at(sec int64) state { return state{ctime: meta.Time{Sec: sec}, length: uint64(sec)} }

func TestTold(t *testing.T) {
	now := time.Unix(1000, 0)
	k := newTold(time.Second)
	k.now = func() time.Time { return now }
	const period = time.Second + toldSlack

	expect := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	expect("open of a file that the kernel knows nothing of", k.open(1, at(1)), false)
	expect("answer", k.answer(2, at(1)), true)
	expect("open of the same state", k.open(2, at(1)), false)
	expect("open of another state", k.open(2, at(2)), true)
	expect("open again", k.open(2, at(2)), false)
	expect("late answer of an older state", k.answer(2, at(1)), false)
	expect("open after that", k.open(2, at(2)), false)
	expect("answer of a newer state", k.answer(2, at(3)), true)

	k.answer(18, at(1))
	now = now.Add(period)
	expect("open while the kernel may still believe", k.open(2, at(4)), true)
	now = now.Add(period)
	expect("open of what was told two periods ago", k.open(18, at(2)), false)
	expect("open of what was told one period ago", k.open(2, at(5)), true)
	now = now.Add(2 * period)
	expect("open after a long time", k.open(2, at(6)), false)
}

func TestToldIsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	k := newTold(time.Second)
	k.now, k.most = func() time.Time { return now }, 2
	for i := range uint64(6) {
		k.answer(i*shards, at(1))
	}
	if n := len(k.shard[0].new) + len(k.shard[0].old); n > 4 {
		t.Errorf("%d states are remembered", n)
	}
	if !k.open(0, at(1)) {
		t.Error("a state that had to be forgotten is taken for not told")
	}
	now = now.Add(4 * time.Second)
	if k.open(shards, at(1)) {
		t.Error("nothing can be believed any more, and is taken for believed")
	}
}

func TestToldWithoutTimeout(t *testing.T) {
	k := newTold(0)
	if !k.answer(1, at(2)) || k.open(1, at(3)) {
		t.Error("a kernel that believes nothing is told again")
	}
}
