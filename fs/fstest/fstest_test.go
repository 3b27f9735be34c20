package fstest_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"jfs/fs/fstest"
)

func TestMain(m *testing.M) {
	fstest.Main()
	os.Exit(m.Run())
}

func TestLocalDirectory(t *testing.T) { fstest.Run(t, t.TempDir(), fstest.Ext4()) }

// TestLocalReadOnly: a second view of a directory that allows no changes.
func TestLocalReadOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root, to mount a directory")
	}
	dir, view := t.TempDir(), t.TempDir()
	fstest.Prepare(t, dir)
	if err := unix.Mount(dir, view, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(view, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mount("", view, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	fstest.RunReadOnly(t, view)
}
