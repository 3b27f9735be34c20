package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"jfs/cache"
	"jfs/fs"
	"jfs/fs/control"
	"jfs/maintain"
	"jfs/meta"
	"jfs/upload"
)

// virtualFiles are the files of the root that no volume stores.
func (a *app) virtualFiles(c *client, data *dataPlane, up *upload.Uploader, root meta.Ino, point string, opt *mountOptions) *fs.Virtual {
	started := time.Now()
	c.figures = func(ctx context.Context) figures { return c.count(ctx, data, up, root) }
	return &fs.Virtual{
		AccessLog: &fs.AccessLog{},
		Stats:     func(ctx context.Context) []byte { return c.figures(ctx).lines() },
		Config: func() []byte {
			b, err := json.MarshalIndent(opt.report(c.volume.Format(), point, started), "", " ")
			if err != nil {
				a.log.Error("describe the mount", "err", err)
			}
			return append(b, '\n')
		},
		Control: control.NewServer(control.Options{
			Volume: c.volume, Root: root, Log: a.log, Forget: c.forget, Background: c.tasks.run,
			Warm: func(ctx context.Context, tops []meta.Ino, action uint8, threads int, progress func(files, bytes uint64)) (control.WarmResponse, error) {
				r, err := maintain.Warm(ctx, c.volume, data.cache, tops, maintain.WarmOptions{
					Action: maintain.WarmAction(action), Threads: threads, Progress: progress, Log: a.log,
				})
				if err == nil && r.Failed > 0 {
					err = fmt.Errorf("%d blocks could not be loaded", r.Failed)
				}
				return control.WarmResponse{
					FileCount: uint64(r.Files), SliceCount: uint64(r.Slices), TotalBytes: uint64(r.Bytes), MissBytes: uint64(r.Missing),
				}, err
			},
			Compact: func(ctx context.Context, ino meta.Ino, threads int, progress func(int)) error {
				r, err := maintain.NewCompactor(c.volume, data.cache, data.blocks, maintain.CompactOptions{
					Pool: data.compacting, Threads: threads, Log: a.log, OnCompact: c.tally.compacted,
					Progress: func(_ maintain.Step, n int) { progress(n) },
				}).Tree(ctx, ino)
				if err == nil && r.Failed > 0 {
					err = fmt.Errorf("%d of %d compactions have failed", r.Failed, r.Chunks)
				}
				return err
			},
		}),
	}
}

// tasks run what goes on after the request that asked for it.
type tasks struct {
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
}

