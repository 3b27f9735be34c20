package badger

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

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

// engine makes one that is closed before its store is.
func engine(t *testing.T, s *Store) meta.Engine {
	e := tkv.New(shared{s}, tkv.Options{})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestConformance(t *testing.T) {
	t.Setenv("TMPDIR", "/dev/shm") // every subtest opens a database, and closing one waits for the disk
	metatest.Run(t, func(t *testing.T) func() meta.Engine {
		s := temp(t)
		return func() meta.Engine { return engine(t, s) }
	})
}

func TestShared(t *testing.T) {
	t.Setenv("TMPDIR", "/dev/shm")
	metatest.RunShared(t, func(t *testing.T) (a, b meta.Engine) {
		s := temp(t)
		return engine(t, s), engine(t, s)
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

// TestFiles: a volume is in its directory when it is opened again, also after a process that did not close it, and has
// the keys of the format without a prefix.
func TestFiles(t *testing.T) {
	t.Setenv("TMPDIR", "/dev/shm")
	dir := t.TempDir()
	ctx := context.Background()
	s, err := openStore(dir, Options{}, 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	e := tkv.New(shared{s}, tkv.Options{})
	if err := e.Init(ctx); err != nil {
		t.Fatal(err)
	}
	if err := e.Update(ctx, meta.Want{}, func(tx meta.Tx) error {
		tx.SetSetting([]byte("{}"))
		tx.SetEntry(1, "f", meta.Entry{Type: meta.TypeFile, Ino: 3})
		tx.SetXattr(3, "user.empty", nil)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	// What a crash of the process would leave.
	crashed := filepath.Join(t.TempDir(), "crashed")
	if out, err := exec.Command("cp", "-a", "--sparse=always", dir, crashed).CombinedOutput(); err != nil { // 2 GiB of holes
		t.Fatalf("%v: %s", err, out)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		`"A\x01\x00\x00\x00\x00\x00\x00\x00Df"=010000000000000003`,
		`"A\x03\x00\x00\x00\x00\x00\x00\x00Xuser.empty"=`,
		`"CnextChunk"=0100000000000000`,
		`"CnextInode"=0200000000000000`,
		`"setting"=7b7d`,
	}, "\n")
	for _, dir := range []string{dir, crashed} {
		// As official clients open it.
		db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil))
		if err != nil {
			t.Fatal(err)
		}
		view := db.NewTransaction(false)
		it := view.NewIterator(badger.DefaultIteratorOptions)
		var got []string
		for it.Rewind(); it.Valid(); it.Next() {
			v, err := it.Item().ValueCopy(nil)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%q=%x", it.Item().Key(), v))
		}
		it.Close()
		view.Discard()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if g := strings.Join(got, "\n"); g != want {
			t.Errorf("%s\nwant\n%s", g, want)
		}
	}
}

// TestContext: waiting for another commit ends with the context.
func TestContext(t *testing.T) {
	s := temp(t)
	txn, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Rollback()
	txn.Put([]byte("k"), nil)
	s.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- txn.Commit(ctx) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || errors.Is(err, meta.ErrUnknown) {
		t.Errorf("%v", err)
	}
	<-s.turn
	if err := txn.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	large, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer large.Rollback()
	for i := range 3 {
		large.Put([]byte{byte(i)}, make([]byte, 600<<10))
	}
	if err := large.Commit(t.Context()); !errors.Is(err, badger.ErrTxnTooBig) {
		t.Errorf("a change of 1.8 MiB, more than a tenth of a table: %v", err)
	}
	if err := txn.Commit(t.Context()); err != nil { // the turn was given back
		t.Error(err)
	}
}
