package mount

import (
	"sync"
	"time"

	"jfs/meta"
)

// told remembers which state of files the kernel was told of, for as long as it may believe that. The kernel goes on
// believing when a file is opened, so an open that finds another state has to tell it; otherwise it would read a file
// that another client has closed a moment ago up to its old length.
type told struct {
	period time.Duration // a state is remembered between one and two periods; 0: the kernel believes nothing
	most   int           // states remembered in a shard and period
	now    func() time.Time

	shard [shards]toldShard
}

type toldShard struct {
	mu       sync.Mutex // guards the rest
	new, old map[uint64]state
	turned   time.Time // when new was begun
	lost     time.Time // until then, what is not remembered may have been told nevertheless
}

// state tells versions of a file apart.
type state struct {
	mtime, ctime meta.Time
	length       uint64
}

func stateOf(a *meta.Attr) state { return state{a.Mtime, a.Ctime, a.Length} }

const (
	// toldSlack is how late an answer may reach the kernel.
	toldSlack = time.Second
	// toldMost bounds the memory to some 15 MiB.
	toldMost = 100_000
)

// newTold makes the memory for a kernel that believes attributes for the time given.
func newTold(timeout time.Duration) *told {
	t := &told{most: toldMost / shards / 2, now: time.Now}
	if timeout > 0 {
		t.period = timeout + toldSlack
	}
	return t
}

// answer notes a state that the kernel is about to be told, and says whether it may believe it. It may not when an
// open has found a later one meanwhile.
func (t *told) answer(node uint64, s state) bool {
	if t.period == 0 {
		return true
	}
	sh := t.of(node)
	defer sh.mu.Unlock()
	if last, ok := sh.get(node); ok && s.ctime.Sub(last.ctime) < 0 {
		return false
	}
	sh.put(t, node, s)
	return true
}

// open notes the state that an open has found, and says whether the kernel may believe another one.
func (t *told) open(node uint64, s state) bool {
	if t.period == 0 {
		return false
	}
	sh := t.of(node)
	defer sh.mu.Unlock()
	last, ok := sh.get(node)
	sh.put(t, node, s)
	if !ok {
		return t.now().Before(sh.lost)
	}
	return last != s
}

// of gives the shard of a node, locked and without what is too old.
func (t *told) of(node uint64) *toldShard {
	sh := &t.shard[node%shards]
	sh.mu.Lock()
	if now := t.now(); sh.new == nil || now.Sub(sh.turned) >= t.period {
		sh.old = sh.new
		if now.Sub(sh.turned) >= 2*t.period {
			sh.old = nil
		}
		sh.new, sh.turned = map[uint64]state{}, now
	}
	return sh
}

func (sh *toldShard) get(node uint64) (state, bool) {
	s, ok := sh.new[node]
	if !ok {
		s, ok = sh.old[node]
	}
	return s, ok
}

func (sh *toldShard) put(t *told, node uint64, s state) {
	if _, ok := sh.new[node]; !ok && len(sh.new) >= t.most {
		now := t.now()
		sh.old, sh.new = sh.new, map[uint64]state{}
		sh.turned, sh.lost = now, now.Add(t.period)
	}
	sh.new[node] = s
}
