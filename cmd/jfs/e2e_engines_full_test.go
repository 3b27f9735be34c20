package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"jfs/internal/testenv"
)

// small mounts a file system of a few bytes at $/name, and gives what makes it larger.
func (w *world) small(name, size string) (grow func(size string)) {
	w.t.Helper()
	dir := w.path(name)
	must(w.t, os.Mkdir(dir, 0o755))
	must(w.t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size))
	w.t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			w.t.Error(err)
		}
	})
	return func(size string) {
		w.t.Helper()
		must(w.t, unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size="+size))
	}
}

// TestE2EDatabaseFull: a database without room is ENOSPC to programs, and when there is room again, the mount works.
func TestE2EDatabaseFull(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		// start gives the url, and what makes room.
		start func(t *testing.T, w *world) (string, func())
		// again: the value that fills the database is written over and over, so that making room needs no larger one
		again bool
	}{
		{"sqlite", func(_ *testing.T, w *world) (string, func()) {
			grow := w.small("db", "4m")
			return "sqlite3://" + w.path("db/m.db"), func() { grow("64m") }
		}, false},
		{"redis", func(t *testing.T, _ *world) (string, func()) {
			addr := testenv.Redis(t, "--maxmemory", "6mb", "--maxmemory-policy", "noeviction")
			return "redis://" + addr + "/1", func() {
				conn, err := net.Dial("tcp", addr)
				must(t, err)
				defer conn.Close()
				_, err = io.WriteString(conn, "CONFIG SET maxmemory 0\r\n")
				must(t, err)
				answer := make([]byte, 5)
				if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "+OK\r\n" {
					t.Errorf("redis says %q, %v", answer, err)
				}
			}
		}, false},
		{"etcd", func(t *testing.T, _ *world) (string, func()) {
			addr := testenv.StartEtcd(t, "--quota-backend-bytes", "8388608").Addr
			return "etcd://" + addr + "/vol", func() { defragment(t, addr) }
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			url, room := c.start(t, w)
			w.ok("format", "--bucket", "$/objects", "--trash-days", "0", url, "myjfs")
			w.ok("mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache", "--enable-xattr", url, "$/mnt")
			w.write("mnt/before", []byte("before"))
			value, done := content(60_000, 1), 0
			put := func(n int) error {
				if c.again {
					n = 0
				}
				return bounded(t, "a change", func() error {
					return unix.Setxattr(w.path("mnt/before"), fmt.Sprint("user.v", n), value, 0)
				})
			}
			var err error
			for ; err == nil && done < 1000; done++ {
				err = put(done)
			}
			if !errors.Is(err, syscall.ENOSPC) {
				log, _ := os.ReadFile(w.path("log")) //nolint:errcheck // shown if there is one
				t.Errorf("change %d of a full database: %v, want ENOSPC\n%s", done, err, log)
			}
			w.holds("mnt/before", []byte("before")) // reading goes on
			room()
			must(t, put(done))
			w.write("mnt/after", value)
			w.ok("umount", "$/mnt")
			w.ok("fsck", url)
			w.ok("mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache", url, "$/mnt")
			w.holds("mnt/before", []byte("before"))
			w.holds("mnt/after", value)
			w.ok("umount", "$/mnt")
		})
	}
}

// defragment does what the administrator of an etcd without room does.
func defragment(t *testing.T, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), enough)
	defer cancel()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{addr}, Context: ctx})
	must(t, err)
	defer c.Close()
	now, err := c.Get(ctx, "any")
	must(t, err)
	_, err = c.Compact(ctx, now.Header.Revision, clientv3.WithCompactPhysical())
	must(t, err)
	_, err = c.Defragment(ctx, addr)
	must(t, err)
	_, err = c.AlarmDisarm(ctx, &clientv3.AlarmMember{})
	must(t, err)
}

// TestE2ECacheFull: a cache without room is no reason to fail.
func TestE2ECacheFull(t *testing.T) {
	w := newWorld(t)
	w.small("cache", "1m")
	w.format()
	w.mount("--free-space-ratio", "0.01", "--cache-large-write")
	files := map[string][]byte{}
	for i := range 6 {
		name := fmt.Sprint("mnt/f", i)
		files[name] = content(700_000, byte(i))
		w.write(name, files[name])
	}
	for range 2 {
		for name, data := range files {
			w.holds(name, data)
		}
	}
	w.ok("umount", "$/mnt")
	w.ok("fsck", "sqlite3://$/m.db")
}
