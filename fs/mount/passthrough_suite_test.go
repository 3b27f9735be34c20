package mount

import (
	"testing"

	"jfs/fs/fstest"
)

// TestPassthroughSuite: the suite of a file system, on a mount that reads every file by passthrough that it can.
func TestPassthroughSuite(t *testing.T) {
	want := fstest.Volume()
	want.Patient = true
	want.Groups = []string{"open", "data", "truncate", "map", "unlink", "io", "process"}
	fstest.Run(t, newPassMounts(t, 1, nil)[0].root, want)
}
