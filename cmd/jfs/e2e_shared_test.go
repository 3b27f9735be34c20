package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"jfs/internal/mounts"
)

// TestE2EShared: two mounts of one volume, on Redis and S3, see each other's work.
func TestE2EShared(t *testing.T) {
	c := newCluster(t, "--trash-days", "0")
	a, b := c.path("a"), c.path("b")
	c.machine("a", "--heartbeat", "1s")
	c.machine("b", "--heartbeat", "1s")
	if ss := c.sessions(c.url); len(ss) != 2 {
		t.Fatalf("sessions: %+v", ss)
	}
	for _, test := range []struct {
		name string
		run  func(t *testing.T, a, b string)
	}{
		{"contents", sharedContents}, {"overwrites", sharedOverwrites}, {"truncates", sharedTruncates},
		{"append", sharedAppend}, {"growing", sharedGrowing},
		{"names", sharedNames}, {"tree", sharedTree}, {"creates", sharedCreates}, {"exclusive", sharedExclusive},
	} {
		t.Run(test.name, func(t *testing.T) {
			must(t, os.Mkdir(filepath.Join(a, test.name), 0o755))
			eventually(t, "directory", func() error { _, err := os.Stat(filepath.Join(b, test.name)); return err })
			test.run(t, filepath.Join(a, test.name), filepath.Join(b, test.name))
		})
	}
	t.Run("death", func(t *testing.T) { sharedDeath(t, c) })

	want := fingerprint(t, a)
	if len(want) < 300 {
		t.Errorf("only %d names are left", len(want))
	}
	c.ok("umount", "$/a")
	c.ok("umount", "$/b")
	for _, cache := range []string{"cache-a", "cache-b"} {
		must(t, os.RemoveAll(c.path(cache)))
	}
	if ss := c.sessions(c.url); len(ss) != 0 {
		t.Errorf("sessions after unmounting: %+v", ss)
	}
	c.machine("a")
	sameTree(t, fingerprint(t, a), want)
	c.ok("umount", "$/a")
}

// sharedContents: what one closes the other opens, at once and whole.
func sharedContents(t *testing.T, a, b string) {
	const chunk = 64 << 20
	for i, size := range []int{1, 3000, 5 << 20, chunk + 6<<20} {
		name := fmt.Sprint("file", size)
		data := content(size, byte(i))
		must(t, os.WriteFile(filepath.Join(a, name), data, 0o644))
		must(t, same(filepath.Join(b, name), data))
	}
	big := fmt.Sprint("file", chunk+6<<20)
	f, err := os.OpenFile(filepath.Join(b, big), os.O_RDWR, 0)
	must(t, err)
	patch := content(2<<20, 99)
	_, err = f.WriteAt(patch, chunk-1<<20) // over the border of two chunks
	must(t, err)
	must(t, f.Close())
	want := content(chunk+6<<20, 3)
	copy(want[chunk-1<<20:], patch)
	must(t, same(filepath.Join(a, big), want))
}

// sharedOverwrites: random writes in turn, each seen by the other, which has the file in its kernel's pages.
func sharedOverwrites(t *testing.T, a, b string) {
	const size = 3 << 20
	want := content(size, 5)
	paths := []string{filepath.Join(a, "f"), filepath.Join(b, "f")}
	must(t, os.WriteFile(paths[0], want, 0o644))
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		writer, reader := paths[round%2], paths[(round+1)%2]
		must(t, same(reader, want))
		f, err := os.OpenFile(writer, os.O_RDWR, 0)
		must(t, err)
		for range 8 {
			data := content(1+random.IntN(100_000), byte(round))
			at := random.IntN(size - len(data))
			_, err := f.WriteAt(data, int64(at))
			must(t, err)
			copy(want[at:], data)
		}
		if round%4 < 2 {
			must(t, f.Sync())
			must(t, same(reader, want))
		}
		must(t, f.Close())
		must(t, same(reader, want))
		must(t, same(writer, want))
	}
}

// sharedTruncates: a file shrinks and grows on one mount while the other has it in its kernel's pages.
func sharedTruncates(t *testing.T, a, b string) {
	paths := []string{filepath.Join(a, "f"), filepath.Join(b, "f")}
	want := content(1<<20, 7)
	must(t, os.WriteFile(paths[0], want, 0o644))
	for round, length := range []int{700_001, 100, 300_000, 299_999, 0, 5, 2 << 20, 12345} {
		must(t, same(paths[0], want))
		must(t, same(paths[1], want))
		must(t, os.Truncate(paths[round%2], int64(length)))
		if length <= len(want) {
			want = want[:length]
		} else {
			want = append(slices.Clone(want), make([]byte, length-len(want))...)
		}
		must(t, same(paths[(round+1)%2], want))
	}
	must(t, os.WriteFile(paths[1], []byte("new"), 0o644)) // O_TRUNC
	must(t, same(paths[0], []byte("new")))
}

