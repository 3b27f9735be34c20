package objecttest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"jfs/object"
)

// ordered are keys in byte order, with names around the slash, which stores on directories confuse.
var ordered = []string{"b-x", "b.y", "b/-", "b/1/a", "b/1/b", "b/1/c/d", "b/10", "b/2", "b0", "c/x", "cc"}

func listOrder(t *testing.T, s object.Store) {
	for i := range ordered {
		put(t, s, ordered[i*7%len(ordered)], string(pattern(i))) // in another order: 7 and the number have no common factor
	}
	sameKeys(t, list(t, s, "", "", 100), ordered)
	sameKeys(t, list(t, s, "b/", "", 100), ordered[2:8])
	sameKeys(t, list(t, s, "b/1", "", 100), ordered[3:7])
	sameKeys(t, list(t, s, "b/1/", "", 100), ordered[3:6])
	sameKeys(t, list(t, s, "b/1/c/d", "", 100), ordered[5:6])
	sameKeys(t, list(t, s, "b/2", "", 100), ordered[7:8])
	sameKeys(t, list(t, s, "b/1/x", "", 100), nil)
	sameKeys(t, list(t, s, "zzz/", "", 100), nil)
	sameKeys(t, list(t, s, "c", "", 100), ordered[9:])
	for i, key := range ordered {
		info := list(t, s, key, "", 1)
		if len(info) != 1 || info[0].Modified.IsZero() || info[0].Key != key {
			t.Errorf("list %s: got %+v", key, info)
		}
		head, err := s.Head(t.Context(), key)
		if err != nil || head.Size != info[0].Size {
			t.Errorf("size of %s: listed %d, head %d, %v", key, info[0].Size, head.Size, err)
		}
		sameKeys(t, list(t, s, "", key, 100), ordered[i+1:])
	}
}

func listPages(t *testing.T, s object.Store) {
	for _, key := range ordered {
		put(t, s, key, key)
	}
	for limit := 1; limit <= len(ordered)+1; limit++ {
		var got []object.Info
		after, more := "", true
		for more {
			var page []object.Info
			var err error
			if page, more, err = s.List(t.Context(), "", after, limit); err != nil {
				t.Fatalf("list after %q: %v", after, err)
			}
			if more && len(page) != limit {
				t.Fatalf("list after %q: %d of %d, and more", after, len(page), limit)
			}
			if len(page) > 0 {
				after = page[len(page)-1].Key
			}
			if got = append(got, page...); len(got) > len(ordered) {
				break
			}
		}
		sameKeys(t, got, ordered)
	}
	// An after that is no key, or is one of another prefix.
	sameKeys(t, list(t, s, "", "b/1/bb", 100), ordered[5:])
	sameKeys(t, list(t, s, "", "b/", 2), ordered[2:4])
	sameKeys(t, list(t, s, "", "b/1", 1), ordered[3:4])
	sameKeys(t, list(t, s, "b/", "a", 100), ordered[2:8])
	sameKeys(t, list(t, s, "b/", "bb", 100), nil)
	sameKeys(t, list(t, s, "b/1", "b/1/c/d", 100), ordered[6:7])
}

func listLimit(t *testing.T, s object.Store) {
	for _, limit := range []int{0, -1} {
		if _, _, err := s.List(t.Context(), "", "", limit); !errors.Is(err, object.ErrInvalid) {
			t.Errorf("limit %d: got %v", limit, err)
		}
	}
}

func put(t *testing.T, s object.Store, key, data string) {
	t.Helper()
	if err := s.Put(t.Context(), key, bytes.NewReader([]byte(data))); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func read(t *testing.T, s object.Store, key string, off, n int64) string {
	t.Helper()
	body, err := s.Get(t.Context(), key, off, n)
	if err != nil {
		t.Fatalf("get %s [%d, +%d): %v", key, off, n, err)
	}
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("read %s [%d, +%d): %v", key, off, n, err)
	}
	if err := body.Close(); err != nil {
		t.Fatalf("close %s: %v", key, err)
	}
	return string(data)
}

func want(t *testing.T, s object.Store, key string, off, n int64, data string) {
	t.Helper()
	if got := read(t, s, key, off, n); got != data {
		t.Fatalf("get %s [%d, +%d): %d bytes, want %d, or other ones", key, off, n, len(got), len(data))
	}
}

// list gives one page, which has to be all there is below limit.
func list(t *testing.T, s object.Store, prefix, after string, limit int) []object.Info {
	t.Helper()
	infos, more, err := s.List(t.Context(), prefix, after, limit)
	if err != nil {
		t.Fatalf("list %q after %q: %v", prefix, after, err)
	}
	if more && len(infos) < limit {
		t.Fatalf("list %q after %q: %d of %d, and more", prefix, after, len(infos), limit)
	}
	return infos
}

func sameKeys(t *testing.T, infos []object.Info, want []string) {
	t.Helper()
	var got []string
	for _, info := range infos {
		got = append(got, info.Key)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("listed %q, want %q", got, want)
	}
}

func sorted(keys []string) []string {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	return keys
}

// pattern is n bytes that repeat only after a prime number, so that no block of them is like the next.
func pattern(n int) []byte {
	unit := make([]byte, min(n, 65521))
	for i := range unit {
		unit[i] = byte(i*31) ^ byte(i>>8)
	}
	b := make([]byte, 0, n)
	for len(b) < n {
		b = append(b, unit[:min(len(unit), n-len(b))]...)
	}
	return b
}
