package main

import (
	"context"
	"errors"
	"time"

	"jfs/meta"
)

// closeTime is what a command gets to flush what it has changed when it ends.
const closeTime = time.Minute

// withVolume runs fn on the volume of a META-URL, without a session: no other client sees this one.
func (a *app) withVolume(ctx context.Context, url string, o meta.Options, fn func(*meta.Volume) error) (err error) {
	var parts closer
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		err = errors.Join(err, parts.close(end, a.log))
	}()
	v, err := a.openVolume(ctx, url, o, &parts)
	if err != nil {
		return err
	}
	return fn(v)
}

// openVolume opens the metadata only. What parts holds afterwards, also after a failure, has to be closed.
func (a *app) openVolume(ctx context.Context, url string, o meta.Options, parts *closer) (*meta.Volume, error) {
	engine, err := a.openMeta(ctx, url)
	if err != nil {
		return nil, err
	}
	parts.add("database", plain(engine.Close))
	o.Log = a.log
	o.SkipDirMtime = -1
	v, err := meta.Open(ctx, engine, o)
	if err != nil {
		return nil, explainUnformatted(err, url)
	}
	parts.add("volume", v.Close)
	return v, nil
}
