package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/meta/redis"
	"jfs/meta/sql"
	"jfs/meta/tkv/etcd"
)

// TestEngineFigures asserts the round trips of the main operations on the wire, and with -v shows rates and the server's
// processor time, which docs/choosing-an-engine.md has from a run with -soak. Nothing of a time is asserted.
func TestEngineFigures(t *testing.T) {
	t.Parallel()
	later := figureDelay(t)
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			start := e.start
			if e.name == "redis" { // none of the others waits for its disk
				start = func(t testing.TB) *testenv.Server { return testenv.StartRedis(t) }
			}
			server := start(t)
			proxy := testenv.StartProxy(t, server.Addr)
			measureEngine(t, e.name, server, nil, e.url(server.Addr), 1, 0)
			measureEngine(t, e.name, server, nil, e.url(server.Addr), 8, 0)
			measureEngine(t, e.name, server, proxy, e.url(proxy.Addr), 1, later)
		})
	}
}

// figureDelay gives what a proxy has to hold answers back for so that a trip through it takes a millisecond more than without
// it: less than that, because it is one more process on the way.
func figureDelay(t *testing.T) time.Duration {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c) // until the other side ends
				c.Close()
			}()
		}
	}()
	proxy := testenv.StartProxy(t, l.Addr().String())
	direct := echo(t, l.Addr().String())
	proxy.Delay(time.Millisecond)
	held := echo(t, proxy.Addr)
	later := max(time.Millisecond-(held-direct-time.Millisecond), time.Millisecond/2)
	proxy.Delay(later)
	t.Logf("a trip takes %v; through the proxy %v when that holds it for a millisecond, %v when for %v", direct, held, echo(t, proxy.Addr), later)
	return later
}

// echo gives the time, in the middle of all, of a trip to a server that says at once what it is told.
func echo(t *testing.T, addr string) time.Duration {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	must(t, err)
	defer c.Close()
	b := make([]byte, 100)
	took := make([]time.Duration, soaking(48, 1000))
	for i := range took {
		begin := time.Now()
		_, err := c.Write(b)
		must(t, err)
		_, err = io.ReadFull(c, b)
		must(t, err)
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

func openFigures(t *testing.T, url, name string) *meta.Volume {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	var e meta.Engine
	var err error
	switch name { // what is written in the background would be counted
	case "redis":
		e, err = redis.Open(ctx, url, redis.Options{NoTracking: true})
	case "etcd":
		e, err = etcd.Open(ctx, url, etcd.Options{})
	default:
		e, err = sql.OpenServer(ctx, url, sql.Options{FlushUsage: time.Hour})
	}
	must(t, err)
	t.Cleanup(func() { must(t, e.Close()) })
	f := meta.NewFormat("vol", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	f.TrashDays, f.DirStats = 0, false
	if _, err := meta.Load(ctx, e); err != nil {
		must(t, meta.Create(ctx, e, f, meta.TimeOf(time.Now())))
	}
	v, err := meta.Open(ctx, e, meta.Options{SkipDirMtime: time.Hour, NoBGJob: true, Heartbeat: -1})
	must(t, err)
	t.Cleanup(func() { must(t, v.Close(ctx)) })
	return v
}

// measureEngine creates files, reads their attributes, and removes them again. Through a proxy each answer is held back, so that
// a trip takes one millisecond more, and round trips are counted.
func measureEngine(t *testing.T, name string, server *testenv.Server, proxy *testenv.Proxy, url string, threads int, later time.Duration) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	v := openFigures(t, url, name)
	files := soaking(48, 1000) // the first range of numbers has enough for them
	const first = 3            // files with which the connection meets the statements
	inos := make([]meta.Ino, files+first)
	dir, _, err := v.Mknod(ctx, meta.Root, meta.RootIno, fmt.Sprintf("d%d-%t", threads, proxy != nil), meta.New{Type: meta.TypeDirectory, Mode: 0o755})
	must(t, err)
	if proxy != nil {
		proxy.Delay(later)
		defer proxy.Delay(0)
	}
	operations := []struct {
		name  string
		trips map[string]int // etcd's are requests of its protocol, counted in meta/tkv/etcd
		do    func(i int) error
	}{
		{"create", map[string]int{"redis": 2, "postgres": 1, "mariadb": 1}, func(i int) (err error) {
			inos[i], _, err = v.Mknod(ctx, meta.Root, dir, fmt.Sprint("f", i), meta.New{Type: meta.TypeFile, Mode: 0o644})
			return err
		}},
		{"stat", map[string]int{"redis": 1, "postgres": 1, "mariadb": 1}, func(i int) error {
			_, err := v.GetAttr(ctx, inos[i])
			return err
		}},
		{"unlink", map[string]int{"redis": 1, "postgres": 2, "mariadb": 2}, func(i int) error {
			return v.Unlink(ctx, meta.Root, dir, fmt.Sprint("f", i))
		}},
	}
	for i := range first {
		for _, op := range operations {
			must(t, op.do(files+i))
		}
	}
	for _, op := range operations {
		before, err := server.CPU()
		must(t, err)
		var trips int64
		if proxy != nil {
			trips = proxy.Trips()
		}
		begin := time.Now()
		var next atomic.Int64
		var group sync.WaitGroup
		for range threads {
			group.Go(func() {
				for i := int(next.Add(1)) - 1; i < files; i = int(next.Add(1)) - 1 {
					if err := op.do(i); err != nil {
						t.Errorf("%s %d: %v", op.name, i, err)
					}
				}
			})
		}
		group.Wait()
		took := time.Since(begin)
		after, err := server.CPU()
		must(t, err)
		line := fmt.Sprintf("%s, %d threads: %.0f/s, %.2f ms of the server's processors each",
			op.name, threads, float64(files)/took.Seconds(), float64((after-before).Microseconds())/1000/float64(files))
		if proxy != nil {
			trips = proxy.Trips() - trips
			line += fmt.Sprintf(", 1 ms later: %.2f ms each, %d trips", float64(took.Microseconds())/1000/float64(files), trips)
			if want, ok := op.trips[name]; ok && trips != int64(want*files) {
				t.Errorf("%s: %d round trips for %d files, want %d each", op.name, trips, files, want)
			}
		}
		t.Log(line)
	}
}
