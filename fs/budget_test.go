package fs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/meta/redis"
)

// monitor counts the commands that clients send to a Redis server. What scripts run on the server is not counted.
type monitor struct {
	conn  net.Conn
	lines *bufio.Reader

	mu   sync.Mutex
	seen []string
}

var clientCommand = regexp.MustCompile(`^\+?[\d.]+ \[\d+ ([^\]]+)\] "([^"]+)"(.*)`)

func watch(t *testing.T, addr string) *monitor {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	m := &monitor{conn: conn, lines: bufio.NewReader(conn)}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, "MONITOR\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			line, err := m.lines.ReadString('\n')
			if err != nil {
				return
			}
			if c := clientCommand.FindStringSubmatch(line); c != nil && c[1] != "lua" && !background(c[2], c[3]) {
				m.mu.Lock()
				m.seen = append(m.seen, strings.ToLower(c[2])+c[3])
				m.mu.Unlock()
			}
		}
	}()
	return m
}

// background says whether a command is one of those that a client sends from time to time, or one that goes with
// another and asks for nothing.
func background(command, args string) bool {
	return strings.EqualFold(command, "info") || strings.EqualFold(command, "ping") ||
		strings.EqualFold(command, "config") && strings.Contains(args, "tracking")
}

// count runs f and gives the commands that it sent. A mark that goes the same way ends the wait for them.
func (m *monitor) count(t *testing.T, addr string, f func()) []string {
	t.Helper()
	m.mark(t, addr)
	m.mu.Lock()
	m.seen = nil
	m.mu.Unlock()
	f()
	return m.mark(t, addr)
}

func (m *monitor) mark(t *testing.T, addr string) []string {
	t.Helper()
	mark := fmt.Sprintf("mark%d", time.Now().UnixNano())
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "ECHO %s\r\n", mark); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		m.mu.Lock()
		for i, c := range m.seen {
			if strings.Contains(c, mark) {
				before := append([]string(nil), m.seen[:i]...)
				m.mu.Unlock()
				return before
			}
		}
		m.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the monitor does not see the mark")
	return nil
}

// TestRoundTrips asserts what each operation costs on a Redis server that does not tell of changes, with the look-ups
// that the kernel makes before it. A trip is a command here: the engine sends none in vain, and pipelines only what one
// answer needs.
func TestRoundTrips(t *testing.T) {
	server := testenv.StartRedis(t)
	ctx := context.WithoutCancel(t.Context())
	eng, err := redis.Open(ctx, "redis://"+server.Addr+"/1", redis.Options{NoTracking: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = eng.Close() })
	f := meta.NewFormat("test", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	f.BlockSize, f.TrashDays, f.DirStats = testBlock>>10, 0, false // statistics are written in the background
	if err := meta.Create(ctx, eng, f, meta.Time{Sec: 1}); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, maxDeletes: -1} // data is freed in the background, many files at a time
	fs := r.mountOn(eng, 0)
	fs2 := r.mountOn(eng, 0)
	mon := watch(t, server.Addr)

	root := meta.Root
	look := func(dir meta.Ino, name string) meta.Ino {
		n, err := fs.Lookup(ctx, root, dir, name)
		if err != nil {
			return 0
		}
		return n.Ino
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	mkdir := func(dir meta.Ino, name string) meta.Ino {
		n, err := fs.Mknod(ctx, root, dir, name, meta.New{Type: meta.TypeDirectory, Mode: 0755})
		must(err)
		return n.Ino
	}
	file := func(dir meta.Ino, name string) *Handle {
		_, h, err := fs.Create(ctx, root, dir, name, meta.New{Mode: 0644}, syscall.O_RDWR|syscall.O_EXCL)
		must(err)
		return h
	}
	d := mkdir(meta.RootIno, "d")
	h := file(d, "warm")
	write(t, h, 0, make([]byte, 4096))
	must(h.Flush(ctx))
	for i := range 200 {
		file(mkdirOnce(fs, d, "many"), fmt.Sprint("f", i)).Release(ctx)
	}
	mode := uint16(0600)
	now := meta.Time{Sec: 5}
	for _, c := range []struct {
		name string
		want int
		op   func()
	}{
		{"stat", 1, func() { look(d, "warm") }},
		{"stat of a missing name", 1, func() { look(d, "none") }},
		{"create, with its look-up", 2, func() { look(d, "e"); file(d, "e").Release(ctx) }},
		{"create, write 4 KiB, close", 3, func() {
			look(d, "w")
			h := file(d, "w")
			write(t, h, 0, make([]byte, 4096))
			must(h.Flush(ctx))
			h.Release(ctx)
		}},
		{"append 4 KiB, fsync", 1, func() { write(t, h, 4096, make([]byte, 4096)); must(h.Fsync(ctx)) }},
		{"chmod", 1, func() {
			_, err := fs.SetAttr(ctx, root, h.Ino(), SetAttr{Change: meta.Change{Mode: &mode}}, nil)
			must(err)
		}},
		{"utime", 1, func() {
			_, err := fs.SetAttr(ctx, root, h.Ino(), SetAttr{Change: meta.Change{Atime: &now, Mtime: &now}}, nil)
			must(err)
		}},
		{"mkdir, with its look-up", 2, func() { look(d, "sub"); mkdir(d, "sub") }},
		{"rmdir, with its look-up", 2, func() { look(d, "sub"); must(fs.Rmdir(ctx, root, d, "sub")) }},
		{"rename, with its look-ups", 3, func() {
			look(d, "e")
			look(d, "r")
			must(fs.Rename(ctx, root, meta.Name{Dir: d, Name: "e"}, meta.Name{Dir: d, Name: "r"}, 0))
		}},
		{"unlink, with its look-up", 2, func() { look(d, "r"); must(fs.Unlink(ctx, root, d, "r")) }},
		{"open, read, close of what another mount wrote", 2, func() { readOnce(t, fs2, h.Ino()) }},
		{"open, read, close again", 1, func() { readOnce(t, fs2, h.Ino()) }},
		{"open, read, close", 1, func() { // the chunk's view is known to the mount that wrote it
			readOnce(t, fs, h.Ino())
		}},
		{"ls -l of 200 files", 3, func() {
			dir, err := fs.OpenDir(ctx, root, look(d, "many"))
			must(err)
			n := 0
			must(dir.Read(ctx, 0, true, func(e DirEntry) bool { n++; return true }))
			if n != 202 {
				t.Errorf("%d entries", n)
			}
		}},
	} {
		if got := mon.count(t, server.Addr, c.op); len(got) > c.want {
			t.Errorf("%s: %d commands, want %d:\n%s", c.name, len(got), c.want, strings.Join(got, "\n"))
		}
	}
}

func readOnce(t *testing.T, f *FS, ino meta.Ino) {
	t.Helper()
	ctx := t.Context()
	h, _, err := f.Open(ctx, meta.Root, ino, syscall.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = h.Read(ctx, 0, make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	if err := h.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	h.Release(ctx)
}

func mkdirOnce(f *FS, dir meta.Ino, name string) meta.Ino {
	ctx := context.Background()
	if n, err := f.Lookup(ctx, meta.Root, dir, name); err == nil {
		return n.Ino
	}
	n, err := f.Mknod(ctx, meta.Root, dir, name, meta.New{Type: meta.TypeDirectory, Mode: 0755})
	if err != nil {
		panic(err)
	}
	return n.Ino
}
