package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// impatient are flags of a mount that soon gives up a store that does not answer.
var impatient = []string{"--put-timeout", "1s", "--get-timeout", "1s", "--io-retries", "2"}

// TestE2EStoreStops: without its store a mount says so to who waits for data to be stored, and loses nothing.
func TestE2EStoreStops(t *testing.T) {
	c := newCluster(t)
	c.machine("a", append([]string{"--cache-large-write"}, impatient...)...)
	c.machine("b", impatient...)
	a, b := c.path("a"), c.path("b")
	before := content(5<<20, 1)
	must(t, os.WriteFile(filepath.Join(a, "before"), before, 0o644))
	must(t, same(filepath.Join(b, "before"), before))
	must(t, os.WriteFile(filepath.Join(a, "unread"), before, 0o644))

	c.s3.Kill()
	data := content(9<<20+5, 2)
	f, err := os.Create(filepath.Join(a, "during"))
	must(t, err)
	_, err = f.Write(data)
	must(t, err)
	if err := bounded(t, "fsync", f.Sync); !errors.Is(err, syscall.EIO) {
		t.Errorf("fsync without a store: %v", err)
	}
	if err := bounded(t, "close", f.Close); !errors.Is(err, syscall.EIO) {
		t.Errorf("close without a store: %v", err)
	}
	must(t, same(filepath.Join(a, "during"), data)) // this mount still has it
	if info, err := os.Stat(filepath.Join(b, "during")); err != nil || info.Size() != 0 {
		t.Errorf("another mount sees data that is not stored: %v, %v", info, err)
	}
	must(t, same(filepath.Join(a, "before"), before)) // from the cache
	if err := bounded(t, "read", func() error { return same(filepath.Join(b, "unread"), before) }); !errors.Is(err, syscall.EIO) {
		t.Errorf("read without store and cache: %v", err)
	}
	must(t, os.Mkdir(filepath.Join(a, "dir"), 0o755)) // needs no store

	c.s3.Start()
	must(t, same(filepath.Join(b, "unread"), before))
	eventually(t, "what was written meanwhile is stored", func() error { return same(filepath.Join(b, "during"), data) })
	must(t, os.WriteFile(filepath.Join(a, "after"), data, 0o644))
	must(t, same(filepath.Join(b, "after"), data))

	// A file that was closed in vain is brought in by the next one who closes it well.
	c.s3.Stop()
	if err := os.WriteFile(filepath.Join(b, "again"), data, 0o644); !errors.Is(err, syscall.EIO) {
		t.Errorf("write a file without a store: %v", err)
	}
	c.s3.Start()
	f, err = os.OpenFile(filepath.Join(b, "again"), os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.Write([]byte("end"))
	must(t, err)
	must(t, f.Close())
	must(t, same(filepath.Join(a, "again"), append(data[:len(data):len(data)], "end"...)))
	c.ok("umount", "$/a")
	c.ok("umount", "$/b")
}

// TestE2EDatabaseStops: without its database a mount answers with an error, and works again afterwards.
func TestE2EDatabaseStops(t *testing.T) {
	c := newCluster(t)
	c.machine("a", append([]string{"--heartbeat", "1s", "--attr-cache", "0", "--entry-cache", "0"}, impatient...)...)
	a := c.path("a")
	data := content(6<<20, 3)
	must(t, os.WriteFile(filepath.Join(a, "before"), data, 0o644))
	open, err := os.Create(filepath.Join(a, "open"))
	must(t, err)
	_, err = open.Write(data)
	must(t, err)

	for round, end := range []func(){c.redis.Kill, c.redis.Stop} {
		end()
		stat := func() error { _, err := os.Stat(filepath.Join(a, "before")); return err }
		if err := bounded(t, "stat", stat); !errors.Is(err, syscall.EIO) {
			t.Errorf("stat without a database: %v", err)
		}
		create := func() error { return os.WriteFile(filepath.Join(a, "never"), nil, 0o644) }
		if err := bounded(t, "create", create); !errors.Is(err, syscall.EIO) {
			t.Errorf("create without a database: %v", err)
		}
		_, err = fmt.Fprintln(open, "round", round)
		must(t, err)
		if err := bounded(t, "fsync", open.Sync); !errors.Is(err, syscall.EIO) {
			t.Errorf("fsync without a database: %v", err)
		}
		c.redis.Start()
		must(t, stat())
		must(t, same(filepath.Join(a, "before"), data))
		must(t, open.Sync())
		must(t, gone(filepath.Join(a, "never")))
		must(t, os.WriteFile(filepath.Join(a, fmt.Sprint("after", round)), data, 0o644))
	}
	must(t, open.Close())
	want := append(data[:len(data):len(data)], "round 0\nround 1\n"...)
	must(t, same(filepath.Join(a, "open"), want))
	if ss := c.sessions(c.url); len(ss) != 1 {
		t.Errorf("sessions: %+v", ss)
	}
	c.ok("umount", "$/a")
	must(t, os.RemoveAll(c.path("cache-a")))
	c.machine("a")
	must(t, same(filepath.Join(a, "open"), want))
	must(t, same(filepath.Join(a, "after1"), data))
	c.ok("umount", "$/a")
}

// TestE2EAllStops: a mount whose database and store are gone can be unmounted, with and without unwritten data.
func TestE2EAllStops(t *testing.T) {
	c := newCluster(t)
	c.machine("clean", impatient...)
	c.machine("dirty", impatient...)
	pids := map[string]int{"clean": c.pid("clean"), "dirty": c.pid("dirty")}
	must(t, os.WriteFile(c.path("clean/file"), []byte("x"), 0o644))
	// Starting a process would write the file out, because that closes a copy of its descriptor.
	f, err := os.Create(c.path("dirty/file"))
	must(t, err)
	_, err = f.Write(content(5<<20, 4))
	must(t, err)
	c.s3.Kill()
	c.redis.Kill()
	if err := bounded(t, "close", f.Close); !errors.Is(err, syscall.EIO) {
		t.Errorf("close without anything: %v", err)
	}
	var group sync.WaitGroup
	for name, pid := range pids {
		group.Go(func() {
			r := c.run("umount", "$/"+name)
			if !ended(pid) {
				t.Errorf("%s: its process is still there after umount ended with code %d\n%s", name, r.code, r.log)
			}
			if r.code != 0 {
				t.Errorf("%s: umount: exit code %d\n%s", name, r.code, r.log)
			}
		})
	}
	group.Wait()
	log, err := os.ReadFile(c.path("log"))
	must(t, err)
	if n := strings.Count(string(log), "files could not be written out"); n != 1 {
		t.Errorf("the log tells %d times of what was lost", n)
	}
}
