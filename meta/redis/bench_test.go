package redis

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"jfs/meta"
)

func lookUp(e *Engine, n meta.Name) error {
	return e.View(context.Background(), meta.Want{Nodes: []meta.Name{n}}, func(r meta.Reader) error {
		x, ok, err := r.Entry(n.Dir, n.Name)
		if err == nil && ok {
			_, _, err = r.Attr(x.Ino)
		}
		return err
	})
}

// BenchmarkEngine measures the usual operations, on a server that tells of changes and on one that does not; run with
// -cpu 1,8 for the number of goroutines.
func BenchmarkEngine(b *testing.B) {
	b.Run("told", func(b *testing.B) { benchmarkEngine(b, Options{}) })
	b.Run("untold", func(b *testing.B) { benchmarkEngine(b, Options{NoTracking: true}) })
}

func benchmarkEngine(b *testing.B, o Options) {
	e := open(b, start(b).empty(), o)
	withDir(b, e, 1)
	name := meta.Name{Dir: 1, Name: "known"}
	update(b, e, createWant(1, name.Name), func(tx meta.Tx) error { return create(tx, 1, name.Name, 2) })
	var next atomic.Int64
	next.Store(100)
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"stat", func() error {
			return e.View(context.Background(), meta.Want{Attrs: []meta.Ino{2}}, func(r meta.Reader) error {
				_, _, err := r.Attr(2)
				return err
			})
		}},
		{"lookup", func() error { return lookUp(e, name) }},
		{"create", func() error { // with the look-up that the kernel sends before it
			n := next.Add(1)
			f := "f" + strconv.FormatInt(n, 10)
			if err := lookUp(e, meta.Name{Dir: 1, Name: f}); err != nil {
				return err
			}
			return e.Update(context.Background(), createWant(1, f), func(tx meta.Tx) error { return create(tx, 1, f, meta.Ino(n)) })
		}},
		{"append", func() error {
			n := meta.Ino(next.Add(1))
			return e.Update(context.Background(), meta.Want{}, func(tx meta.Tx) error {
				tx.AppendSlices(n, 0, []meta.Slice{{ID: uint64(n), Size: 10, Len: 10}})
				tx.SetAttr(n, &fileAttr)
				return nil
			})
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := c.do(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkConnections compares ways to share connections: the trips are the same, their cost is not.
func BenchmarkConnections(b *testing.B) {
	url := start(b).empty()
	t, err := parseURL(url, "")
	if err != nil {
		b.Fatal(err)
	}
	words := newScript("return redis.call('GET', KEYS[1])").byText([]string{"k"}, nil)
	build := func(b rueidis.Builder) rueidis.Completed { return b.Arbitrary(words...).Build() }
	for _, goroutines := range []int{1, 2, 8, 32} {
		for _, mode := range []string{"engine", "link", "auto", "always", "pool"} {
			b.Run(fmt.Sprintf("%s/goroutines=%d", mode, goroutines), func(b *testing.B) {
				if mode == "engine" {
					c := open(b, url, Options{NoTracking: true}).client
					inParallel(b, goroutines, func() error {
						_, err := c.query1(context.Background(), build)
						return err
					})
					return
				}
				if mode == "link" {
					conn, err := t.dial(context.Background(), Options{}.withDefaults(tuning{}), t.addr, newSocket)
					if err != nil {
						b.Fatal(err)
					}
					l := newLink(conn, func(reply) {})
					defer l.close()
					inParallel(b, goroutines, func() error {
						ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
						defer cancel()
						_, err := l.do(ctx, nil, words)
						return err
					})
					return
				}
				o := t.options(Options{}.withDefaults(tuning{}))
				o.AlwaysPipelining = mode == "always"
				o.DisableAutoPipelining = mode == "pool"
				c, err := rueidis.NewClient(o)
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				inParallel(b, goroutines, func() error {
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					return c.Do(ctx, build(c.B())).NonRedisError()
				})
			})
		}
	}
}

// inParallel does b.N times something, in so many goroutines together.
func inParallel(b *testing.B, goroutines int, do func() error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for range goroutines {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
