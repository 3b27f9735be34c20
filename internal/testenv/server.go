// Package testenv starts the real servers that tests talk to, each on a free port of the loopback and in
// a directory of its own, and stops them by their process id when the test ends.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// startTime is what a server gets until it answers, also on a busy machine.
	startTime = 30 * time.Second
	// stopTime is what it gets to end by itself before it is killed.
	stopTime = 10 * time.Second
	// pollTime lies between two questions whether it answers; servers offer nothing to wait on.
	pollTime = 5 * time.Millisecond
	// restartTime lies between two attempts to start a server again.
	restartTime = 100 * time.Millisecond
	// startTries: another process may take the free port before the server does.
	startTries = 5
)

// Server is a running server. Its methods fail the test that started it when they cannot do their work;
// they are called from that test's goroutine.
type Server struct {
	Addr string // host:port, the same over all restarts
	TLS  string // host:port for TLS besides, of a Redis that has both; "" otherwise

	tb     testing.TB
	name   string
	binary string
	args   func(addr string) []string
	env    []string
	ready  func(ctx context.Context, addr string) error
	logs   string // file of the server's output

	dir  string              // where it runs; "" is the directory of logs
	cred *syscall.Credential // who it runs as; nil is who runs the test
	quit os.Signal           // asks it to end; nil is SIGTERM

	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has been waited for
}

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on.
func FreePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// ClosedPort returns a TCP port of 127.0.0.1 that refuses connections until the test ends: it is bound, so that no
// other test's server gets it, and nobody listens.
func ClosedPort(tb testing.TB) int {
	tb.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatalf("find a closed port: %v", err)
	}
	tb.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		tb.Fatalf("find a closed port: %v", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		tb.Fatalf("find a closed port: %v", err)
	}
	return name.(*unix.SockaddrInet4).Port
}

// launch starts a new server on a free port, and stops it when the test ends.
func launch(tb testing.TB, s *Server) *Server {
	tb.Helper()
	if disk, ok := tb.(*Disk); ok {
		tb = disk.TB // logs have room
	}
	s.tb = tb
	s.logs = filepath.Join(tb.TempDir(), s.name+".log")
	tb.Cleanup(func() {
		if s.quit != nil {
			s.Stop() // has processes of its own, which must not write any more when the directory is removed
		}
		s.Kill()
	})
	var err error
	for range startTries {
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(tb)))
		if err = s.start(); !errors.Is(err, errExited) {
			break
		}
	}
	if err != nil {
		tb.Fatalf("start %s: %v\n%s", s.name, err, s.output())
	}
	return s
}

// Start starts the server again after Stop or Kill, on the same port and directory.
func (s *Server) Start() {
	s.tb.Helper()
	if s.running() {
		return
	}
	// The children of a killed server take a moment to go, and PostgreSQL does not start beside them.
	end := time.After(startTime)
	tick := time.NewTicker(restartTime)
	defer tick.Stop()
	err := s.start()
	for over := false; errors.Is(err, errExited) && !over; {
		select {
		case <-end:
			over = true
		case <-tick.C:
			err = s.start()
		}
	}
	if err != nil {
		s.tb.Fatalf("start %s: %v\n%s", s.name, err, s.output())
	}
}

// Ended is closed when the server that runs now has ended, by itself or not.
func (s *Server) Ended() <-chan struct{} { return s.exited }

// Revive waits until the server answers, and starts it again if it ends by itself, as a service manager does.
func (s *Server) Revive() {
	s.tb.Helper()
	until(s.tb, "restart of "+s.name, func(ctx context.Context) bool {
		s.Start()
		return s.ready(ctx, s.Addr) == nil && s.running()
	})
}

// Stop asks the server to end and waits for that. A server that is not running stays so.
func (s *Server) Stop() {
	if s.quit != nil {
		s.end(s.quit)
		return
	}
	s.end(syscall.SIGTERM)
}

// Kill ends the server as a crash would.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Freeze makes the server stop to do anything, as if its machine had gone from the network; its connections stay.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig os.Signal) {
	s.tb.Helper()
	if !s.running() {
		s.tb.Fatalf("%s is not running", s.name)
	}
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.tb.Fatalf("%v to %s: %v", sig, s.name, err)
	}
}

var errExited = errors.New("the server ended at once")

func (s *Server) start() error {
	out, err := os.OpenFile(s.logs, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(s.binary, s.args(s.Addr)...)
	if cmd.Dir = s.dir; s.dir == "" {
		cmd.Dir = filepath.Dir(s.logs)
	}
	// Of this process's environment only what any program needs: settings of other servers must not reach it.
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "LANG=C"}, s.env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: s.cred} // it must not outlive a test that crashed
	started, exited := make(chan error), make(chan struct{})
	go func() {
		// The signal comes when the thread ends that has started the server, which some tests let theirs do. This one
		// is kept for the server.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.cmd, s.exited = cmd, exited

	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		err := s.ready(ctx, s.Addr)
		// Another process may answer on the port; then ours has ended, or will very soon.
		if err == nil && s.running() {
			return nil
		}
		select {
		case <-exited:
			return errExited
		case <-ctx.Done():
			s.Kill()
			return fmt.Errorf("no answer in %s: %w", startTime, err)
		case <-tick.C:
		}
	}
}

func (s *Server) running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

func (s *Server) end(sig os.Signal) {
	if !s.running() {
		return
	}
	_ = s.cmd.Process.Signal(sig) // an error means that it has ended by itself
	t := time.NewTimer(stopTime)
	defer t.Stop()
	select {
	case <-s.exited:
	case <-t.C:
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
}

// output is the end of what the server printed.
func (s *Server) output() string {
	data, err := os.ReadFile(s.logs)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-4096):])
}

// dial connects to a server, for as long as ctx lasts.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	return conn, nil
}

// httpStatus asks a server for a path and gives the status of its answer.
func httpStatus(ctx context.Context, addr, path string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return 0, err
	}
	transport := &http.Transport{DisableKeepAlives: true} // with no proxy
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
