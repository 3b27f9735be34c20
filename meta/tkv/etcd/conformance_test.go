package etcd

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/meta/metatest"
	"jfs/meta/tkv"
)

// server is an etcd of one test, with prefixes for many volumes.
type server struct {
	*testenv.Server
	next atomic.Int64
}

func start(t testing.TB, args ...string) *server {
	t.Helper()
	return &server{Server: testenv.StartEtcd(t, args...)}
}

// empty gives the URL of a volume that was not used before.
func (s *server) empty() string { return fmt.Sprintf("etcd://%s/v%d", s.Addr, s.next.Add(1)) }

// open opens an engine that is closed at the end of the test.
func open(t testing.TB, url string, o Options) *tkv.Engine {
	t.Helper()
	e, err := Open(context.Background(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestConformance(t *testing.T) {
	s := start(t)
	metatest.Run(t, func(t *testing.T) func() meta.Engine {
		url := s.empty()
		return func() meta.Engine { return open(t, url, Options{}) }
	})
}

func TestShared(t *testing.T) {
	s := start(t)
	metatest.RunShared(t, func(t *testing.T) (a, b meta.Engine) {
		url := s.empty()
		return open(t, url, Options{}), open(t, url, Options{})
	})
}
