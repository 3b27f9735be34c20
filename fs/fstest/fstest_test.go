package fstest_test

import (
	"os"
	"testing"

	"jfs/fs/fstest"
)

func TestMain(m *testing.M) {
	fstest.Main()
	os.Exit(m.Run())
}

func TestLocalDirectory(t *testing.T) { fstest.Run(t, t.TempDir(), fstest.Ext4()) }
