package mount

import (
	"testing"

	"github.com/tikv/client-go/v2/testutils"
	client "github.com/tikv/client-go/v2/tikv"

	"jfs/fs/fstest"
	"jfs/meta"
	"jfs/meta/tkv"
	"jfs/meta/tkv/tikv"
)

// TestSuiteOnTiKV mounts a volume on the TiKV that its client library simulates, which lives in one process.
func TestSuiteOnTiKV(t *testing.T) {
	rpc, servers, pd, err := testutils.NewMockTiKV("", nil)
	if err != nil {
		t.Fatal(err)
	}
	testutils.BootstrapWithSingleStore(servers)
	c, err := client.NewTestTiKVStore(rpc, pd, nil, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	opt := patient()
	opt.EnableACL, opt.EnableIoctl = true, true
	want := fstest.Volume()
	want.Patient = true
	want.Groups = fstest.RecordGroups()
	one := newClientsOn(t, tkv.WithPrefix(tikv.New(c, tikv.Options{}), "v\xfd"), 1, func(f *meta.Format) { f.TurnOnACL() })[0]
	fstest.Run(t, serve(t, volume{one}, opt).MountPoint(), want)
}
