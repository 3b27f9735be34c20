// Package farlink stands between a client and a server of this network and makes the way between them long: answers come
// late, bytes pass slowly, and connections break. It is for measurements on one machine.
package farlink

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Options say how long the way is. The zero value is no way.
type Options struct {
	Delay     time.Duration // that an answer comes later; half of it on the way there
	Bandwidth int64         // bytes a second in each direction, of all connections together; 0: no limit
	Errors    float64       // share of the messages of clients with which the connection breaks, from 0 to 1
}

// Link is a way to a server.
type Link struct {
	target   string
	network  string
	listener net.Listener
	o        Options
	there    *rate.Limiter // nil: no limit
	back     *rate.Limiter
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup
}

const (
	piece = 64 << 10 // bytes that are read at a time
	// under is how many pieces are on the way in one direction of a connection; more wait with the sender.
	under    = 256
	dialTime = 10 * time.Second
)

// Open makes a way to the server at an address. Clients connect to Addr.
func Open(network, target string, o Options) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for clients of %s: %w", target, err)
	}
	l := &Link{target: target, network: network, listener: listener, o: o}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if o.Bandwidth > 0 {
		l.there = rate.NewLimiter(rate.Limit(o.Bandwidth), piece)
		l.back = rate.NewLimiter(rate.Limit(o.Bandwidth), piece)
	}
	l.work.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // it was closed
			}
			l.work.Go(func() { l.serve(client) })
		}
	})
	return l, nil
}

// Addr is where clients connect to.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Close breaks all connections.
func (l *Link) Close() error {
	l.cancel()
	err := l.listener.Close()
	l.work.Wait()
	return err
}

// serve carries one connection. A connection takes as long as an answer to come to be.
func (l *Link) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // whatever becomes of it
	if !l.pause(time.Now().Add(l.o.Delay)) {
		return
	}
	d := net.Dialer{Timeout: dialTime}
	server, err := d.DialContext(l.ctx, l.network, l.target)
	if err != nil {
		return // the client sees a connection that breaks
	}
	defer server.Close() //nolint:errcheck // as above
	ctx, broken := context.WithCancel(l.ctx)
	defer broken()
	stop := context.AfterFunc(ctx, func() { // ends what reads and writes
		_ = client.Close()
		_ = server.Close()
	})
	defer stop()
	var both sync.WaitGroup
	both.Go(func() {
		l.carry(ctx, server, client, l.there, l.o.Delay/2, l.o.Errors)
		broken()
	})
	both.Go(func() {
		l.carry(ctx, client, server, l.back, l.o.Delay-l.o.Delay/2, 0)
		broken()
	})
	both.Wait()
}

// message is bytes on the way.
type message struct {
	due   time.Time
	bytes []byte
}

// carry brings bytes from one end to the other, each a delay after it was sent, so that what is sent together arrives
// together.
func (l *Link) carry(ctx context.Context, to io.Writer, from io.Reader, limit *rate.Limiter, delay time.Duration, breaks float64) {
	way := make(chan message, under)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(way)
		for {
			b := make([]byte, piece)
			n, err := from.Read(b)
			if n > 0 {
				if breaks > 0 && rand.Float64() < breaks {
					return
				}
				select {
				case way <- message{time.Now().Add(delay), b[:n]}:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for m := range way {
		if limit != nil && limit.WaitN(ctx, len(m.bytes)) != nil {
			break
		}
		if !l.pause(m.due) {
			break
		}
		if _, err := to.Write(m.bytes); err != nil {
			break
		}
	}
	if c, ok := from.(io.Closer); ok {
		_ = c.Close() // lets the reader end
	}
	for range way { //nolint:revive // nobody wants the rest
	}
	reader.Wait()
}

// pause waits until a time, and says whether the link is still there.
func (l *Link) pause(until time.Time) bool {
	d := time.Until(until)
	if d <= 0 {
		return l.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}
