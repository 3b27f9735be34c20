package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"jfs/object"
)

var errWrongData = errors.New("gives back other data than was stored")

// functionalTest is a thing that a store has to be able to do.
type functionalTest struct {
	name string
	run  func(ctx context.Context, s object.Store) error // nil: this client does not use it
}

// functionalTests prints what a store can do, as a table, and fails if something is missing that a volume needs.
func (a *app) functionalTests(ctx context.Context, store object.Store) error {
	g := grid{head: []string{"CATEGORY", "TEST", "RESULT"}}
	failed := 0
	for _, t := range storeTests() {
		result := "not supported"
		if t.run != nil {
			result = "pass"
			if err := t.run(ctx, store); err != nil {
				if ctx.Err() != nil {
					return errors.New("interrupted while the store was checked")
				}
				failed++
				result = "failed: " + err.Error()
			}
		}
		g.add("basic", t.name, result)
	}
	if err := g.print(a.out); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of the checks of %s have failed: a volume in it would lose data or not work", failed, store)
	}
	return nil
}

func storeTests() []functionalTest {
	data := []byte("the content of an object")
	stored := func(key string, data []byte) func(context.Context, object.Store) error {
		return func(ctx context.Context, s object.Store) error {
			if err := put(ctx, s, key, data); err != nil {
				return err
			}
			got, err := get(ctx, s, key)
			if err == nil && !bytes.Equal(got, data) {
				err = errWrongData
			}
			return errors.Join(err, s.Delete(ctx, key))
		}
	}
	return []functionalTest{
		{"create a bucket", func(ctx context.Context, s object.Store) error { return s.Create(ctx) }},
		{"put an object", func(ctx context.Context, s object.Store) error { return put(ctx, s, "check/one", data) }},
		{"get an object", func(ctx context.Context, s object.Store) error {
			got, err := get(ctx, s, "check/one")
			if err == nil && !bytes.Equal(got, data) {
				err = errWrongData
			}
			return err
		}},
		{"get an absent object", func(ctx context.Context, s object.Store) error {
			if _, err := get(ctx, s, "check/absent"); !errors.Is(err, object.ErrNotFound) {
				return fmt.Errorf("it is not said to be absent: %w", err)
			}
			return nil
		}},
		{"get a range of an object", func(ctx context.Context, s object.Store) error {
			body, err := s.Get(ctx, "check/one", 4, 7)
			if err != nil {
				return err
			}
			got, err := io.ReadAll(body)
			if err == nil && !bytes.Equal(got, data[4:11]) {
				err = errWrongData
			}
			return errors.Join(err, body.Close())
		}},
		{"head an object", func(ctx context.Context, s object.Store) error {
			info, err := s.Head(ctx, "check/one")
			if err == nil && info.Size != int64(len(data)) {
				err = fmt.Errorf("its size is said to be %d and is %d", info.Size, len(data))
			}
			return err
		}},
		{"replace an object", stored("check/one", []byte("other"))},
		{"put an empty object", stored("check/empty", nil)},
		{"put a big object", stored("check/big", bytes.Repeat([]byte("0123456789abcdef"), 5<<16))}, // 5 MiB
		{"special key", stored("check/a b+c%d=é", data)},
		{"list objects", func(ctx context.Context, s object.Store) error {
			keys := []string{"check/l/1", "check/l/2", "check/l/3"}
			for _, k := range keys {
				if err := put(ctx, s, k, data); err != nil {
					return err
				}
			}
			var got []string
			err := eachObject(ctx, s, "check/l/", func(o object.Info) error {
				if !strings.HasSuffix(o.Key, "/") {
					got = append(got, o.Key)
				}
				return nil
			})
			if err == nil && !slices.Equal(got, keys) {
				err = fmt.Errorf("%q are listed of %q", got, keys)
			}
			for _, k := range append(keys, "check/l/") {
				err = errors.Join(err, s.Delete(ctx, k))
			}
			return err
		}},
		{"delete an object", func(ctx context.Context, s object.Store) error {
			if err := put(ctx, s, "check/gone", data); err != nil {
				return err
			}
			if err := s.Delete(ctx, "check/gone"); err != nil {
				return err
			}
			if _, err := s.Head(ctx, "check/gone"); !errors.Is(err, object.ErrNotFound) {
				return fmt.Errorf("it is still there: %w", err)
			}
			return nil
		}},
		{"delete an absent object", func(ctx context.Context, s object.Store) error { return s.Delete(ctx, "check/absent") }},
		{name: "multipart upload"}, {name: "change owner/group"}, {name: "change permissions"}, {name: "change mtime"},
	}
}
