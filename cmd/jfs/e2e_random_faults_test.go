package main

import (
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"jfs/fs/fstest"
	"jfs/internal/testenv"
)

// faultSteps is how long a history with faults is.
func faultSteps() int { return soaking(200, 20_000) }

// moody stands before an S3 server. Of each kind of mood, some of the next requests are hit.
type moody struct {
	throttle atomic.Int32 // answered with 503
	broken   atomic.Int32 // the connection is closed without an answer
	cut      atomic.Int32 // the body of an answer ends in the middle
}

// hit says whether a request is one of those that are to be hit.
func hit(n *atomic.Int32) bool {
	for {
		left := n.Load()
		if left == 0 {
			return false
		}
		if n.CompareAndSwap(left, left-1) {
			return true
		}
	}
}

func (m *moody) serve(t *testing.T, backend string) (addr string) {
	t.Helper()
	to, err := url.Parse("http://" + backend)
	must(t, err)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host }, // which is signed
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method == http.MethodGet && r.StatusCode < 300 && r.ContentLength > 1 && hit(&m.cut) {
				r.Body = struct {
					io.Reader
					io.Closer
				}{io.LimitReader(r.Body, r.ContentLength/2), r.Body}
			}
			return nil
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case hit(&m.throttle):
			http.Error(w, "slow down", http.StatusServiceUnavailable)
		case hit(&m.broken):
			panic(http.ErrAbortHandler)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	server.Config.ErrorLog = nil
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// TestE2ERandomFaults: random histories on a store that answers with errors, cut bodies or not at all for a while, and on
// caches that are damaged or full, give what a model in memory says.
func TestE2ERandomFaults(t *testing.T) {
	base := *randomSeed
	if base == 0 {
		base = rand.Uint64() >> 1
	}
	t.Logf("again with: -random.seed %d", base)
	for i, c := range []struct {
		name string
		back bool
		run  func(v *faultyVolume)
	}{
		{"store-through", false, (*faultyVolume).store}, {"store-back", true, (*faultyVolume).store},
		{"damage-through", false, (*faultyVolume).damage}, {"damage-back", true, (*faultyVolume).damage},
		{"full-through", false, (*faultyVolume).full}, {"full-back", true, (*faultyVolume).full},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := &faultyVolume{stressed: &stressed{world: newWorld(t), url: "sqlite3://$/m.db"}, seed: base + uint64(i)}
			if c.back {
				v.flags = []string{"--writeback"}
			}
			c.run(v)
		})
	}
}

// faultyVolume is a volume with a mount to whose surroundings something happens.
type faultyVolume struct {
	*stressed
	seed  uint64
	flags []string
}

func (v *faultyVolume) history(events ...fstest.Event) {
	v.t.Helper()
	fstest.Random(v.t, fstest.RandomOptions{
		Seed: v.seed, Steps: faultSteps(), Views: []string{v.path("mnt")}, Window: 1_000_000, NoShift: true, FreeDirect: true,
		Events: append(events, fstest.Event{Name: "remount", Every: 100, Need: fstest.Closed, Last: true, Do: func(*rand.Rand) error {
			v.ok("umount", "$/mnt")
			v.mountAt("mnt", v.flags...)
			return nil
		}}),
		Describe: func(string) string { return v.complaints() },
	})
	v.ok("umount", "$/mnt")
	v.ok("fsck", v.url)
}

// store has the requests of the mount fail in turn.
func (v *faultyVolume) store() {
	m := &moody{}
	bucket := "http://" + m.serve(v.t, testenv.StartVersityGW(v.t).Addr) + "/jfs-data"
	v.env = []string{"ACCESS_KEY=" + testenv.S3AccessKey, "SECRET_KEY=" + testenv.S3SecretKey}
	v.ok("format", "--storage", "s3", "--bucket", bucket, "--block-size", "256K", "--trash-days", "0", v.url, "myjfs")
	v.env = nil
	v.flags = append(v.flags, "--memory-cache-size", "0", "--cache-partial-only") // much is read from the store
	v.mountAt("mnt", v.flags...)
	set := func(n *atomic.Int32) func(rnd *rand.Rand) error {
		return func(rnd *rand.Rand) error { n.Store(int32(1 + rnd.IntN(4))); return nil }
	}
	v.history(
		fstest.Event{Name: "503", Every: 60, Do: set(&m.throttle)},
		fstest.Event{Name: "closed connections", Every: 20, Do: set(&m.broken)},
		fstest.Event{Name: "cut bodies", Every: 20, Do: set(&m.cut)},
		fstest.Event{Name: "empty the cache", Every: 20, Do: func(*rand.Rand) error { v.ok("warmup", "--evict", "$/mnt"); return nil }},
	)
}

// damage has the files of the cache changed and cut, while the mount works and while it does not.
func (v *faultyVolume) damage() {
	v.ok("format", "--bucket", "$/objects", "--block-size", "256K", "--trash-days", "0", v.url, "myjfs")
	v.flags = append(v.flags, "--memory-cache-size", "0", "--cache-large-write")
	v.mountAt("mnt", v.flags...)
	v.history(fstest.Event{Name: "damage the cache", Every: 10, Do: func(rnd *rand.Rand) error {
		return filepath.WalkDir(v.path("cache-mnt"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || !strings.Contains(path, "/blocks/") || rnd.IntN(3) > 0 {
				return nil //nolint:nilerr // the mount removes files at the same time
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return nil //nolint:nilerr // as above
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil || info.Size() == 0 {
				return err
			}
			at := rnd.Int64N(info.Size())
			if rnd.IntN(4) == 0 {
				return f.Truncate(at)
			}
			b := make([]byte, 1)
			if _, err := f.ReadAt(b, at); err != nil && err != io.EOF {
				return err
			}
			b[0] ^= byte(1 + rnd.IntN(255))
			_, err = f.WriteAt(b, at)
			return err
		})
	}})
}

// full has the disk of the cache and the stage full, and not full any more, in turn.
func (v *faultyVolume) full() {
	resize := v.small("cache-mnt", "3m")
	v.ok("format", "--bucket", "$/objects", "--block-size", "256K", "--trash-days", "0", v.url, "myjfs")
	v.flags = append(v.flags, "--free-space-ratio", "0.01", "--cache-large-write")
	v.mountAt("mnt", v.flags...)
	filler := v.path("cache-mnt/filler")
	v.history(
		fstest.Event{Name: "fill the disk", Every: 30, Do: func(*rand.Rand) error {
			f, err := os.Create(filler)
			if err != nil {
				return nil //nolint:nilerr // it is full already
			}
			defer f.Close()
			for err == nil {
				_, err = f.Write(make([]byte, 4096))
			}
			return nil
		}},
		fstest.Event{Name: "make room", Every: 30, Do: func(rnd *rand.Rand) error {
			resize([]string{"3m", "10m"}[rnd.IntN(2)])
			if err := os.Remove(filler); err != nil && !os.IsNotExist(err) {
				return err
			}
			return nil
		}},
	)
}
