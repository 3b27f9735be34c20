package cache

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCreateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	data, sums := bytes.Repeat([]byte("block"), 10000), []byte("sums")
	space, err := createFile(path, 0o640, nil, data, nil, sums)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if space != allocated(info) || space < int64(len(data)) || info.Mode() != 0o640 {
		t.Errorf("space %d, of the file %d, mode %v", space, allocated(info), info.Mode())
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, append(bytes.Clone(data), sums...)) {
		t.Errorf("the file is not what was written: %d bytes, %v", len(got), err)
	}
	if _, err := createFile(path, 0o600, data); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that is there: %v", err)
	}
	if _, err := createFile(path+"/none", 0o600, data); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := createFile(filepath.Dir(path)+"/none/f", 0o600, data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// TestWritePieces: what a pipe takes in parts comes out in order, and a device that takes nothing is an error.
func TestWritePieces(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	want := bytes.Repeat([]byte("0123456789"), 50000)
	done := make(chan error, 1)
	go func() {
		done <- errors.Join(writeAll(int(w.Fd()), [][]byte{want[:1], want[1:300000], nil, want[300000:]}), w.Close())
	}()
	var got bytes.Buffer
	if _, err := got.ReadFrom(r); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close() //nolint:errcheck // nothing is in it
	if err := writeAll(int(full.Fd()), [][]byte{want}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("full: %v", err)
	}
}
