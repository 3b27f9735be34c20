package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestE2EResidentMemory: a mount whose files several threads write and read takes not much more memory than it is given
// for buffers, whether it stores at once or later.
func TestE2EResidentMemory(t *testing.T) {
	const threads, buffer, most = 8, 64 << 20, 150 << 20
	size := soaking(64<<20, 10<<30/threads) // of the file of a thread
	for name, flags := range map[string][]string{"through": nil, "back": {"--writeback"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.format("--trash-days", "0")
			w.mount(append(flags, "--buffer-size", "64M")...)
			pid := w.sessions(worldDB)[0].ProcessID
			parallel := func(what string, do func(path string, seed int) error) {
				var group sync.WaitGroup
				for i := range threads {
					group.Go(func() {
						if err := do(w.path(fmt.Sprint("mnt/f", i)), i); err != nil {
							t.Errorf("%s: %v", what, err)
						}
					})
				}
				group.Wait()
				if peak := peakMemory(t, pid); peak > buffer+most {
					t.Errorf("%s: %d MiB are resident at most, want %d", what, peak>>20, (buffer+most)>>20)
				} else {
					t.Logf("%s: %d MiB are resident at most", what, peak>>20)
				}
			}
			parallel("write", func(path string, seed int) error {
				f, err := os.Create(path)
				if err != nil {
					return err
				}
				b := content(1<<20, byte(seed))
				for off := 0; off < size; off += len(b) {
					binary.BigEndian.PutUint64(b, uint64(off))
					if _, err := f.Write(b); err != nil {
						return err
					}
				}
				return f.Close()
			})
			w.ok("warmup", "--evict", "$/mnt")
			parallel("read", func(path string, seed int) error {
				f, err := os.Open(path)
				if err != nil {
					return err
				}
				defer f.Close()
				want, got := content(1<<20, byte(seed)), make([]byte, 1<<20)
				for off := 0; off < size; off += len(want) {
					binary.BigEndian.PutUint64(want, uint64(off))
					if _, err := io.ReadFull(f, got); err != nil {
						return err
					}
					if !bytes.Equal(got, want) {
						return fmt.Errorf("%s is not what it was at %d", path, off)
					}
				}
				return nil
			})
			w.ok("umount", "$/mnt")
		})
	}
}

// peakMemory gives the most memory that a process has ever had resident, in bytes.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	must(t, err)
	return kib << 10
}
