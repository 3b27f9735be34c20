package testenv

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk is a file system of its own. A server that is started with a Disk in place of its test keeps its data there.
type Disk struct {
	testing.TB
	dir string
}

// SmallDisk mounts a file system of so many bytes of memory, which goes with the test. It takes root.
func SmallDisk(tb testing.TB, size string) *Disk {
	tb.Helper()
	dir, err := os.MkdirTemp("", "jfs-disk-") // others cannot enter directories of the test's own
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			tb.Error(err)
		}
	})
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755,size="+size); err != nil {
		tb.Fatalf("mount a small disk: %v", err)
	}
	tb.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			tb.Errorf("unmount a small disk: %v", err)
		}
	})
	return &Disk{tb, dir}
}

// TempDir makes a directory on the disk.
func (d *Disk) TempDir() string {
	d.Helper()
	dir, err := os.MkdirTemp(d.dir, "")
	if err != nil {
		d.Fatal(err)
	}
	return dir
}

// filler is the file that takes all room.
func (d *Disk) filler() string { return filepath.Join(d.dir, "filler") }

// Fill leaves no room on the disk. What files have already, they keep.
func (d *Disk) Fill() {
	d.Helper()
	f, err := os.Create(d.filler())
	if err != nil {
		d.Fatal(err)
	}
	defer f.Close()
	for _, n := range []int{1 << 20, 4096} {
		zeros := make([]byte, n)
		for err = nil; err == nil; {
			_, err = f.Write(zeros)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			d.Fatalf("fill a small disk: %v", err)
		}
	}
}

// Empty gives back the room that Fill has taken.
func (d *Disk) Empty() {
	d.Helper()
	if err := os.Remove(d.filler()); err != nil {
		d.Fatal(err)
	}
}
