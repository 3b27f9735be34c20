package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/internal/testenv"
	"jfs/meta"
)

// eachWay runs a test over the direct connection, over the shared ones, and over the link.
func eachWay(t *testing.T, test func(t *testing.T, open func(url string, o Options) *Engine)) {
	t.Run("direct", func(t *testing.T) {
		test(t, func(url string, o Options) *Engine {
			o.NoTracking = true
			return open(t, url, o)
		})
	})
	t.Run("link", func(t *testing.T) {
		test(t, func(url string, o Options) *Engine { return open(t, url, o) })
	})
	t.Run("shared", func(t *testing.T) {
		test(t, func(url string, o Options) *Engine {
			o.NoTracking = true
			e := open(t, url, o)
			e.client.direct.mu.Lock() // somebody else has it
			return e
		})
	})
}

// proxy stands between an engine and a server and can lose answers.
type proxy struct {
	net.Listener
	lose atomic.Bool // the next answer, but none to a first command, is not passed on; the connection ends instead
	mute atomic.Bool // answers are swallowed and the connection stays
	wg   sync.WaitGroup
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
			p.wg.Go(func() { io.Copy(s, c); s.Close(); c.Close() })
			p.wg.Go(func() { p.answers(c, s); s.Close(); c.Close() })
		}
	})
	t.Cleanup(func() { l.Close(); p.wg.Wait() })
	return p
}

func (p *proxy) answers(c, s net.Conn) {
	buf := make([]byte, 64<<10)
	for first := true; ; first = false {
		n, err := s.Read(buf)
		if err != nil || !first && p.lose.CompareAndSwap(true, false) {
			return
		}
		if p.mute.Load() {
			continue
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) url() string { return fmt.Sprintf("redis://%s/0", p.Addr()) }

func TestLostAnswer(t *testing.T) { eachWay(t, testLostAnswer) }

func testLostAnswer(t *testing.T, open func(string, Options) *Engine) {
	s := start(t)
	p := newProxy(t, s.addr)
	var count trips
	e := open(p.url(), count.options())
	set := func() error {
		return e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error { tx.SetSymlink(1, "x"); tx.AddUsage(1, 1); return nil })
	}

	p.lose.Store(true)
	var err error
	if n := count.during(func() { err = set() }); n != 1 || !errors.Is(err, meta.ErrUnknown) {
		t.Errorf("the answer to a commit was lost: %v after %d trips", err, n)
	}
	if got := text(t, e, "GET", "totalInodes"); got != "1" {
		t.Errorf("the change was applied %q times", got)
	}

	// A read and a reservation have no outcome that matters: they are repeated.
	p.lose.Store(true)
	n := count.during(func() {
		view(t, e, meta.Want{}, func(r meta.Reader) error {
			target, _, err := r.Symlink(1)
			if target != "x" {
				t.Errorf("read %q", target)
			}
			return err
		})
	})
	if n != 2 {
		t.Errorf("a read whose answer was lost took %d trips", n)
	}
	p.lose.Store(true)
	if first, err := e.Reserve(t.Context(), meta.SeqSlice, 10); err != nil || first != 11 {
		t.Errorf("reserved from %d, %v", first, err)
	}
}

func TestSilentServer(t *testing.T) { eachWay(t, testSilentServer) }

func testSilentServer(t *testing.T, open func(string, Options) *Engine) {
	s := start(t)
	p := newProxy(t, s.addr)
	e := open(p.url(), Options{})
	p.mute.Store(true)

	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	e.client.onTrip = func(int) { close(asked) }
	go func() { <-asked; cancel() }()
	err := e.View(ctx, meta.Want{Attrs: []meta.Ino{1}}, func(meta.Reader) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled read: %v", err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	e.client.onTrip = func(int) { cancel() }
	err = e.Update(ctx, meta.Want{}, func(tx meta.Tx) error { tx.SetCounter("c", 1); return nil })
	if !errors.Is(err, meta.ErrUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled commit: %v", err)
	}
	e.client.onTrip = nil

	e.client.timeout = 50 * time.Millisecond
	if err := e.View(t.Context(), meta.Want{Attrs: []meta.Ino{1}}, func(meta.Reader) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read without an answer: %v", err)
	}
	err = e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error { tx.SetCounter("c", 1); return nil })
	if !errors.Is(err, meta.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("commit without an answer: %v", err)
	}
}

// TestCancelledCommit cancels a commit that the server then answers.
func TestCancelledCommit(t *testing.T) { eachWay(t, testCancelledCommit) }

func testCancelledCommit(t *testing.T, open func(string, Options) *Engine) {
	e := open(start(t).empty(), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	e.client.onTrip = func(int) { cancel() }
	if err := e.Update(ctx, meta.Want{}, func(tx meta.Tx) error { tx.SetCounter("c", 1); return nil }); err != nil {
		t.Errorf("a commit that succeeded after its context was cancelled: %v", err)
	}
	e.client.onTrip = nil
	if err := e.Update(ctx, meta.Want{}, func(tx meta.Tx) error { tx.SetCounter("c", 2); return nil }); !errors.Is(err, context.Canceled) || errors.Is(err, meta.ErrUnknown) {
		t.Errorf("a commit after its context was cancelled: %v", err)
	}
	if got := text(t, e, "GET", "c"); got != "1" {
		t.Errorf("counter is %s", got)
	}
}

func TestServerRestart(t *testing.T) { eachWay(t, testServerRestart) }

func testServerRestart(t *testing.T, open func(string, Options) *Engine) {
	s := testenv.StartRedis(t)
	e := open("redis://"+s.Addr, Options{})
	set := func(v int64) error {
		return e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error { tx.SetCounter("c", v); return nil })
	}
	if err := set(1); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	e.pause = func(context.Context, int) error { return nil }
	if l := e.tracker.get(); l != nil {
		<-l.dead
	}
	err := set(2)
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("commit without a server: %v", err)
	}
	if e.client.direct.mu.TryLock() { // it tests a connection before it sends a change
		e.client.direct.mu.Unlock()
		if errors.Is(err, meta.ErrUnknown) {
			t.Errorf("commit on a connection that had ended: %v", err)
		}
	}
	for range 8 { // there are several shared connections, each of which may notice only by its use that it has ended
		if err = set(2); !errors.Is(err, meta.ErrUnknown) {
			break
		}
	}
	if err == nil || errors.Is(err, meta.ErrUnknown) {
		t.Errorf("commit without a server and a connection: %v", err)
	}
	s.Start()
	if err := set(3); err != nil { // and the new server has not seen the scripts
		t.Errorf("commit after the server came back: %v", err)
	}
	if got := text(t, e, "GET", "c"); got != "3" {
		t.Errorf("counter is %s", got)
	}
}

