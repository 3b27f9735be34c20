package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// cancelGrace is how long a change that is under way is waited for after its context was cancelled. A server
// that is well answers much sooner; then an interrupted application learns what became of its change.
const cancelGrace = time.Second

// client is the connections to a server. It counts round trips and bounds each in time.
type client struct {
	rueidis.Client         // for whoever comes while the direct connection is in use: pipelined connections
	direct         *direct // for one caller at a time
	timeout        time.Duration
	onTrip         func(commands int)
}

// idleTest is the time after which the system tests an idle connection.
const idleTest = 15 * time.Second

// dial connects. It returns when ctx ends, at the latest after a few times o.DialTimeout.
func dial(ctx context.Context, t target, o Options) (*client, error) {
	// The context of Open ends the dialling of Open only; later connections have their own.
	var opened atomic.Bool
	defer opened.Store(true)
	shared := t.options(o)
	// A goroutine that always reads sees at once that a connection has ended, instead of at the next change,
	// whose outcome would then be unknown.
	shared.AlwaysPipelining = true
	shared.DialCtxFn = func(own context.Context, _ string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
		if !opened.Load() {
			own = ctx
		}
		return t.dial(own, o, asItIs)
	}
	c, err := newClient(t, shared)
	if err != nil {
		return nil, err
	}
	d := &direct{user: ctx}
	own := t.options(o)
	own.PipelineMultiplex = -1 // one connection
	own.Dialer.KeepAlive = -1  // no PING of the client's own, which would need its goroutines
	own.ConnWriteTimeout *= 2  // each trip has a deadline that is earlier
	own.DialCtxFn = func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error) {
		return d.dial(func(ctx context.Context, made madeFunc) (net.Conn, error) { return t.dial(ctx, o, made) })
	}
	if d.client, err = newClient(t, own); err != nil {
		c.Close()
		return nil, err
	}
	return &client{Client: c, direct: d, timeout: o.Timeout, onTrip: o.OnTrip}, nil
}

func newClient(t target, o rueidis.ClientOption) (rueidis.Client, error) {
	c, err := rueidis.NewClient(o)
	if err != nil {
		if c != nil {
			c.Close()
		}
		return nil, connectError(t, err)
	}
	return c, nil
}

// Close ends all connections.
func (c *client) Close() {
	c.direct.client.Close()
	c.Client.Close()
}

// options says how to connect.
func (t target) options(o Options) rueidis.ClientOption {
	return rueidis.ClientOption{
		InitAddress:         []string{t.addr},
		Username:            t.user,
		Password:            t.password,
		SelectDB:            t.db,
		Dialer:              net.Dialer{Timeout: o.DialTimeout, KeepAlive: o.Timeout},
		ConnWriteTimeout:    o.Timeout,
		ReadBufferEachConn:  64 << 10,
		WriteBufferEachConn: 64 << 10,
		ClientSetInfo:       rueidis.DisableClientSetInfo,
		ForceSingleClient:   true,
		// A change must never be sent twice without our knowing; reads are repeated by query.
		DisableRetry: true,
		DisableCache: true,
	}
}

// dialFunc makes a connection. What made gives for the socket is used in its place, and gets anything that is sent.
type dialFunc func(ctx context.Context, made madeFunc) (net.Conn, error)

type madeFunc func(net.Conn) (net.Conn, error)

func asItIs(c net.Conn) (net.Conn, error) { return c, nil }

func (t target) dial(ctx context.Context, o Options, made madeFunc) (net.Conn, error) {
	d := net.Dialer{Timeout: o.DialTimeout, KeepAlive: idleTest}
	c, err := d.DialContext(ctx, t.network, t.addr)
	if err != nil {
		return nil, err
	}
	if c, err = made(c); err != nil {
		return nil, err
	}
	if t.tls == nil {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
	defer cancel()
	s := tls.Client(c, t.tls)
	if err := s.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// connectError adds what to do to the errors of a first connection.
func connectError(t target, err error) error {
	var dns *net.DNSError
	switch code(err) {
	case "WRONGPASS":
		return fmt.Errorf("connect to redis at %s: wrong user or password, see the URL and META_PASSWORD: %w", t.addr, err)
	case "NOAUTH":
		return fmt.Errorf("connect to redis at %s: the server wants a password, give it in META_PASSWORD: %w", t.addr, err)
	case "NOPERM":
		return fmt.Errorf("connect to redis at %s: the user may not do what a metadata client does, see its ACL: %w", t.addr, err)
	}
	switch {
	case code(err) != "" && t.db != 0: // what is left of the first commands is SELECT
		return fmt.Errorf("connect to redis at %s: open database %d (the server's setting \"databases\" gives their number): %w", t.addr, t.db, err)
	case errors.As(err, &dns):
		return fmt.Errorf("connect to redis at %s: the host name is not known, check the URL: %w", t.addr, err)
	case unsent(err):
		return fmt.Errorf("connect to redis at %s: is the server running, and the address right? %w", t.addr, err)
	}
	return fmt.Errorf("connect to redis at %s: %w", t.addr, err)
}

// query sends commands that only read, as one trip, and repeats them while the failure is one that passes.
// Every result it returns is an answer or nil.
func (c *client) query(ctx context.Context, build func(rueidis.Builder) []rueidis.Completed) ([]rueidis.RedisResult, error) {
	for attempt := 1; ; attempt++ {
		out := c.trip(ctx, build(c.B())...)
		err := firstError(out)
		if err == nil {
			return out, nil
		}
		if !passes(err, attempt, true) {
			return nil, err
		}
		if err := pause(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

// query1 is query for one command.
func (c *client) query1(ctx context.Context, build func(rueidis.Builder) rueidis.Completed) (rueidis.RedisResult, error) {
	out, err := c.query(ctx, func(b rueidis.Builder) []rueidis.Completed { return []rueidis.Completed{build(b)} })
	if err != nil {
		return rueidis.RedisResult{}, err
	}
	return out[0], nil
}

// trip sends commands once.
func (c *client) trip(ctx context.Context, cmds ...rueidis.Completed) []rueidis.RedisResult {
	if err := ctx.Err(); err != nil { // it would be noticed later, when the server may have the commands
		out := make([]rueidis.RedisResult, len(cmds))
		for i := range out {
			out[i] = rueidis.NewErrorResult(err)
		}
		return out
	}
	if c.onTrip != nil {
		c.onTrip(len(cmds))
	}
	if out := c.direct.try(ctx, c.timeout, cmds); out != nil {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if len(cmds) == 1 {
		return []rueidis.RedisResult{c.Do(ctx, cmds[0])}
	}
	return c.DoMulti(ctx, cmds...)
}

// firstError is the first error of the results that is not just nil.
func firstError(out []rueidis.RedisResult) error {
	for _, r := range out {
		if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
			return err
		}
	}
	return nil
}

// underWay gives a context that outlives a cancelled one by cancelGrace.
func (c *client) underWay(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Done() == nil {
		return ctx, func() {}
	}
	long, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var grace *time.Timer
	armed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		grace = time.AfterFunc(cancelGrace, cancel)
		close(armed)
	})
	return long, func() {
		if !stop() {
			<-armed
			grace.Stop()
		}
		cancel()
	}
}
