package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fetched gives what a mount has read of its store since it was made: requests and bytes.
func (w *world) fetched() (requests, size int) {
	w.t.Helper()
	text, err := os.ReadFile(w.path("mnt/.stats"))
	must(w.t, err)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "juicefs_object_request_durations_histogram_seconds_GET_total":
			requests = int(n)
		case "juicefs_object_request_data_bytes_GET":
			size = int(n)
		}
	}
	return requests, size
}

// aligned gives memory for O_DIRECT.
func aligned(n int) []byte {
	b := make([]byte, n+4096)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & 4095
	return b[skip : skip+n]
}

// TestE2ERandomReads: a cold read of 4 KiB fetches 128 KiB at most, whether it goes through the kernel's pages or not, and
// what was fetched stays in the cache over a remount.
func TestE2ERandomReads(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.mount("--cache-size", "0")
	data := content(40<<20, 5)
	w.write("mnt/big", data)
	w.ok("umount", "$/mnt")

	places := make([]int, 40)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range places {
		places[i] = 1<<20 + r.IntN(38<<20)&^4095
	}
	for round, kind := range []struct {
		flags      int
		cold       bool
		mountFlags []string
	}{
		{unix.O_DIRECT, true, nil}, {0, false, nil}, {unix.O_DIRECT, false, []string{"--cache-partial-only"}},
		{0, true, []string{"--cache-dir", "$/other", "--cache-partial-only"}},
	} {
		w.mount(kind.mountFlags...)
		fd, err := unix.Open(w.path("mnt/big"), unix.O_RDONLY|unix.O_CLOEXEC|kind.flags, 0)
		must(t, err)
		dst := aligned(4096)
		for _, off := range places {
			before, size := w.fetched()
			if n, err := unix.Pread(fd, dst, int64(off)); n != 4096 || err != nil || !bytes.Equal(dst, data[off:off+4096]) {
				t.Fatalf("round %d: read at %d: %d, %v", round, off, n, err)
			}
			requests, now := w.fetched()
			if requests-before > 1 || now-size > 128<<10 || !kind.cold && requests > before {
				t.Errorf("round %d: 4 KiB at %d cost %d requests and %d bytes", round, off, requests-before, now-size)
			}
		}
		must(t, unix.Close(fd))
		w.ok("umount", "$/mnt")
	}

	// Whole blocks are not kept with --cache-partial-only, and read nevertheless, each once.
	w.mount("--cache-dir", "$/third", "--cache-partial-only")
	w.holds("mnt/big", data)
	if n, size := w.fetched(); n != 10 || size != len(data) {
		t.Errorf("%d requests and %d bytes for a file of %d", n, size, len(data))
	}
	w.ok("umount", "$/mnt")
	if n := cachedBlocks(t, w.path("third")); n != 0 {
		t.Errorf("%d blocks are in the cache", n)
	}
}
