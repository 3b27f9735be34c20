package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jfs/internal/testenv"
	"jfs/meta/metatest"
)

const (
	survivors = 4 // programs at work in a mount
	progress  = 8 // operations that each of them gets done between two faults
)

// TestE2EEngineFaults lets the server of each database fail under a mount with load: killed and started again,
// connections cut at any point, commits among them, answers that take a second, no room on its disk, and gone for good.
// Programs see success or EIO, or ENOSPC where there is no room, in bounded time; what was acknowledged is there, nothing is half done, the records fit together, and the mount works
// again by itself.
func TestE2EEngineFaults(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			f := newFailing(t, e)
			for range soaking(1, 20) {
				f.phase("killed", f.kill)
				f.phase("cut", f.cut)
				f.phase("slow", f.slow)
				f.phase("full", f.full)
			}
			f.finish()
		})
	}
}

// failing is a volume whose database fails, with programs that work in its mount.
type failing struct {
	*crash
	engine engine
	server *testenv.Server
	disk   *testenv.Disk // of the server
	proxy  *testenv.Proxy
	direct string // url past the proxy
	rounds int
	tight  bool // there is to be no room on the disk
	all    []*survivor
}

func newFailing(t *testing.T, e engine) *failing {
	t.Helper()
	f := &failing{engine: e, disk: testenv.SmallDisk(t, e.disk)}
	f.server = e.start(f.disk)
	f.proxy = testenv.StartProxy(t, f.server.Addr)
	f.direct = e.url(f.server.Addr)
	f.crash = &crash{world: newWorld(t), url: e.url(f.proxy.Addr)}
	f.ok("format", "--bucket", "$/objects", "--block-size", "256K", "--trash-days", "0", f.direct, "myjfs")
	t.Cleanup(func() {
		if t.Failed() {
			f.showLog()
		}
	})
	f.mount("--enable-xattr", "--attr-cache", "0", "--entry-cache", "0", "--dir-entry-cache", "0")
	return f
}

// load lets new programs work while fault is called, which is given what waits until each of them has done some more.
func (f *failing) load(fault func(more func(n int64))) (acked, failed int64) {
	f.t.Helper()
	var stop atomic.Bool
	var group sync.WaitGroup
	var own []*survivor
	for i := range survivors {
		dir := f.path(fmt.Sprintf("mnt/r%d-%d", f.rounds, i))
		must(f.t, os.Mkdir(dir, 0o755))
		s := newSurvivor(dir, uint64(f.rounds*survivors+i))
		s.full = f.tight
		own = append(own, s)
		group.Go(func() { s.work(&stop) })
	}
	f.rounds++
	f.all = append(f.all, own...)
	more := func(n int64) {
		var want []int64
		for _, s := range own {
			want = append(want, s.acked.Load()+n)
		}
		within(f.t, "progress", func() error {
			for i, s := range own {
				if fault := s.stopped.Load(); fault != nil {
					f.t.Fatalf("%s: a program got: %v", s.dir, *fault)
				}
				if s.acked.Load() < want[i] {
					return fmt.Errorf("program %d has %d operations done, %d failed, want %d done", i, s.acked.Load(), s.failed.Load(), want[i])
				}
			}
			return nil
		})
	}
	defer stop.Store(true)
	fault(more)
	stop.Store(true)
	bounded(f.t, "the end of the load", func() error { group.Wait(); return nil })
	for _, s := range own {
		acked, failed = acked+s.acked.Load(), failed+s.failed.Load()
		if fault := s.stopped.Load(); fault != nil {
			f.t.Errorf("%s: a program got: %v", s.dir, *fault)
		}
	}
	return acked, failed
}

// within waits as eventually does, and as long as a request of a mount may wait for a server twice.
func within(t *testing.T, what string, check func() error) {
	t.Helper()
	eventuallyIn(t, 2*enough, what, check)
}

func (f *failing) phase(name string, fault func(more func(n int64))) {
	f.t.Helper()
	begin := time.Now()
	f.tight = name == "full"
	acked, failed := f.load(fault)
	f.tight = false
	f.t.Logf("%s: %d operations acknowledged, %d failed, in %v", name, acked, failed, time.Since(begin).Round(time.Millisecond))
	if name == "slow" && failed > 0 {
		f.t.Errorf("%d operations failed on a server that is only slow", failed)
	}
	if f.t.Failed() {
		f.t.FailNow()
	}
}

