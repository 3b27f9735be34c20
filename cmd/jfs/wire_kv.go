package main

import (
	"context"

	"jfs/meta"
	"jfs/meta/tkv/badger"
	"jfs/meta/tkv/etcd"
	"jfs/meta/tkv/tikv"
)

// openKeySpace connects to a database of ordered keys. onTrip is told of requests to etcd; nil: nobody is.
func (a *app) openKeySpace(ctx context.Context, scheme, url, password string, onTrip func()) (meta.Engine, error) {
	switch scheme {
	case "etcd":
		o := etcd.Options{Password: password, Log: a.log}
		if onTrip != nil {
			o.OnCall = func(string) { onTrip() }
		}
		return opened(etcd.Open(ctx, url, o))
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
