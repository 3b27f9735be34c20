package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"jfs/object"
	"jfs/object/objecttest"
)

func TestConformance(t *testing.T) {
	objecttest.Run(t, func(t *testing.T) object.Store { return openTemp(t) })
}

func openTemp(t testing.TB) *Store {
	t.Helper()
	s, err := New(filepath.Join(t.TempDir(), "above", "bucket") + "/")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func created(t testing.TB) *Store {
	t.Helper()
	s := openTemp(t)
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s *Store, key, data string) {
	t.Helper()
	if err := s.Put(t.Context(), key, strings.NewReader(data)); err != nil {
		t.Fatal(err)
	}
}

func TestNewWantsADirectory(t *testing.T) {
	for _, root := range []string{"", "relative/", "/no/slash", "/zero\x00/"} {
		if _, err := New(root); !errors.Is(err, object.ErrInvalid) {
			t.Errorf("%q: %v", root, err)
		}
	}
}

func TestUnsafeKeysAreRefused(t *testing.T) {
	s := created(t)
	outside := filepath.Join(filepath.Dir(filepath.Clean(s.root)), "outside")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"../outside", "a/../../outside", "..", ".", "a/./b", "a//b", "/a", "a/", "a\x00b", ""} {
		if err := s.Put(t.Context(), key, strings.NewReader("x")); !errors.Is(err, object.ErrInvalid) {
			t.Errorf("put %q: %v", key, err)
		}
		if _, err := s.Get(t.Context(), key, 0, -1); !errors.Is(err, object.ErrNotFound) {
			t.Errorf("get %q: %v", key, err)
		}
		if _, err := s.Head(t.Context(), key); !errors.Is(err, object.ErrNotFound) {
			t.Errorf("head %q: %v", key, err)
		}
		if infos, _, err := s.List(t.Context(), key+"/", "", 10); err != nil || len(infos) != 0 {
			t.Errorf("list %q: %v, %v", key, infos, err)
		}
	}
	if err := s.Delete(t.Context(), "../outside"); !errors.Is(err, object.ErrInvalid) {
		t.Errorf("delete: %v", err)
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != "secret" {
		t.Errorf("the file outside: %q, %v", data, err)
	}
}

func TestLayout(t *testing.T) {
	s := created(t)
	put(t, s, "vol/chunks/0/0/1_0_4", "data")
	path := filepath.Join(s.root, "vol", "chunks", "0", "0", "1_0_4")
	data, err := os.ReadFile(path)
	if err != nil || string(data) != "data" {
		t.Fatalf("%q, %v", data, err)
	}
	mask := os.FileMode(unix.Umask(0))
	unix.Umask(int(mask))
	for name, want := range map[string]os.FileMode{path: 0o666 &^ mask, filepath.Dir(path): 0o777 &^ mask} {
		st, err := os.Stat(name)
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v, %v", name, st.Mode(), want, err)
		}
	}
	if s.String() != "file://"+s.root {
		t.Errorf("name %q", s)
	}
}

func TestDirectoriesStay(t *testing.T) {
	s := created(t)
	put(t, s, "a/b/key", "x")
	if err := s.Delete(t.Context(), "a/b/key"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.root + "a/b"); err != nil {
		t.Error(err)
	}
	if err := s.Delete(t.Context(), "a/"); err != nil { // not empty
		t.Error(err)
	}
	if err := s.Delete(t.Context(), "a/b/"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.root + "a/b"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the empty directory is still there: %v", err)
	}
}

func TestPutDoesNotMakeTheStore(t *testing.T) {
	s := openTemp(t)
	err := s.Put(t.Context(), "vol/key", strings.NewReader("x"))
	if !errors.Is(err, object.ErrNotFound) {
		t.Errorf("put: %v", err)
	}
	if _, err := os.Stat(s.root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
	if _, _, err := s.List(t.Context(), "", "", 1); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("list: %v", err)
	}
}

func TestKeyBelowAnObjectIsInvalid(t *testing.T) {
	s := created(t)
	put(t, s, "a", "x")
	if err := s.Put(t.Context(), "a/b", strings.NewReader("x")); !errors.Is(err, object.ErrInvalid) {
		t.Errorf("below an object: %v", err)
	}
	put(t, s, "d/e", "x")
	if err := s.Put(t.Context(), "d", strings.NewReader("x")); !errors.Is(err, object.ErrInvalid) {
		t.Errorf("over a directory: %v", err)
	}
	if err := s.Put(t.Context(), strings.Repeat("n", 300), strings.NewReader("x")); !errors.Is(err, object.ErrInvalid) {
		t.Errorf("long name: %v", err)
	}
	noLeftovers(t, s)
}

