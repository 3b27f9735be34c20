// Package tikv is a key space in a TiKV cluster.
//
// Transactions are optimistic, with TiKV's one-phase and asynchronous commits. TiKV notices that two of them write one
// key; so that it also notices a change of what was only read, a commit locks those keys. Ranges are not checked.
//
// Keys are those of official clients: the name in the URL's path without the leading "/", a byte 0xFD, and the key of
// the volume format. TiKV stores no empty values; where the format has one (an extended attribute), emptyValue
// stands for it.
package tikv

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/pingcap/log"
	"github.com/tikv/client-go/v2/oracle"
	client "github.com/tikv/client-go/v2/tikv"
	pd "github.com/tikv/pd/client"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"jfs/meta/tkv"
)

const (
	defaultDialTimeout = 5 * time.Second
	defaultTimeout     = 10 * time.Second

	lookAgain = 100 * time.Millisecond // between two looks for a PD

	keepAlive        = 10 * time.Second
	keepAliveTimeout = 5 * time.Second
)

// Options tune a store; the zero value works.
type Options struct {
	DialTimeout time.Duration // for the first contact; 0 means 5 s
	Timeout     time.Duration // bounds each call; servers that restart are waited for as long; 0 means 10 s
	// Log gets warnings about usage counters that cannot be written; nil: nobody does. The client's own messages
	// are dropped: what matters comes as an error.
	Log *slog.Logger
}

// Store is a key space in TiKV.
type Store struct {
	client  *client.KVStore
	timeout time.Duration
	keep    time.Duration  // history that Collect leaves; 0: it does nothing
	calls   sync.WaitGroup // that could not be called off
	stop    context.CancelFunc
	end     func() error
}

var (
	_ tkv.Store     = (*Store)(nil)
	_ tkv.Collector = (*Store)(nil)
)

// Open connects to the volume of a URL:
//
//	tikv://pd[:2379][,pd[:2379]...][/name][?ca=&cert=&key=&verify-cn=&gc-interval=3h]
//
// It returns when ctx ends, at the latest after the dial timeout.
func Open(ctx context.Context, url string, o Options) (*tkv.Engine, error) {
	t, err := parse(url)
	if err != nil {
		return nil, err
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = defaultDialTimeout
	}
	c, stop, err := dial(ctx, t, o)
	if err != nil {
		return nil, fmt.Errorf("connect to tikv at %s: %w", t, err)
	}
	s := New(c, o)
	s.keep, s.stop = t.keep, stop
	return tkv.New(tkv.WithPrefix(s, t.prefix), tkv.Options{Log: o.Log}), nil
}

// New makes a store of a client that is connected already. Close of the store closes the client.
func New(c *client.KVStore, o Options) *Store {
	s := &Store{client: c, timeout: o.Timeout, stop: func() {}}
	if s.timeout <= 0 {
		s.timeout = defaultTimeout
	}
	s.end = sync.OnceValue(func() error {
		err := s.client.Close()
		s.stop()
		s.calls.Wait()
		return err
	})
	return s
}

// dial makes the client. Its parts live as long as the context that stop ends.
func dial(ctx context.Context, t target, o Options) (c *client.KVStore, stop context.CancelFunc, err error) {
	quiet()
	life, end := context.WithCancel(context.Background())
	within, cancel := context.WithTimeout(ctx, o.DialTimeout)
	defer cancel()
	defer context.AfterFunc(within, end)()
	defer func() {
		if err != nil {
			end()
			err = connectError(ctx, within, o, err)
		}
	}()
	// The client leaves connections behind that try for ever when it finds no PD, so look first.
	if err := anyListens(within, t.hosts); err != nil {
		return nil, nil, err
	}
	security := pd.SecurityOption{CAPath: t.security.ClusterSSLCA, CertPath: t.security.ClusterSSLCert, KeyPath: t.security.ClusterSSLKey}
	alive := keepalive.ClientParameters{Time: keepAlive, Timeout: keepAliveTimeout}
	placement, err := pd.NewClientWithContext(life, t.hosts, security, pd.WithGRPCDialOptions(grpc.WithKeepaliveParams(alive)),
		pd.WithCustomTimeoutOption(o.DialTimeout))
	if err != nil {
		return nil, nil, err
	}
	safe, err := newSafePoints(life, t, o)
	if err != nil {
		placement.Close()
		return nil, nil, err
	}
	coded := &client.CodecPDClient{Client: placement}
	name := fmt.Sprintf("tikv-%d", placement.GetClusterID(within))
	c, err = client.NewKVStore(name, coded, safe, client.NewRPCClient(client.WithSecurity(t.security)))
	if err != nil {
		placement.Close()
		_ = safe.Close()
		return nil, nil, err
	}
	return c, end, nil
}

// anyListens waits for one of the hosts to take a connection.
func anyListens(ctx context.Context, hosts []string) error {
	for {
		var failed error
		for _, h := range hosts {
			var d net.Dialer
			conn, err := d.DialContext(ctx, "tcp", h)
			if err == nil {
				return conn.Close()
			}
			failed = err
		}
		t := time.NewTimer(lookAgain)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return failed
		}
	}
}

// quiet turns off the messages of the client libraries, which go through one logger of the process.
func quiet() {
	core := zapcore.NewNopCore()
	log.ReplaceGlobals(zap.New(core), &log.ZapProperties{Core: core, Level: zap.NewAtomicLevelAt(zap.FatalLevel)})
}

// Name is "tikv".
func (s *Store) Name() string { return "tikv" }

// Close ends the connections.
func (s *Store) Close() error { return s.end() }

// Begin asks for a time stamp, which is what a snapshot is.
func (s *Store) Begin(ctx context.Context) (tkv.Txn, error) {
	within, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	ts, err := s.client.GetOracle().GetTimestamp(within, &oracle.Option{TxnScope: oracle.GlobalTxnScope})
	if err != nil {
		return nil, readError(ctx, within, err)
	}
	return &txn{
		snapshot: snapshot{store: s, ts: ts, view: s.client.GetSnapshot(ts)},
		read:     map[string]bool{}, writes: map[string][]byte{},
	}, nil
}

// Collect lets the servers remove values that were replaced long ago. Every client of the cluster that keeps less
// decides for all.
func (s *Store) Collect(ctx context.Context) error {
	if s.keep <= 0 {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	now, err := s.client.GetOracle().GetTimestamp(within, &oracle.Option{TxnScope: oracle.GlobalTxnScope})
	if err != nil {
		return readError(ctx, within, err)
	}
	_, err = s.client.GC(ctx, oracle.GoTimeToTS(oracle.GetTimeFromTS(now).Add(-s.keep)))
	if err != nil {
		return readError(ctx, ctx, err)
	}
	return nil
}

// bounded runs a call of the client that knows no context. It returns when ctx ends; Close waits for the call, which the
// client ends by itself.
func (s *Store) bounded(ctx context.Context, call func() error) error {
	done := make(chan error, 1)
	s.calls.Go(func() { done <- call() })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
