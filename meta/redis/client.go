package redis

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
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
	where          *locator
	patience       patience
	timeout        time.Duration
	onTrip         func(commands int)
}

// idleTest is the time after which the system tests an idle connection.
const idleTest = 15 * time.Second

// dial connects. It returns when ctx ends, at the latest after a few times o.DialTimeout.
func dial(ctx context.Context, l *locator, o Options) (*client, error) {
	t := l.t
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
		return l.dial(own, asItIs)
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
		return d.dial(l.dial)
	}
	if d.client, err = newClient(t, own); err != nil {
		c.Close()
		return nil, err
	}
	return &client{Client: c, direct: d, where: l, patience: t.patience(), timeout: o.Timeout, onTrip: o.OnTrip}, nil
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
	c.where.close()
}

// options says how to connect.
func (t target) options(o Options) rueidis.ClientOption {
	return rueidis.ClientOption{
		InitAddress:         []string{t.String()}, // for messages only: the dialler knows where to go
		Username:            t.user,
		Password:            t.password,
		SelectDB:            t.selected(),
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

func (t target) dial(ctx context.Context, o Options, addr string, made madeFunc) (net.Conn, error) {
	d := net.Dialer{Timeout: o.DialTimeout, KeepAlive: idleTest}
	c, err := d.DialContext(ctx, t.network, addr)
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
	s := tls.Client(c, t.tlsFor(addr))
	if err := s.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("%w: %w with %s: %w", errUnsent, errHandshake, addr, err)
	}
	return s, nil
}

// query sends commands that only read, as one trip, and repeats them while the failure is one that passes.
// Every result it returns is an answer or nil.
func (c *client) query(ctx context.Context, build func(rueidis.Builder) []rueidis.Completed) ([]rueidis.RedisResult, error) {
	began := time.Now()
	for attempt := 1; ; attempt++ {
		out := c.trip(ctx, build(c.B())...)
		err := firstError(out)
		if err == nil {
			return out, nil
		}
		if !c.patience.allows(err, attempt, began, true) {
			return nil, explain(err)
		}
		if err := c.patience.pause(ctx, attempt); err != nil {
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
	if !c.where.moves() {
		return c.send(ctx, cmds)
	}
	words := make([][]string, len(cmds)) // which those who send it take for others
	for i := range cmds {
		words[i] = slices.Clone(cmds[i].Commands())
	}
	before := c.where.left()
	out := c.send(ctx, cmds)
	for i, r := range out {
		err := r.Error()
		if addr, ok := redirection(err, "ASK", ""); ok {
			ctx, cancel := context.WithTimeout(ctx, c.timeout)
			out[i] = c.where.asking.do(ctx, addr, words[i])
			cancel()
			continue
		}
		c.where.leave(before, err)
	}
	return out
}

// send sends commands once to where the connections lead.
func (c *client) send(ctx context.Context, cmds []rueidis.Completed) []rueidis.RedisResult {
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
