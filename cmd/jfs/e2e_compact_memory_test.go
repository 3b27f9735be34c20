package main

import (
	"fmt"
	"os"
	"testing"
)

// TestE2ECompactInLittleMemory: more compactions than there is memory for neither wait for each other nor for themselves.
func TestE2ECompactInLittleMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.format("--trash-days", "0")
	w.mount("--buffer-size", "32M", "--memory-cache-size", "0", "--cache-size", "0", "--no-bgjob")
	const files, block, slices = 12, 300_000, 12
	want := map[string][]byte{}
	for i := range files {
		name := fmt.Sprint("mnt/f", i)
		f, err := os.Create(w.path(name))
		must(t, err)
		var all []byte
		for n := range slices {
			data := content(block, byte(i*slices+n))
			_, err := f.Write(data)
			must(t, err)
			must(t, f.Sync())
			all = append(all, data...)
		}
		must(t, f.Close())
		want[name] = all
	}
	w.ok("compact", "--threads", "12", "$/mnt")
	for name, data := range want {
		w.holds(name, data)
	}
	w.ok("umount", "$/mnt")
	w.ok("fsck", "sqlite3://$/m.db")
}
