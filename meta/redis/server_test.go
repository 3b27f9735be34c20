package redis

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/rueidis"

	"jfs/internal/testenv"
)

// server is a redis-server of one test, with databases for many engines.
type server struct {
	addr   string
	nextDB int
}

func start(t testing.TB, args ...string) *server {
	t.Helper()
	return &server{addr: testenv.Redis(t, append([]string{"--databases", "1000"}, args...)...)}
}

// empty gives the URL of a database that was not used before.
func (s *server) empty() string {
	s.nextDB++
	return fmt.Sprintf("redis://%s/%d", s.addr, s.nextDB)
}

// open opens an engine that is closed at the end of the test.
func open(t testing.TB, url string, o Options) *Engine {
	t.Helper()
	e, err := Open(context.Background(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// raw sends a command past the engine.
func raw(t testing.TB, e *Engine, words ...string) rueidis.RedisResult {
	t.Helper()
	r := e.client.Do(context.Background(), e.client.B().Arbitrary(words...).Build())
	if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
		t.Fatalf("%s: %v", strings.Join(words, " "), err)
	}
	return r
}

// text is the answer to a command as a string, "" for none.
func text(t testing.TB, e *Engine, words ...string) string {
	t.Helper()
	s, _ := raw(t, e, words...).ToString()
	return s
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
