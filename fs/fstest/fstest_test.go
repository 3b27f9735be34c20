package fstest_test

import (
	"testing"

	"jfs/fs/fstest"
)

func TestLocalDirectory(t *testing.T) { fstest.Run(t, t.TempDir(), fstest.Ext4()) }
