package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestE2EWarmup: what was loaded in advance is read without the store.
func TestE2EWarmup(t *testing.T) {
	w := newWorld(t)
	w.format("--block-size", "1M")
	w.mount("--cache-dir", "memory")
	w.refused("--file", "warmup")
	w.refused("exclude", "warmup", "--evict", "--check", "$/mnt")
	w.refused("mount", "warmup", "$/objects")
	w.refused("no such file", "warmup", "$/mnt/none")
	big, small := content(5<<20+5, 1), content(5000, 2)
	w.write("mnt/dir/big", big)
	w.write("mnt/dir/small", small)
	w.write("mnt/other", small)
	must(t, os.Symlink("dir", w.path("mnt/link")))
	w.ok("umount", "$/mnt")

	w.mount()
	told := func(want string, args ...string) {
		t.Helper()
		if r := w.run(args...); r.code != 0 || !strings.Contains(r.log, want) {
			t.Errorf("%q: %d, %s", args, r.code, r.log)
		}
	}
	all := len(big) + len(small)
	told(fmt.Sprintf("check cache: 2 files (0 of %d bytes (0.0%%)) cached", all), "warmup", "--check", "$/mnt/dir")
	told(fmt.Sprintf("warmup cache: 2 files (%d bytes)", all), "warmup", "$/mnt/link")
	told(fmt.Sprintf("check cache: 2 files (%d of %d bytes (100.0%%)) cached", all, all), "warmup", "--check", "$/mnt/dir")
	if n := cachedBlocks(t, w.path("cache")); n != 7 {
		t.Errorf("%d blocks are in the cache", n)
	}
	w.write("list", []byte(w.path("mnt/dir/big")+"\n\n"+w.path("mnt/other")+"\n"))
	told(fmt.Sprintf("evict cache: 2 files (%d bytes)", all), "warmup", "--evict", "--file", "$/list")
	told("check cache: 3 files (5000 of", "warmup", "--check", "$/mnt/dir", "$/mnt/other")
	told("in the background", "warmup", "-b", "$/mnt")
	for deadline := time.Now().Add(enough); ; time.Sleep(10 * time.Millisecond) {
		if r := w.run("warmup", "--check", "$/mnt"); strings.Contains(r.log, "(100.0%)") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the cache is not filled in the background")
		}
	}
	must(t, os.RemoveAll(w.path("objects/myjfs/chunks")))
	w.holds("mnt/dir/big", big)
	w.holds("mnt/dir/small", small)
	w.ok("umount", "$/mnt")
}
