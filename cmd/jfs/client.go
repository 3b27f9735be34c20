package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"jfs/fs"
	"jfs/fs/mount"
	"jfs/maintain"
	"jfs/meta"
	"jfs/upload"
	"jfs/upload/stage"
)

// client is a mounted volume with everything below it.
type client struct {
	format meta.Format
	volume *meta.Volume
	fs     *fs.FS
	server *mount.Server

	stage  *stage.Stage     // nil: there is none
	backup *maintain.Backup // nil: left to others
	tally  *tally
	tasks  *tasks
	// figures gives all that is counted
	figures func(context.Context) figures
	// server and backup, for what asks the mount itself meanwhile
	mounted atomic.Pointer[mount.Server]
	backed  atomic.Pointer[maintain.Backup]
}

// openClient builds a client and mounts it.
func (a *app) openClient(ctx context.Context, url, point string, opt *mountOptions, lost func(error), parts *closer) (*client, error) {
	c, data, virtual, err := a.buildClient(ctx, url, point, opt, lost, parts)
	if err != nil {
		return nil, err
	}
	kernel, err := opt.kernelOptions(point, c.format.Name, a.log)
	if err != nil {
		return nil, err
	}
	kernel.EnableACL = c.format.EnableACL // else the kernel would take the mask of a list for the rights of the group
	kernel.AccessLog, kernel.Observe, kernel.Moved = virtual.AccessLog, c.tally.request, c.tally.moved
	if c.server, err = mount.Mount(ctx, c.fs, kernel); err != nil {
		return nil, err
	}
	c.mounted.Store(c.server)
	if c.backup = opt.startBackup(c.volume, data.store, a.log); c.backup != nil {
		c.backed.Store(c.backup)
		parts.add("backup", plain(c.backup.Close))
	}
	return c, nil
}

// buildClient builds a client from the database upwards, with a session, and does not mount it. What parts holds
// afterwards, also after a failure, has to be closed; last built is first closed, so files are flushed while everything
// below them still works, and the session ends when nothing more is written.
func (a *app) buildClient(ctx context.Context, url, point string, opt *mountOptions, lost func(error), parts *closer) (*client, *dataPlane, *fs.Virtual, error) {
	c := &client{tally: newTally(), tasks: newTasks()}
	way, err := injectBefore(url, opt.inject.meta, parts)
	if err != nil {
		return nil, nil, nil, err
	}
	engine, err := a.openWatchedMeta(ctx, way, c.tally)
	if err != nil {
		return nil, nil, nil, err
	}
	parts.add("database", plain(engine.Close))
	if c.format, err = a.loadFormat(ctx, engine, url); err != nil {
		return nil, nil, nil, err
	}
	if err := c.format.Usable(); err != nil {
		return nil, nil, nil, err
	}
	data, err := a.buildData(ctx, c.format, opt, c.tally, parts)
	if err != nil {
		return nil, nil, nil, err
	}
	mo, err := opt.metaOptions(a.log)
	if err != nil {
		return nil, nil, nil, err
	}
	c.stage = data.back.Stage
	mo.FreeSlices = maintain.FreeSlices(c.format.BlockBytes(), data.deleteEach)
	var compactor *maintain.Compactor // works on the volume that is being opened
	mo.Compact = func(ctx context.Context, ino meta.Ino, index uint32) (int, error) {
		return compactor.Chunk(ctx, ino, index)
	}
	mo.Observer = c.tally
	mo.Lost = lost
	mo.Reloaded = a.reload(data, c.format, opt)
	if c.volume, err = meta.Open(ctx, engine, mo); err != nil {
		return nil, nil, nil, explainUnformatted(err, url)
	}
	parts.add("volume", c.volume.Close)
	compactor = maintain.NewCompactor(c.volume, data.cache, data.blocks, maintain.CompactOptions{Pool: data.compacting, Log: a.log, OnCompact: c.tally.compacted})

	uploader := upload.New(data.blocks, upload.Options{
		Concurrency: opt.maxUploads, Cache: data.written(c.format.BlockBytes(), opt.cacheLarge), Log: a.log,
	})
	parts.add("uploads", uploader.Close)

	fo := fs.Options{
		Log: a.log, Blocks: data.cache, Uploader: uploader, Prefetch: data.prefetch, Pool: data.pool, Back: data.back,
		MaxReadahead: opt.maxReadahead, OpenInodes: opt.openLimit, OpenCache: opt.openCache, SortDir: opt.sortDir, HideInternal: opt.hideInternal, PrefixInternal: opt.prefixInternal,
	}
	if fo.Backed = data.backed.Load(); !opt.readOnly {
		fo.PassthroughMost = fs.DefaultPassthroughMost
	}
	if fo.OpenInodes == 0 {
		fo.OpenInodes = -1
	}
	if fo.Root, err = findDir(ctx, c.volume, opt.subdir); err != nil {
		return nil, nil, nil, fmt.Errorf("--subdir %s: %w", opt.subdir, err)
	}
	fo.Virtual = a.virtualFiles(c, data, uploader, fo.Root, point, opt)
	c.fs = fs.New(c.volume, fo)
	parts.add("tasks in the background", plain(c.tasks.close))
	parts.add("file system", c.fs.Close)

	if err := c.volume.StartSession(ctx, describeClient(point, opt.interfaces)); err != nil {
		return nil, nil, nil, fmt.Errorf("start session: %w", err)
	}
	return c, data, fo.Virtual, nil
}

// metaOptions gives the options of the metadata, in which zero means the default and on the command line none.
func (o *mountOptions) metaOptions(log *slog.Logger) (m meta.Options, err error) {
	m = meta.Options{
		Log: log, ReadOnly: o.readOnly, NoBGJob: o.noBGJob,
		Heartbeat: o.heartbeat, SkipDirMtime: o.skipDirMtime, MaxDeletes: o.maxDeletes,
	}
	if m.Heartbeat == 0 {
		m.Heartbeat = -1
	}
	if m.SkipDirMtime == 0 {
		m.SkipDirMtime = -1
	}
	if m.MaxDeletes == 0 {
		m.MaxDeletes = -1
	}
	m.Atime, err = meta.ParseAtimeMode(o.atimeMode)
	return m, err
}

// kernelOptions gives the options of the FUSE mount.
func (o *mountOptions) kernelOptions(point, name string, log *slog.Logger) (mount.Options, error) {
	none := func(d time.Duration) time.Duration {
		if d == 0 {
			return -1
		}
		return d
	}
	m := mount.Options{
		Log: log, MountPoint: point, Volume: name, ReadOnly: o.readOnly,
		AttrTimeout: none(o.attrCache), EntryTimeout: none(o.entryCache), DirEntryTimeout: none(o.dirEntryCache),
		NegativeTimeout: o.negativeCache,
		AttrLease:       o.attrLease, EntryLease: o.entryLease, DirEntryLease: o.dirEntryLease,
		MaxIO:       int(o.maxFuseIO),
		EnableXattr: o.enableXattr || o.enableCap || o.enableSELinux, EnableCap: o.enableCap, EnableSELinux: o.enableSELinux,
		EnableIoctl: o.enableIoctl, RootSquash: o.rootSquash, AllSquash: o.allSquash, Umask: o.umask, CacheDirs: o.readdirCache, Force: o.force,
	}
	for _, words := range o.fuse {
		if err := m.Set(words); err != nil {
			return m, err
		}
	}
	return m, nil
}
