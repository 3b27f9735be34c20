package main

import (
	"bytes"
	"context"
	"errors"
	goflag "flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"jfs/fs/mount"
	"jfs/internal/mounts"
	"jfs/meta"
	"jfs/meta/metatest"
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

// crash is a volume whose mounts die.
type crash struct {
	*world
	url string
	rnd *rand.Rand

	flags []string // of the mounts that are killed
}

// TestE2ECrash kills the process of a mount while several processes work in it. What was acknowledged must be there,
// nothing may be half done, and all records must fit together, before and after what the dead mount left is cleaned up.
func TestE2ECrash(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"": nil, "-back": {"--writeback"}} {
		crashes(t, name, flags)
	}
}

func crashes(t *testing.T, name string, flags []string) {
	for i, db := range databases() {
		if flags != nil && i > 0 && !*soak {
			break // the stage is the same on all
		}
		t.Run(db.name+name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := &crash{world: w, url: db.fresh(t, w)(), rnd: rand.New(rand.NewPCG(seed(t), 0)), flags: flags}
			must(t, os.Mkdir(c.path("journals"), 0o755))
			c.ok("format", "--bucket", "$/objects", "--block-size", "256K", "--trash-days", fmt.Sprint(c.rnd.IntN(2)), c.url, "myjfs")
			total := 0
			for round := range *crashRounds {
				total += c.round(round, total == 0 && round == *crashRounds-1)
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

// TestDied: EIO counts as the death of a mount only if that follows.
func TestDied(t *testing.T) {
	for _, c := range []struct {
		err   error
		looks []error // what the mount answers, one after the other
		want  bool
	}{
		{syscall.ENOTCONN, nil, true},
		{&os.PathError{Op: "open", Path: "f", Err: syscall.ECONNABORTED}, nil, true},
		{syscall.ENOSPC, nil, false},
		{&os.PathError{Op: "open", Path: "f", Err: syscall.EIO}, []error{syscall.ENOENT, syscall.EIO, syscall.ENOTCONN}, true},
	} {
		looks := 0
		got := died(c.err, func(n int) error { looks++; return c.looks[n] })
		if got != c.want || looks != len(c.looks) {
			t.Errorf("%v: %v after %d looks, want %v after %d", c.err, got, looks, c.want, len(c.looks))
		}
	}
}

func (c *crash) mount(more ...string) (pid int) {
	c.t.Helper()
	args := []string{"mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache", "--backup-meta", "0", c.url, "$/mnt"}
	c.ok(append(args, more...)...)
	m, mounted, err := mounts.At(c.path("mnt"))
	must(c.t, err)
	if pid = mounts.Proc("").Server(m); !mounted || pid == 0 {
		c.t.Fatalf("mounted %v, by process %d", mounted, pid)
	}
	return pid
}

// crashLoads is how many processes of each kind work in a mount that is killed.
const crashLoads = 3

// round mounts, works, kills, and checks. It gives the number of acknowledged operations, of which there is one at least if
// some is set; otherwise the kill may come before.
func (c *crash) round(round int, some bool) (done int) {
	c.t.Helper()
	_ = os.Remove(c.path("log"))
	pid := c.mount(c.flags...)
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
	if some {
		eventually(c.t, "the first acknowledged operation", func() error {
			for w := range crashLoads {
				if text, err := os.ReadFile(journal(w)); err == nil && bytes.Contains(text, []byte(`"Done":true`)) {
					return nil
				}
			}
			return errors.New("there is none yet")
		})
	}
	c.kill(pid, time.Duration(c.rnd.Int64N(int64(1200*time.Millisecond))))
	stop.Store(true)
	loads.Wait()
	// An I/O error that the kernel makes at the death is not there. One of the mount's own is a fault, whoever got it.
	if said, err := os.ReadFile(c.path("log")); err != nil || bytes.Contains(said, []byte("I/O error")) {
		c.t.Errorf("the log of the mount, %v:\n%s", err, said)
	}
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

// settling is how often records are looked at again, a second later, that do not fit together: the server of a client that
// was killed goes on with what it was sent, and a commit between two reads of the check looks like a fault. One that
// is left by it stays.
const settling = 3

// faults opens the volume as it will be in an hour, does something, and checks all records.
func (c *crash) faults(when string, o metatest.Checks, first func(context.Context, *meta.Volume) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), enough)
	defer cancel()
	engine, err := newApp(io.Discard, io.Discard, os.Getenv).openMeta(ctx, c.url)
	must(c.t, err)
	later := func() time.Time { return time.Now().Add(time.Hour) }
	v, err := meta.Open(ctx, engine, meta.Options{Now: later, FreeSlices: func(context.Context, []meta.SliceRef) []error { return nil }})
	must(c.t, err)
	if first != nil {
		must(c.t, first(ctx, v))
	}
	all, err := metatest.Faults(ctx, v, o)
	for try := 0; try < settling && err == nil && len(all) > 0; try++ {
		<-time.After(time.Second)
		all, err = metatest.Faults(ctx, v, o)
	}
	if err != nil {
		c.t.Errorf("%s: %v", when, err)
	}
	for _, f := range all {
		c.t.Errorf("%s: %s", when, f)
	}
	must(c.t, errors.Join(v.Close(ctx), engine.Close()))
}