func newTasks() *tasks {
	t := &tasks{}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

func (t *tasks) run(fn func(ctx context.Context)) { t.work.Go(func() { fn(t.ctx) }) }

// close ends what is under way.
func (t *tasks) close() error {
	t.cancel()
	t.work.Wait()
	return nil
}

// forget makes the kernel forget an entry that was removed behind its back.
func (c *client) forget(dir meta.Ino, name string) {
	s := c.mounted.Load()
	if s == nil {
		return
	}
	_ = s.EntryNotify(dir, name) // the kernel forgets it by itself, a little later
}

// count gives what .stats and the metrics show.
func (c *client) count(ctx context.Context, data *dataPlane, up *upload.Uploader, root meta.Ino) figures {
	f := figures{}
	c.tally.add(f)
	f.addProcess()
	f.addRuntime()
	space := c.volume.StatFS(ctx, root)
	f["total_space"], f["used_space"] = float64(space.TotalBytes), float64(space.TotalBytes-space.FreeBytes)
	f["total_inodes"], f["used_inodes"] = float64(space.TotalInodes), float64(space.TotalInodes-space.FreeInodes)
	f.addQuota(c.volume, root)
	f.addBackup(c.backed.Load())
	if s := c.mounted.Load(); s != nil {
		f["fuse_open_handlers"] = float64(s.OpenHandles())
	}
	f.addStaging()
	s := data.cache.Stats()
	for name, of := range map[string]func(cache.Stats) int64{
		"blocks": func(s cache.Stats) int64 { return s.Blocks }, "bytes": func(s cache.Stats) int64 { return s.Bytes },
		"hits": func(s cache.Stats) int64 { return s.Hits }, "hit_bytes": func(s cache.Stats) int64 { return s.HitBytes },
		"writes": func(s cache.Stats) int64 { return s.Writes }, "write_bytes": func(s cache.Stats) int64 { return s.WriteBytes },
		"evicts": func(s cache.Stats) int64 { return s.Evictions }, "drops": func(s cache.Stats) int64 { return s.Drops },
	} {
		f["blockcache_"+name] = float64(of(s.Memory) + of(s.Recent) + of(s.Disk))
	}
	f.addTiers(s)
	// What one tier misses the next one may have; what is loaded all have missed.
	f["blockcache_miss"], f["blockcache_miss_bytes"] = float64(s.Loads+s.Ranges), float64(s.LoadBytes+s.RangeBytes)
	f["used_read_buffer_size_bytes"] = float64(data.prefetch.Stats().Bytes)
	f["subdir_info"] = 1 // its label would say which one is mounted
	f["used_buffer_size_bytes"] = float64(data.pool.Used() + data.compacting.Used())
	f["store_cache_size_bytes"] = float64(s.Memory.Bytes + s.Recent.Bytes)
	if data.back.Stage != nil {
		f.addStage(data.back.Stage.Stats())
	}
	f["object_request_uploading"] = float64(up.Stats().Uploading)
	return f
}

// mountReport is the content of .config, with the names that tools look for.
type mountReport struct {
	Meta struct {
		ReadOnly     bool
		NoBGJob      bool
		Heartbeat    time.Duration
		MaxDeletes   int
		SkipDirMtime time.Duration
		AtimeMode    string
		OpenCache    time.Duration
		SortDir      bool
		Subdir       string
		MountPoint   string
	}
	Format meta.Format
	Chunk  struct {
		CacheDir      string
		CacheMode     os.FileMode
		CacheSize     uint64
		CacheItems    int64
		CacheChecksum string
		CacheEviction string
		FreeSpace     float64
		AutoCreate    bool
		BlockSize     int
		Compress      string
		HashPrefix    bool
		MaxUpload     int
		MaxDownload   int
		MaxRetries    int
		UploadLimit   int64 // Mbit/s
		DownloadLimit int64 // Mbit/s
		GetTimeout    time.Duration
		PutTimeout    time.Duration
		MaxStageWrite int
		Writeback     bool

		WritebackThresholdSize int64
		UploadDelay            time.Duration
		UploadHours            string

		Prefetch   int
		BufferSize uint64
		Readahead  int
	}
	Port            mountPorts
	Version         string
	AttrTimeout     time.Duration
	EntryTimeout    time.Duration
	DirEntryTimeout time.Duration
	BackupMeta      time.Duration
	PrefixInternal  bool
	HideInternal    bool
	Timestamp       time.Time
	Mountpoint      string
	LogFile         string `json:",omitempty"`
	Inject          string `json:",omitempty"` // what --inject has made distant
	Pid             int
}

// mountPorts are the addresses at which a mount can be watched.
type mountPorts struct {
	PrometheusAgent string `json:",omitempty"`
	DebugAgent      string `json:",omitempty"`
	ConsulAddr      string `json:",omitempty"`
}

func (o *mountOptions) report(f meta.Format, point string, started time.Time) *mountReport {
	r := &mountReport{
		Format: f.WithoutSecrets(), Version: sessionVersion(), AttrTimeout: o.attrCache, EntryTimeout: o.entryCache,
		DirEntryTimeout: o.dirEntryCache, PrefixInternal: o.prefixInternal, HideInternal: o.hideInternal, BackupMeta: o.backupMeta,
		Timestamp: started, Mountpoint: point, Pid: os.Getpid(), Port: o.ports,
	}
	r.Inject = injectValue{&o.inject}.String()
	if o.inBackground {
		r.LogFile = o.logFile
	}
	m := &r.Meta
	m.ReadOnly, m.NoBGJob, m.Heartbeat, m.MaxDeletes = o.readOnly, o.noBGJob, o.heartbeat, o.maxDeletes
	m.AtimeMode, m.OpenCache, m.SortDir = o.atimeMode, o.openCache, o.sortDir
	m.SkipDirMtime, m.Subdir, m.MountPoint = o.skipDirMtime, o.subdir, point
	c := &r.Chunk
	c.CacheDir, c.CacheMode, c.CacheSize, c.CacheItems = o.cacheDir, o.cacheMode, uint64(o.cacheSize), o.cacheItems
	c.CacheChecksum, c.CacheEviction, c.FreeSpace, c.AutoCreate = o.checksum, o.eviction, o.freeSpace, true
	c.BlockSize, c.Compress, c.HashPrefix = int(f.BlockBytes()), f.Compression, f.HashPrefix
	c.MaxUpload, c.MaxDownload, c.MaxRetries = o.maxUploads, o.maxDownloads, o.retries
	c.UploadLimit, c.DownloadLimit = bandwidths(f, o)
	c.Writeback, c.WritebackThresholdSize, c.UploadDelay, c.UploadHours = o.writeback, o.stageMost, o.uploadDelay, o.uploadBetween.String()
	c.MaxStageWrite = o.stageWriters
	c.GetTimeout, c.PutTimeout, c.Prefetch = o.getTimeout, o.putTimeout, o.prefetch
	c.BufferSize, c.Readahead = uint64(o.bufferSize), int(o.maxReadahead)
	return r
}
