package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"jfs/internal/testenv"
)

// stressed is a volume under load, in a local directory, whose mounts have caches and logs of their own.
type stressed struct {
	*world
	url string
}

// onEngines runs a test on SQLite and on Redis.
func onEngines(t *testing.T, run func(*stressed)) {
	for name, url := range map[string]func(t *testing.T) string{
		"sqlite": func(*testing.T) string { return "sqlite3://$/m.db" },
		"redis":  func(t *testing.T) string { return "redis://" + testenv.Redis(t) + "/1" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(newStressed(t, url(t)))
		})
	}
}

// newStressed formats a volume without a trash, so that what is removed is gone.
func newStressed(t *testing.T, url string) *stressed {
	t.Helper()
	s := &stressed{world: newWorld(t), url: url}
	s.ok("format", "--trash-days", "0", "--bucket", "$/objects", s.url, "myjfs")
	return s
}

// mountAt mounts the volume at $/name.
func (s *stressed) mountAt(name string, flags ...string) {
	s.t.Helper()
	s.points = append(s.points, name)
	args := []string{"mount", "-d", "--no-syslog", "--enable-xattr", "--log", "$/log-" + name, "--cache-dir", "$/cache-" + name}
	s.ok(append(append(args, flags...), s.url, "$/"+name)...)
}

// remountCold mounts again at $/name, with nothing in the cache.
func (s *stressed) remountCold(name string, flags ...string) {
	s.t.Helper()
	s.ok("umount", "$/"+name)
	must(s.t, os.RemoveAll(s.path("cache-"+name)))
	s.mountAt(name, flags...)
}

// patience bounds a program that works for long.
func patience() time.Duration { return time.Duration(soaking(10, 60)) * time.Minute }

// exec runs a program, and fails with all that it says. "$/name" in an argument is a path below the world's directory.
func (s *stressed) exec(program string, args ...string) string {
	s.t.Helper()
	cmd := s.commandWithin(patience(), program, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		s.t.Errorf("%s %s: %v\n%s\n%s", program, strings.Join(args, " "), err, out.String(), s.complaints())
	}
	return out.String()
}

// program finds a program, also outside of everybody's PATH.
func (s *stressed) program(name string) string {
	s.t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	s.t.Fatalf("%s is not installed: run `make test-deps`", name)
	return ""
}

// complaints are the lines of the mounts' logs that tell of trouble.
func (s *stressed) complaints() string {
	s.t.Helper()
	logs, err := filepath.Glob(s.path("log-*"))
	must(s.t, err)
	var all strings.Builder
	for _, log := range logs {
		text, err := os.ReadFile(log)
		must(s.t, err)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "<ERROR>") || strings.Contains(line, "<WARNING>") || strings.Contains(line, "<FATAL>") || strings.Contains(line, "panic") {
				all.WriteString(line)
			}
		}
	}
	return all.String()
}

// sound takes the mounts away and checks that the volume is whole: no line of trouble in a log, directories and their
// statistics as they should be, all data there, and no object that belongs to nothing.
func (s *stressed) sound(mounts ...string) {
	t := s.t
	t.Helper()
	for _, name := range mounts {
		s.ok("umount", "$/"+name)
	}
	if bad := s.complaints(); bad != "" {
		t.Errorf("the log of a mount:\n%s", bad)
	}
	for _, args := range [][]string{{"fsck", s.url}, {"fsck", "--path", "/", "--recursive", "--sync-dir-stat", s.url}} {
		if out := s.ok(args...); strings.Contains(out, "directories") && !strings.Contains(out, " 0 with faults") {
			t.Errorf("%q:\n%s", args, out)
		}
	}
	// Every object is old enough to be judged, and belongs to something. When what the mounts had no time to free is
	// freed, every object is in use.
	s.age()
	if out := s.ok("gc", s.url); !strings.Contains(out, " 0 leaked ") || !strings.Contains(out, " 0 skipped ") {
		t.Errorf("gc: %s", out)
	}
	s.ok("gc", "--delete", s.url)
	var scanned, valid int
	out := s.ok("gc", s.url)
	if _, err := fmt.Sscanf(out, "scanned %d objects, %d valid,", &scanned, &valid); err != nil || scanned != valid {
		t.Errorf("gc: %s%v", out, err)
	}
}

// age makes the objects old enough for gc.
func (s *stressed) age() {
	s.t.Helper()
	old := time.Now().Add(-3 * time.Hour)
	must(s.t, filepath.WalkDir(s.path("objects"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return os.Chtimes(path, old, old)
	}))
}

// process gives the number of a mount's process.
func (s *stressed) process(name string) int {
	s.t.Helper()
	for _, other := range s.sessions(s.url) {
		if other.MountPoint == s.path(name) {
			return other.ProcessID
		}
	}
	s.t.Fatalf("no session is mounted at %s", name)
	return 0
}

// resident gives the memory of a mount's process in bytes.
func (s *stressed) resident(name string) int {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process(name)))
	must(s.t, err)
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	must(s.t, err)
	return kib << 10
}

// live gives the bytes that a mount's process has allocated and can still reach: what it holds, not what the collector has not
// come to yet.
func (s *stressed) live(name string) int {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.path(name), ".config"))
	must(s.t, err)
	var config struct{ Port struct{ DebugAgent string } }
	must(s.t, json.Unmarshal(text, &config))
	heap, err := fetch("http://" + config.Port.DebugAgent + "/debug/pprof/heap?gc=1&debug=1")
	must(s.t, err)
	_, rest, _ := strings.Cut(string(heap), "# HeapAlloc = ")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		s.t.Fatalf("the mount at %s serves no profile of its heap: %.200s", name, heap)
	}
	n, err := strconv.Atoi(fields[0])
	must(s.t, err)
	return n
}

func fetch(url string) ([]byte, error) {
	client := http.Client{Timeout: time.Minute}
	answer, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}
