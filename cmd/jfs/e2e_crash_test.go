package main

import (
	"bytes"
	"context"
	"errors"
	goflag "flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"jfs/fs/mount"
	"jfs/internal/mounts"
	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/meta/metatest"
	"jfs/meta/redis"
	"jfs/meta/sql"
	"jfs/meta/tkv/etcd"
)

// How often TestE2ECrash kills, and with which random numbers: "go test ./cmd/jfs -run Crash -crash.rounds 200".
var (
	crashRounds = goflag.Int("crash.rounds", 2, "kills for each database")
	crashSeed   = goflag.Uint64("crash.seed", 0, "random numbers of the kills; 0 means others each time")
)

// seed gives the seed of a test that draws random numbers, and says which.
func seed(t *testing.T) uint64 {
	n := *crashSeed
	if n == 0 {
		n = rand.Uint64()>>1 | 1
	}
	t.Logf("again with: -crash.seed %d", n)
	return n
}

// databases are the databases that volumes survive deaths and move in, each with what gives a fresh one.
var databases = []struct {
	name string
	url  func(t *testing.T, w *world) func() string
}{
	{"sqlite", func(_ *testing.T, w *world) func() string {
		n := 0
		return func() string { n++; return fmt.Sprintf("sqlite3://%s", w.path(fmt.Sprint("meta", n, ".db"))) }
	}},
	{"redis", func(t *testing.T, _ *world) func() string {
		server, n := testenv.StartRedis(t), 0
		return func() string { n++; return fmt.Sprintf("redis://%s/%d", server.Addr, n) }
	}},
}

// crash is a volume whose mounts die.
type crash struct {
	*world
	url string
	rnd *rand.Rand
}

// TestE2ECrash kills the process of a mount while several processes work in it. What was acknowledged must be there,
// nothing may be half done, and all records must fit together, before and after what the dead mount left is cleaned up.
func TestE2ECrash(t *testing.T) {
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			w := newWorld(t)
			c := &crash{world: w, url: db.url(t, w)(), rnd: rand.New(rand.NewPCG(seed(t), 0))}
			must(t, os.Mkdir(c.path("journals"), 0o755))
			c.ok("format", "--bucket", "$/objects", "--block-size", "256K", "--trash-days", fmt.Sprint(c.rnd.IntN(2)), c.url, "myjfs")
			total := 0
			for round := range *crashRounds {
				total += c.round(round)
				if t.Failed() {
					t.Fatalf("in round %d", round)
				}
			}
			if total == 0 {
				t.Error("nothing was acknowledged in any round")
			}
			t.Logf("%d kills, %d acknowledged operations", *crashRounds, total)
		})
	}
}

func (c *crash) mount(more ...string) (pid int) {
	c.t.Helper()
	args := []string{"mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache", "--backup-meta", "0", c.url, "$/mnt"}
	c.ok(append(args, more...)...)
	if slices.Contains(more, "--read-only") { // it has no session
		return 0
	}
	for _, s := range c.sessions(c.url) {
		if s.MountPoint == c.path("mnt") {
			return s.ProcessID
		}
	}
	c.t.Fatal("the mount has no session")
	return 0
}

// crashLoads is how many processes of each kind work in a mount that is killed.
const crashLoads = 3

// round mounts, works, kills, and checks. It gives the number of acknowledged operations.
func (c *crash) round(round int) (done int) {
	c.t.Helper()
	_ = os.Remove(c.path("log"))
	pid := c.mount()
	var loads sync.WaitGroup
	name := func(w int) string { return fmt.Sprintf("r%d-w%d", round, w) }
	journal := func(w int) string { return c.path("journals/" + name(w)) }
	for w := range crashLoads {
		must(c.t, os.Mkdir(c.path("mnt/"+name(w)), 0o755))
	}
	must(c.t, os.MkdirAll(c.path("mnt/shared"), 0o755))
	for w := range crashLoads {
		args := fmt.Sprintf("%s %s %d", c.path("mnt/"+name(w)), journal(w), c.rnd.Uint64())
		cmd := c.command(os.Args[0])
		cmd.Env = append(cmd.Env, loadEnv+"="+args)
		var log bytes.Buffer
		cmd.Stderr = &log
		must(c.t, cmd.Start())
		loads.Go(func() {
			if err := cmd.Wait(); err != nil {
				said, _ := os.ReadFile(c.path("log"))
				c.t.Errorf("load: %v %s\nthe log of the mounts:\n%s", err, log.String(), said[max(0, len(said)-20_000):])
			}
		})
	}
	var stop atomic.Bool
	for range crashLoads { // they need no journal: several at the same names
		own := rand.New(rand.NewPCG(c.rnd.Uint64(), 1))
		loads.Go(func() { mess(c.path("mnt/shared"), own, &stop) })
	}
	if round >= 2 { // what was checked goes while the others work
		old := c.path(fmt.Sprintf("mnt/r%d-w0", round-2))
		loads.Go(func() { _ = os.RemoveAll(old) })
	}
	c.kill(pid, time.Duration(c.rnd.Int64N(int64(1200*time.Millisecond))))
	stop.Store(true)
	loads.Wait()
	must(c.t, mount.Unmount(c.path("mnt"), true))

	c.checkWreck()
	c.mount()
	for w := range crashLoads {
		n, faults := verify(c.path("mnt/"+name(w)), journal(w))
		done += n
		for _, f := range faults {
			c.t.Errorf("%s: %s", name(w), f)
		}
	}
	c.ok("umount", "$/mnt")
	return done
}

