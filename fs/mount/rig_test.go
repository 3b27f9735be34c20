package mount

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"jfs/block"
	"jfs/cache"
	"jfs/fs"
	"jfs/fs/fstest"
	"jfs/internal/bytepool"
	"jfs/meta"
	memkv "jfs/meta/tkv/mem"
	"jfs/object"
	"jfs/object/mem"
	"jfs/prefetch"
	"jfs/upload"

	"jfs/meta/tkv"

	"jfs/internal/mounts"
)

const testBlock = 64 << 10

// newFS makes a file system whose database and store are in memory.
func newFS(t testing.TB) *fs.FS {
	t.Helper()
	return newClients(t, 1, func(*meta.Format) {})[0]
}

// newClients makes n clients of one volume, whose database and store are in memory.
func newClients(t testing.TB, n int, edit func(*meta.Format)) []*fs.FS {
	t.Helper()
	return newClientsOn(t, memkv.New(), n, edit)
}

// newClientsOn is newClients with a database of its own.
func newClientsOn(t testing.TB, kv tkv.Store, n int, edit func(*meta.Format)) []*fs.FS {
	t.Helper()
	f := meta.NewFormat("test", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	f.BlockSize, f.TrashDays = testBlock>>10, 0
	edit(&f)
	objects := mem.New()
	var all []*fs.FS
	for i := range n {
		engine := tkv.New(kv, tkv.Options{})
		if i == 0 {
			if err := meta.Create(t.Context(), engine, f, meta.Time{Sec: 1}); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, newClient(t, engine, objects))
	}
	return all
}

func newClient(t testing.TB, engine meta.Engine, objects object.Store) *fs.FS {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	pool := bytepool.New(64 << 20)
	store := block.New(objects, block.Options{BlockSize: testBlock, Pool: pool})
	tiers := cache.NewTiered(store, cache.TieredOptions{})
	up := upload.New(store, upload.Options{Cache: tiers})
	ahead := prefetch.New(tiers.FetchRange, prefetch.Options{Has: tiers.HasRange})
	v, err := meta.Open(ctx, engine, meta.Options{Heartbeat: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.StartSession(ctx, meta.SessionInfo{Version: meta.CompatVersion}); err != nil {
		t.Fatal(err)
	}
	out := fs.New(v, fs.Options{Blocks: tiers, Uploader: up, Prefetch: ahead, Pool: pool})
	t.Cleanup(func() {
		errs := []error{out.Close(ctx), up.Close(ctx), ahead.Close(), v.Close(ctx), tiers.Close(), store.Close(), engine.Close()}
		if err := errors.Join(errs...); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return out
}

// serve mounts a backend and serves it until the test ends.
func serve(t testing.TB, b backend, opt Options) *Server {
	t.Helper()
	if opt.MountPoint == "" {
		opt.MountPoint = t.TempDir()
	}
	if opt.Volume == "" {
		opt.Volume = "test"
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := start(t.Context(), b, opt)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve()
	t.Cleanup(func() {
		if err := s.Unmount(true); err != nil {
			t.Errorf("unmount: %v", err)
		}
		s.Wait()
		// Its device number may be that of a mount of another process by now.
		if m, still, err := mounts.At(s.MountPoint()); err != nil || still && m.Device == s.dev {
			t.Errorf("still mounted after Serve: %v, %v", m, err)
		}
	})
	if err := s.WaitMounted(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// patient are options under which the signals that the runtime of the tests sends itself interrupt nothing.
func patient() Options { return Options{InterruptDelay: time.Hour} }

func TestMain(m *testing.M) {
	fstest.Main()
	if os.Getenv(childEnv) != "" {
		child()
	}
	os.Exit(m.Run())
}
