package redis

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"

	"github.com/redis/rueidis"

	"jfs/internal/sleep"
)

// start begins to watch whether the volume moves to another server. Without it that would be noticed by errors only:
// a server that has vanished from the network gives none, and one that was demoted answers reads.
func (l *locator) start(ctx context.Context) {
	if !l.moves() {
		return
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.done.Go(func() { l.watch(ctx) })
}

func (l *locator) watch(ctx context.Context) {
	var k *talk // with the Sentinel or node that has answered last
	var seed string
	hangUp := func() {
		if k != nil {
			k.conn.Close()
			k = nil
		}
	}
	defer func() { hangUp() }()
	for sleep.For(ctx, l.o.lookEvery) == nil {
		l.mu.Lock()
		at, before := l.at, l.leaves
		if k == nil {
			seed = l.known[0]
		}
		l.mu.Unlock()
		addr, err := l.look(ctx, &k, seed)
		if err != nil {
			hangUp()
			l.turn(nil)
			continue
		}
		// Who has told may be behind, so it is not believed without a proof.
		if addr != at && l.proveAt(ctx, addr) == nil {
			l.shut(&before)
		}
	}
}

// look asks where the volume is, on a connection that it makes if there is none.
func (l *locator) look(ctx context.Context, k **talk, seed string) (addr string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askIn)
	defer cancel()
	if *k == nil {
		if *k, err = l.call(ctx, seed); err != nil {
			return "", err
		}
	}
	return l.where(ctx, *k, seed)
}

func (l *locator) proveAt(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, askIn)
	defer cancel()
	c, err := l.t.dial(ctx, l.o, addr, asItIs)
	if err != nil {
		return err
	}
	defer c.Close()
	return l.prove(ctx, newTalk(c))
}

// askers are connections to nodes that are taking over a slot, for records that are there already. A node answers
// about them when it is told that its client was sent.
type askers struct {
	t target
	o Options

	asked atomic.Uint64 // commands

	mu      sync.Mutex // guards clients
	clients map[string]rueidis.Client
}

// do sends a command to a node.
func (a *askers) do(ctx context.Context, addr string, words []string) rueidis.RedisResult {
	a.asked.Add(1)
	c, err := a.client(addr)
	if err != nil {
		return rueidis.NewErrorResult(err)
	}
	return c.DoMulti(ctx, c.B().Arbitrary("ASKING").Build(), c.B().Arbitrary(words...).Build())[1]
}

func (a *askers) client(addr string) (rueidis.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.clients[addr]; c != nil {
		return c, nil
	}
	o := a.t.options(a.o)
	o.DialCtxFn = func(ctx context.Context, _ string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
		return a.t.dial(ctx, a.o, addr, asItIs)
	}
	c, err := rueidis.NewClient(o)
	if err != nil {
		if c != nil {
			c.Close()
		}
		return nil, err
	}
	if a.clients == nil {
		a.clients = make(map[string]rueidis.Client)
	}
	a.clients[addr] = c
	return c, nil
}

func (a *askers) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.clients {
		c.Close()
	}
	a.clients = nil
}
