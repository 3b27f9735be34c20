package main

import (
	"os"
	"testing"

	"jfs/fs/fstest"
	"jfs/internal/testenv"
)

// TestE2EConformance runs the suite over the program, with the metadata in each database.
func TestE2EConformance(t *testing.T) {
	t.Parallel()
	urls := map[string]func(t *testing.T) string{
		"sqlite": func(*testing.T) string { return "sqlite3://$/m.db" },
		"badger": func(*testing.T) string { return "badger://$/meta" },
		"redis-cluster": func(t *testing.T) string {
			return "redis://" + testenv.StartRedisCluster(t, 3, false).Addrs() + "/1"
		},
		"redis-sentinel": func(t *testing.T) string {
			return "redis://" + testenv.StartRedisSentinels(t, "").Hosts() + "/1"
		},
	}
	for _, e := range engines {
		urls[e.name] = func(t *testing.T) string { return e.url(e.start(t).Addr) }
	}
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait for their servers most of the time
			w := newWorld(t)
			at := url(t)
			w.ok("format", "--bucket", "$/objects", "--trash-days", "0", "--enable-acl", at, "myjfs")
			w.ok("mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache",
				"--enable-xattr", "--enable-ioctl", "--skip-dir-mtime", "0", at, "$/mnt")
			if err := os.Chmod(w.path("mnt"), 0o777); err != nil {
				t.Fatal(err)
			}
			opt := fstest.Volume()
			switch name { // what their columns hold, which the format says
			case "postgres":
				opt.SignedIDs, opt.TextNames = true, true
			case "mariadb":
				opt.SignedIDs, opt.TextNames, opt.MaxXattr = true, true, 65535
			}
			if name != "sqlite" && name != "redis" && !*soak {
				opt.Groups = fstest.RecordGroups() // and "make soak" has the others, which meet the same code on every database
			}
			fstest.Run(t, w.path("mnt"), opt)
			w.ok("umount", "$/mnt")
		})
	}
}