// sharedAppend: short logs, in turn.
func sharedAppend(t *testing.T, a, b string) {
	var want []byte
	for i := range 60 {
		dir, other := a, b
		if i%2 == 1 {
			dir, other = b, a
		}
		line := fmt.Appendf(nil, "line %d of %d\n", i, len(want))
		f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		must(t, err)
		_, err = f.Write(line)
		must(t, err)
		must(t, f.Close())
		want = append(want, line...)
		must(t, same(filepath.Join(other, "log"), want))
	}
}

// sharedGrowing: who watches a file being appended to sees a prefix of it.
func sharedGrowing(t *testing.T, a, b string) {
	data := content(2<<20, 9)
	f, err := os.OpenFile(filepath.Join(a, "f"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	must(t, err)
	must(t, f.Sync())
	for n := 0; n < len(data); n += 64 << 10 {
		for at := n; at < n+64<<10; at += 1000 {
			_, err := f.Write(data[at:min(at+1000, n+64<<10)])
			must(t, err)
		}
		synced := n/(64<<10)%4 == 3
		if synced {
			must(t, f.Sync())
		}
		got, err := os.ReadFile(filepath.Join(b, "f"))
		must(t, err)
		if !bytes.HasPrefix(data, got) {
			t.Fatalf("what is seen differs at %d of %d", firstDifference(got, data), len(got))
		}
		if synced && len(got) < n+64<<10 {
			t.Fatalf("%d bytes are seen of %d that were synced", len(got), n+64<<10)
		}
	}
	must(t, f.Close())
	must(t, same(filepath.Join(b, "f"), data))
}

// sharedNames: names, links and attributes cross over.
func sharedNames(t *testing.T, a, b string) {
	must(t, os.WriteFile(filepath.Join(a, "one"), []byte("1"), 0o640))
	must(t, same(filepath.Join(b, "one"), []byte("1")))
	must(t, os.Rename(filepath.Join(b, "one"), filepath.Join(b, "two")))
	eventually(t, "renamed", func() error {
		return errors.Join(gone(filepath.Join(a, "one")), same(filepath.Join(a, "two"), []byte("1")))
	})
	must(t, os.Link(filepath.Join(a, "two"), filepath.Join(a, "hard")))
	must(t, os.WriteFile(filepath.Join(b, "hard"), []byte("through the link"), 0))
	must(t, same(filepath.Join(a, "two"), []byte("through the link")))
	eventually(t, "links", func() error {
		info, err := os.Stat(filepath.Join(b, "two"))
		if err == nil && info.Sys().(*syscall.Stat_t).Nlink != 2 {
			err = fmt.Errorf("%d links", info.Sys().(*syscall.Stat_t).Nlink)
		}
		return err
	})
	must(t, os.Symlink("two", filepath.Join(b, "soft")))
	must(t, same(filepath.Join(a, "soft"), []byte("through the link")))

	// Over a name that the other has in use.
	must(t, os.WriteFile(filepath.Join(a, "new"), []byte("replaced"), 0o600))
	must(t, os.Rename(filepath.Join(a, "new"), filepath.Join(a, "two")))
	eventually(t, "replaced", func() error { return same(filepath.Join(b, "two"), []byte("replaced")) })
	must(t, same(filepath.Join(b, "hard"), []byte("through the link")))

	must(t, os.Chmod(filepath.Join(b, "two"), 0o755))
	eventually(t, "mode", func() error {
		info, err := os.Stat(filepath.Join(a, "two"))
		if err == nil && info.Mode() != 0o755 {
			err = fmt.Errorf("mode %v", info.Mode())
		}
		return err
	})
	must(t, os.Remove(filepath.Join(b, "two")))
	must(t, os.Remove(filepath.Join(a, "soft")))
	eventually(t, "removed", func() error { return errors.Join(gone(filepath.Join(a, "two")), gone(filepath.Join(b, "soft"))) })
}

// sharedTree: a tree that is made on one mount is moved by the other and removed by the first.
func sharedTree(t *testing.T, a, b string) {
	deep := filepath.Join("x", "1", "2", "3", "4")
	must(t, os.MkdirAll(filepath.Join(a, deep), 0o755))
	for i := range 20 {
		must(t, os.WriteFile(filepath.Join(a, deep, fmt.Sprint(i)), content(i*100, byte(i)), 0o644))
	}
	eventually(t, "tree", func() error { return same(filepath.Join(b, deep, "19"), content(1900, 19)) })
	must(t, os.Rename(filepath.Join(b, "x", "1", "2"), filepath.Join(b, "y")))
	eventually(t, "moved", func() error {
		return errors.Join(gone(filepath.Join(a, "x", "1", "2")), same(filepath.Join(a, "y", "3", "4", "19"), content(1900, 19)))
	})
	if err := os.Remove(filepath.Join(a, "y")); !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("remove a directory that is not empty: %v", err)
	}
	want := fingerprint(t, filepath.Join(a, "y"))
	eventually(t, "the same tree", func() error {
		got := fingerprint(t, filepath.Join(b, "y"))
		for name, line := range want {
			if got[name] != line {
				return fmt.Errorf("%s: %s instead of %s", name, got[name], line)
			}
		}
		return nil
	})
	must(t, os.RemoveAll(filepath.Join(a, "y")))
	must(t, os.RemoveAll(filepath.Join(a, "x")))
	eventually(t, "removed", func() error { return errors.Join(gone(filepath.Join(b, "x")), gone(filepath.Join(b, "y"))) })
}

// sharedCreates: both make files in one directory at the same time.
func sharedCreates(t *testing.T, a, b string) {
	const writers, files = 4, 40
	var group sync.WaitGroup
	for m, dir := range []string{a, b} {
		for w := range writers {
			group.Go(func() {
				for i := range files {
					name := fmt.Sprintf("m%d-w%d-%d", m, w, i)
					if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	group.Wait()
	for _, dir := range []string{a, b} {
		entries, err := os.ReadDir(dir)
		must(t, err)
		if len(entries) != 2*writers*files {
			t.Errorf("%d entries are listed", len(entries))
		}
		for _, e := range entries {
			must(t, same(filepath.Join(dir, e.Name()), []byte(e.Name())))
		}
	}
}

// sharedExclusive: of two that make the same name, one wins.
func sharedExclusive(t *testing.T, a, b string) {
	const names = 60
	var wins [2][names]bool
	var group sync.WaitGroup
	for m, dir := range []string{a, b} {
		group.Go(func() {
			for i := range names {
				f, err := os.OpenFile(filepath.Join(dir, fmt.Sprint("x", i)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
				switch {
				case err == nil:
					wins[m][i] = true
					if _, err := fmt.Fprint(f, m); err != nil {
						t.Error(err)
					}
					if err := f.Close(); err != nil {
						t.Error(err)
					}
				case !errors.Is(err, fs.ErrExist):
					t.Error(err)
				}
				err = os.Mkdir(filepath.Join(dir, fmt.Sprint("d", i)), 0o755)
				if err != nil && !errors.Is(err, fs.ErrExist) {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for i := range names {
		if wins[0][i] == wins[1][i] {
			t.Errorf("name %d: first mount %v, second mount %v", i, wins[0][i], wins[1][i])
			continue
		}
		winner := "0"
		if wins[1][i] {
			winner = "1"
		}
		for _, dir := range []string{a, b} {
			must(t, same(filepath.Join(dir, fmt.Sprint("x", i)), []byte(winner)))
		}
	}
}

// sharedDeath: one mount dies, twice; the other goes on and cleans up after it.
func sharedDeath(t *testing.T, c *cluster) {
	a, b := c.path("a"), c.path("b")
	before := c.objects()
	for round, remove := range []func() error{
		func() error { c.ok("umount", "--force", "$/b"); return nil },
		func() error { return exec.Command("umount", "-l", b).Run() },
	} {
		f, err := os.Create(filepath.Join(b, "doomed"))
		must(t, err)
		_, err = f.Write(content(5<<20, 11))
		must(t, err)
		must(t, f.Sync())
		must(t, os.Remove(filepath.Join(b, "doomed")))
		if n := c.objects(); n != before+2 {
			t.Errorf("%d objects while the file is open, want %d", n, before+2)
		}
		c.kill("b")
		if _, err := f.Stat(); !errors.Is(err, syscall.ENOTCONN) {
			t.Errorf("a file of a dead mount: %v", err)
		}
		if _, err := os.ReadDir(b); !errors.Is(err, syscall.ENOTCONN) {
			t.Errorf("a dead mount point: %v", err)
		}
		name := fmt.Sprint("survivor", round)
		must(t, os.WriteFile(filepath.Join(a, name), nil, 0o644))
		must(t, remove())
		if _, mounted, err := mounts.At(b); err != nil || mounted {
			t.Errorf("the dead mount is still there, %v", err)
		}
		_ = f.Close() // of a mount that is gone
		eventually(t, "the dead session is removed", func() error {
			if ss := c.sessions(c.url); len(ss) != 1 || ss[0].MountPoint != a {
				return fmt.Errorf("%+v", ss)
			}
			return nil
		})
		eventually(t, "its unlinked file is freed", func() error {
			if n := c.objects(); n != before {
				return fmt.Errorf("%d objects, want %d", n, before)
			}
			return nil
		})
		c.machine("b", "--heartbeat", "1s")
		must(t, same(filepath.Join(b, name), nil))
		must(t, same(filepath.Join(b, "contents", "file3000"), content(3000, 1)))
	}
}
