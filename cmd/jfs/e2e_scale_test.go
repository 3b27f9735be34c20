package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// scaled is a size of the big directory, and how it is made and removed there: without opening the files and by rmr, or as
// programs do, with one request after the other.
type scaled struct {
	files  int
	create func(path string) error
	remove []string
}

func bigDirectory(sqlite bool) scaled {
	asPrograms := scaled{1_500, openNew, []string{"rm", "-rf"}}
	switch {
	case *soak:
		asPrograms.files = 100_000
	case !sqlite:
		return scaled{8_000, mknod, []string{os.Getenv(programEnv), "rmr"}}
	}
	return asPrograms
}

// A mount's process may grow by residentGrowth while it lists or removes a directory, and by knownFile for each file that it
// knows then: attributes and entries are remembered, and so is what the kernel was told. It forgets some for others when it
// knows knownFiles. relistGrowth is what it may hold more when it has listed the same again: nothing that belongs to files.
const (
	residentGrowth = 60 << 20
	knownFile      = 512
	knownFiles     = 1 << 18
	relistGrowth   = 4 << 20
)

func TestE2EScaleDirectory(t *testing.T) {
	t.Parallel()
	onEngines(t, func(s *stressed) {
		size := bigDirectory(strings.HasPrefix(s.url, "sqlite3"))
		files := size.files
		mayGrow := residentGrowth + knownFile*min(files, knownFiles)
		s.mountAt("mnt")
		dir := s.path("mnt/many")
		must(s.t, os.Mkdir(dir, 0o755))
		at := time.Now()
		rate := func(what string) { // for people; no time is judged
			s.t.Logf("%s: %.0f files/s, %d MiB resident", what, float64(files)/time.Since(at).Seconds(), s.resident("mnt")>>20)
			at = time.Now()
		}
		createMany(s.t, dir, files, size.create)
		rate("create")

		s.remountCold("mnt")
		before := s.resident("mnt")
		trips := s.scans()
		at = time.Now()
		d, err := os.Open(dir)
		must(s.t, err)
		if n := entries(s.t, d); n == 0 {
			s.t.Fatal("the directory is empty")
		}
		s.t.Logf("first entries after %v", time.Since(at))
		if n := s.scans() - trips; n > 1 {
			s.t.Errorf("%d pages were read from the database before the first entries came", n)
		}
		list := func() {
			_, err := d.Seek(0, io.SeekStart)
			must(s.t, err)
			at = time.Now()
			seen := 0
			for n := -1; n != 0; seen += n {
				n = entries(s.t, d)
			}
			rate("list")
			if seen != files+2 {
				s.t.Errorf("%d entries are listed, want %d and two dots", seen, files)
			}
		}
		list()
		once := s.live("mnt")
		if grown := s.resident("mnt") - before; grown > mayGrow {
			s.t.Errorf("the process has grown by %d bytes while it listed", grown)
		}
		for range 2 {
			list()
		}
		if grown := s.live("mnt") - once; grown > relistGrowth {
			s.t.Errorf("the process holds %d bytes more since it listed the same again", grown)
		}
		must(s.t, d.Close())
		at = time.Now()
		s.exec(size.remove[0], append(size.remove[1:], dir)...)
		rate("remove")
		must(s.t, gone(dir))
		if grown := s.resident("mnt") - before; grown > 2*mayGrow {
			s.t.Errorf("the process has grown by %d bytes while it listed and removed", grown)
		}
		s.sound("mnt")
	})
}

func createMany(t *testing.T, dir string, files int, create func(path string) error) {
	t.Helper()
	const threads = 8
	var group sync.WaitGroup
	for w := range threads {
		group.Go(func() {
			for i := w; i < files; i += threads {
				if err := create(filepath.Join(dir, fmt.Sprintf("file-%06d", i))); err != nil {
					t.Errorf("file %d: %v", i, err)
					return
				}
			}
		})
	}
	group.Wait()
}

