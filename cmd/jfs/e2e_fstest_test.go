package main

import (
	"os"
	"testing"

	"jfs/fs/fstest"
	"jfs/internal/testenv"
)

// TestE2EConformance runs the suite over the program, with the metadata in one database and the other.
func TestE2EConformance(t *testing.T) {
	for name, url := range map[string]func(t *testing.T) string{
		"sqlite": func(*testing.T) string { return "sqlite3://$/m.db" },
		"redis":  func(t *testing.T) string { return "redis://" + testenv.Redis(t) + "/1" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			at := url(t)
			w.ok("format", "--bucket", "$/objects", "--trash-days", "0", "--enable-acl", at, "myjfs")
			w.ok("mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache",
				"--enable-xattr", "--enable-ioctl", "--skip-dir-mtime", "0", at, "$/mnt")
			if err := os.Chmod(w.path("mnt"), 0o777); err != nil {
				t.Fatal(err)
			}
			fstest.Run(t, w.path("mnt"), fstest.Volume())
			w.ok("umount", "$/mnt")
		})
	}
}
