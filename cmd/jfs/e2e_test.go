package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"jfs/fs/mount"
	"jfs/internal/mounts"
)

// The tests named TestE2E run the built program: real processes, real FUSE.

// programEnv names the built program for the tests of this package.
const programEnv = "JFS_TEST_PROGRAM"

func TestMain(m *testing.M) {
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
			if _, mounted, _ := mounts.At(w.path(point)); !mounted {
				continue
			}
			if err := mount.Unmount(w.path(point), true); err != nil {
				t.Error(err)
			}
		}
	})
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// command prepares the program; "$/name" in an argument is a path below the world's directory.
func (w *world) command(program string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), enough)
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

// ended says that a process has ended, though nobody may have asked for its exit code yet.
func ended(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	_, state, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(state, "Z")
}

func TestE2ELife(t *testing.T) {
	w := newWorld(t)
	w.format("--compress", "lz4", "--block-size", "1M")
	w.mount()
	files := map[string][]byte{"mnt/empty": nil, "mnt/big": content(9<<20+17, 1)}
	for i := range 50 {
		files[fmt.Sprintf("mnt/dir%d/small%d", i%5, i)] = content(1000*i, byte(i))
	}
	for name, data := range files {
		w.write(name, data)
	}
	if err := os.Rename(w.path("mnt/dir0"), w.path("mnt/moved")); err != nil {
		t.Fatal(err)
	}
	ss := w.sessions("sqlite3://$/m.db")
	host, _ := os.Hostname()
	if len(ss) != 1 || ss[0].MountPoint != w.path("mnt") || ss[0].Version != sessionVersion() || ss[0].HostName != host {
		t.Fatalf("sessions: %+v", ss)
	}
	w.ok("umount", "$/mnt")
	if !ended(ss[0].ProcessID) {
		t.Error("umount came back while the mount process was there")
	}
	if ss := w.sessions("sqlite3://$/m.db"); len(ss) != 0 {
		t.Errorf("sessions after unmounting: %+v", ss)
	}
	if err := os.RemoveAll(w.path("cache")); err != nil {
		t.Fatal(err)
	}
	w.mount("--verify-cache-checksum", "full")
	for name, data := range files {
		w.holds(strings.Replace(name, "dir0", "moved", 1), data)
	}
	w.ok("umount", "--flush", "$/mnt")
	w.mount("--cache-dir", "memory", "--cache-size", "64M")
	w.holds("mnt/big", files["mnt/big"])
	w.ok("umount", "mnt")
	w.mount("--cache-size", "0", "--memory-cache-size", "0", "--max-fuse-io", "128K", "--attr-cache", "0", "--heartbeat", "0")
	w.holds("mnt/big", files["mnt/big"])
	w.ok("umount", "mnt/")
}

func TestE2EReadOnlySubdir(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.mount()
	w.write("mnt/a/b/file", []byte("below"))
	w.write("mnt/top", []byte("top"))
	w.ok("umount", "$/mnt")
	w.mount("--subdir", "a/b", "--read-only")
	w.holds("mnt/file", []byte("below"))
	if _, err := os.Stat(w.path("mnt/top")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is above the directory is seen: %v", err)
	}
	if err := os.Remove(w.path("mnt/file")); !errors.Is(err, syscall.EROFS) {
		t.Errorf("remove in a read-only mount: %v", err)
	}
	w.ok("umount", "$/mnt")
	w.refused("--subdir /top: top is not a directory", "mount", "--no-agent", "--cache-dir", "$/cache", "--subdir", "/top", "sqlite3://$/m.db", "$/mnt")
}

func TestE2EBusyAndDead(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.mount()
	held, err := os.Create(w.path("mnt/held"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	w.refused(fmt.Sprintf("$/mnt is in use by process %d (", os.Getpid()), "umount", "$/mnt")
	pid := w.sessions("sqlite3://$/m.db")[0].ProcessID
	w.ok("umount", "--force", "$/mnt")
	if !ended(pid) {
		t.Error("the mount process is there after umount --force")
	}

	w.mount()
	kill := func() {
		t.Helper()
		ss := w.sessions("sqlite3://$/m.db")
		pid := ss[len(ss)-1].ProcessID
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), enough)
		defer cancel()
		if err := mounts.WaitExit(ctx, pid); err != nil {
			t.Fatal(err)
		}
	}
	kill()
	w.mount() // takes the dead mount away
	kill()
	w.ok("umount", "$/mnt")
	w.refused("$/mnt is not a mount point", "umount", "$/mnt")
}

func TestE2ESignal(t *testing.T) {
	w := newWorld(t)
	w.format()
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		f := w.mountForeground("sqlite3://m.db", "mnt")
		file, err := os.Create(w.path("mnt/open"))
		if err != nil {
			t.Fatal(err)
		}
		data := content(3<<20, 3)
		if _, err := file.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := f.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if code, log := f.end(t); code != 0 || strings.Contains(log, "ERROR") {
			t.Errorf("%v: exit code %d\n%s", sig, code, log)
		}
		_ = file.Close() // the mount is gone, and its answer does not matter
		if _, mounted, _ := mounts.At(w.path("mnt")); mounted {
			t.Errorf("%v: the mount is still there", sig)
		}
		w.mount()
		w.holds("mnt/open", data)
		w.ok("umount", "$/mnt")
	}
}

func TestE2EHelper(t *testing.T) {
	w := newWorld(t)
	w.format()
	for _, name := range []string{"mount.jfs", "mount.juicefs"} {
		helper := w.path(name)
		if err := os.Symlink(os.Getenv(programEnv), helper); err != nil {
			t.Fatal(err)
		}
		if r := w.runProgram(helper, "sqlite3://$/m.db", "$/mnt", "-f", "-o", "rw"); r.code != 0 {
			t.Errorf("fake mount: exit code %d\n%s", r.code, r.log)
		}
		if _, mounted, _ := mounts.At(w.path("mnt")); mounted {
			t.Error("the fake mount is real")
		}
		r := w.runProgram(helper, "sqlite3://$/m.db", "$/mnt", "-n", "-o", "ro,_netdev,noexec,no-agent,no-syslog,log=$/log,cache-dir=$/cache,max-uploads=50")
		if r.code != 0 {
			t.Fatalf("exit code %d\n%s", r.code, r.log)
		}
		if err := os.WriteFile(w.path("mnt/x"), nil, 0o644); !errors.Is(err, syscall.EROFS) {
			t.Errorf("write to a read-only mount: %v", err)
		}
		if ss := w.sessions("sqlite3://$/m.db"); len(ss) != 0 {
			t.Errorf("a read-only mount has sessions: %+v", ss)
		}
		w.ok("umount", "$/mnt")
	}
}
