package cache_test

import (
	"os"
	"syscall"
	"testing"
)

// mapFile maps a file for reading, and gives what undoes it.
func mapFile(t testing.TB, f *os.File) (undo func()) {
	t.Helper()
	m, err := syscall.Mmap(int(f.Fd()), 0, 4096, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Munmap(m); err != nil {
			t.Error(err)
		}
	}
}
