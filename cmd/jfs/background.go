package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"jfs/internal/redact"
)

// A mount in the background is another process of this program, which tells the one that started it through a pipe
// how it went, and then goes on alone.

// envReadyFD names the descriptor of the pipe in the process in the background.
const envReadyFD = "JFS_READY_FD"

// startTime bounds the wait for a mount to be ready. Connecting to a database and a store takes seconds at most.
const startTime = 2 * time.Minute

// outcome is what the process in the background tells, once.
type outcome struct {
	Name  string // of the volume that is mounted
	Error string // why it is not
	Code  int
}

// ready is the end of the pipe in the process in the background.
type readyEnd struct{ file *os.File }

// readyPipe returns the pipe if this process was started to serve a mount in the background.
func readyPipe(getenv func(string) string) *readyEnd {
	fd, err := strconv.Atoi(getenv(envReadyFD))
	if err != nil || fd < 3 {
		return nil
	}
	syscall.CloseOnExec(fd)
	return &readyEnd{os.NewFile(uintptr(fd), "ready")}
}

// ready tells that the volume is mounted. From then on this process stands on its own, also with its directory.
func (r *readyEnd) ready(name string) error {
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return r.send(outcome{Name: name})
}

// failed tells why the mount did not come to be, unless it did.
func (r *readyEnd) failed(err error) {
	o := outcome{Error: err.Error(), Code: 1}
	var exit exitError
	if errors.As(err, &exit) {
		o.Code = exit.code
	}
	_ = r.send(o) // the log has it too
}

func (r *readyEnd) send(o outcome) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = r.file.Write(append(b, '\n'))
	return errors.Join(err, r.file.Close())
}

// relaunch is how this program is started again for the same mount.
type relaunch struct {
	global []string // as arguments
	flags  []string // name or name=value
	fuse   []string // of -o
	url    string
	point  string
}

// command gives arguments and environment, in which the password of the database does not stand in the arguments:
// every user of the machine sees those.
func (r relaunch) command() (args, env []string) {
	args = append([]string{"jfs"}, r.global...)
	args = append(args, "mount")
	for _, f := range r.flags {
		args = append(args, "--"+f)
	}
	if len(r.fuse) > 0 {
		args = append(args, "-o", strings.Join(r.fuse, ","))
	}
	env = os.Environ()
	url, password := redact.Split(r.url)
	if password != "" {
		env = append(env, envMetaPassword+"="+password) // the last one counts
	}
	return append(args, "--", url, r.point), env
}

// hidePassword replaces this process by one without the password in its arguments, if it is there.
func (r relaunch) hidePassword() error {
	if _, password := redact.Split(r.url); password == "" {
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program to hide the password of the database: %w", err)
	}
	args, env := r.command()
	return fmt.Errorf("start %s again to hide the password of the database: %w", program, syscall.Exec(program, args, env))
}

// mountInBackground starts the process that serves the mount, and returns when the mount answers.
func (a *app) mountInBackground(ctx context.Context, opt *mountOptions, again relaunch) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	logPath, log, err := openLog(opt.logFile)
	if err != nil {
		return err
	}
	defer log.Close()
	from, to, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	defer from.Close()
	args, env := again.command()
	cmd := &exec.Cmd{
		Path: program, Args: args, Env: append(env, envReadyFD+"=3"), ExtraFiles: []*os.File{to},
		Stdout: log, Stderr: log, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = cmd.Start()
	to.Close()
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	name, err := a.awaitReady(ctx, from, cmd, logPath)
	if err != nil {
		return err
	}
	info, err := statBounded(again.point)
	if err != nil {
		return fmt.Errorf("the mount does not answer: %w", err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Ino != rootIno {
		return fmt.Errorf("%s is not the root of the volume after mounting: look into %s", again.point, logPath)
	}
	a.log.Info(fmt.Sprintf("OK, %s is ready at %s", name, again.point))
	if opt.fstab {
		return a.writeFstab(again, program)
	}
	return nil
}

// openLog opens the log file of a mount, and makes its directory.
func openLog(path string) (string, *os.File, error) {
	path, err := absolute(path)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err != nil {
		return "", nil, fmt.Errorf("log file: %w: name another one with --log", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return "", nil, fmt.Errorf("log file: %w: name another one with --log", err)
	}
	return path, f, nil
}

// awaitReady waits for what the process in the background tells. One that tells nothing in time is ended.
func (a *app) awaitReady(ctx context.Context, from io.Reader, cmd *exec.Cmd, logPath string) (name string, err error) {
	told := make(chan outcome, 1)
	go func() { // ends with the other end of the pipe, which is closed by then in every case
		defer close(told)
		line, err := bufio.NewReader(from).ReadBytes('\n')
		var o outcome
		if err == nil && json.Unmarshal(line, &o) == nil {
			told <- o
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	select {
	case <-ctx.Done():
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended just now
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return "", fmt.Errorf("the mount is not ready after %s and is given up: look into %s", startTime, logPath)
		}
		return "", errors.New("interrupted before the mount was ready")
	case o, ok := <-told:
		switch {
		case !ok:
			_ = cmd.Wait() // for its state
			return "", fmt.Errorf("the mount process ended (%s) before the mount was ready: look into %s", cmd.ProcessState, logPath)
		case o.Error != "":
			_ = cmd.Wait() // it is on its way out
			return "", exitError{max(o.Code, 1), errors.New(o.Error)}
		}
		return o.Name, cmd.Process.Release()
	}
}

// writeFstab makes the mount one of every start of the machine.
func (a *app) writeFstab(again relaunch, program string) error {
	url, err := absoluteURL(again.url)
	if err != nil {
		return err
	}
	switch {
	case redact.URL(url) != url:
		a.log.Warn("the password of the database is written into " + a.fstab + ", which every user can read")
	case (a.getenv(envMetaPassword) != "" || a.getenv(envMetaPassword+inFile) != "") && !inDirectory(url):
		a.log.Warn("the password of the database is not written into " + a.fstab + ": mount(8) needs it in the environment as " + envMetaPassword)
	}
	words := append(again.flags, again.fuse...)
	if err := updateFstab(a.fstab, fstabLine(url, again.point, words)); err != nil {
		return err
	}
	if err := linkHelper(a.helper, program); err != nil {
		a.log.Warn("mount(8) may not find this program", "err", err)
	}
	return nil
}

// localSchemes are those of databases in files of this machine.
var localSchemes = [...]string{"sqlite3://", "badger://"}

func inDirectory(url string) bool {
	return slices.ContainsFunc(localSchemes[:], func(s string) bool { return strings.HasPrefix(url, s) })
}

// absoluteURL makes the path of a database in a file independent of the working directory.
func absoluteURL(url string) (string, error) {
	for _, scheme := range localSchemes {
		path, ok := strings.CutPrefix(url, scheme)
		if !ok || filepath.IsAbs(path) {
			continue
		}
		abs, err := filepath.Abs(path)
		return scheme + abs, err
	}
	return url, nil
}
