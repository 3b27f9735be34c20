package redis

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// TestSeenAtOnce: what another client has changed is seen by whoever looks after that client's change has returned,
// also from memory.
func TestSeenAtOnce(t *testing.T) {
	url := start(t).empty()
	for name, o := range map[string]Options{"all is remembered": {}, "little is remembered": {Hints: 2}} {
		t.Run(name, func(t *testing.T) {
			o.lookEvery = time.Hour
			e, other := open(t, url, o), open(t, url, Options{})
			withDir(t, other, 1)
			for n := range uint64(300) {
				// An answer that is on its way to e when the change happens may hold up the news of it.
				if _, err := e.tracker.get().do(t.Context(), nil, []string{"PING"}); err != nil {
					t.Fatal(err)
				}
				setLength(t, other, 5, n)
				if got, _ := attrOf(t, e, 5); got.Length != n {
					t.Fatalf("length %d after a change to %d", got.Length, n)
				}
				makeFile(t, other, 1, "f", 5)
				if found(t, e, 1, "f") == 0 {
					t.Fatalf("round %d: a new entry is not seen", n)
				}
				removeFile(t, other, 1, "f", 5)
				if found(t, e, 1, "f") != 0 {
					t.Fatalf("round %d: a removed entry is seen", n)
				}
			}
		})
	}
}

// TestSeenAfterKill: nothing is answered from memory when the connection has ended on which changes are told, even
// if nobody has noticed that yet.
func TestSeenAfterKill(t *testing.T) {
	url := start(t).empty()
	e, other := open(t, url, Options{}), open(t, url, Options{})
	for n := range uint64(15) {
		coherent(t, e)
		attrOf(t, e, 5)
		kill(t, e, other)
		setLength(t, other, 5, n)
		if got, _ := attrOf(t, e, 5); got.Length != n {
			t.Fatalf("length %d after a change to %d", got.Length, n)
		}
	}
}

// TestCatchUpWaits: a look waits for news that have arrived and that somebody else is still processing.
func TestCatchUpWaits(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	var heard atomic.Bool
	l, s := newScripted(t, func(reply) {
		close(begun)
		<-goOn
		heard.Store(true)
	})
	s.say(">1\r\n+news\r\n")
	<-begun
	waiting := func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.caught != nil
	}
	done := make(chan bool)
	go func() { done <- l.catchUp(context.Background()) }()
	for !waiting() {
		select {
		case <-done:
			t.Fatal("does not wait")
		default:
		}
	}
	close(goOn)
	if ok := <-done; ok && !heard.Load() {
		t.Error("does not wait long enough")
	}

	ended, end := context.WithCancel(t.Context())
	end()
	l.src.socket.busy.Store(true) // as if it took long
	if l.catchUp(ended) {
		t.Error("relies on a memory that is behind")
	}
	if l.catchUp(t.Context()) {
		t.Error("relies on a memory that is behind, with time")
	}
}
