package main

import (
	"context"
	"errors"
	"fmt"

	"jfs/block"
	"jfs/compress"
	"jfs/internal/bytepool"
	"jfs/internal/units"
	"jfs/maintain"
	"jfs/meta"
	"jfs/object"
)

// tool is a volume with its data, without a mount, a session and a cache: what commands work on that take a META-URL.
type tool struct {
	format meta.Format
	volume *meta.Volume
	store  object.Store
	blocks *block.Store
	pool   *bytepool.Pool
}

// toolMemory bounds the blocks that a command holds; the same as the default of a mount's --buffer-size.
const toolMemory = 300 * units.MiB

// withTool runs fn on a volume and its data. deletes is how many objects it deletes at a time.
func (a *app) withTool(ctx context.Context, url string, o meta.Options, deletes int, fn func(*tool) error) (err error) {
	var parts closer
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		err = errors.Join(err, parts.close(end, a.log))
	}()
	t, err := a.openTool(ctx, url, o, deletes, &parts)
	if err != nil {
		return err
	}
	return fn(t)
}

func (a *app) openTool(ctx context.Context, url string, o meta.Options, deletes int, parts *closer) (*tool, error) {
	engine, err := a.openMeta(ctx, url)
	if err != nil {
		return nil, err
	}
	parts.add("database", plain(engine.Close))
	t := &tool{pool: bytepool.New(toolMemory)}
	if t.format, err = a.loadFormat(ctx, engine, url); err != nil {
		return nil, err
	}
	if err := t.format.Usable(); err != nil {
		return nil, err
	}
	limits := newLimiters()
	limits.set(t.format.UploadLimit, t.format.DownloadLimit)
	if t.store, err = a.openStore(ctx, t.format, storeOptions{up: limits.up, down: limits.down}); err != nil {
		return nil, err
	}
	a.log.Info("Data use " + t.store.String())
	codec, err := compress.New(t.format.Compression)
	if err != nil {
		return nil, fmt.Errorf("volume %s: %w", t.format.Name, err)
	}
	t.blocks = block.New(t.store, block.Options{
		BlockSize: int(t.format.BlockBytes()), Codec: codec, HashPrefix: t.format.HashPrefix, Pool: t.pool,
		WholeObjects:      t.format.EncryptKey != "",
		DeleteConcurrency: deletes, Log: a.log,
	})
	parts.add("block store", plain(t.blocks.Close))
	o.Log, o.SkipDirMtime, o.MaxDeletes = a.log, -1, deletes
	o.FreeSlices = maintain.FreeSlices(t.format.BlockBytes(), t.blocks.DeleteEach)
	if t.volume, err = meta.Open(ctx, engine, o); err != nil {
		return nil, explainUnformatted(err, url)
	}
	parts.add("volume", t.volume.Close)
	return t, nil
}

// progress shows the steps of a long work.
func (a *app) progress() (maintain.Progress, *meter) {
	m := a.newMeter("")
	return func(step maintain.Step, n int) { m.step(string(step), n) }, m
}
