package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"jfs/fs/mount"
	"jfs/meta"
	"jfs/meta/metatest"
)

// commandKills is how often each command is killed in a run of TestE2ECrashCommands.
func commandKills() int { return max(1, *crashRounds/8) }

// killedCommand is a command that is killed while it runs, or whose mount is.
type killedCommand struct {
	name    string
	mounted bool // the mount does the work, and is killed
	args    func(c *crash) []string
	wreck   bool                // the command takes the volume apart: nothing can be checked before it has been run again
	again   func(c *crash) bool // whether it is to be run again; nil: yes
	done    func(c *crash)      // checks what a run to the end has to bring; nil: nothing
}

func killedCommands() []killedCommand {
	args := func(list ...string) func(*crash) []string {
		return func(c *crash) []string {
			own := append([]string(nil), list...)
			for i := range own {
				own[i] = strings.ReplaceAll(own[i], "META", c.url)
			}
			return own
		}
	}
	gone := func(name string) func(*crash) {
		return func(c *crash) { must(c.t, gone(c.path(name))) }
	}
	return []killedCommand{
		{name: "gc", args: args("gc", "--delete", "--compact", "META")},
		{name: "quota", args: args("quota", "set", "--path", "/d", "--capacity", "1", "--inodes", "10000", "META"), done: func(c *crash) {
			c.ok("quota", "check", "--path", "/d", "--strict", c.url)
		}},
		{name: "restore", args: args("restore", "--put-back", "META", "HOUR")},
		{name: "dump", args: args("dump", "META", "$/killed.json.gz"), done: func(c *crash) {
			c.ok("load", "sqlite3://"+c.path(fmt.Sprint("of-dump", c.rnd.Uint64(), ".db")), "$/killed.json.gz")
		}},
		{name: "fsck", args: args("fsck", "--path", "/", "-r", "--repair", "--sync-dir-stat", "META")},
		{name: "destroy", wreck: true, args: func(c *crash) []string {
			return []string{"destroy", "--yes", "--force", c.url, volumeUUID(c.t, c.ok("status", c.url))}
		}, again: func(c *crash) bool {
			return c.run("status", c.url).code == 0
		}, done: func(c *crash) {
			c.refused("is not formatted", "status", c.url)
			if n := len(c.files("objects/myjfs/chunks")); n != 0 {
				c.t.Errorf("%d objects are left", n)
			}
		}},
		{name: "clone", mounted: true, args: args("clone", "$/mnt/d", "$/mnt/copy"), again: func(c *crash) bool {
			_, err := os.Lstat(c.path("mnt/copy"))
			return errors.Is(err, fs.ErrNotExist)
		}, done: func(c *crash) {
			want := fingerprint(c.t, c.path("mnt/d"))
			for name, line := range fingerprint(c.t, c.path("mnt/copy")) {
				if cut(line) != cut(want[name]) {
					c.t.Errorf("%s is %s in the clone, not %s", name, line, want[name])
				}
			}
		}},
		{name: "rmr", mounted: true, args: args("rmr", "$/mnt/d"), again: func(c *crash) bool {
			_, err := os.Lstat(c.path("mnt/d"))
			return err == nil
		}, done: gone("mnt/d")},
		{name: "rmr for good", mounted: true, args: args("rmr", "--skip-trash", "$/mnt/d"), again: func(c *crash) bool {
			_, err := os.Lstat(c.path("mnt/d"))
			return err == nil
		}, done: gone("mnt/d")},
		{name: "compact", mounted: true, args: args("compact", "$/mnt/d")},
	}
}

// cut leaves out of a line of a fingerprint what a clone has of its own.
func cut(line string) string {
	head, tail, _ := strings.Cut(line, " mtime ")
	_, tail, _ = strings.Cut(tail, " ")
	mode, _, _ := strings.Cut(head, " links ")
	return mode + " " + tail
}

// TestE2ECrashCommands kills commands in the middle. The volume must be whole afterwards, and the command must come to its
// end when it is run again.
func TestE2ECrashCommands(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			fresh := db.fresh(t, w)
			c := &crash{world: w, url: fresh(), rnd: rand.New(rand.NewPCG(seed(t), 1))}
			hour := c.prepare()
			for _, k := range killedCommands() {
				t.Run(k.name, func(t *testing.T) {
					own, volume := *w, *c
					own.t, volume.world = t, &own
					c := &volume
					var takes time.Duration
					for n := range commandKills() + 1 {
						c.url = fresh()
						c.load()
						list := k.args(c)
						for i := range list {
							list[i] = strings.ReplaceAll(list[i], "HOUR", hour)
						}
						if n == 0 {
							takes = c.runToEnd(k, list)
						} else if c.killIn(k, list, time.Duration(c.rnd.Int64N(int64(takes)))); !t.Failed() {
							c.runToEnd(k, list)
						}
						if t.Failed() {
							t.Fatalf("in kill %d", n)
						}
					}
				})
			}
			t.Run("load", func(t *testing.T) {
				own, volume := *w, *c
				own.t, volume.world = t, &own
				(&volume).killLoad(fresh)
			})
		})
	}
}