// kill ends a process after a while.
func (c *crash) kill(pid int, after time.Duration) {
	c.t.Helper()
	<-time.After(after)
	must(c.t, syscall.Kill(pid, syscall.SIGKILL))
	ctx, cancel := context.WithTimeout(context.Background(), enough)
	defer cancel()
	must(c.t, mounts.WaitExit(ctx, pid))
}

// mess does what processes do that get into each other's way. Answers of the file system are none of its business.
func mess(dir string, rnd *rand.Rand, stop *atomic.Bool) {
	at := func() string {
		p := dir
		for range rnd.IntN(3) {
			p = filepath.Join(p, fmt.Sprint("n", rnd.IntN(3)))
		}
		return filepath.Join(p, fmt.Sprint("n", rnd.IntN(4)))
	}
	var err error
	for !stop.Load() && !mountGone(err) {
		switch p := at(); rnd.IntN(9) {
		case 0, 1:
			err = os.Mkdir(p, 0o755)
		case 2, 3:
			err = os.WriteFile(p, content(1+rnd.IntN(300_000), 1), 0o644)
		case 4:
			err = syscall.Rename(p, at())
		case 5:
			err = os.Link(p, at())
		case 6:
			err = os.Remove(p)
		case 7:
			err = os.Truncate(p, rnd.Int64N(1<<20))
		case 8:
			err = os.RemoveAll(p)
		}
	}
}

// checkWreck checks the records that a killed mount has left, cleans up after it, and checks them again.
func (c *crash) checkWreck() {
	c.t.Helper()
	c.faults("after the kill", metatest.Checks{NoUsage: true, NoStatistics: true, Unfinished: true}, nil)
	c.ok("fsck", c.url)
	c.ok("fsck", "--path", "/", "-r", c.url)
	c.faults("after the clean-up", metatest.Checks{NoUsage: true, NoStatistics: true}, cleanUp)
	c.ok("fsck", "--path", "/", "-r", "--repair", "--sync-dir-stat", c.url)
	c.faults("after the repair", metatest.Checks{}, nil)
	c.ok("fsck", c.url)
	c.ok("gc", c.url)
}

// cleanUp does what mounts do for a dead one, on a volume in whose time that has expired.
func cleanUp(ctx context.Context, v *meta.Volume) error {
	err := v.CleanStaleSessions(ctx)
	_, err2 := v.CleanDetached(ctx, time.Now().Add(time.Hour), nil)
	_, err3 := v.CleanDeletedFiles(ctx, time.Now().Add(time.Hour).Unix(), nil)
	_, err4 := v.CleanDeadSlices(ctx, nil)
	return errors.Join(err, err2, err3, err4)
}

// faults opens the volume as it will be in an hour, does something, and checks all records.
func (c *crash) faults(when string, o metatest.Checks, first func(context.Context, *meta.Volume) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), enough)
	defer cancel()
	var engine meta.Engine
	var err error
	switch scheme, _, _ := strings.Cut(c.url, ":"); scheme {
	case "redis":
		engine, err = redis.Open(ctx, c.url, redis.Options{})
	case "postgres", "mysql":
		engine, err = sql.OpenServer(ctx, c.url, sql.Options{})
	case "etcd":
		engine, err = etcd.Open(ctx, c.url, etcd.Options{})
	default:
		engine, err = sql.Open(ctx, c.url, sql.Options{})
	}
	must(c.t, err)
	later := func() time.Time { return time.Now().Add(time.Hour) }
	v, err := meta.Open(ctx, engine, meta.Options{Now: later, FreeSlices: func(context.Context, []meta.SliceRef) []error { return nil }})
	must(c.t, err)
	if first != nil {
		must(c.t, first(ctx, v))
	}
	all, err := metatest.Faults(ctx, v, o)
	if err != nil {
		c.t.Errorf("%s: %v", when, err)
	}
	for _, f := range all {
		c.t.Errorf("%s: %s", when, f)
	}
	must(c.t, errors.Join(v.Close(ctx), engine.Close()))
}
