package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jfs/meta/metatest"
)

// TestE2ERaces lets processes work against each other through two mounts of one volume. All records must fit together
// afterwards.
func TestE2ERaces(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		if db.alone {
			continue
		}
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.points = append(w.points, "two")
			c := &crash{world: w, url: db.fresh(t, w)(), rnd: rand.New(rand.NewPCG(seed(t), 2))}
			c.ok("format", "--bucket", "$/objects", "--block-size", "256K", "--trash-days", fmt.Sprint(c.rnd.IntN(2)), c.url, "myjfs")
			c.mount()
			c.ok("mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache2", "--backup-meta", "0", c.url, "$/two")
			for _, name := range []string{"mnt/shared", "mnt/circles", "mnt/names"} {
				must(t, os.Mkdir(c.path(name), 0o755))
			}
			eventually(t, "the directories", func() error { _, err := os.Stat(c.path("two/names")); return err })
			var all sync.WaitGroup
			var stop atomic.Bool
			for i, point := range []string{"mnt", "two", "mnt", "two"} {
				own := rand.New(rand.NewPCG(c.rnd.Uint64(), uint64(i)))
				all.Go(func() { mess(c.path(point+"/shared"), own, &stop) })
				all.Go(func() { circles(c.path(point+"/circles"), i, &stop) })
				all.Go(func() { openNames(t, c.path(point+"/names"), i, &stop) })
			}
			<-time.After(4 * time.Second)
			stop.Store(true)
			all.Wait()
			c.ok("umount", "$/mnt")
			c.ok("umount", "$/two")
			c.faults("after the clean-up", metatest.Checks{}, cleanUp)
			c.ok("fsck", c.url)
			c.ok("fsck", "--path", "/", "-r", "--sync-dir-stat", c.url)
			c.ok("gc", c.url)
		})
	}
}

// circles moves directories into each other; the moves of all together would make circles.
func circles(dir string, who int, stop *atomic.Bool) {
	for n := 0; !stop.Load(); n++ {
		a, b := fmt.Sprintf("%s/a%d", dir, n%5), fmt.Sprintf("%s/b%d", dir, n%5)
		_ = os.MkdirAll(a+"/x", 0o755)
		_ = os.MkdirAll(b+"/y/deep", 0o755)
		switch who {
		case 0:
			_ = syscall.Rename(a+"/x", b+"/y/in")
		case 1:
			_ = syscall.Rename(b+"/y", a+"/x/in")
		case 2:
			_ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b+"/y", unix.RENAME_EXCHANGE)
		default:
			_ = syscall.Rename(a, b+"/y/deep/in")
		}
		if n%7 == who {
			_ = os.RemoveAll(a)
			_ = os.RemoveAll(b)
		}
	}
}

// openNames keeps files open while others remove them or rename onto them, and reads its own bytes where it was the first.
func openNames(t *testing.T, dir string, who int, stop *atomic.Bool) {
	for n := 0; !stop.Load(); n++ {
		name := fmt.Sprintf("%s/n%d", dir, n%3)
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
		if err != nil {
			_ = os.Remove(name)
			continue
		}
		data := content(10_000, byte(n))
		if _, err := f.Write(data); err == nil {
			got := make([]byte, len(data))
			// A file that the other mount has removed may be gone.
			if _, err := f.ReadAt(got, 0); err == nil && string(got) != string(data) {
				t.Errorf("%s: what was written is not what is read", name)
			}
		}
		_ = os.Rename(name, fmt.Sprintf("%s/n%d", dir, (n+who)%3))
		_ = f.Close() // the file may be gone
	}
}