func TestUnknownScripts(t *testing.T) { eachWay(t, testUnknownScripts) }

func testUnknownScripts(t *testing.T, open func(string, Options) *Engine) {
	var count trips
	s := start(t)
	e := open(s.empty(), count.options())
	withDir(t, e, 1)
	raw(t, e, "SCRIPT", "FLUSH")
	e.memory.forget()
	n := count.during(func() {
		view(t, e, meta.Want{Attrs: []meta.Ino{1}, Nodes: []meta.Name{{Dir: 1, Name: "a"}}}, func(r meta.Reader) error { return nil })
	})
	if n != 2 {
		t.Errorf("a read of many records took %d trips", n)
	}
	n = count.during(func() { withDir(t, e, 2) })
	if n != 2 {
		t.Errorf("a commit took %d trips", n)
	}
	if n = count.during(func() { withDir(t, e, 3) }); n != 1 {
		t.Errorf("the next commit took %d trips", n)
	}
}

func TestReadOnlyServer(t *testing.T) {
	s := start(t)
	e := open(t, s.empty(), Options{})
	raw(t, e, "REPLICAOF", "127.0.0.1", "1")
	attempts := 0
	e.pause = func(context.Context, int) error {
		attempts++
		raw(t, e, "REPLICAOF", "NO", "ONE")
		return nil
	}
	if err := e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error { tx.SetCounter("c", 1); return nil }); err != nil {
		t.Error(err)
	}
	if attempts != 1 {
		t.Errorf("paused %d times", attempts)
	}
}

func TestFullServer(t *testing.T) {
	s := start(t)
	e := open(t, s.empty(), Options{})
	withDir(t, e, 1)
	raw(t, e, "CONFIG", "SET", "maxmemory", "1")
	err := e.Update(t.Context(), createWant(1, "a"), func(tx meta.Tx) error { return create(tx, 1, "a", 2) })
	if !errors.Is(err, posix.ENOSPC) {
		t.Errorf("create on a full server: %v", err)
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error { tx.DropNode(1); return nil }) // making room is possible
	if _, ok := attrOf(t, e, 1); ok {
		t.Error("not removed")
	}
}

