package badger

import (
	"context"
	"strings"
	"testing"

	"jfs/meta"
	"jfs/meta/metatest"
	"jfs/meta/tkv"
)

// shared is a store that several engines close.
type shared struct{ *Store }

func (shared) Close() error { return nil }

func temp(t testing.TB) *Store {
	t.Helper()
	s, err := openStore(t.TempDir(), Options{}, 8<<20) // small tables are quick to make
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	t.Setenv("TMPDIR", "/dev/shm") // every subtest opens a database, and closing one waits for the disk
	metatest.Run(t, func(t *testing.T) func() meta.Engine {
		s := temp(t)
		return func() meta.Engine { return tkv.New(shared{s}, tkv.Options{}) }
	})
}

func TestShared(t *testing.T) {
	t.Setenv("TMPDIR", "/dev/shm")
	metatest.RunShared(t, func(t *testing.T) (a, b meta.Engine) {
		s := temp(t)
		return tkv.New(shared{s}, tkv.Options{}), tkv.New(shared{s}, tkv.Options{})
	})
}

func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(context.Background(), "badger://"+dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), "badger://"+dir, Options{}); err == nil || !strings.Contains(err.Error(), "unmount") {
		t.Errorf("opened twice: %v", err)
	}
	for range 2 {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := e.View(context.Background(), meta.Want{}, func(meta.Reader) error { return nil }); err == nil {
		t.Error("a closed engine reads")
	}
	for _, url := range []string{"badger://", "badger", "badger:///dev/null/x"} {
		if _, err := Open(context.Background(), url, Options{}); err == nil {
			t.Errorf("%s was opened", url)
		}
	}
}
