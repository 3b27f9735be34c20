package tikv

import (
	"context"
	"crypto/tls"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// safePointTime bounds one look at the safe point, which the client takes every few seconds.
const safePointTime = 5 * time.Second

// safePoints reads where the history of the cluster begins, from the etcd inside of PD. The client library has the
// same, which writes to standard error.
type safePoints struct{ etcd *clientv3.Client }

func newSafePoints(life context.Context, t target, o Options) (*safePoints, error) {
	var secure *tls.Config
	scheme := "http://"
	if t.security.ClusterSSLCA != "" {
		var err error
		if secure, err = t.security.ToTLSConfig(); err != nil {
			return nil, err
		}
		scheme = "https://"
	}
	var endpoints []string
	for _, h := range t.hosts {
		endpoints = append(endpoints, scheme+h)
	}
	c, err := clientv3.New(clientv3.Config{
		Context:              life,
		Endpoints:            endpoints,
		TLS:                  secure,
		AutoSyncInterval:     30 * time.Second, // PDs come and go
		DialTimeout:          o.DialTimeout,
		DialKeepAliveTime:    keepAlive,
		DialKeepAliveTimeout: keepAliveTimeout,
		Logger:               zap.NewNop(),
	})
	if err != nil {
		return nil, err
	}
	return &safePoints{c}, nil
}

func (s *safePoints) Put(key, value string) error {
	ctx, cancel := context.WithTimeout(context.Background(), safePointTime)
	defer cancel()
	_, err := s.etcd.Put(ctx, key, value)
	return err
}

func (s *safePoints) Get(key string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), safePointTime)
	defer cancel()
	resp, err := s.etcd.Get(ctx, key)
	if err != nil || len(resp.Kvs) == 0 {
		return "", err
	}
	return string(resp.Kvs[0].Value), nil
}

func (s *safePoints) GetWithPrefix(prefix string) ([]*mvccpb.KeyValue, error) {
	ctx, cancel := context.WithTimeout(context.Background(), safePointTime)
	defer cancel()
	resp, err := s.etcd.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	return resp.Kvs, nil
}

func (s *safePoints) Close() error {
	_ = s.etcd.Close() // it may complain that its context has ended
	return nil
}
