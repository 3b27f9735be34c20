package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	mountfs "jfs/fs"
	"jfs/internal/mounts"
	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/object/s3"
)

// soon bounds what a test waits for a change to reach another mount. Kernels remember names and attributes for a
// second; the rest is for a busy machine.
const soon = 15 * time.Second

// cluster is a world with a Redis server and an S3 server, where several mounts stand for several machines.
type cluster struct {
	*world
	redis, s3 *testenv.Server
	url       string // of the database
	bucket    string
}

// newCluster formats a volume in a bucket that is not there before.
func newCluster(t *testing.T, flags ...string) *cluster {
	t.Helper()
	c := &cluster{world: newWorld(t)}
	c.redis = testenv.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	c.s3 = testenv.StartVersityGW(t)
	c.url = "redis://" + c.redis.Addr + "/3"
	c.bucket = "http://" + c.s3.Addr + "/jfs-data"
	c.env = []string{"ACCESS_KEY=" + testenv.S3AccessKey, "SECRET_KEY=" + testenv.S3SecretKey}
	c.ok(append(append([]string{"format", "--storage", "s3", "--bucket", c.bucket}, flags...), c.url, "myjfs")...)
	c.env = nil // the volume knows its keys
	return c
}

// machine mounts the volume at $/name in the background, with a cache and a log of its own.
func (c *cluster) machine(name string, flags ...string) {
	c.t.Helper()
	c.points = append(c.points, name)
	args := []string{"mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache-" + name}
	c.ok(append(append(args, flags...), c.url, "$/"+name)...)
}

// pid gives the process of the mount at $/name.
func (c *cluster) pid(name string) int {
	c.t.Helper()
	for _, s := range c.sessions(c.url) {
		if s.MountPoint == c.path(name) {
			return s.ProcessID
		}
	}
	c.t.Fatalf("no session is mounted at %s", name)
	return 0
}

// kill ends the process of the mount at $/name as a crash would.
func (c *cluster) kill(name string) {
	c.t.Helper()
	pid := c.pid(name)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), enough)
	defer cancel()
	if err := mounts.WaitExit(ctx, pid); err != nil {
		c.t.Fatal(err)
	}
}

// objects counts the objects of the volume's data.
func (c *cluster) objects() int {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), enough)
	defer cancel()
	store, err := s3.New(ctx, s3.Options{Bucket: c.bucket, AccessKey: testenv.S3AccessKey, SecretKey: testenv.S3SecretKey})
	if err != nil {
		c.t.Fatal(err)
	}
	infos, more, err := store.List(ctx, "myjfs/chunks/", "", 1000)
	if err != nil || more {
		c.t.Fatalf("list objects: more %v, %v", more, err)
	}
	return len(infos)
}

// eventually waits until check finds nothing to complain about.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	eventuallyIn(t, soon, what, check)
}

// eventuallyIn is eventually with a time of its own.
func eventuallyIn(t *testing.T, limit time.Duration, what string, check func() error) {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-timer.C:
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

// bounded fails the test when fn does not return, instead of hanging with it.
func bounded[T any](t *testing.T, what string, fn func() T) T {
	t.Helper()
	done := make(chan T, 1)
	go func() { done <- fn() }()
	timer := time.NewTimer(enough)
	defer timer.Stop()
	select {
	case got := <-done:
		return got
	case <-timer.C:
		t.Fatalf("%s has not ended after %v", what, enough)
		panic("not reached")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// gone says whether a name is missing.
func gone(path string) error {
	switch _, err := os.Lstat(path); {
	case err == nil:
		return fmt.Errorf("%s is still there", path)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// same says whether a file holds these bytes.
func same(path string, want []byte) error {
	got, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s: %d bytes differ from the %d expected, first at %d", path, len(got), len(want), firstDifference(got, want))
	}
	return nil
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// fingerprint describes everything below a directory by what programs see of it.
func fingerprint(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		if mountfs.IsVirtual(meta.Ino(st.Ino)) { // the mount's own files, of which the log has no end
			return nil
		}
		line := fmt.Sprintf("%v uid %d gid %d links %d mtime %d", info.Mode(), st.Uid, st.Gid, st.Nlink, info.ModTime().UnixNano())
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " to " + target
		case info.Mode().IsRegular():
			sum, err := checksum(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" size %d sum %x", info.Size(), sum)
		}
		all[name] = line
		return nil
	})
	must(t, err)
	return all
}

func checksum(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
}

// sameTree compares two fingerprints.
func sameTree(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, line := range want {
		if got[name] != line {
			t.Errorf("%s:\n got %s\nwant %s", name, got[name], line)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is there and should not be", name)
		}
	}
}
