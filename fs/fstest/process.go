package fstest

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// processCases need processes of their own.
var processCases = cases{
	{"map", processMap}, {"map-behind-the-end", processBus}, {"size-limit", processLimit}, {"text-busy", processExec},
	{"record-locks", processLocks}, {"record-lock-wait", processLockWait}, {"record-lock-kill", processLockKill},
	{"record-lock-deadlock", processDeadlock}, {"flock", processFlock},
}

func processMap(b bed) { equal(b.T, "mappings", b.run("map", b.at("f")), "") }

// processBus: a page behind the end of the file cannot be read.
func processBus(b bed) {
	said := b.run("bus", b.at("f"))
	if !strings.HasPrefix(said, "inside 0") || strings.Contains(said, "behind") {
		b.Errorf("said %q", said)
	}
}

func processLimit(b bed) {
	fbig := errnoAnswer(syscall.EFBIG)
	want := fmt.Sprintf("write up to the limit: 100 ok\nwrite at the limit: %s\ntruncate: %s\nfallocate: %s", fbig, fbig, fbig)
	equal(b.T, "said", b.run("limit", b.at("f")), want)
	equal(b.T, "length", lstat(b.T, b.at("f")).Size, 10_000)
}

// processExec: a program that runs is not written to, and one that is being written does not run.
func processExec(b bed) {
	exe, err := os.Executable()
	must(b.T, err)
	data, err := os.ReadFile(exe)
	must(b.T, err)
	prog := b.at("prog")
	must(b.T, os.WriteFile(prog, data, 0755))
	touch := b.file("locked", "", 0644)
	p := b.child("exec", "lock", prog, touch)
	equal(b.T, "the program", p.hear(), "ready")
	wantErr(b.T, "write to a running program", openErr(prog, unix.O_WRONLY), syscall.ETXTBSY)
	wantErr(b.T, "open of it with O_TRUNC", openErr(prog, unix.O_RDWR|unix.O_TRUNC), syscall.ETXTBSY)
	wantErr(b.T, "truncate of it", again(func() error { return unix.Truncate(prog, 0) }), syscall.ETXTBSY)
	must(b.T, openErr(prog, unix.O_RDONLY))
	must(b.T, os.Rename(prog, b.at("moved")))
	must(b.T, os.Remove(b.at("moved")))
	b.ask(p, "ok", "set", unix.F_WRLCK, 0, 1) // it still runs
	must(b.T, p.in.Close())
	must(b.T, p.cmd.Wait())

	script := b.file("script", "#!/bin/true\n", 0755)
	w := open(b.T, script, os.O_WRONLY)
	equal(b.T, "run what is open for writing", b.run("exec", "", script), errnoAnswer(syscall.ETXTBSY))
	must(b.T, w.Close())
	must(b.T, unix.Chmod(script, 0644))
	equal(b.T, "run what is no program", b.run("exec", "", script), errnoAnswer(syscall.EACCES))
}

// lockers starts two processes with a file open.
func (b bed) lockers() (x, y *process) {
	b.Helper()
	path := b.file("f", "", 0666)
	x, y = b.child("lock", path), b.child("lock", path)
	for _, p := range []*process{x, y} {
		equal(b.T, "child", p.hear(), "ready")
	}
	return x, y
}

func processLocks(b bed) {
	x, y := b.lockers()
	const rd, wr, un = unix.F_RDLCK, unix.F_WRLCK, unix.F_UNLCK
	busy := errnoAnswer(syscall.EAGAIN)
	b.ask(x, "ok", "set", wr, 10, 20)
	b.ask(y, busy, "set", rd, 29, 1)
	b.ask(y, "ok", "set", rd, 30, 1)
	b.ask(y, "ok", "set", wr, 0, 10)
	b.ask(y, fmt.Sprint("ok ", wr, 10, 20, x.cmd.Process.Pid), "get", rd, 5, 0)
	b.ask(x, fmt.Sprint("ok ", wr, 0, 10, y.cmd.Process.Pid), "get", rd, 0, 0)
	b.ask(x, "ok", "set", rd, 15, 5) // a hole for readers in the middle
	b.ask(y, "ok", "set", rd, 15, 5)
	b.ask(y, busy, "set", wr, 15, 5)
	b.ask(x, busy, "set", wr, 15, 5) // no way back up
	b.ask(y, "ok", "set", un, 15, 5)
	b.ask(x, "ok", "set", wr, 15, 5)
	b.ask(x, "ok", "set", un, 12, 3) // splits
	b.ask(y, "ok", "set", wr, 12, 3)
	b.ask(y, busy, "set", wr, 11, 1)
	b.ask(y, busy, "set", wr, 15, 1)
	b.ask(x, "ok", "set", un, 0, 0)
	b.ask(y, "ok", "set", wr, 0, 0)
	b.ask(x, busy, "set", rd, 1<<62, 1)
	b.ask(y, "ok", "set", un, 100, 0)
	b.ask(x, "ok", "set", wr, 1<<62, 1)
	b.ask(y, busy, "set", wr, 50, 1<<62)
	b.ask(x, errnoAnswer(syscall.EINVAL), "set", wr, -5, 2)
	b.ask(x, "ok", "set", wr, 210, -10) // the ten bytes before
	b.ask(y, busy, "set", wr, 200, 1)
	b.ask(y, "ok", "set", wr, 210, 1)
	b.ask(y, "ok", "touch") // any close gives all locks of the process up
	b.ask(x, "ok", "set", wr, 0, 100)
}

