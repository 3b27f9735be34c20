package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"jfs/meta/tkv"
)

// calls notes the requests that are sent.
type calls struct {
	mu   sync.Mutex
	sent []string
}

func (c *calls) on(call string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, call)
}

// during gives the requests that fn causes.
func (c *calls) during(fn func()) []string {
	c.mu.Lock()
	before := len(c.sent)
	c.mu.Unlock()
	fn()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.sent[before:])
}

func store(t *testing.T, url string, o Options) *Store {
	t.Helper()
	target, err := parse(url, o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := dial(t.Context(), target, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func begin(t *testing.T, s tkv.Store) tkv.Txn {
	t.Helper()
	txn, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return txn
}

func put(t *testing.T, s tkv.Store, pairs ...string) {
	t.Helper()
	txn := begin(t, s)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			txn.Delete([]byte(pairs[i]))
		} else {
			txn.Put([]byte(pairs[i]), []byte(pairs[i+1]))
		}
	}
	if err := txn.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestRanges: what changes in a range that was looked through is noticed, and nothing else.
func TestRanges(t *testing.T) {
	server := start(t)
	for i, c := range []struct {
		name     string
		limit    int
		behind   []string
		conflict bool
	}{
		{"added between", 0, []string{"b1", "x"}, true},
		{"added at the begin", 0, []string{"b", "x"}, true},
		{"changed", 0, []string{"b2", "x"}, true},
		{"removed", 0, []string{"b2", ""}, true},
		{"removed and added", 0, []string{"b2", "", "b3", "x"}, true},
		{"added at the end", 0, []string{"c", "x"}, false},
		{"added before", 0, []string{"a", "x"}, false},
		{"added behind the limit", 2, []string{"b5", "x"}, false},
		{"added before the limit", 2, []string{"b3", "x"}, true},
		{"limit not reached", 4, []string{"b9", "x"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := tkv.WithPrefix(store(t, server.empty(), Options{}), fmt.Sprint(i, "/"))
			put(t, s, "b2", "2", "b4", "4", "b6", "6")
			txn := begin(t, s)
			if _, err := txn.Scan(t.Context(), []byte("b"), []byte("c"), c.limit); err != nil {
				t.Fatal(err)
			}
			for j := 0; j < len(c.behind); j += 2 {
				put(t, s, c.behind[j:j+2]...)
			}
			txn.Put([]byte("z"), nil)
			if err := txn.Commit(t.Context()); errors.Is(err, tkv.ErrConflict) != c.conflict || !c.conflict && err != nil {
				t.Errorf("conflict %v wanted, got %v", c.conflict, err)
			}
		})
	}
}

// TestOneRevision: all reads of a transaction see the state of the first one, or none.
func TestOneRevision(t *testing.T) {
	s := store(t, start(t).empty(), Options{})
	put(t, s, "a", "1", "b", "1")
	txn := begin(t, s)
	if v, err := txn.Snapshot().Get(t.Context(), []byte("a")); string(v) != "1" || err != nil {
		t.Errorf("%q %v", v, err)
	}
	put(t, s, "a", "2", "b", "2", "c", "2")
	vs, err := txn.BatchGet(t.Context(), [][]byte{[]byte("a"), []byte("b"), []byte("c")})
	if err != nil || string(vs[0]) != "1" || string(vs[1]) != "1" || vs[2] != nil {
		t.Errorf("%q %v", vs, err)
	}
	if ps, err := txn.Snapshot().Scan(t.Context(), nil, nil, 0); err != nil || len(ps) != 2 || string(ps[1].Value) != "1" {
		t.Errorf("%q %v", ps, err)
	}
	resp, err := s.client.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Compact(t.Context(), resp.Header.Revision); err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Get(t.Context(), []byte("a")); !errors.Is(err, tkv.ErrConflict) {
		t.Errorf("a read of a state that is gone: %v", err)
	}
}

// TestManyWrites: up to 4096 writes are one transaction, although servers count 128 operations at most.
func TestManyWrites(t *testing.T) {
	var c calls
	s := store(t, start(t).empty(), Options{OnCall: c.on})
	txn := begin(t, s)
	for i := range 4096 {
		txn.Put(fmt.Appendf(nil, "k%04d", i), []byte("v"))
	}
	sent := c.during(func() {
		if err := txn.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if !slices.Equal(sent, []string{"Txn"}) {
		t.Errorf("sent %v", sent)
	}
	txn = begin(t, s)
	if ps, err := txn.Scan(t.Context(), []byte("k"), []byte("l"), 0); err != nil || len(ps) != 4096 {
		t.Errorf("%d pairs, %v", len(ps), err)
	}
}

// TestParts: what does not fit into one transaction is done wholly or not at all.
func TestParts(t *testing.T) {
	s := store(t, start(t).empty(), Options{})
	key := func(i int) []byte { return fmt.Appendf(nil, "k%03d", i) }
	const n = 300
	first := begin(t, s)
	for i := range n {
		if i%3 != 0 { // some are not there before
			first.Put(key(i), []byte("old"))
		}
	}
	if err := first.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	change := func(behind func()) error {
		txn := begin(t, s)
		var keys [][]byte
		for i := range n {
			keys = append(keys, key(i))
		}
		if _, err := txn.BatchGet(t.Context(), keys); err != nil {
			t.Fatal(err)
		}
		for i, k := range keys {
			if i%4 == 1 {
				txn.Delete(k)
			} else {
				txn.Put(k, []byte("new"))
			}
		}
		txn.Put([]byte("unread"), []byte("new"))
		behind()
		return txn.Commit(t.Context())
	}
	count := func(value string) (count int) {
		t.Helper()
		ps, err := begin(t, s).Scan(t.Context(), []byte("k"), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ps {
			if string(p.Value) == value {
				count++
			}
		}
		return count
	}
	err := change(func() { put(t, s, string(key(n-1)), "other") })
	if !errors.Is(err, tkv.ErrConflict) {
		t.Errorf("a key of the last part has changed: %v", err)
	}
	if o, n := count("old"), count("new"); o != 199 || n != 0 || count("other") != 1 {
		t.Errorf("after a change that was taken back: %d old and %d new values", o, n)
	}
	if err := change(func() {}); err != nil {
		t.Error(err)
	}
	if o, n := count("old"), count("new"); o != 0 || n != 225+1 {
		t.Errorf("after the change: %d old and %d new values", o, n)
	}
}

func TestTooLarge(t *testing.T) {
	s := store(t, start(t).empty(), Options{})
	txn := begin(t, s)
	txn.Put([]byte("k"), make([]byte, 3<<20))
	if err := txn.Commit(t.Context()); err == nil || !contains(err, "--max-request-bytes") {
		t.Errorf("a change of 3 MiB: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	txn.Put([]byte("k"), nil)
	if err := txn.Commit(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a commit that was called off: %v", err)
	}
}
