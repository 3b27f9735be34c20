package redis

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/rueidis"
	"golang.org/x/sys/unix"
)

// direct is a connection that one caller at a time has for itself. The caller writes the request and reads the
// answer in its own goroutine, which takes half the time of handing them to the goroutines of a shared
// connection and back. Who finds it taken uses the shared connections.
type direct struct {
	mu      sync.Mutex // held by the caller that uses the connection; guards suspect and user
	client  rueidis.Client
	suspect bool                     // the connection was cut, and the client does not know that yet
	user    context.Context          // of the caller, for dialling, which the client does in the caller's goroutine
	conn    atomic.Pointer[net.Conn] // the connection under TLS
}

// limited is a context that has a deadline, which is all that the client looks at when it works in the
// caller's goroutine; a timer would cost more than it does.
type limited struct {
	context.Context
	deadline time.Time
}

func (l limited) Deadline() (time.Time, bool) { return l.deadline, true }

// try sends commands if the connection is free; nil means that it is not.
func (d *direct) try(ctx context.Context, timeout time.Duration, cmds []rueidis.Completed) []rueidis.RedisResult {
	if !d.mu.TryLock() {
		return nil
	}
	defer d.mu.Unlock()
	d.user = ctx
	until := time.Now().Add(timeout)
	if t, ok := ctx.Deadline(); ok && t.Before(until) {
		until = t
	}
	limit := limited{context.Background(), until}
	d.renew(limit)

	var cut chan struct{}
	stop := func() bool { return true }
	if ctx.Done() != nil {
		cut = make(chan struct{})
		stop = context.AfterFunc(ctx, func() {
			d.cut()
			close(cut)
		})
	}
	var out []rueidis.RedisResult
	if len(cmds) == 1 {
		out = []rueidis.RedisResult{d.client.Do(limit, cmds[0])}
	} else {
		out = d.client.DoMulti(limit, cmds...)
	}
	if !stop() { // ctx has ended, and with it the connection, perhaps after the last answer
		<-cut
		d.suspect = true
		for i, r := range out {
			if r.NonRedisError() != nil {
				out[i] = rueidis.NewErrorResult(ctx.Err())
				d.suspect = false // the client has met the end of the connection
			}
		}
	}
	return out
}

// renew makes the client give up a connection that has ended, because a change that is sent on it would fail
// as one whose outcome is unknown.
func (d *direct) renew(ctx context.Context) {
	c := d.conn.Load()
	if d.suspect || c != nil && ended(*c) {
		d.client.Do(ctx, d.client.B().Ping().Build()) // fails at once, and the next command dials
	}
	d.suspect = false
}

// cut ends the connection, or the dialling for one, under a caller that no longer waits.
func (d *direct) cut() {
	if c := d.conn.Load(); c != nil {
		(*c).Close()
	}
}

// dial makes a connection for the client under the context of the caller.
func (d *direct) dial(dial dialFunc) (net.Conn, error) {
	ctx := d.user
	return dial(ctx, func(c net.Conn) (net.Conn, error) {
		d.conn.Store(&c)
		if ctx.Err() != nil { // it was cut before there was anything to cut
			c.Close()
		}
		return c, nil
	})
}

// ended says whether the other side has closed the connection, or the network has given it up. One that the
// client itself has closed does not count.
func ended(c net.Conn) bool { return pollable(c) == endOfConnection }

// readable says what a read of a connection would meet.
type readable uint8

const (
	nothingToRead readable = iota
	somethingToRead
	endOfConnection
)

// pollable looks at the socket, under TLS that below it.
func pollable(c net.Conn) readable {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nothingToRead
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nothingToRead
	}
	found := nothingToRead
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch {
		case err == nil && n > 0:
			found = somethingToRead
		case err != unix.EAGAIN && err != unix.EINTR:
			found = endOfConnection
		}
	})
	if err != nil {
		return nothingToRead
	}
	return found
}