func processLockWait(b bed) {
	x, y := b.lockers()
	b.ask(x, "ok", "set", unix.F_WRLCK, 0, 10)
	b.ask(y, "waiting", "wait", unix.F_RDLCK, 5, 1)
	b.ask(x, "ok", "set", unix.F_UNLCK, 0, 10)
	equal(b.T, "wait", y.hear(), "ok")
	if b.opt.Patient {
		return
	}
	b.ask(x, "waiting", "wait-once", unix.F_WRLCK, 0, 0)
	tid, err := strconv.Atoi(x.hear())
	must(b.T, err)
	said := make(chan string, 1)
	go func() { said <- x.hear() }()
	for waits := true; waits; { // a signal that comes before the wait has begun is without effect
		_ = unix.Tgkill(x.cmd.Process.Pid, tid, unix.SIGUSR1) // the thread may be gone
		select {
		case got := <-said:
			equal(b.T, "wait with a signal", got, errnoAnswer(syscall.EINTR))
			waits = false
		default:
			runtime.Gosched()
		}
	}
	b.ask(y, "ok", "set", unix.F_UNLCK, 0, 0)
	b.ask(y, "ok", "set", unix.F_WRLCK, 0, 0) // the interrupted one left nothing
}

// processLockKill: a process that is gone has no locks, and one that waits can be killed.
func processLockKill(b bed) {
	x, y := b.lockers()
	b.ask(x, "ok", "set", unix.F_WRLCK, 0, 10)
	b.ask(y, "waiting", "wait", unix.F_WRLCK, 0, 10)
	must(b.T, x.cmd.Process.Kill())
	_ = x.cmd.Wait() // tells of the kill
	equal(b.T, "wait", y.hear(), "ok")
	z := b.child("lock", b.at("f"))
	equal(b.T, "child", z.hear(), "ready")
	b.ask(z, "waiting", "wait", unix.F_RDLCK, 0, 10)
	must(b.T, z.cmd.Process.Kill())
	_ = z.cmd.Wait() // likewise
	must(b.T, y.cmd.Process.Kill())
	_ = y.cmd.Wait() // likewise
	f := open(b.T, b.at("f"), os.O_RDWR)
	must(b.T, setlkw(f, unix.F_WRLCK, 0, 0))
}

// processDeadlock: two that would wait for each other are told so by a local file system. A mount cannot know.
func processDeadlock(b bed) {
	if b.opt.NoDeadlock {
		return
	}
	x, y := b.lockers()
	b.ask(x, "ok", "set", unix.F_WRLCK, 0, 1)
	b.ask(y, "ok", "set", unix.F_WRLCK, 1, 1)
	b.ask(x, "waiting", "wait", unix.F_WRLCK, 1, 1)
	b.ask(y, "waiting", "wait", unix.F_WRLCK, 0, 1)
	type answer struct {
		from *process
		said string
	}
	answers := make(chan answer, 2)
	for _, c := range []*process{x, y} {
		go func() { answers <- answer{c, c.hear()} }()
	}
	second := <-answers // to wait, whoever that is
	equal(b.T, "who would wait for ever", second.said, errnoAnswer(syscall.EDEADLK))
	held := int64(0)
	if second.from == y {
		held = 1
	}
	b.ask(second.from, "ok", "set", unix.F_UNLCK, held, 1)
	equal(b.T, "wait", (<-answers).said, "ok")
}

func processFlock(b bed) {
	x, y := b.lockers()
	busy := errnoAnswer(syscall.EWOULDBLOCK)
	const sh, ex, un = unix.LOCK_SH | unix.LOCK_NB, unix.LOCK_EX | unix.LOCK_NB, unix.LOCK_UN
	b.ask(x, "ok", "flock", sh)
	b.ask(y, "ok", "flock", sh)
	b.ask(y, busy, "flock", ex)
	b.ask(x, "ok", "flock", un)
	b.ask(y, "ok", "flock", ex)
	b.ask(x, busy, "flock", sh)
	b.ask(y, "ok", "touch") // the close of another descriptor is nothing to flock
	b.ask(x, busy, "flock", sh)
	b.ask(x, "ok", "set", unix.F_WRLCK, 0, 0) // and record locks are no matter of it
	must(b.T, y.cmd.Process.Kill())
	_ = y.cmd.Wait() // tells of the kill
	f := open(b.T, b.at("f"), os.O_RDWR)
	must(b.T, flock(f, unix.LOCK_EX))
}
