package cache

import (
	"math/rand/v2"
	"slices"
)

// The eviction policies, by the names that users give.
const (
	evictRandom = "2-random"
	evictLRU    = "lru"
	evictNone   = "none"
)

// entry is a file known to be on the disk: a block, or parts of one.
type entry struct {
	key   fileKey
	space int64  // allocated bytes
	used  int64  // last access, Unix nanoseconds
	scan  uint32 // the scan during or after which it was last seen or written

	pos        int // place in twoRandom
	prev, next *entry
}

// index knows what is on the disk. The disk's mutex guards it.
type index struct {
	m     map[fileKey]*entry
	space int64
	order evictor
}

func newIndex(eviction string) *index {
	x := &index{m: make(map[fileKey]*entry)}
	switch eviction {
	case evictLRU:
		x.order = newLRU()
	case evictNone:
		x.order = never{}
	default:
		x.order = &twoRandom{}
	}
	return x
}

// put adds a block or replaces what was known of it.
func (x *index) put(e *entry) {
	if old := x.m[e.key]; old != nil {
		x.remove(old)
	}
	x.m[e.key] = e
	x.space += e.space
	x.order.add(e)
}

// remove forgets e, if it is still what is known of its block.
func (x *index) remove(e *entry) bool {
	if e == nil || x.m[e.key] != e {
		return false
	}
	delete(x.m, e.key)
	x.space -= e.space
	x.order.remove(e)
	return true
}

// use notes an access.
func (x *index) use(e *entry, now int64) {
	e.used = now
	x.order.touch(e)
}

// evictor chooses what goes first.
type evictor interface {
	add(*entry)
	touch(*entry)
	remove(*entry)
	victim() *entry // nil: nothing may go
	sort()          // entries were added in no order; now their times count
}

// twoRandom takes the older of two entries drawn by lot: nearly as good as LRU, and a read costs it nothing.
type twoRandom struct{ all []*entry }

func (t *twoRandom) add(e *entry) {
	e.pos = len(t.all)
	t.all = append(t.all, e)
}

func (t *twoRandom) remove(e *entry) {
	end := len(t.all) - 1
	t.all[e.pos] = t.all[end]
	t.all[e.pos].pos = e.pos
	t.all[end] = nil
	t.all = t.all[:end]
}

func (t *twoRandom) victim() *entry {
	if len(t.all) == 0 {
		return nil
	}
	a, b := t.all[rand.IntN(len(t.all))], t.all[rand.IntN(len(t.all))]
	if b.used < a.used {
		return b
	}
	return a
}

func (t *twoRandom) touch(*entry) {}
func (t *twoRandom) sort()        {}

// lru is a ring of entries around root, the latest used behind it.
type lru struct{ root entry }

func newLRU() *lru {
	l := &lru{}
	l.root.prev, l.root.next = &l.root, &l.root
	return l
}

func (l *lru) add(e *entry) {
	e.prev, e.next = &l.root, l.root.next
	e.prev.next, e.next.prev = e, e
}

func (l *lru) remove(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

func (l *lru) touch(e *entry) {
	l.remove(e)
	l.add(e)
}

func (l *lru) victim() *entry {
	if l.root.prev == &l.root {
		return nil
	}
	return l.root.prev
}

func (l *lru) sort() {
	var all []*entry
	for e := l.root.next; e != &l.root; e = e.next {
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(a, b *entry) int {
		switch {
		case a.used < b.used:
			return -1
		case a.used > b.used:
			return 1
		}
		return 0
	})
	l.root.prev, l.root.next = &l.root, &l.root
	for _, e := range all {
		l.add(e)
	}
}

// never refuses: what is there stays.
type never struct{}

func (never) add(*entry)     {}
func (never) touch(*entry)   {}
func (never) remove(*entry)  {}
func (never) victim() *entry { return nil }
func (never) sort()          {}
