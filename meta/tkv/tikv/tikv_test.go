package tikv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/tikv/client-go/v2/testutils"
	client "github.com/tikv/client-go/v2/tikv"

	"jfs/meta"
	"jfs/meta/metatest"
	"jfs/meta/tkv"
	"jfs/meta/tkv/mem"
)

// cluster makes a simulated TiKV of three regions, and gives what opens a client of it.
func cluster(t *testing.T) func() *Store {
	t.Helper()
	quiet()
	rpc, servers, pd, err := testutils.NewMockTiKV("", nil)
	if err != nil {
		t.Fatal(err)
	}
	testutils.BootstrapWithMultiRegions(servers, []byte("v\xfdA\x80"), []byte("v\xfdC"))
	c, err := client.NewTestTiKVStore(rpc, pd, nil, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return func() *Store {
		s := New(c, Options{})
		s.end = func() error { return nil } // the others still use it
		return s
	}
}

// engine makes one that is closed before its cluster is.
func engine(t *testing.T, s *Store, prefix string) meta.Engine {
	e := tkv.New(tkv.WithPrefix(s, prefix), tkv.Options{})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// TestConformance runs on a simulated cluster, and on a real one if JFS_TEST_TIKV names its PD.
func TestConformance(t *testing.T) {
	t.Run("simulated", func(t *testing.T) {
		metatest.Run(t, func(t *testing.T) func() meta.Engine {
			connect := cluster(t)
			return func() meta.Engine { return engine(t, connect(), "v"+separator) }
		})
	})
	if pd := os.Getenv("JFS_TEST_TIKV"); pd != "" {
		t.Run("real", func(t *testing.T) { realCluster(t, pd) })
	}
}

// TestHistory: a random history has the same answers and leaves the same tree as on an engine in memory, which others are
// compared with too.
func TestHistory(t *testing.T) {
	const seed, steps = 1, 600
	memory := mem.NewEngine(tkv.Options{})
	defer memory.Close()
	want := metatest.History(t, memory, seed, steps)
	if got := metatest.History(t, engine(t, cluster(t)(), ""), seed, steps); got != want {
		t.Errorf("the history is another one:\n%s\nwant\n%s", got, want)
	}
}

// realCluster runs the suite on volumes of their own in the cluster of a PD.
func realCluster(t *testing.T, pd string) {
	n := time.Now().UnixNano()
	metatest.Run(t, func(t *testing.T) func() meta.Engine {
		n++
		url := fmt.Sprintf("tikv://%s/jfs-test-%d", pd, n)
		connect := func() meta.Engine {
			e, err := Open(t.Context(), url, Options{})
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		t.Cleanup(func() {
			e, err := Open(context.WithoutCancel(t.Context()), url, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(e.Erase(context.WithoutCancel(t.Context())), e.Close()); err != nil {
				t.Error(err)
			}
		})
		return connect
	})
}

func TestShared(t *testing.T) {
	metatest.RunShared(t, func(t *testing.T) (a, b meta.Engine) {
		connect := cluster(t)
		return engine(t, connect(), ""), engine(t, connect(), "")
	})
}