func openNew(path string) error {
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func mknod(path string) error { return unix.Mknod(path, unix.S_IFREG|0o644, 0) }

// entries reads one batch of entries as ls does and counts them.
func entries(t *testing.T, dir *os.File) (n int) {
	t.Helper()
	buf := make([]byte, 32<<10)
	size, err := unix.Getdents(int(dir.Fd()), buf)
	must(t, err)
	for at := 0; at < size; n++ {
		at += int(buf[at+16]) | int(buf[at+17])<<8 // d_reclen
	}
	return n
}

// scans counts the pages of directories that a Redis server has given so far; 0 on another engine.
func (s *stressed) scans() (n int) {
	s.t.Helper()
	rest, ok := strings.CutPrefix(s.url, "redis://")
	if !ok {
		return 0
	}
	addr, _, _ := strings.Cut(rest, "/")
	conn, err := net.DialTimeout("tcp", addr, enough)
	must(s.t, err)
	defer conn.Close()
	must(s.t, conn.SetDeadline(time.Now().Add(enough)))
	_, err = io.WriteString(conn, "INFO commandstats\r\n")
	must(s.t, err)
	r := bufio.NewReader(conn)
	head, err := r.ReadString('\n')
	must(s.t, err)
	size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
	must(s.t, err)
	text := make([]byte, size)
	_, err = io.ReadFull(r, text)
	must(s.t, err)
	for line := range strings.Lines(string(text)) {
		if calls, ok := strings.CutPrefix(line, "cmdstat_hscan:calls="); ok {
			calls, _, _ = strings.Cut(calls, ",")
			n, err = strconv.Atoi(calls)
			must(s.t, err)
		}
	}
	return n
}

// TestE2EScaleShapes: deep trees, huge sparse files, many links and every byte in names.
func TestE2EScaleShapes(t *testing.T) {
	t.Parallel()
	shapes := []struct {
		name string
		run  func(s *stressed, dir string)
	}{{"tree", deepTree}, {"sparse", sparseFile}, {"links", manyLinks}, {"names", allNames}}
	onEngines(t, func(s *stressed) {
		s.mountAt("mnt")
		t := s.t
		for _, shape := range shapes {
			t.Run(shape.name, func(t *testing.T) {
				own, w := *s, *s.world
				w.t, own.world = t, &w
				dir := s.path("mnt/" + shape.name)
				must(t, os.Mkdir(dir, 0o755))
				shape.run(&own, dir)
			})
		}
		s.sound("mnt")
	})
}

func deepTree(s *stressed, dir string) {
	const levels = 10
	var grow func(dir string, level int)
	grow = func(dir string, level int) {
		must(s.t, os.WriteFile(filepath.Join(dir, "file"), []byte(dir), 0o644))
		for i := range 2 {
			if level < levels {
				sub := filepath.Join(dir, fmt.Sprint("d", i))
				must(s.t, os.Mkdir(sub, 0o755))
				if i == 0 || level%3 == 0 {
					grow(sub, level+1)
				}
			}
		}
	}
	grow(dir, 0)
	files, dirs := 0, 0
	must(s.t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			dirs++
			return nil
		}
		files++
		return same(path, []byte(filepath.Dir(path)))
	}))
	if want := fmt.Sprintf("  files: %d\n   dirs: %d\n", files, dirs); !strings.Contains(s.ok("info", "-r", dir), want) {
		s.t.Errorf("the summary is not %q: %s", want, s.ok("info", "-r", dir))
	}
	s.exec("cp", "-a", dir, dir+"-copy")
	s.exec("diff", "-r", dir, dir+"-copy")
	s.exec("rm", "-r", dir, dir+"-copy")
}

func sparseFile(s *stressed, dir string) {
	t := s.t
	const size = int64(1) << 40
	path := filepath.Join(dir, "f")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	head, tail := content(100_000, 1), content(100_000, 2)
	for at, data := range map[int64][]byte{0: head, size - int64(len(tail)): tail, size / 2: head} {
		_, err := f.WriteAt(data, at)
		must(t, err)
	}
	must(t, f.Sync())
	info, err := f.Stat()
	must(t, err)
	if info.Size() != size {
		t.Errorf("size %d", info.Size())
	}
	read := func(at int64, n int) []byte {
		t.Helper()
		buf := make([]byte, n)
		_, err := f.ReadAt(buf, at)
		must(t, err)
		return buf
	}
	for at, want := range map[int64][]byte{0: head, size - int64(len(tail)): tail, size / 2: head, size / 3: make([]byte, 4<<20), size - 1<<30: make([]byte, 1<<20)} {
		if got := read(at, len(want)); !slices.Equal(got, want) {
			t.Errorf("bytes at %d differ at %d", at, firstDifference(got, want))
		}
	}
	seek := func(from int64, whence int, low, high int64) int64 {
		t.Helper()
		at, err := unix.Seek(int(f.Fd()), from, whence)
		must(t, err)
		if at < low || at > high {
			t.Errorf("from %d on with %d: %d, want %d to %d", from, whence, at, low, high)
		}
		return at
	}
	seek(0, unix.SEEK_DATA, 0, 0)
	hole := seek(0, unix.SEEK_HOLE, int64(len(head)), 64<<20)
	middle := seek(hole, unix.SEEK_DATA, size/2-64<<20, size/2)
	seek(middle+200_000, unix.SEEK_HOLE, middle+200_000, size/2+64<<20)
	seek(size/2+64<<20, unix.SEEK_DATA, size-64<<20, size-int64(len(tail)))
	seek(size-10, unix.SEEK_HOLE, size, size)
	if _, err := unix.Seek(int(f.Fd()), size, unix.SEEK_DATA); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("data at the end: %v", err)
	}

	must(t, f.Truncate(size/2+10))
	if got := read(size/2, 10); !slices.Equal(got, head[:10]) {
		t.Errorf("what is left: %v", got)
	}
	must(t, f.Truncate(1<<30))
	must(t, f.Truncate(size))
	if got := read(size/2, 20); !slices.Equal(got, make([]byte, 20)) {
		t.Errorf("what was cut off comes back: %v", got)
	}
	if _, err := unix.Seek(int(f.Fd()), hole, unix.SEEK_DATA); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("data behind the first: %v", err)
	}
}

