package mounts

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Process is a process that uses or serves a mount.
type Process struct {
	PID     int
	Command string // its arguments, or its name in brackets when it shows none
}

// String gives "1234 (tail -f log)".
func (p Process) String() string { return fmt.Sprintf("%d (%s)", p.PID, p.Command) }

// Proc is the directory in which the kernel shows processes; the zero value means /proc.
type Proc string

func (p Proc) path(elem ...string) string {
	root := string(p)
	if root == "" {
		root = "/proc"
	}
	return filepath.Join(append([]string{root}, elem...)...)
}

// pids lists the processes.
func (p Proc) pids() []string {
	entries, err := os.ReadDir(p.path())
	if err != nil {
		return nil
	}
	var all []string
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, e.Name())
		}
	}
	return all
}

func (p Proc) process(pid string) Process {
	n, _ := strconv.Atoi(pid) //nolint:errcheck // pids gives numbers only
	args := p.args(pid)
	if len(args) == 0 {
		name, _ := os.ReadFile(p.path(pid, "comm")) //nolint:errcheck // it has just ended: no name
		return Process{n, "[" + strings.TrimSpace(string(name)) + "]"}
	}
	const enough = 100 // characters that tell a command apart
	command := strings.Join(args, " ")
	if len(command) > enough {
		command = command[:enough] + "..."
	}
	return Process{n, command}
}

func (p Proc) args(pid string) []string {
	b, err := os.ReadFile(p.path(pid, "cmdline"))
	if err != nil {
		return nil
	}
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == 0 })
}

// Holders lists the processes that keep a mount busy: those with a working directory, root, program, open file
// or mapped file in it. Processes of other users are seen only by root.
func (p Proc) Holders(point string) []Process {
	var found []Process
	for _, pid := range p.pids() {
		if p.holds(pid, point) {
			found = append(found, p.process(pid))
		}
	}
	return found
}

func (p Proc) holds(pid, point string) bool {
	for _, link := range []string{"cwd", "root", "exe"} {
		if target, err := os.Readlink(p.path(pid, link)); err == nil && below(target, point) {
			return true
		}
	}
	if slices.ContainsFunc(p.files(pid), func(target string) bool { return below(target, point) }) {
		return true
	}
	maps, err := os.ReadFile(p.path(pid, "maps"))
	if err != nil || !strings.Contains(string(maps), point) {
		return false
	}
	for line := range strings.Lines(string(maps)) {
		if at := strings.IndexByte(line, '/'); at >= 0 && below(strings.TrimSpace(line[at:]), point) {
			return true
		}
	}
	return false
}

// files gives what the open files of a process are.
func (p Proc) files(pid string) []string {
	fds, err := os.ReadDir(p.path(pid, "fd"))
	if err != nil {
		return nil
	}
	var all []string
	for _, fd := range fds {
		if target, err := os.Readlink(p.path(pid, "fd", fd.Name())); err == nil {
			all = append(all, target)
		}
	}
	return all
}

func below(path, point string) bool {
	path = strings.TrimSuffix(path, " (deleted)")
	return path == point || strings.HasPrefix(path, strings.TrimSuffix(point, "/")+"/")
}

// Server finds the process that serves a mount, 0 if it cannot be told: it holds /dev/fuse open, and either
// the kernel names the connection of that file, or the mount point is one of its arguments.
func (p Proc) Server(m Mount) int {
	for _, pid := range p.pids() {
		if p.serves(pid, m) {
			n, _ := strconv.Atoi(pid) //nolint:errcheck // pids gives numbers only
			return n
		}
	}
	return 0
}

func (p Proc) serves(pid string, m Mount) bool {
	fds, err := os.ReadDir(p.path(pid, "fd"))
	if err != nil {
		return false
	}
	for _, fd := range fds {
		target, err := os.Readlink(p.path(pid, "fd", fd.Name()))
		if err != nil || target != "/dev/fuse" {
			continue
		}
		if connection, ok := p.connection(pid, fd.Name()); ok {
			if connection == m.Connection() {
				return true
			}
			continue
		}
		if p.names(pid, m.Point) {
			return true
		}
	}
	return false
}

// connection reads which FUSE connection an open /dev/fuse belongs to. Older kernels do not say.
func (p Proc) connection(pid, fd string) (string, bool) {
	b, err := os.ReadFile(p.path(pid, "fdinfo", fd))
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "fuse_connection:"); ok {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// names says whether the mount point is one of a process's arguments.
func (p Proc) names(pid, point string) bool {
	cwd, err := os.Readlink(p.path(pid, "cwd"))
	if err != nil {
		return false
	}
	for _, arg := range p.args(pid) {
		if !filepath.IsAbs(arg) {
			arg = filepath.Join(cwd, arg)
		}
		if filepath.Clean(arg) == point {
			return true
		}
	}
	return false
}
