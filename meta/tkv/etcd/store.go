// Package etcd is a key space in an etcd cluster, version 3.4 or later.
//
// A transaction reads one revision and commits by a single etcd transaction that compares the revisions of what it
// has read, so it is serialisable, ranges included. What rests on more keys than servers compare at once (128 unless
// they were told another number) is the exception: see commitParts. Its keys are those of official clients: the path of the URL with
// its leading "/", a byte 0xFD, and the key of the volume format.
package etcd

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"jfs/meta/tkv"
	"jfs/meta/tkv/internal/grace"
)

const (
	defaultDialTimeout = 5 * time.Second
	defaultTimeout     = 10 * time.Second
	// defaultMaxOps is --max-txn-ops of a server that was told nothing else.
	defaultMaxOps = 128
	// maxSend is the size of a request in bytes from which on the client refuses it. Far above what servers take, so that
	// they decide (--max-request-bytes).
	maxSend = 64 << 20
	// keepAlive is the time after which an idle connection is tested, and keepAliveTimeout what the server gets for the
	// answer. Servers throw out clients that ask more often than every five seconds.
	keepAlive        = 10 * time.Second
	keepAliveTimeout = 5 * time.Second
)

// Options tune a store; the zero value works.
type Options struct {
	Password    string        // of the user in the URL, where the URL has none
	DialTimeout time.Duration // for the first contact; 0 means 5 s
	// Timeout bounds each call. A server that restarts is waited for as long. 0 means 10 s.
	Timeout time.Duration
	// MaxOps is the servers' --max-txn-ops; 0 means 128. The parameter max-txn-ops of the URL counts more.
	MaxOps int
	Log    *slog.Logger      // gets warnings about usage counters that cannot be written; nil: nobody does
	OnCall func(call string) // is told the name of each request before it is sent ("Range", "Txn"); nil: nobody is
}

// Store is a key space in etcd.
type Store struct {
	client  *clientv3.Client
	stop    context.CancelFunc // ends the client
	timeout time.Duration
	away    atomic.Bool // the last call got no answer in its time
	maxOps  int
}

var _ tkv.Store = (*Store)(nil)

// Open connects to the volume of a URL:
//
//	etcd://[user[:password]@]host[:2379][,host[:2379]...][/prefix][?cacert=&cert=&key=&server-name=&insecure-skip-verify=1&max-txn-ops=128]
//
// It returns when ctx ends, at the latest after the dial timeout.
func Open(ctx context.Context, url string, o Options) (*tkv.Engine, error) {
	t, err := parse(url, o)
	if err != nil {
		return nil, err
	}
	s, err := dial(ctx, t, o)
	if err != nil {
		return nil, err
	}
	return tkv.New(tkv.WithPrefix(s, t.prefix), tkv.Options{Log: o.Log}), nil
}

func dial(ctx context.Context, t target, o Options) (*Store, error) {
	if o.DialTimeout <= 0 {
		o.DialTimeout = defaultDialTimeout
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	// The client lives as long as its context; while it is being made, that ends with the caller's.
	life, stop := context.WithCancel(context.Background())
	defer context.AfterFunc(ctx, stop)()
	config := clientv3.Config{
		Context:              life,
		Endpoints:            t.endpoints,
		Username:             t.user,
		Password:             t.password,
		TLS:                  t.tls,
		DialTimeout:          o.DialTimeout,
		DialKeepAliveTime:    keepAlive,
		DialKeepAliveTimeout: keepAliveTimeout,
		MaxCallSendMsgSize:   maxSend,
		MaxCallRecvMsgSize:   1<<31 - 1,
		Logger:               zap.NewNop(), // what matters comes as an error
		DialOptions:          []grpc.DialOption{grpc.WithStatsHandler(sentMarker{}), grpc.WithNoProxy(), grpc.WithConnectParams(reconnect(o.DialTimeout))},
	}
	if o.OnCall != nil {
		config.DialOptions = append(config.DialOptions, grpc.WithChainUnaryInterceptor(counting(o.OnCall)))
	}
	client, err := clientv3.New(config)
	if err != nil {
		stop()
		return nil, connectError(t, o, first(ctx.Err(), err))
	}
	s := &Store{client: client, stop: stop, timeout: o.Timeout, maxOps: t.maxOps}
	asking, cancel := context.WithTimeout(ctx, o.DialTimeout)
	defer cancel()
	// Any answer will do; this one also shows whether the user may read the volume.
	if _, err := client.Get(asking, t.prefix+"setting", clientv3.WithCountOnly()); err != nil {
		_ = s.Close()
		return nil, connectError(t, o, first(ctx.Err(), err))
	}
	return s, nil
}

// reconnect says how often a server that is gone is looked for. By default that becomes as rare as every two minutes.
func reconnect(dial time.Duration) grpc.ConnectParams {
	return grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
		MinConnectTimeout: dial,
	}
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Name is "etcd".
func (s *Store) Name() string { return "etcd" }

// Close ends the connections.
func (s *Store) Close() error {
	s.stop()
	_ = s.client.Close() // it complains that its context has ended
	return nil
}

// Begin costs no request: the first read fixes the revision.
func (s *Store) Begin(ctx context.Context) (tkv.Txn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &txn{snapshot: snapshot{store: s}, read: map[string]int64{}, writes: map[string][]byte{}}, nil
}

// call runs a request that only reads, within the time that each gets.
func (s *Store) call(ctx context.Context, do func(context.Context) error) error {
	within, cancel := context.WithTimeout(ctx, s.limit())
	defer cancel()
	err := do(within)
	s.note(ctx, err)
	if err != nil {
		return readError(ctx, err)
	}
	return nil
}

// commit runs a transaction that writes, once.
func (s *Store) commit(ctx context.Context, op clientv3.Op) (*clientv3.TxnResponse, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	within, cancel := grace.Context(ctx, s.limit())
	defer cancel()
	var sent sentFlag
	resp, err := s.client.Do(sent.in(within), op)
	s.note(ctx, err)
	if err != nil {
		return nil, commitError(ctx, err, sent.Load())
	}
	return resp.Txn(), nil
}

// counting tells the name of each request, without that of its service.
func counting(tell func(string)) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		tell(lastPart(method))
		return invoke(ctx, method, req, reply, conn, opts...)
	}
}