func TestFullDiskLeavesNothing(t *testing.T) {
	s := created(t)
	put(t, s, "key", "old")
	room := 5 // as on a disk with five bytes left: a short write, then the error
	s.write = func(fd int, p []byte) (int, error) {
		if room == 0 {
			return -1, unix.ENOSPC
		}
		n, err := unix.Write(fd, p[:min(room, len(p))])
		room -= n
		return n, err
	}
	if err := s.Put(t.Context(), "key", bytes.NewReader([]byte("0123456789"))); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("put: %v", err)
	}
	noLeftovers(t, s)
	body, err := s.Get(t.Context(), "key", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if data, err := io.ReadAll(body); err != nil || string(data) != "old" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestShortAndInterruptedWritesGoOn(t *testing.T) {
	s := created(t)
	calls := 0
	s.write = func(fd int, p []byte) (int, error) {
		if calls++; calls%2 == 0 {
			return -1, unix.EINTR
		}
		return unix.Write(fd, p[:min(3, len(p))])
	}
	put(t, s, "key", "0123456789")
	if data, err := os.ReadFile(s.root + "key"); err != nil || string(data) != "0123456789" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestLeftoversAreHidden(t *testing.T) {
	s := created(t)
	put(t, s, "dir/key", "x")
	if err := os.WriteFile(s.root+"dir/.jfs.key.tmp.123", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	infos, more, err := s.List(t.Context(), "", "", 10)
	if err != nil || more || len(infos) != 1 || infos[0].Key != "dir/key" {
		t.Errorf("%+v, %v, %v", infos, more, err)
	}
	if err := s.Put(t.Context(), "dir/.jfs.a.tmp.b", strings.NewReader("x")); !errors.Is(err, object.ErrInvalid) {
		t.Errorf("put: %v", err)
	}
}

func TestListFollowsLinks(t *testing.T) {
	s := created(t)
	other := created(t)
	put(t, other, "0/1_0_4", "data")
	if err := os.Symlink(other.root, s.root+"chunks"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", s.root+"dangling"); err != nil {
		t.Fatal(err)
	}
	infos, more, err := s.List(t.Context(), "", "", 10)
	if err != nil || more || len(infos) != 1 || infos[0].Key != "chunks/0/1_0_4" || infos[0].Size != 4 {
		t.Errorf("%+v, %v, %v", infos, more, err)
	}
}

// A page does not enter directories that cannot hold a key of it.
func TestListSkipsWhatLiesBefore(t *testing.T) {
	s := created(t)
	for i := range 5 {
		put(t, s, fmt.Sprintf("%d/key", i), "x")
	}
	l := &lister{ctx: t.Context(), root: s.root, after: "3/key", limit: 10}
	names, err := l.names("")
	if err != nil || strings.Join(names, " ") != "3/ 4/" {
		t.Errorf("%q, %v", names, err)
	}
	l = &lister{ctx: t.Context(), root: s.root, prefix: "2/k", limit: 10}
	names, err = l.names("")
	if err != nil || strings.Join(names, " ") != "2/" {
		t.Errorf("%q, %v", names, err)
	}
}

func TestReadOfACutFile(t *testing.T) {
	s := created(t)
	put(t, s, "key", "0123456789")
	body, err := s.Get(t.Context(), "key", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.root+"key", 4); err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(body); !errors.Is(err, io.ErrUnexpectedEOF) || string(data) != "0123" {
		t.Errorf("%q, %v", data, err)
	}
	body.Close()
	if err := body.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := body.Read(make([]byte, 1)); err == nil {
		t.Error("read after close succeeded")
	}
}

func noLeftovers(t *testing.T, s *Store) {
	t.Helper()
	err := filepath.WalkDir(s.root, func(path string, _ os.DirEntry, err error) error {
		if leftover(filepath.Base(path)) {
			t.Errorf("left over: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{4 << 10, 4 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := created(b)
			data := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := s.Put(context.Background(), fmt.Sprintf("chunks/0/%d/%d_0_%d", i/1000, i, size), bytes.NewReader(data)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
