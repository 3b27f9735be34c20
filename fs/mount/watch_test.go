package mount_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"jfs/block"
	"jfs/cache"
	jfs "jfs/fs"
	"jfs/fs/mount"
	"jfs/internal/bytepool"
	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/meta/redis"
	"jfs/object"
	"jfs/object/mem"
	"jfs/prefetch"
	"jfs/upload"
)

// site is a volume in a Redis server that any number of mounts share.
type site struct {
	t       *testing.T
	url     string
	objects object.Store
	admin   rueidis.Client
}

func newSite(t *testing.T) *site { return newSiteWithTrash(t, 0) }

func newSiteWithTrash(t *testing.T, days int) *site {
	t.Helper()
	addr := testenv.Redis(t)
	admin, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true, SelectDB: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	s := &site{t: t, url: "redis://" + addr + "/1", objects: mem.New(), admin: admin}
	eng, err := redis.Open(t.Context(), s.url, redis.Options{NoTracking: true})
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	f := meta.NewFormat("test", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	f.BlockSize, f.TrashDays, f.DirStats = 64, days, false
	if err := meta.Create(t.Context(), eng, f, meta.Time{Sec: 1}); err != nil {
		t.Fatal(err)
	}
	return s
}

// place is a mount point of the volume.
type place struct {
	t        *testing.T
	dir      string
	trips    atomic.Int64 // to the database
	requests atomic.Int64 // of the kernel
	engine   *redis.Engine
}

// mount mounts the volume in the way of a user who gives no times.
func (s *site) mount() *place {
	s.t.Helper()
	return s.mountWith(redis.Options{}, mount.Options{AttrLease: time.Hour, EntryLease: time.Hour, DirEntryLease: time.Hour})
}

func (s *site) mountWith(ro redis.Options, mo mount.Options) *place {
	s.t.Helper()
	t, ctx := s.t, context.WithoutCancel(s.t.Context())
	p := &place{t: t, dir: t.TempDir()}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	ro.OnTrip = func(int) { p.trips.Add(1) }
	p.engine, err = redis.Open(ctx, s.url, ro)
	must(err)
	pool := bytepool.New(64 << 20)
	store := block.New(s.objects, block.Options{BlockSize: 64 << 10, Pool: pool})
	tiers := cache.NewTiered(store, cache.TieredOptions{})
	up := upload.New(store, upload.Options{Cache: tiers})
	ahead := prefetch.New(tiers.FetchRange, prefetch.Options{Has: tiers.HasRange})
	v, err := meta.Open(ctx, p.engine, meta.Options{Heartbeat: -1, MaxDeletes: -1})
	must(err)
	must(v.StartSession(ctx, meta.SessionInfo{Version: meta.CompatVersion}))
	f := jfs.New(v, jfs.Options{Blocks: tiers, Uploader: up, Prefetch: ahead, Pool: pool})
	mo.MountPoint, mo.Volume, mo.Log = p.dir, "test", slog.New(slog.NewTextHandler(t.Output(), nil))
	mo.InterruptDelay = time.Hour // the signals of the runtime interrupt nothing
	mo.Observe = func(string, time.Duration, syscall.Errno) { p.requests.Add(1) }
	server, err := mount.Mount(ctx, f, mo)
	must(err)
	go server.Serve()
	t.Cleanup(func() {
		if err := server.Unmount(true); err != nil {
			t.Errorf("unmount: %v", err)
		}
		server.Wait()
		errs := []error{f.Close(ctx), up.Close(ctx), ahead.Close(), v.Close(ctx), tiers.Close(), store.Close(), p.engine.Close()}
		if err := errors.Join(errs...); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	must(server.WaitMounted(t.Context()))
	return p
}

func (p *place) path(name string) string { return filepath.Join(p.dir, name) }

func (p *place) write(name, data string) {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), []byte(data), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// size is the size that stat gives, -1 when there is no such name.
func (p *place) size(name string) int64 {
	p.t.Helper()
	st, err := os.Lstat(p.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return -1
	}
	p.must(err)
	return st.Size()
}

// soon waits until what others have done is seen.
func (p *place) soon(what string, seen func() bool) {
	p.t.Helper()
	for late := time.Now().Add(10 * time.Second); !seen(); {
		if time.Now().After(late) {
			p.t.Fatalf("%s is not seen", what)
		}
	}
}

// quiet checks that fn does not ask the database, and how often the kernel asks the file system.
func (p *place) quiet(what string, want int64, fn func()) {
	p.t.Helper()
	trips, requests := p.trips.Load(), p.requests.Load()
	fn()
	if trips, requests = p.trips.Load()-trips, p.requests.Load()-requests; trips != 0 || requests != want {
		p.t.Errorf("%s: %d round trips, %d requests of the kernel, want 0 and %d", what, trips, requests, want)
	}
}

func TestOtherMountIsSeen(t *testing.T) {
	s := newSite(t)
	a, b := s.mount(), s.mount()
	a.must(os.MkdirAll(a.path("d/sub"), 0o755))
	a.write("d/f", "1")
	a.write("d/same", "12345")
	look := func() {
		b.size("d/f")
		b.size("d/same")
		b.size("d/sub")
		b.size("d/none")
	}
	look()
	look()
	b.quiet("what is known", 1, look) // the kernel asks for the name that is not there

	a.write("d/f", "12")
	b.soon("another size", func() bool { return b.size("d/f") == 2 })
	data, err := os.ReadFile(b.path("d/f"))
	if err != nil || string(data) != "12" {
		t.Errorf("read %q, %v", data, err)
	}
	a.must(os.Chmod(a.path("d/sub"), 0o700))
	b.soon("another mode", func() bool {
		st, err := os.Lstat(b.path("d/sub"))
		return err == nil && st.Mode().Perm() == 0o700
	})
	a.write("d/none", "123")
	b.soon("a new file under a name that was missed", func() bool { return b.size("d/none") == 3 })
	a.must(os.Rename(a.path("d/f"), a.path("d/g")))
	b.soon("a rename", func() bool { return b.size("d/f") == -1 && b.size("d/g") == 2 })
	a.must(os.Rename(a.path("d/none"), a.path("d/g")))
	b.soon("a rename over a file", func() bool { return b.size("d/none") == -1 && b.size("d/g") == 3 })
	a.must(os.Remove(a.path("d/g")))
	b.soon("a removal", func() bool { return b.size("d/g") == -1 })
	b.must(os.Rename(b.path("d/same"), b.path("d/moved")))
	if b.size("d/moved") != 5 || b.size("d/same") != -1 {
		t.Error("own rename is not seen")
	}
	a.must(os.Remove(a.path("d/moved")))
	b.soon("a removal of what this mount has renamed", func() bool { return b.size("d/moved") == -1 })
	b.soon("rest", func() bool { // attributes of the directory and of sub may still be on their way
		trips := b.trips.Load()
		look()
		return b.trips.Load() == trips
	})
	look()
	b.quiet("what is known again", 3, look)
	if st, err := os.Lstat(b.path("d/sub")); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("unchanged directory: %v", err)
	}
}

// TestOtherMountIsSeenAgain shows with -v how long a change takes to the other mount, from the end of its close on.
func TestOtherMountIsSeenAgain(t *testing.T) {
	s := newSite(t)
	a, b := s.mount(), s.mount()
	a.write("f", "")
	var late []time.Duration
	for n := range 200 {
		if got := b.size("f"); got != int64(n) { // and it is remembered
			t.Fatalf("size %d before change %d", got, n)
		}
		a.write("f", strings.Repeat("x", n+1))
		begin := time.Now()
		b.soon("a change", func() bool { return b.size("f") == int64(n+1) })
		late = append(late, time.Since(begin))
	}
	slices.Sort(late)
	t.Logf("seen after %v in the middle, %v for 99 of 100, %v at most", late[len(late)/2], late[len(late)*99/100], late[len(late)-1])
}

// TestOtherMountIsSeenInTime: a server that tells of nothing leaves the timeouts, which are those of the flags then.
func TestOtherMountIsSeenInTime(t *testing.T) {
	s := newSite(t)
	short := mount.Options{AttrTimeout: 50 * time.Millisecond, EntryTimeout: 50 * time.Millisecond, DirEntryTimeout: 50 * time.Millisecond}
	a, b := s.mountWith(redis.Options{NoTracking: true}, short), s.mountWith(redis.Options{NoTracking: true}, short)
	a.write("f", "1")
	a.write("g", "1")
	if b.size("f") != 1 || b.size("g") != 1 || b.size("h") != -1 {
		t.Error("the files are not there")
	}
	a.write("f", "12")
	a.must(os.Rename(a.path("g"), a.path("h")))
	b.soon("another size", func() bool { return b.size("f") == 2 })
	b.soon("a rename", func() bool { return b.size("g") == -1 && b.size("h") == 1 })
	trips := b.trips.Load()
	b.soon("that the database is asked", func() bool { return b.size("f") == 2 && b.trips.Load() > trips })
}

// TestWorkingDirectory: changes beside a directory that is in use do not take its path away.
func TestWorkingDirectory(t *testing.T) {
	s := newSite(t)
	a, b := s.mount(), s.mount()
	a.must(os.MkdirAll(a.path("d/sub"), 0o755))
	b.size("d/sub")
	dir, err := os.Open(b.path("d/sub"))
	b.must(err)
	defer dir.Close()
	where := func() string {
		p, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
		b.must(err)
		return p
	}
	want := where()
	for i := range 20 {
		name := fmt.Sprint("d/f", i)
		b.size(name)
		a.write(name, "x")
		b.soon("a new file", func() bool { return b.size(name) == 1 })
		if got := where(); got != want {
			t.Fatalf("the directory is %s, was %s", got, want)
		}
	}
	s.kill()
	a.write("d/after", "x")
	b.soon("a file made while nothing was told", func() bool { return b.size("d/after") == 1 })
	if got := where(); got != want {
		t.Errorf("the directory is %s, was %s", got, want)
	}
}

// kill ends the connections on which the server tells of changes.
func (s *site) kill() {
	s.t.Helper()
	ctx := s.t.Context()
	list, err := s.admin.Do(ctx, s.admin.B().ClientList().Build()).ToString()
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(list) {
		if words := strings.Fields(line); slices.Contains(words, "flags=t") {
			_, id, _ := strings.Cut(words[0], "id=") // a text may be marked as one in front
			if err := s.admin.Do(ctx, s.admin.B().Arbitrary("CLIENT", "KILL", "ID", id).Build()).Error(); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// TestLostConnection: what the kernel relies on is checked when nobody tells of changes, and again when somebody does.
func TestLostConnection(t *testing.T) {
	s := newSite(t)
	a, b := s.mount(), s.mount()
	a.must(os.Mkdir(a.path("d"), 0o755))
	for i := range 50 {
		a.write(fmt.Sprint("d/f", i), "1")
	}
	for round := range 3 {
		for i := range 50 {
			b.size(fmt.Sprint("d/f", i))
			b.size(fmt.Sprint("d/none", round))
		}
		s.kill()
		name := fmt.Sprint("d/f", round)
		data := fmt.Sprintf("%0*d", 2+round, 0)
		a.write(name, data)
		a.must(os.Remove(a.path(fmt.Sprint("d/f", 40+round))))
		a.write(fmt.Sprint("d/none", round), "123")
		b.soon("a write", func() bool { return b.size(name) == int64(len(data)) })
		b.soon("a removal", func() bool { return b.size(fmt.Sprint("d/f", 40+round)) == -1 })
		b.soon("a new file", func() bool { return b.size(fmt.Sprint("d/none", round)) == 3 })
		b.soon("the end of the loss", b.engine.Coherent)
	}
}

// TestManyChanges lets two mounts work in one directory at once; in the end they agree.
func TestManyChanges(t *testing.T) {
	s := newSite(t)
	places := []*place{s.mount(), s.mount()}
	places[0].must(os.Mkdir(places[0].path("d"), 0o755))
	done := make(chan struct{})
	for w, p := range places {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range 100 {
				name := fmt.Sprintf("d/f%d", i%10)
				switch (i + w) % 4 {
				case 0, 1:
					_ = os.WriteFile(p.path(name), fmt.Appendf(nil, "%*d", i, w), 0o644)
				case 2:
					_ = os.Rename(p.path(name), p.path(fmt.Sprintf("d/f%d", (i+1)%10)))
				case 3:
					_ = os.Remove(p.path(name))
				}
				p.size(fmt.Sprintf("d/f%d", (i+3)%10))
			}
		}()
	}
	<-done
	<-done
	state := func(p *place) (sizes [10]int64) {
		for i := range sizes {
			sizes[i] = p.size(fmt.Sprintf("d/f%d", i))
		}
		return sizes
	}
	truth := state(s.mount())
	for _, p := range places {
		p.soon(fmt.Sprint(truth), func() bool { return state(p) == truth })
	}
}

// TestRequestsOfMaking: the kernel may rely on the answer to a request that makes something, so it does not ask again.
func TestRequestsOfMaking(t *testing.T) {
	p := newSite(t).mount()
	p.must(os.Mkdir(p.path("d"), 0o755))
	p.write("d/first", "x")
	const files = 10
	before := p.requests.Load()
	for i := range files {
		p.write(fmt.Sprint("d/", i), "data")
	}
	// The attributes of the directory, which the kernel gives up after each change in it; look-up, create, write, flush,
	// and release, of which one may come late.
	if n := p.requests.Load() - before; n < 6*files-1 || n > 6*files+1 {
		t.Errorf("%d requests for %d files of one write each, want 6 each", n, files)
	}
	p.must(os.Mkdir(p.path("d/sub"), 0o755))
	before = p.requests.Load()
	p.must(syscall.Access(p.path("d/sub"), 0))
	if n := p.requests.Load() - before; n > 1 { // a release
		t.Errorf("%d requests for a directory that was just made", n)
	}
}
