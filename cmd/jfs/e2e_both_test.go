package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestE2ETwoMountsUnderLoad: two mounts of a volume are worked hard at the same time, apart and in one directory.
func TestE2ETwoMountsUnderLoad(t *testing.T) {
	t.Parallel()
	onEngines(t, func(s *stressed) {
		s.mountAt("a")
		s.mountAt("b")
		for _, dirs := range [][2]string{{"left", "right"}, {"same", "same"}} {
			must(s.t, os.Mkdir(s.path("a/"+dirs[0]), 0o777))
			if dirs[0] != dirs[1] {
				must(s.t, os.Mkdir(s.path("a/"+dirs[1]), 0o777))
			}
			eventually(s.t, "the directory of the other mount", func() error { _, err := os.Stat(s.path("b/" + dirs[1])); return err })
			var group sync.WaitGroup
			group.Go(func() {
				if out := s.exec("dbench", "-D", "$/a/"+dirs[0], "-c", dbenchLoad, "-t", "3", "2"); strings.Contains(out, "failed") {
					s.t.Errorf("dbench: %s", out)
				}
			})
			group.Go(func() {
				out := s.exec("stress-ng", "--verify", "--no-rand-seed", "--timeout", "3", "--temp-path", "$/b/"+dirs[1],
					"--dir", "1", "--dir-dirs", "256", "--rename", "1", "--dentry", "1", "--dentries", "128", "--filename", "1")
				if strings.Contains(out, "fail:") {
					s.t.Errorf("stress-ng: %s", out)
				}
			})
			group.Wait()
		}
		s.sound("a", "b")
	})
}

// counting adds to a number in a file, which it holds open, under a lock of the kind given.
const counting = `use strict; use Fcntl qw(:flock :DEFAULT); my ($kind, $path, $n) = @ARGV;
sysopen(my $f, $path, O_RDWR) or die "open: $!";
sub lock_it { my ($type, $op) = @_;
	if ($kind eq "flock") { flock($f, $op) or die "flock: $!" }
	else { fcntl($f, F_SETLKW, pack("s s x4 q q i x4", $type, 0, 0, 0, 0)) or die "fcntl: $!" } }
for (1 .. $n) {
	lock_it(F_WRLCK, LOCK_EX);
	sysseek($f, 0, 0); defined(sysread($f, my $old, 20)) or die "read: $!";
	sysseek($f, 0, 0); syswrite($f, sprintf("%019d\n", $old + 1)) == 20 or die "write: $!";
	lock_it(F_UNLCK, LOCK_UN);
}`

// TestE2ELockedCounter: processes on two mounts that count under a lock lose no step.
func TestE2ELockedCounter(t *testing.T) {
	t.Parallel()
	const processes, steps = 3, 20 // of each mount, of each process
	onEngines(t, func(s *stressed) {
		s.mountAt("a")
		s.mountAt("b")
		for _, kind := range []string{"flock", "fcntl"} {
			must(s.t, os.WriteFile(s.path("a/"+kind), []byte(fmt.Sprintf("%019d\n", 0)), 0o644))
			eventually(s.t, "the file on the other mount", func() error { _, err := os.Stat(s.path("b/" + kind)); return err })
			var group sync.WaitGroup
			for range processes {
				for _, mount := range []string{"a", "b"} {
					group.Go(func() { s.exec("perl", "-e", counting, kind, "$/"+mount+"/"+kind, fmt.Sprint(steps)) })
				}
			}
			group.Wait()
			for _, mount := range []string{"a", "b"} {
				text, err := os.ReadFile(s.path(mount + "/" + kind))
				must(s.t, err)
				if n, err := strconv.Atoi(strings.TrimLeft(strings.TrimSpace(string(text)), "0")); err != nil || n != 2*processes*steps {
					s.t.Errorf("%s: the counter on %s is %q, want %d", kind, mount, text, 2*processes*steps)
				}
			}
		}
		s.sound("a", "b")
	})
}

// TestE2EDeletesInBulk: the data of a thousand small files is gone with one request.
func TestE2EDeletesInBulk(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "--trash-days", "0")
	fill := func(files int, flags ...string) {
		t.Helper()
		c.machine("mnt", flags...)
		must(t, os.Mkdir(c.path("mnt/d"), 0o755))
		var group sync.WaitGroup
		for w := range 8 {
			group.Go(func() {
				for i := w; i < files; i += 8 {
					if err := os.WriteFile(c.path(fmt.Sprintf("mnt/d/f%d", i)), []byte("small"), 0o644); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		if n := c.objects(); n != files {
			t.Errorf("%d objects of %d files", n, files)
		}
		must(t, os.RemoveAll(c.path("mnt/d")))
	}
	deletions := func(log string) int { return strings.Count(log, "op=delete ") }

	// A mount that frees no data leaves all of it to gc.
	fill(1000, "--max-deletes", "0") // as many as a request can name
	c.ok("umount", "$/mnt")
	r := c.run("--verbose", "gc", "--delete", c.url)
	if n := deletions(r.log); r.code != 0 || n != 1 || c.objects() != 0 {
		t.Errorf("gc: code %d, %d requests, %d objects are left\n%s", r.code, n, c.objects(), r.out)
	}

	// One that does collects what is removed: how many requests that makes depends on
	// how quickly names are removed.
	const files = 300
	fill(files, "--verbose")
	eventually(t, "the objects are gone", func() error {
		if n := c.objects(); n != 0 {
			return fmt.Errorf("%d objects are left", n)
		}
		return nil
	})
	c.ok("umount", "$/mnt")
	log, err := os.ReadFile(c.path("log"))
	must(t, err)
	if n := deletions(string(log)); n == 0 || n > files/2 {
		t.Errorf("%d requests for %d files", n, files)
	}
}
