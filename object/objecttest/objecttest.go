// Package objecttest checks that an object store keeps the promises of object.Store.
package objecttest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"jfs/object"
)

// Run runs the whole suite; open gives an empty store for each part of it, whose Create has not run yet.
func Run(t *testing.T, open func(t *testing.T) object.Store) {
	parts := []struct {
		name string
		run  func(*testing.T, object.Store)
	}{
		{"create", create},
		{"whole", whole},
		{"ranges", ranges},
		{"missing", missing},
		{"overwrite", overwrite},
		{"position", position},
		{"keys", keys},
		{"delete-all", deleteAll},
		{"concurrent", concurrent},
		{"cancelled", cancelled},
		{"cancelled-get", cancelledGet},
		{"cancelled-put", cancelledPut},
		{"broken-put", brokenPut},
		{"list-order", listOrder},
		{"list-pages", listPages},
		{"list-limit", listLimit},
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) {
			store := open(t)
			if err := store.Create(t.Context()); err != nil {
				t.Fatalf("create: %v", err)
			}
			p.run(t, store)
		})
	}
}

func create(t *testing.T, s object.Store) {
	put(t, s, "kept", "data")
	if err := s.Create(t.Context()); err != nil {
		t.Fatalf("second create: %v", err)
	}
	want(t, s, "kept", 0, -1, "data")
	if s.String() == "" {
		t.Fatal("the store has no name")
	}
}

func whole(t *testing.T, s object.Store) {
	for _, n := range []int{0, 1, 4096, 1<<20 + 1} {
		key := fmt.Sprintf("whole/%d", n)
		data := string(pattern(n))
		put(t, s, key, data)
		want(t, s, key, 0, -1, data)
		info, err := s.Head(t.Context(), key)
		if err != nil {
			t.Fatalf("head: %v", err)
		}
		if info.Key != key || info.Size != int64(n) || info.Modified.IsZero() {
			t.Fatalf("head %s: got %+v", key, info)
		}
	}
}

func ranges(t *testing.T, s object.Store) {
	const data = "0123456789"
	put(t, s, "r/object", data)
	put(t, s, "r/empty", "")
	for _, c := range []struct {
		off, n int64
		want   string
	}{
		{0, 10, data}, {0, 1, "0"}, {3, 4, "3456"}, {9, 1, "9"}, {4, -1, "456789"},
		{8, 5, "89"}, {0, 1000, data}, {10, 1, ""}, {10, -1, ""}, {11, 1, ""}, {1 << 40, -1, ""}, {3, 0, ""}, {0, 0, ""},
	} {
		want(t, s, "r/object", c.off, c.n, c.want)
	}
	want(t, s, "r/empty", 0, -1, "")
	want(t, s, "r/empty", 0, 5, "")
	want(t, s, "r/empty", 5, 5, "")
	if _, err := s.Get(t.Context(), "r/object", -1, 1); !errors.Is(err, object.ErrInvalid) {
		t.Fatalf("negative offset: got %v", err)
	}
}

func missing(t *testing.T, s object.Store) {
	ctx := t.Context()
	put(t, s, "there/a", "x")
	for _, key := range []string{"absent", "there", "there/b", "no/such/place"} {
		for _, r := range [][2]int64{{0, -1}, {5, 10}, {0, 0}} {
			if _, err := s.Get(ctx, key, r[0], r[1]); !errors.Is(err, object.ErrNotFound) {
				t.Errorf("get %s %v: got %v", key, r, err)
			}
		}
		if _, err := s.Head(ctx, key); !errors.Is(err, object.ErrNotFound) {
			t.Errorf("head %s: got %v", key, err)
		}
		if err := s.Delete(ctx, key); err != nil {
			t.Errorf("delete %s: got %v", key, err)
		}
	}
	if err := s.Delete(ctx, "there/a"); err != nil {
		t.Fatalf("delete: %v", err)
	}
	if _, err := s.Get(ctx, "there/a", 0, -1); !errors.Is(err, object.ErrNotFound) {
		t.Fatalf("get after delete: got %v", err)
	}
	if _, err := s.Get(ctx, "", 0, -1); err == nil {
		t.Fatal("get of an empty key succeeded")
	}
	if err := s.Put(ctx, "", bytes.NewReader(nil)); !errors.Is(err, object.ErrInvalid) {
		t.Fatalf("put of an empty key: got %v", err)
	}
}

// deleteAll: with or without bulk requests, the objects named are gone, those that were not there too, and no others.
func deleteAll(t *testing.T, s object.Store) {
	for _, key := range []string{"d/1", "d/2", "d/with space&<amp>", "d/10", "kept", "de"} {
		put(t, s, key, "x")
	}
	gone := []string{"d/1", "d/2", "d/with space&<amp>", "d/absent", "no/such/place", "d/1"}
	if errs := object.DeleteAll(t.Context(), s, make(chan struct{}, 2), gone); errs != nil {
		t.Errorf("delete: %v", errs)
	}
	sameKeys(t, list(t, s, "", "", 10), []string{"d/10", "de", "kept"})
	if errs := object.DeleteAll(t.Context(), s, make(chan struct{}, 2), nil); errs != nil {
		t.Errorf("delete nothing: %v", errs)
	}
}

func overwrite(t *testing.T, s object.Store) {
	for _, data := range []string{"a long first version", "short", ""} {
		put(t, s, "o/key", data)
		want(t, s, "o/key", 0, -1, data)
	}
}

// position: a body is stored from where it stands.
func position(t *testing.T, s object.Store) {
	body := bytes.NewReader([]byte("skipped|stored"))
	if _, err := body.Seek(8, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "p", body); err != nil {
		t.Fatalf("put: %v", err)
	}
	want(t, s, "p", 0, -1, "stored")
}

func keys(t *testing.T, s object.Store) {
	all := []string{
		"with space/a b", "ключ/файл", "日本/語", "plus+percent%41", "amp&lt;=?#", "quote'\"", "semi;colon:at@",
		"chunks/00/0/1_0_4194304", "tilde~(paren)[x]{y}|^`",
	}
	for _, key := range all {
		put(t, s, key, "value of "+key)
	}
	for _, key := range all {
		want(t, s, key, 0, -1, "value of "+key)
		info, err := s.Head(t.Context(), key)
		if err != nil || info.Key != key {
			t.Errorf("head %q: got %+v, %v", key, info, err)
		}
	}
	sameKeys(t, list(t, s, "", "", len(all)), sorted(all))
	for _, key := range all {
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("delete %q: %v", key, err)
		}
	}
	sameKeys(t, list(t, s, "", "", len(all)), nil)
}
