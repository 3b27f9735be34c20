package farlink

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// echo answers with what it is sent.
func echo(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		work.Wait()
	})
	return l
}

func open(t *testing.T, o Options) (*Link, net.Conn) {
	t.Helper()
	l, err := Open("tcp", echo(t).Addr().String(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return l, c
}

func TestDelay(t *testing.T) {
	const delay = 40 * time.Millisecond
	_, c := open(t, Options{Delay: delay, Bandwidth: 100 << 20})
	sent := bytes.Repeat([]byte("0123456789"), 50_000)
	go func() { _, _ = c.Write(sent) }()
	begin := time.Now()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%v, or other bytes", err)
	}
	if took := time.Since(begin); took < delay { // more can be anything
		t.Errorf("an answer after %s", took)
	}
}

func TestErrors(t *testing.T) {
	_, c := open(t, Options{Errors: 1})
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection did not break")
	}
}

func TestClose(t *testing.T) {
	l, c := open(t, Options{Delay: time.Hour})
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection outlives its link")
	}
}
