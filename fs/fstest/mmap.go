package fstest

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

var mapTests = []test{{"read", mapRead}, {"write", mapWrite}}

// The mappings are populated by mmap itself: a page fault in Go code stops its thread with its share of the
// runtime, and a file system that is served by the same process could not answer.

func mapRead(t *testing.T, dir string) {
	data := pattern(300_001, 4)
	must(t, os.WriteFile(filepath.Join(dir, "f"), data, 0644))
	f := open(t, filepath.Join(dir, "f"), os.O_RDONLY)
	m, err := unix.Mmap(int(f.Fd()), 0, len(data), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	must(t, err)
	equal(t, "mapped bytes", string(m) == string(data), true)
	must(t, unix.Munmap(m))
}

func mapWrite(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	data := pattern(64<<10, 5)
	must(t, os.WriteFile(path, data, 0644))
	f := open(t, path, os.O_RDWR)
	m, err := unix.Mmap(int(f.Fd()), 0, len(data), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	must(t, err)
	for i := 5000; i < 6000; i++ {
		m[i], data[i] = 'x', 'x'
	}
	must(t, unix.Msync(m, unix.MS_SYNC))
	must(t, unix.Munmap(m))
	holds(t, path, string(data))
}
