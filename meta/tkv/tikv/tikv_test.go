package tikv

import (
	"testing"

	"github.com/tikv/client-go/v2/testutils"
	client "github.com/tikv/client-go/v2/tikv"

	"jfs/meta"
	"jfs/meta/metatest"
	"jfs/meta/tkv"
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
		s := newStore(c, Options{})
		s.end = func() error { return nil } // the others still use it
		return s
	}
}

func TestConformance(t *testing.T) {
	metatest.Run(t, func(t *testing.T) func() meta.Engine {
		connect := cluster(t)
		return func() meta.Engine { return tkv.New(tkv.WithPrefix(connect(), "v"+separator), tkv.Options{}) }
	})
}

func TestShared(t *testing.T) {
	metatest.RunShared(t, func(t *testing.T) (a, b meta.Engine) {
		connect := cluster(t)
		return tkv.New(connect(), tkv.Options{}), tkv.New(connect(), tkv.Options{})
	})
}
