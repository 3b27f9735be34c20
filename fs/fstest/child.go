package fstest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Some cases need a process of their own: what a process does with a mapping, its record locks, its signals, its
// limits, or a page fault, which in the process that serves the file system could wait for itself. The test binary is
// that process: Main takes it over.

const childEnv = "JFS_FSTEST_CHILD"

// childTime ends a process whose parent has forgotten it.
const childTime = 5 * time.Minute

// Main does the part of a process that a case has started, and does not come back then. It must come first in the
// TestMain of a package that calls Run.
func Main() {
	part, ok := os.LookupEnv(childEnv)
	if !ok {
		return
	}
	time.AfterFunc(childTime, func() { os.Exit(3) })
	fn, ok := childParts[part]
	if !ok {
		fmt.Println("no part", part)
		os.Exit(2)
	}
	if err := fn(os.Args[1:]); err != nil {
		fmt.Println(answer(err))
		os.Exit(1)
	}
	os.Exit(0)
}

// answer gives an error as a number, by which it is known in every process.
func answer(err error) string {
	var no syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &no):
		return "errno " + strconv.Itoa(int(no))
	}
	return err.Error()
}

func errnoAnswer(no syscall.Errno) string { return "errno " + strconv.Itoa(int(no)) }

var childParts = map[string]func(args []string) error{
	"map": childMap, "bus": childBus, "limit": childLimit, "lock": childLock, "exec": childExec,
}

// childExec becomes a program, which does the part named first. The process that serves the file system must not start
// what lies on it: until the program is open the thread that starts it stops for nothing, and the garbage collector
// would wait for it while it waits for the file system.
func childExec(args []string) error {
	if err := os.Setenv(childEnv, args[0]); err != nil {
		return err
	}
	return syscall.Exec(args[1], args[1:], os.Environ())
}

// process is a child; each line that is told to it has one line for an answer.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// start starts a part.
func (b bed) start(exe, part string, args ...string) *process {
	b.Helper()
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), childEnv+"="+part)
	in, err := cmd.StdinPipe()
	must(b.T, err)
	out, err := cmd.StdoutPipe()
	must(b.T, err)
	must(b.T, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &process{cmd, in, bufio.NewReader(out)}
}

func (b bed) child(part string, args ...string) *process {
	b.Helper()
	exe, err := os.Executable()
	must(b.T, err)
	return b.start(exe, part, args...)
}

// run runs a part to its end and returns what it said.
func (b bed) run(part string, args ...string) string {
	b.Helper()
	p := b.child(part, args...)
	said, err := io.ReadAll(p.out)
	must(b.T, err)
	_ = p.cmd.Wait()
	return strings.TrimSpace(string(said))
}

func (p *process) tell(words ...any) error {
	_, err := fmt.Fprintln(p.in, words...)
	return err
}