func manyLinks(s *stressed, dir string) {
	t := s.t
	const links = 1000
	path := filepath.Join(dir, "f")
	must(t, os.WriteFile(path, []byte("linked"), 0o644))
	for i := range 10 {
		must(t, os.Mkdir(filepath.Join(dir, fmt.Sprint("d", i)), 0o755))
	}
	name := func(i int) string { return filepath.Join(dir, fmt.Sprint("d", i%10), fmt.Sprint("l", i)) }
	for i := 1; i < links; i++ {
		must(t, os.Link(path, name(i)))
	}
	nlink := func(want uint64) {
		t.Helper()
		info, err := os.Lstat(path)
		must(t, err)
		if got := uint64(info.Sys().(*syscall.Stat_t).Nlink); got != want {
			t.Errorf("%d links, want %d", got, want)
		}
	}
	nlink(links)
	var want []string
	for i := 1; i < links; i++ {
		want = append(want, strings.TrimPrefix(name(i), s.path("mnt")))
	}
	want = append(want, strings.TrimPrefix(path, s.path("mnt")))
	slices.Sort(want)
	paths := func() []string {
		_, rest, _ := strings.Cut(s.ok("info", path), "paths:\n")
		var got []string
		for line := range strings.Lines(rest) {
			if p, ok := strings.CutPrefix(line, "\t"); ok {
				got = append(got, strings.TrimSpace(p))
			}
		}
		slices.Sort(got)
		return got
	}
	if got := paths(); !slices.Equal(got, want) {
		t.Errorf("%d paths of the file, want %d", len(got), len(want))
	}
	must(t, os.Rename(name(1), filepath.Join(dir, "d9", "moved")))
	for i := 2; i < links; i++ {
		must(t, os.Remove(name(i)))
	}
	nlink(2)
	if got, want := paths(), []string{"/links/d9/moved", "/links/f"}; !slices.Equal(got, want) {
		t.Errorf("paths %q, want %q", got, want)
	}
	must(t, os.Remove(path))
	must(t, same(filepath.Join(dir, "d9", "moved"), []byte("linked")))
	must(t, os.Remove(filepath.Join(dir, "d9", "moved")))
}

// allNames: names of 255 bytes, of every byte that a name can have.
func allNames(s *stressed, dir string) {
	t := s.t
	var all []string
	for b := 1; b < 256; b++ {
		if b != '/' {
			all = append(all, strings.Repeat(string([]byte{byte(b)}), 255))
		}
	}
	var every []byte
	for b := 1; b < 256; b++ {
		every = append(every, byte(b))
	}
	every[byte('/')-1] = 'x'
	all = append(all, string(every))
	for i, name := range all {
		must(t, os.WriteFile(filepath.Join(dir, "x"), []byte{byte(i)}, 0o644))
		must(t, os.Rename(dir+"/x", dir+"/"+name)) // not Join, which would clean ".."
	}
	slices.Sort(all)
	if got := names(t, dir); !slices.Equal(got, all) {
		t.Errorf("%d names are listed, want %d", len(got), len(all))
	}
	s.remountCold("mnt")
	for i, name := range all {
		info, err := os.Lstat(dir + "/" + name)
		must(t, err)
		if info.Size() != 1 {
			t.Errorf("name %d: %d bytes", i, info.Size())
		}
		must(t, os.Rename(dir+"/"+name, dir+"/"+name[:254]))
		must(t, os.Remove(dir+"/"+name[:254]))
	}
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
	if _, err := os.Create(dir + "/" + strings.Repeat("n", 256)); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("256 bytes: %v", err)
	}
}
