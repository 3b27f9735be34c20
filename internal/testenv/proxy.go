package testenv

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Verdict says what a Proxy does with bytes of a client.
type Verdict uint8

// The verdicts.
const (
	Pass  Verdict = iota
	Lose          // the connection breaks before the server gets them
	Mute          // the server gets them, and the connection breaks after it has done its work, without an answer
	Stall         // nobody gets anything any more on this connection, which stays open
)

// Proxy stands between clients and a server. It counts round trips and breaks connections where a test wants it.
type Proxy struct {
	Addr string // for the clients

	target string
	trips  atomic.Int64
	judge  atomic.Pointer[func([]byte) Verdict]
	delay  atomic.Int64 // nanoseconds
	ended  chan struct{}

	mu     sync.Mutex // guards what follows
	conns  map[net.Conn]struct{}
	closed bool
	wg     sync.WaitGroup
}

// StartProxy starts a proxy to a server, which ends with the test.
func StartProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, conns: map[net.Conn]struct{}{}, ended: make(chan struct{})}
	p.wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(client) })
		}
	})
	tb.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		close(p.ended)
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// Trips counts how often clients have sent something after an answer, or first: their round trips.
func (p *Proxy) Trips() int64 { return p.trips.Load() }

// Judge lets fn decide about what clients send from now on, in the pieces in which it arrives; nil passes everything.
func (p *Proxy) Judge(fn func([]byte) Verdict) {
	if fn == nil {
		p.judge.Store(nil)
		return
	}
	p.judge.Store(&fn)
}

// Delay holds back each answer for d from now on, as a long way or a busy server does: what the server sends is on its way for
// that long, also behind something else.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// piece is a part of an answer on its way.
type piece struct {
	data []byte
	due  time.Time // when it is there
}

// piecesUnderWay bounds what is held back on one connection. It is many, so that what arrives is seen when it arrives.
const piecesUnderWay = 256

// await waits until a piece is due.
func (p *Proxy) await(due time.Time) {
	d := time.Until(due)
	if d <= 0 {
		return
	}
	if d < 5*time.Millisecond { // timers are as coarse as a millisecond when a process has nothing else to do
		ts := unix.NsecToTimespec(int64(d))
		_ = unix.Nanosleep(&ts, nil) // a signal may end it early, for one piece
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.ended:
	}
}

// Cut breaks all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// keep notes a connection for Cut; it is closed at once when the proxy has ended.
func (p *Proxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	if p.closed {
		c.Close()
	}
}

func (p *Proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	c.Close()
}

func (p *Proxy) serve(client net.Conn) {
	p.keep(client)
	defer p.forget(client)
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	p.keep(server)
	defer p.forget(server)

	var asked, silent atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	answers := make(chan piece, piecesUnderWay)
	wg.Go(func() {
		defer close(answers)
		b := make([]byte, 64<<10)
		for {
			n, err := server.Read(b)
			if n > 0 && !silent.Load() {
				answers <- piece{bytes.Clone(b[:n]), time.Now().Add(time.Duration(p.delay.Load()))}
			}
			if err != nil {
				return
			}
		}
	})
	wg.Go(func() {
		defer server.Close()
		defer client.Close()
		var err error
		for a := range answers {
			if p.await(a.due); err == nil {
				asked.Store(false)
				_, err = client.Write(a.data)
			}
			if err != nil {
				server.Close() // and the rest is nobody's
			}
		}
	})
	defer client.Close()
	defer server.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := client.Read(b)
		if n > 0 {
			if !asked.Swap(true) {
				p.trips.Add(1)
			}
			verdict := Pass
			if judge := p.judge.Load(); judge != nil {
				verdict = (*judge)(b[:n])
			}
			switch verdict {
			case Lose:
				return
			case Mute:
				silent.Store(true)
			case Stall:
				for err == nil {
					_, err = client.Read(b)
				}
				return
			}
			if _, err := server.Write(b[:n]); err != nil {
				return
			}
			if verdict == Mute {
				// The server ends when it has done everything; then the client is cut off.
				_ = server.(*net.TCPConn).CloseWrite()
				wg.Wait()
				return
			}
		}
		if err != nil {
			return
		}
	}
}
