package main

import (
	"context"

	"jfs/meta"
	"jfs/meta/tkv/badger"
	"jfs/meta/tkv/etcd"
	"jfs/meta/tkv/tikv"
)

// openKeySpace connects to a database of ordered keys.
func (a *app) openKeySpace(ctx context.Context, scheme, url, password string) (meta.Engine, error) {
	switch scheme {
	case "etcd":
		return opened(etcd.Open(ctx, url, etcd.Options{Password: password, Log: a.log}))
	case "tikv":
		return opened(tikv.Open(ctx, url, tikv.Options{Log: a.log}))
	}
	return opened(badger.Open(ctx, url, badger.Options{Log: a.log}))
}

// opened keeps a nil engine from becoming an interface that is not nil.
func opened[E meta.Engine](e E, err error) (meta.Engine, error) {
	if err != nil {
		return nil, err
	}
	return e, nil
}