// prepare makes a volume with files in many slices, links, and a trash, as $/state.json and $/objects.base. It gives the hour of
// the trash.
func (c *crash) prepare() (hour string) {
	c.t.Helper()
	c.ok("format", "--bucket", "$/objects", "--block-size", "64K", "--trash-days", "1", c.url, "myjfs")
	c.mount()
	for d := range 6 {
		dir := c.path(fmt.Sprintf("mnt/d/sub%d/deeper", d))
		must(c.t, os.MkdirAll(dir, 0o755))
		for i := range 30 {
			must(c.t, os.WriteFile(filepath.Join(dir, fmt.Sprint("f", i)), content(1000+i*100, byte(i)), 0o644))
		}
		f, err := os.Create(filepath.Join(dir, "slices"))
		must(c.t, err)
		for i := range 15 {
			_, err := f.WriteAt(content(70_000, byte(i)), int64(i*50_000))
			must(c.t, err)
			must(c.t, f.Sync())
		}
		must(c.t, f.Close())
		must(c.t, os.Link(filepath.Join(dir, "f0"), filepath.Join(dir, "link")))
		gone := c.path(fmt.Sprintf("mnt/gone%d", d))
		must(c.t, os.CopyFS(gone, os.DirFS(dir)))
		must(c.t, os.RemoveAll(gone))
	}
	entries, err := os.ReadDir(c.path("mnt/.trash"))
	must(c.t, err)
	hour = entries[0].Name()
	c.ok("umount", "$/mnt")
	c.ok("dump", "--keep-secret-key", c.url, "$/state.json")
	must(c.t, os.Rename(c.path("objects"), c.path("objects.base")))
	return hour
}

// load makes the prepared volume at c.url, with its objects. Objects are never written again, so links will do.
func (c *crash) load() {
	c.t.Helper()
	must(c.t, os.RemoveAll(c.path("objects")))
	must(c.t, os.RemoveAll(c.path("cache")))
	out, err := exec.Command("cp", "-al", c.path("objects.base"), c.path("objects")).CombinedOutput()
	if err != nil {
		c.t.Fatalf("%v: %s", err, out)
	}
	c.ok("load", c.url, "$/state.json")
	c.ok("config", "--yes", "--trash-days", "0", c.url) // the trash has expired
}

// runToEnd runs a command unless it has had its effect, and checks the volume.
func (c *crash) runToEnd(k killedCommand, list []string) time.Duration {
	c.t.Helper()
	if k.mounted {
		c.mount()
	}
	start := time.Now()
	if k.again == nil || k.again(c) {
		c.ok(list...)
	}
	takes := time.Since(start)
	if k.done != nil {
		k.done(c)
	}
	if k.mounted {
		c.ok("umount", "$/mnt")
	}
	if !k.wreck {
		c.ok("fsck", c.url)
		c.faults("at the end", metatest.Checks{}, cleanUp)
	}
	return takes
}

// killIn kills a command, or the mount that works for it, after a while, and checks what it has left.
func (c *crash) killIn(k killedCommand, list []string, after time.Duration) {
	c.t.Helper()
	pid := 0
	if k.mounted {
		pid = c.mount()
	}
	cmd := c.command(os.Getenv(programEnv), list...)
	must(c.t, cmd.Start())
	if k.mounted {
		c.kill(pid, after)
	} else {
		<-time.After(after)
		_ = cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	}
	_ = cmd.Wait() // whatever it says
	if k.mounted {
		must(c.t, mount.Unmount(c.path("mnt"), true))
	}
	if !k.wreck {
		c.checkWreck()
	}
}

// killLoad kills loads into an empty database. The next load must make a whole volume of what is there then.
func (c *crash) killLoad(fresh func() string) {
	c.t.Helper()
	c.url = fresh()
	start := time.Now()
	c.load()
	takes := time.Since(start)
	var want []string
	c.faults("of a load", metatest.Checks{}, func(_ context.Context, v *meta.Volume) error {
		want = strings.Split(metatest.Tree(c.t, v), "\n")
		return nil
	})
	for range commandKills() {
		c.url = fresh()
		cmd := c.command(os.Getenv(programEnv), "load", c.url, "$/state.json")
		must(c.t, cmd.Start())
		<-time.After(time.Duration(c.rnd.Int64N(int64(takes))))
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		if c.run("status", c.url).code != 0 { // it is not complete
			c.ok("load", c.url, "$/state.json")
		}
		c.faults("of a load after one that was killed", metatest.Checks{}, func(_ context.Context, v *meta.Volume) error {
			got := strings.Split(metatest.Tree(c.t, v), "\n")
			if len(got) != len(want) {
				c.t.Errorf("the tree has %d lines, want %d", len(got), len(want))
			}
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					c.t.Fatalf("line %d is %s, want %s", i, got[i], want[i])
				}
			}
			return nil
		})
		c.checkWreck()
	}
}

// files lists the files below a directory of the world.
func (w *world) files(name string) (all []string) {
	w.t.Helper()
	err := filepath.WalkDir(w.path(name), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.Type().IsRegular() {
			all = append(all, path)
		}
		return err
	})
	must(w.t, err)
	return all
}
