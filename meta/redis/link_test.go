package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"jfs/meta"
)

// scripted is a server whose answers a test writes.
type scripted struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

// newScripted gives a link and the server at its other end.
func newScripted(t *testing.T, onPush func(reply)) (*link, *scripted) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if conn, err = newSocket(conn); err != nil {
		t.Fatal(err)
	}
	l := newLink(conn, onPush)
	t.Cleanup(func() {
		_ = other.Close()
		l.close()
	})
	return l, &scripted{Conn: other, t: t, in: bufio.NewReader(other)}
}

// command waits for a command and gives its first word.
func (s *scripted) command() string {
	s.t.Helper()
	m, err := readReply(s.in)
	if err != nil || m.kind != replyList {
		s.t.Errorf("command %+v: %v", m, err)
		return ""
	}
	return m.list[0].text
}

func (s *scripted) say(text string) {
	s.t.Helper()
	if _, err := s.Write([]byte(text)); err != nil {
		s.t.Error(err)
	}
}

func TestLinkKeepsTheOrder(t *testing.T) {
	var mu sync.Mutex
	var order []string
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, s)
	}
	l, s := newScripted(t, func(p reply) { note("push " + p.list[0].text) })
	for i := range 50 {
		go func() {
			s.command()
			s.say(">1\r\n+before\r\n+answer\r\n>1\r\n+after\r\n")
		}()
		order = nil
		if _, err := l.do(t.Context(), func([]reply) { note("answer") }, []string{"GET"}); err != nil {
			t.Fatal(err)
		}
		for late := time.Now().Add(10 * time.Second); ; {
			l.catchUp(t.Context())
			mu.Lock()
			got := slices.Clone(order)
			mu.Unlock()
			if slices.Equal(got, []string{"push before", "answer", "push after"}) {
				break
			}
			if time.Now().After(late) {
				t.Fatalf("round %d: %q", i, got)
			}
		}
	}
}

// TestLinkPushWhileIdle: what the server tells is noticed although nobody asks for anything.
func TestLinkPushWhileIdle(t *testing.T) {
	told := make(chan string, 1)
	l, s := newScripted(t, func(p reply) { told <- p.list[0].text })
	s.say(">1\r\n+first\r\n")
	if got := <-told; got != "first" {
		t.Errorf("told %q", got)
	}
	go func() {
		s.command()
		s.say("+answer\r\n")
	}()
	if _, err := l.do(t.Context(), nil, []string{"GET"}); err != nil {
		t.Fatal(err)
	}
	s.say(">1\r\n+second\r\n")
	if got := <-told; got != "second" {
		t.Errorf("told %q", got)
	}
}

// TestLinkInterrupted: a caller that gives up leaves its answer to others, in the right place.
func TestLinkInterrupted(t *testing.T) {
	l, s := newScripted(t, func(reply) {})
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		late := make(chan string, 1)
		go func() {
			s.command()
			cancel()
		}()
		if _, err := l.do(ctx, func(a []reply) { late <- a[0].text }, []string{"GET"}); !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted call: %v", err)
		}
		go func() {
			s.say("$5\r\nla")
			s.say("te!\r\n")
			s.command()
			s.say("+next\r\n")
		}()
		answers, err := l.do(t.Context(), nil, []string{"GET"})
		if err != nil || answers[0].text != "next" {
			t.Fatalf("next call: %+v, %v", answers, err)
		}
		if got := <-late; got != "late!" {
			t.Errorf("late answer %q", got)
		}
	}
}

func TestLinkManyCallers(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	l := e.tracker.get()
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 200 {
				want := fmt.Sprint(w, ".", i)
				ctx, cancel := context.WithCancel(t.Context())
				if (w+i)%7 == 0 {
					go cancel()
				}
				answers, err := l.do(ctx, nil, []string{"ECHO", want}, []string{"ECHO", want})
				switch {
				case errors.Is(err, context.Canceled):
				case err != nil || answers[0].text != want || answers[1].text != want:
					t.Errorf("%s: %+v, %v", want, answers, err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
}

func TestLinkEnds(t *testing.T) {
	for name, last := range map[string]string{"closed": "", "garbage": "nonsense\r\n", "unasked": "+OK\r\n+OK\r\n"} {
		l, s := newScripted(t, func(reply) {})
		go func() {
			s.command()
			s.say(last)
			s.Close()
		}()
		_, err := l.do(t.Context(), nil, []string{"GET"})
		if name != "unasked" && (err == nil || errors.Is(err, errUnsent)) {
			t.Errorf("%s: %v", name, err)
		}
		<-l.dead
		if _, err := l.do(t.Context(), nil, []string{"GET"}); !errors.Is(err, errUnsent) {
			t.Errorf("%s, next call: %v", name, err)
		}
	}
}

// TestServerPauses: what is remembered does not count while the server does not answer, and does again when it has
// told what it had to.
func TestServerPauses(t *testing.T) {
	s := start(t)
	e := open(t, "redis://"+s.addr+"/1", Options{lookEvery: 20 * time.Millisecond})
	other := open(t, "redis://"+s.addr+"/1", Options{})
	setLength(t, other, 5, 1)
	attrOf(t, e, 5)
	told := listen(t, e)
	raw(t, other, "CLIENT", "PAUSE", "400", "ALL")
	told.wait(meta.Notice{All: true})
	if e.Coherent() {
		t.Error("relies on a server that does not answer")
	}
	coherent(t, e)
	for i := range uint64(3) {
		setLength(t, other, 5, 2+i)
		if got, _ := attrOf(t, e, 5); got.Length > 2+i {
			t.Errorf("length %s", strconv.FormatUint(got.Length, 10))
		}
	}
	told.wait(meta.Notice{Ino: 5})
	if got, _ := attrOf(t, e, 5); got.Length != 4 {
		t.Errorf("length %d", got.Length)
	}
}