func (f *failing) kill(more func(n int64)) {
	more(progress)
	f.server.Kill()
	f.server.Start()
	more(progress)
}

// cut breaks connections in the middle of what a client says, every time somewhere else: before the server gets it, and
// after the server has done it.
func (f *failing) cut(more func(n int64)) {
	more(progress)
	var said, cuts atomic.Int64
	f.proxy.Judge(func([]byte) testenv.Verdict {
		n := said.Add(1)
		if n%11 != 0 {
			return testenv.Pass
		}
		return []testenv.Verdict{testenv.Mute, testenv.Lose}[cuts.Add(1)%2]
	})
	within(f.t, "cuts", func() error {
		if n := cuts.Load(); n < 30 {
			return fmt.Errorf("%d connections are cut", n)
		}
		return nil
	})
	f.proxy.Judge(nil)
	more(progress)
}

func (f *failing) slow(more func(n int64)) {
	more(progress)
	f.proxy.Delay(time.Second)
	more(1)
	f.proxy.Delay(0)
	more(progress)
}

// full leaves no room on the disk of the server, until that has ended or says so, and makes room again.
func (f *failing) full(more func(n int64)) {
	more(progress)
	name := f.path(fmt.Sprint("mnt/large", f.rounds))
	must(f.t, os.WriteFile(name, nil, 0o644))
	value := content(60_000, 1)
	put := func(n int) error { return unix.Setxattr(name, fmt.Sprint("user.v", n), value, 0) }
	var stop atomic.Bool
	ended := make(chan error, 1)
	f.disk.Fill()
	go func() {
		for n := range 3000 { // many times what fits into what the server has set aside
			if err := put(n); err != nil || stop.Load() {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	said := "nothing"
	select {
	case err := <-ended:
		if said = fmt.Sprint(err); !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EIO) {
			f.t.Errorf("a change on a full disk: %v", err)
		}
		ended <- err
	case <-f.server.Ended():
		said = "the server has ended"
	case <-time.After(2 * enough):
		f.t.Error("a server on a full disk neither ends nor says so")
	}
	f.t.Logf("on a full disk: %s", said)
	f.disk.Empty()
	f.server.Revive()
	stop.Store(true)
	bounded(f.t, "the end of what filled the disk", func() error { <-ended; return nil })
	more(progress)
	must(f.t, put(0))
}

// finish checks what is there, takes the server away for good, unmounts, and checks once more.
func (f *failing) finish() {
	f.t.Helper()
	f.check("after the faults")
	f.load(func(more func(n int64)) {
		more(progress)
		f.server.Kill()
		within(f.t, "an error", func() error { // all that wait get one
			for _, s := range f.all[len(f.all)-survivors:] {
				if s.failed.Load() == 0 && s.stopped.Load() == nil {
					return fmt.Errorf("%s: no operation has failed", s.dir)
				}
			}
			return nil
		})
	})
	begin := time.Now()
	if r := f.run("umount", "$/mnt"); r.code != 0 {
		f.t.Errorf("umount without a database: exit code %d\n%s", r.code, r.log)
	}
	f.t.Logf("umount without a database: %v", time.Since(begin).Round(time.Millisecond))
	f.server.Start()
	f.url = f.direct
	f.faults("at the end", metatest.Checks{NoUsage: true, NoStatistics: true, Unfinished: true}, nil)
	f.faults("after the clean-up", metatest.Checks{NoUsage: true, NoStatistics: true}, cleanUp)
	f.ok("fsck", f.url)
	if got := f.ok("fsck", "--path", "/", "-r", f.url); !strings.Contains(got, " 0 with faults") {
		f.t.Errorf("fsck: %s", got)
	}
	f.ok("fsck", "--path", "/", "-r", "--repair", "--sync-dir-stat", f.url)
	f.faults("after the repair", metatest.Checks{}, nil)
	must(f.t, os.RemoveAll(f.path("cache")))
	f.mount()
	f.check("at the end")
	f.ok("umount", "$/mnt")
}

func (f *failing) check(when string) {
	f.t.Helper()
	for _, s := range f.all {
		for _, fault := range s.check() {
			f.t.Errorf("%s: %s: %s", when, s.dir, fault)
		}
	}
}

func (f *failing) showLog() {
	log, err := os.ReadFile(f.path("log"))
	f.t.Logf("the log of the mount: %v\n%s", err, log[max(0, len(log)-4_000):])
}
