package redis

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// server is a redis-server of the tests' own.
type server struct {
	port   int
	socket string
	stop   func()
	nextDB atomic.Int64
}

// databases is how many a shared server has; each test takes one.
const databases = 1000

// shared serves all tests that leave the settings of the server alone.
var shared *server

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "jfs-redis")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if shared, err = startServer(dir); err != nil {
		fmt.Fprintln(os.Stderr, "start redis-server:", err)
		return 1
	}
	defer shared.stop()
	return m.Run()
}

// startServer starts a server on a free port and returns when it accepts connections.
func startServer(dir string, args ...string) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	s := &server{port: port, socket: filepath.Join(dir, "redis.sock")}
	cmd := exec.Command("redis-server", append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(port),
		"--unixsocket", s.socket, "--save", "", "--appendonly", "no", "--dir", dir, "--daemonize", "no",
		"--databases", strconv.Itoa(databases)}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	drained := make(chan struct{})
	s.stop = func() {
		cmd.Process.Kill()
		<-drained
		cmd.Wait()
	}
	lines := bufio.NewScanner(out)
	var log strings.Builder
	for lines.Scan() {
		log.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			go func() {
				io.Copy(io.Discard, out)
				close(drained)
			}()
			return s, nil
		}
	}
	close(drained)
	s.stop()
	return nil, fmt.Errorf("it ended:\n%s", log.String())
}

// ownServer starts a server for one test.
func ownServer(t *testing.T, args ...string) *server {
	t.Helper()
	s, err := startServer(t.TempDir(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

func (s *server) url(db int64) string { return fmt.Sprintf("redis://127.0.0.1:%d/%d", s.port, db) }

// empty gives the URL of a database that no test has used.
func (s *server) empty(t testing.TB) string {
	t.Helper()
	db := s.nextDB.Add(1)
	if db >= databases {
		t.Fatal("more tests than databases")
	}
	return s.url(db)
}

// open opens an engine that is closed at the end of the test.
func open(t testing.TB, url string, o Options) *Engine {
	t.Helper()
	e, err := Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// raw sends commands past the engine.
func raw(t testing.TB, e *Engine, words ...string) rueidis.RedisMessage {
	t.Helper()
	m, err := e.client.Do(context.Background(), e.client.B().Arbitrary(words...).Build()).ToMessage()
	if err != nil && !rueidis.IsRedisNil(err) {
		t.Fatalf("%s: %v", strings.Join(words[:1], " "), err)
	}
	return m
}

// trips counts round trips.
type trips struct{ n atomic.Int64 }

func (c *trips) options() Options { return Options{OnTrip: func(int) { c.n.Add(1) }} }

// during gives the number of round trips that fn causes.
func (c *trips) during(fn func()) int64 {
	before := c.n.Load()
	fn()
	return c.n.Load() - before
}

// deadline is for waits that end at once unless something is wrong.
const deadline = 10 * time.Second