func TestCorruptRecords(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	for _, c := range [][]string{
		{"SET", "i5", "short"},
		{"HSET", "d1", "n", "xx"},
		{"RPUSH", "c5_0", "no slice"},
		{"HSET", "p5", "x", "1"},
		{"SET", "lastCleanupFiles", "x"},
		{"HSET", "sliceRef", "k1_1", "x", "bad", "-1"},
	} {
		raw(t, e, c...)
	}
	for _, c := range []struct {
		read func(meta.Reader) error
		key  string
	}{
		{func(r meta.Reader) error { _, _, err := r.Attr(5); return err }, "i5"},
		{func(r meta.Reader) error { _, _, err := r.Perm(5); return err }, "i5"},
		{func(r meta.Reader) error { _, _, err := r.Entry(1, "n"); return err }, "d1"},
		{func(r meta.Reader) error { _, _, err := r.Entries(1, "", 10, true); return err }, "d1"},
		{func(r meta.Reader) error { _, err := r.Chunk(5, 0); return err }, "c5_0"},
		{func(r meta.Reader) error { _, err := r.Parents(5); return err }, "p5"},
		{func(r meta.Reader) error { _, err := r.Refs([]meta.SliceRef{{ID: 1, Size: 1}}); return err }, "k1_1"},
		{func(r meta.Reader) error { _, err := r.DeadSlices(1); return err }, "sliceRef"},
		{func(r meta.Reader) error { _, err := r.Counter(meta.LastCleanupFiles); return err }, "lastCleanupFiles"},
	} {
		want := meta.Want{Attrs: []meta.Ino{5}, Nodes: []meta.Name{{Dir: 1, Name: "n"}}, Chunks: []meta.ChunkID{{Ino: 5}}}
		if err := e.View(t.Context(), want, c.read); !errors.Is(err, meta.ErrCorrupt) || !strings.Contains(err.Error(), c.key) {
			t.Errorf("%s: %v", c.key, err)
		}
		err := e.Update(t.Context(), want, func(tx meta.Tx) error {
			_ = c.read(tx) // a function that overlooks it commits nothing
			tx.SetCounter("written", 1)
			return nil
		})
		if c.key == "i5" && !errors.Is(err, meta.ErrCorrupt) {
			t.Errorf("%s overlooked: %v", c.key, err)
		}
	}
}

func TestCodes(t *testing.T) {
	for _, err := range []error{io.EOF, net.ErrClosed, context.Canceled, errors.New("READONLY of another kind")} {
		if code(err) != "" || refused(err) || unsent(err) {
			t.Errorf("%v counts as an answer of the server", err)
		}
	}
	for text, want := range map[string]string{
		"READONLY You can't write against a read only replica. script: 1f, on @user_script:8.":                                             "READONLY",
		"-OOM command not allowed when used memory > 'maxmemory'.":                                                                         "OOM",
		"ERR Error running script (call to f_1f): @user_script:8: @user_script: 8: -READONLY You can't write against a read only replica.": "READONLY",
		"ERR value is not an integer or out of range":                                                                                      "ERR",
		"WRONGTYPE Operation against a key holding the wrong kind of value":                                                                "WRONGTYPE",
	} {
		if got := firstWord(text); got != want {
			t.Errorf("%q has code %q, want %q", text, got, want)
		}
	}
	if !broken(io.EOF) || broken(context.Canceled) || broken(context.DeadlineExceeded) {
		t.Error("broken connections are not told from ended contexts")
	}
	refusal := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for _, c := range []struct {
		err      error
		attempt  int
		harmless bool
		want     bool
	}{
		{io.EOF, 1, true, true},
		{io.EOF, 1, false, false},
		{io.EOF, maxReconnects, true, false},
		{refusal, 1, false, true},
		{refusal, maxReconnects, false, false},
		{context.Canceled, 1, true, false},
	} {
		if got := (target{}).patience().allows(c.err, c.attempt, time.Now(), c.harmless); got != c.want {
			t.Errorf("%v, attempt %d, harmless %v: %v", c.err, c.attempt, c.harmless, got)
		}
	}
}
