package etcd

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jfs/internal/testenv"
	"jfs/meta"
)

// proxy stands between a client and a server and can lose answers.
type proxy struct {
	net.Listener
	armed atomic.Bool // the next thing that a client says is passed on, and the connection ends instead of the answer
	mute  atomic.Bool // answers are swallowed and the connection stays
	wg    sync.WaitGroup
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", to)
			if err != nil {
				c.Close()
				continue
			}
			var lose atomic.Bool
			p.wg.Go(func() {
				pass(s, c, func() bool {
					if p.armed.CompareAndSwap(true, false) {
						lose.Store(true)
					}
					return true
				})
			})
			p.wg.Go(func() {
				pass(c, s, func() bool {
					if lose.Load() {
						c.Close()
					}
					return !p.mute.Load()
				})
			})
		}
	})
	t.Cleanup(func() { l.Close(); p.wg.Wait() })
	return p
}

func pass(to, from net.Conn, wanted func() bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if wanted() {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}

// set writes a counter without reading it.
func set(e meta.Engine, n int64) error {
	return e.Update(context.Background(), meta.Want{}, func(tx meta.Tx) error {
		tx.SetCounter(meta.LastCleanupFiles, n)
		return nil
	})
}

func get(e meta.Engine) (n int64, err error) {
	err = e.View(context.Background(), meta.Want{}, func(r meta.Reader) (err error) {
		n, err = r.Counter(meta.LastCleanupFiles)
		return err
	})
	return n, err
}

// TestLostAnswer cuts the connection while a commit is under way.
func TestLostAnswer(t *testing.T) {
	s := start(t)
	p := newProxy(t, s.Addr)
	e := open(t, "etcd://"+p.Addr().String()+"/v", Options{})
	if err := set(e, 1); err != nil {
		t.Fatal(err)
	}
	p.armed.Store(true)
	runs := 0
	err := e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error {
		runs++
		tx.SetCounter(meta.LastCleanupFiles, 2)
		return nil
	})
	if !errors.Is(err, meta.ErrUnknown) || runs != 1 {
		t.Errorf("after %d runs: %v", runs, err)
	}
	if n, err := get(e); err != nil || n != 1 && n != 2 {
		t.Errorf("%d, %v", n, err)
	}
	p.armed.Store(true) // a read is repeated
	if _, err := get(e); err != nil {
		t.Error(err)
	}
}

func TestSilentServer(t *testing.T) {
	s := start(t)
	p := newProxy(t, s.Addr)
	e := open(t, "etcd://"+p.Addr().String()+"/v", Options{Timeout: 100 * time.Millisecond})
	p.mute.Store(true)
	if _, err := get(e); !errors.Is(err, context.DeadlineExceeded) || !contains(err, "are its servers running") {
		t.Errorf("read: %v", err)
	}
	if err := set(e, 1); !errors.Is(err, meta.ErrUnknown) {
		t.Errorf("commit: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.View(ctx, meta.Want{Attrs: []meta.Ino{1}}, func(meta.Reader) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("read that was called off: %v", err)
	}
}

func TestServerRestart(t *testing.T) {
	s := start(t)
	url := s.empty()
	e := open(t, url, Options{})
	hasty := open(t, url, Options{Timeout: 200 * time.Millisecond})
	if err := set(e, 1); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if _, err := get(hasty); !contains(err, "are its servers running") {
		t.Errorf("read without a server: %v", err)
	}
	if err := set(hasty, 2); errors.Is(err, meta.ErrUnknown) || !contains(err, "are its servers running") {
		t.Errorf("commit without a server: %v", err)
	}
	// A change that finds no server waits for it.
	done := make(chan error)
	go func() { done <- set(e, 3) }()
	s.Start()
	if err := <-done; err != nil {
		t.Errorf("change during a restart: %v", err)
	}
	if n, err := get(e); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestUnreachable(t *testing.T) {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(testenv.ClosedPort(t)))
	_, err := Open(t.Context(), "etcd://"+addr+"/v", Options{DialTimeout: 200 * time.Millisecond})
	if !contains(err, "connect to etcd at "+addr+": no answer within 200ms: are the servers running") {
		t.Errorf("nobody listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, "etcd://"+addr+"/v", Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
	// A server that accepts and says nothing.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Open(t.Context(), "etcd://tom@"+l.Addr().String(), Options{Password: "x", DialTimeout: 200 * time.Millisecond}); !contains(err, "no answer within") {
		t.Errorf("a silent server: %v", err)
	}
}

// TestAway: while no server can be reached, only the first call waits the whole time; afterwards each does again.
func TestAway(t *testing.T) {
	server := testenv.StartEtcd(t)
	const timeout = 5 * time.Second
	s := store(t, "etcd://"+server.Addr+"/away", Options{Timeout: timeout})
	get := func() error {
		return s.call(t.Context(), func(ctx context.Context) error {
			_, err := s.client.Get(ctx, "x")
			return err
		})
	}
	if err := get(); err != nil || s.limit() != timeout {
		t.Fatalf("limit %v, %v", s.limit(), err)
	}
	server.Kill()
	for get() == nil || !s.away.Load() { // the loss of the connection itself is known at once
	}
	if s.limit() != awayTimeout {
		t.Errorf("limit %v while the server is away", s.limit())
	}
	server.Start()
	for get() != nil {
	}
	if s.limit() != timeout {
		t.Errorf("limit %v afterwards", s.limit())
	}
}