func (p *process) hear() string {
	line, err := p.out.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

// ask is tell and hear.
func (b bed) ask(p *process, want string, words ...any) {
	b.Helper()
	must(b.T, p.tell(words...))
	equal(b.T, fmt.Sprint(words...), p.hear(), want)
}

// childMap checks mappings of a file of three pages and a half, with faults for each access.
func childMap(args []string) error {
	const page, size = 4096, 3*4096 + 2048
	path := args[0]
	data := pattern(size, 3)
	if err := os.WriteFile(path, data, 0600); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	shared, err := unix.Mmap(int(f.Fd()), 0, 4*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	private, err := unix.Mmap(int(f.Fd()), 0, 4*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	differ := func(what string, got, want []byte) error {
		for i := range want {
			if got[i] != want[i] {
				return fmt.Errorf("%s: byte %d is %#x, want %#x", what, i, got[i], want[i])
			}
		}
		return nil
	}
	if err := errors.Join(differ("shared", shared, data), differ("private", private, data), differ("behind the end", shared[size:], make([]byte, 2048))); err != nil {
		return err
	}
	check := func(what string, off int64, want string) error {
		b := make([]byte, len(want))
		if _, err := f.ReadAt(b, off); err != nil || string(b) != want {
			return fmt.Errorf("%s: read %q, %w; want %q", what, b, err, want)
		}
		return nil
	}
	copy(private[page:], "private")
	copy(shared[2*page:], "shared")
	copy(shared[size:], "behind the end") // in the last page, and not in the file
	if err := errors.Join(check("written in private", page, string(data[page:page+7])), check("written in shared", 2*page, "shared")); err != nil {
		return err
	}
	if err := unix.Msync(shared, unix.MS_SYNC); err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte("by write"), 100); err != nil {
		return err
	}
	if err := differ("after write", shared[100:], []byte("by write")); err != nil {
		return err
	}
	if err := f.Truncate(page + 10); err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	if err := differ("grown again", shared[page+10:size], make([]byte, size-page-10)); err != nil {
		return err
	}
	copy(shared[2*page+5:], "late")
	if err := errors.Join(unix.Munmap(shared), f.Sync(), f.Close()); err != nil {
		return err
	}
	all, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(all) != size || string(all[2*page+5:2*page+9]) != "late" {
		return fmt.Errorf("%d bytes in the end, %q", len(all), all[2*page:2*page+10])
	}
	return nil
}

// childBus reads a mapped page that lies behind the end of the file, which kills.
func childBus(args []string) error {
	f, err := os.OpenFile(args[0], os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0600)
	if err != nil {
		return err
	}
	if err := f.Truncate(100); err != nil {
		return err
	}
	m, err := unix.Mmap(int(f.Fd()), 0, 2*4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	fmt.Println("inside", m[50])
	fmt.Println("behind", m[4096+50])
	return nil
}

// childLimit writes over the limit of the size of files that a process may have.
func childLimit(args []string) error {
	signal.Ignore(unix.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 10_000, Max: 10_000}); err != nil {
		return err
	}
	f, err := os.OpenFile(args[0], os.O_RDWR|os.O_CREATE, 0600)
	if err != nil {
		return err
	}
	n, err := unix.Pwrite(int(f.Fd()), make([]byte, 200), 9_900)
	fmt.Println("write up to the limit:", n, answer(err))
	_, err = unix.Pwrite(int(f.Fd()), make([]byte, 1), 10_000)
	fmt.Println("write at the limit:", answer(err))
	fmt.Println("truncate:", answer(unix.Ftruncate(int(f.Fd()), 10_001)))
	fmt.Println("fallocate:", answer(unix.Fallocate(int(f.Fd()), 0, 0, 10_001)))
	return nil
}

// interrupting lets a signal interrupt system calls. The runtime has them begin again.
func interrupting(sig syscall.Signal) error {
	var action struct {
		handler, flags, restorer uintptr
		mask                     uint64
	}
	const restart = 0x10000000
	at := uintptr(unsafe.Pointer(&action))
	if _, _, no := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, at, 8, 0, 0); no != 0 {
		return no
	}
	action.flags &^= restart
	if _, _, no := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), at, 0, 8, 0, 0); no != 0 {
		return no
	}
	return nil
}

// childLock sets record locks of its process, as told: command, type, start, length; or opens and closes the file.
func childLock(args []string) error {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	got := make(chan os.Signal, 1)
	signal.Notify(got, unix.SIGUSR1)
	if err := interrupting(unix.SIGUSR1); err != nil {
		return err
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var cmd string
		var typ int16
		var start, n int64
		_, _ = fmt.Sscan(in.Text(), &cmd, &typ, &start, &n) // a command has what it needs
		lock := unix.Flock_t{Type: typ, Start: start, Len: n}
		switch cmd {
		case "set":
			fmt.Println(answer(unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock)))
		case "wait", "wait-once": // once: a signal may interrupt it
			fmt.Println("waiting")
			runtime.LockOSThread()
			if cmd == "wait-once" {
				fmt.Println(unix.Gettid())
			}
			var no syscall.Errno
			for {
				_, _, no = unix.Syscall(unix.SYS_FCNTL, f.Fd(), unix.F_SETLKW, uintptr(unsafe.Pointer(&lock)))
				if no != unix.EINTR || cmd == "wait-once" && len(got) > 0 {
					break
				}
			}
			runtime.UnlockOSThread()
			if no == 0 {
				fmt.Println("ok")
			} else {
				fmt.Println(answer(no))
			}
		case "get":
			err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock)
			fmt.Println(answer(err), lock.Type, lock.Start, lock.Len, lock.Pid)
		case "touch":
			other, err := os.Open(args[0])
			if err == nil {
				err = other.Close()
			}
			fmt.Println(answer(err))
		case "flock":
			fmt.Println(answer(again(func() error { return unix.Flock(int(f.Fd()), int(typ)) })))
		}
	}
	return nil
}
