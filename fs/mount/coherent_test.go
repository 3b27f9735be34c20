package mount_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"jfs/fs/mount"
	"jfs/meta/redis"
)

// read opens a file and reads it, without any patience.
func (p *place) read(name string) string {
	data, err := os.ReadFile(p.path(name))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// TestNewestIsOpened: what one mount has closed, or put in the place of a file, is what the other opens afterwards,
// however long its kernel may rely on what it knows.
func TestNewestIsOpened(t *testing.T) {
	for _, days := range []int{0, 1} {
		t.Run(fmt.Sprintf("trash of %d days", days), func(t *testing.T) {
			s := newSiteWithTrash(t, days)
			a, b := s.mount(), s.mount()
			a.must(os.Mkdir(a.path("d"), 0o755))
			a.write("d/f", "0")
			for i := range 60 {
				b.size("d/f")
				b.size("d/tmp")
				b.size(fmt.Sprint("d/new", i))
				want := fmt.Sprintf("%d:%*d", i, i%7+1, i) // of another length
				a.write("d/f", want)
				if got := b.read("d/f"); got != want {
					t.Fatalf("round %d: after a write the other mount reads %q", i, got)
				}
				want += " by another"
				a.write("d/tmp", want)
				a.must(os.Rename(a.path("d/tmp"), a.path("d/f")))
				if got := b.read("d/f"); got != want {
					t.Fatalf("round %d: after a replacement the other mount reads %q", i, got)
				}
				a.write(fmt.Sprint("d/new", i), want)
				if got := b.read(fmt.Sprint("d/new", i)); got != want {
					t.Fatalf("round %d: in a new file the other mount reads %q", i, got)
				}
			}
		})
	}
}

// TestHowSoon: without an open, too, what another mount does is seen soon. How soon depends on the machine, so it is
// only shown.
func TestHowSoon(t *testing.T) {
	s := newSite(t)
	a, b := s.mount(), s.mount()
	a.must(os.Mkdir(a.path("d"), 0o755))
	worst := map[string]time.Duration{}
	soon := func(what string, seen func() bool) {
		start := time.Now()
		b.soon(what, seen)
		worst[what] = max(worst[what], time.Since(start))
	}
	mtime := time.Unix(1_000_000_000, 0)
	for i := range 20 {
		name, moved := fmt.Sprint("d/f", i), fmt.Sprint("d/g", i)
		b.size(name)
		b.size(moved)
		a.write(name, "1")
		soon("creation", func() bool { return b.size(name) == 1 })
		a.write(name, "12")
		soon("size", func() bool { return b.size(name) == 2 })
		a.must(os.Chmod(a.path(name), 0o640))
		soon("mode", func() bool {
			st, err := os.Lstat(b.path(name))
			return err == nil && st.Mode().Perm() == 0o640
		})
		a.must(os.Chtimes(a.path(name), mtime, mtime))
		soon("mtime", func() bool {
			st, err := os.Lstat(b.path(name))
			return err == nil && st.ModTime().Equal(mtime)
		})
		a.must(os.Rename(a.path(name), a.path(moved)))
		soon("rename", func() bool { return b.size(name) == -1 && b.size(moved) == 2 })
		a.must(os.Remove(a.path(moved)))
		soon("removal", func() bool { return b.size(moved) == -1 })
	}
	t.Logf("seen by the other mount after at most %v", worst)
}

// commands counts what clients have asked the server, but for the signs of life.
func (s *site) commands() (n int) {
	s.t.Helper()
	ctx := s.t.Context()
	text, err := s.admin.Do(ctx, s.admin.B().Info().Section("commandstats").Build()).ToString()
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(line, ":calls=")
		if !ok || name == "cmdstat_info" || name == "cmdstat_ping" || strings.HasPrefix(name, "cmdstat_config") {
			continue
		}
		calls, _, _ := strings.Cut(rest, ",")
		c, err := strconv.Atoi(calls)
		if err != nil {
			s.t.Fatal(err)
		}
		n += c
	}
	return n
}

// TestNothingChanges: what does not change costs nothing, also after the ordinary timeouts, which are 0 here.
func TestNothingChanges(t *testing.T) {
	s := newSite(t)
	a, b := s.mount(), s.mount()
	a.must(os.Mkdir(a.path("d"), 0o755))
	for i := range 100 {
		a.write(fmt.Sprint("d/f", i), "x")
	}
	stat := func() {
		for i := range 100 {
			if b.size(fmt.Sprint("d/f", i)) != 1 {
				t.Errorf("file %d is not there", i)
			}
		}
	}
	stat()
	b.soon("rest", func() bool { // what the first stats have begun is done
		trips := b.trips.Load()
		stat()
		return b.trips.Load() == trips
	})
	before := s.commands()
	for range 100 {
		b.quiet("100 stats", 0, stat)
	}
	if n := s.commands() - before; n != 0 {
		t.Errorf("%d commands for 100 stats of 100 files", n)
	}
}

// TestUntold: without a server that tells of changes, the timeouts say how late they are seen, and an open never is.
func TestUntold(t *testing.T) {
	s := newSite(t)
	times := mount.Options{
		AttrTimeout: 200 * time.Millisecond, EntryTimeout: 200 * time.Millisecond, DirEntryTimeout: 200 * time.Millisecond,
		AttrLease: time.Hour, EntryLease: time.Hour, DirEntryLease: time.Hour,
	}
	a, b := s.mountWith(redis.Options{NoTracking: true}, times), s.mountWith(redis.Options{NoTracking: true}, times)
	a.must(os.Mkdir(a.path("d"), 0o755))
	a.write("d/f", "1")
	for i := range 5 {
		b.size("d/f")
		a.write("d/f", strings.Repeat("x", 2+i))
		if got := b.read("d/f"); len(got) != 2+i {
			t.Errorf("reads %q", got)
		}
		a.must(os.Truncate(a.path("d/f"), 1))
		b.soon("another size", func() bool { return b.size("d/f") == 1 })
	}
	a.must(os.Remove(a.path("d/f")))
	b.soon("a removal", func() bool { return b.size("d/f") == -1 })
	a.must(syscall.Rmdir(a.path("d")))
	b.soon("a removal of a directory", func() bool { return b.size("d") == -1 })
}
