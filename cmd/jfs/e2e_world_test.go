package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	goflag "flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jfs/fs/fstest"
	"jfs/fs/mount"
	"jfs/internal/mounts"
)

// The tests named TestE2E run the built program: real processes, real FUSE.

// programEnv names the built program for the tests of this package.
const programEnv = "JFS_TEST_PROGRAM"

func TestMain(m *testing.M) {
	fstest.Main()
	if args := os.Getenv(loadEnv); args != "" {
		os.Exit(runLoad(args))
	}
	dir, err := os.MkdirTemp("", "jfs-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program := filepath.Join(dir, "jfs")
	code := 1
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
	} else if err := os.Setenv(programEnv, program); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// soak makes tests that can be of any size as big as a weekend allows: "make soak".
var soak = goflag.Bool("soak", false, "run the tests of load and scale in full size")

// soaking gives the size of such a test.
func soaking(usual, full int) int {
	if *soak {
		return full
	}
	return usual
}

// enough bounds what a test waits for a process.
const enough = time.Minute

// world is a directory in which the program is run, with a volume of SQLite and a local directory.
type world struct {
	t      *testing.T
	dir    string
	env    []string // added to that of the program
	points []string // mount points that are taken away at the end
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, points: []string{"mnt"}}
	t.Cleanup(func() { // before the directory is removed
		for _, point := range w.points {
			m, mounted, _ := mounts.At(w.path(point))
			if !mounted {
				continue
			}
			pid := mounts.Proc("").Server(m)
			if err := mount.Unmount(w.path(point), true); err != nil {
				t.Error(err)
			}
			if pid == 0 || pid == os.Getpid() {
				continue
			}
			// The process may still write into its cache.
			ctx, cancel := context.WithTimeout(context.Background(), enough)
			if err := mounts.WaitExit(ctx, pid); err != nil {
				t.Error(err)
			}
			cancel()
		}
	})
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// command prepares the program; "$/name" in an argument is a path below the world's directory.
func (w *world) command(program string, args ...string) *exec.Cmd {
	return w.commandWithin(enough, program, args...)
}

// commandWithin is command for programs that may take longer.
func (w *world) commandWithin(limit time.Duration, program string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	w.t.Cleanup(cancel)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "$/", w.dir+"/")
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = w.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "LANG=C"}, w.env...)
	return cmd
}

type result struct {
	code     int
	out, log string
}

func (w *world) run(args ...string) result {
	w.t.Helper()
	return w.runProgram(os.Getenv(programEnv), args...)
}

func (w *world) runProgram(program string, args ...string) result {
	w.t.Helper()
	cmd := w.command(program, args...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("%q: %v", args, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), log.String()}
}

func (w *world) ok(args ...string) string {
	w.t.Helper()
	r := w.run(args...)
	if r.code != 0 {
		log, _ := os.ReadFile(w.path("log")) //nolint:errcheck // there may be none
		w.t.Fatalf("%q: exit code %d\n%s\n%s", args, r.code, r.log, log)
	}
	return r.out
}

// refused checks for exit code 1 and exactly one line that says why.
func (w *world) refused(want string, args ...string) {
	w.t.Helper()
	r := w.run(args...)
	fatal := ""
	n := 0
	for line := range strings.Lines(r.log) {
		if strings.Contains(line, "<FATAL>: ") {
			fatal, n = line, n+1
		}
	}
	want = strings.ReplaceAll(want, "$/", w.dir+"/")
	if r.code != 1 || n != 1 || !strings.Contains(fatal, want) || r.out != "" {
		w.t.Errorf("%q: exit code %d, %d fatal lines, want %q in\n%s%s", args, r.code, n, want, r.out, r.log)
	}
}

func (w *world) format(more ...string) {
	w.t.Helper()
	w.ok(append(append([]string{"format", "--bucket", "$/objects"}, more...), "sqlite3://$/m.db", "myjfs")...)
}

// mount mounts the volume in the background, with more flags.
func (w *world) mount(more ...string) {
	w.t.Helper()
	w.ok(append([]string{"mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache", "sqlite3://$/m.db", "$/mnt"}, more...)...)
}

type session struct {
	Sid       uint64
	ProcessID int

	Version, HostName, MountPoint string
}

func (w *world) sessions(url string) []session {
	w.t.Helper()
	var s struct{ Sessions []session }
	if err := json.Unmarshal([]byte(w.ok("status", url)), &s); err != nil {
		w.t.Fatal(err)
	}
	return s.Sessions
}

func (w *world) write(name string, data []byte) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(w.path(name)), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.path(name), data, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) holds(name string, want []byte) {
	w.t.Helper()
	got, err := os.ReadFile(w.path(name))
	if err != nil || !bytes.Equal(got, want) {
		w.t.Errorf("%s: %d bytes that differ from the %d written, %v", name, len(got), len(want), err)
	}
}

// foreground is a mount that runs in the foreground.
type foreground struct {
	cmd *exec.Cmd
	log *bufio.Reader
}

// mountForeground starts a mount and waits until it is ready.
func (w *world) mountForeground(args ...string) *foreground {
	w.t.Helper()
	cmd := w.command(os.Getenv(programEnv), append([]string{"mount", "--no-agent", "--cache-dir", "$/cache"}, args...)...)
	log, err := cmd.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	f := &foreground{cmd, bufio.NewReader(log)}
	seen := ""
	for !strings.Contains(seen, "OK, myjfs is ready at ") {
		line, err := f.log.ReadString('\n')
		seen += line
		if err != nil {
			w.t.Fatalf("the mount has ended: %v\n%s", cmd.Wait(), seen)
		}
	}
	return f
}

// end waits for the process and returns its exit code and the rest of its log.
func (f *foreground) end(t *testing.T) (int, string) {
	t.Helper()
	rest, err := io.ReadAll(f.log)
	if err != nil {
		t.Error(err)
	}
	_ = f.cmd.Wait() // the state tells more
	return f.cmd.ProcessState.ExitCode(), string(rest)
}

// content makes bytes that differ from place to place.
func content(n int, seed byte) []byte {
	b := make([]byte, n)
	x := uint32(seed) + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// cachedBlocks counts the blocks in a cache on disk.
func cachedBlocks(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(path, "/blocks/") {
			n++
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return n
}

// ended says that a process has ended, though nobody may have asked for its exit code yet.
func ended(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	_, state, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(state, "Z")
}
