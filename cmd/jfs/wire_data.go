package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"jfs/block"
	"jfs/cache"
	"jfs/compress"
	"jfs/fs"
	"jfs/internal/bytepool"
	"jfs/meta"
	"jfs/object"
	"jfs/prefetch"
	"jfs/upload"
)

// memoryOnly is the --cache-dir of a client without a cache on disk.
const memoryOnly = "memory"

// memoryOnlySize is the cache of such a client that asks for no size; the default of a disk would be too much.
const memoryOnlySize = 1 << 30 // bytes

// fetchConcurrency is how many blocks are read ahead at a time: enough 4 MiB requests of 20 ms each for some
// 10 Gbit/s.
const fetchConcurrency = 16

// dataPlane is where the bytes of files come from and go to.
type dataPlane struct {
	pool *bytepool.Pool
	// compacting is apart from pool: a compaction reads through the cache, which waits for pool, so compactions
	// that held all of pool would wait for themselves.
	compacting *bytepool.Pool

	store    *swapStore
	limits   limiters
	told     *tally // of what is asked of the store and of the cache on disk
	blocks   *block.Store
	cache    *cache.Tiered
	prefetch *prefetch.Scheduler
	back     fs.Back
	backed   atomic.Pointer[cache.Backed] // files that the kernel can read by itself; nil: there are none
}

// buildData builds the data plane of a mount, and adds to parts what is to be closed.
func (a *app) buildData(ctx context.Context, f meta.Format, opt *mountOptions, told *tally, parts *closer) (*dataPlane, error) {
	compact := opt.bufferSize / 8
	d := &dataPlane{
		pool: bytepool.New(opt.bufferSize - compact), compacting: bytepool.New(compact),
		limits: newLimiters(), told: told,
	}
	d.limits.set(bandwidths(f, opt))
	if err := opt.resolveBucket(f); err != nil {
		return nil, err
	}
	store, err := a.openStore(ctx, overrideStorage(f, opt), opt.storeOptions(d))
	if err != nil {
		return nil, err
	}
	a.log.Info("Data use " + store.String())
	if opt.checkStorage {
		if err := checkStore(ctx, store); err != nil {
			return nil, err
		}
	}
	d.store = newSwapStore(store)
	codec, err := compress.New(f.Compression)
	if err != nil {
		return nil, fmt.Errorf("volume %s: %w", f.Name, err)
	}
	d.blocks = block.New(d.store, block.Options{
		BlockSize: int(f.BlockBytes()), Codec: codec, HashPrefix: f.HashPrefix, Pool: d.pool,
		GetConcurrency: opt.maxDownloads, DeleteConcurrency: opt.maxDeletes, Log: a.log,
		WholeObjects: f.EncryptKey != "",
	})
	parts.add("block store", plain(d.blocks.Close))

	if err := d.openStage(f, opt, a.log, parts); err != nil {
		return nil, err
	}
	tiers, err := d.openTiers(f, opt, a.log)
	if err != nil {
		return nil, err
	}
	tiers.WholeBlocks = d.blocks.WholeBlocks()
	if opt.cachePartial {
		tiers.KeepBelow = int(f.BlockBytes())
	}
	// A tier may decline a block, and a block read ahead must not be gone before its reader comes.
	tiers.RecentBytes = max(opt.bufferSize/4, cache.DefaultRecentBytes)
	d.cache = cache.NewTiered(d.blocks, tiers)
	parts.add("cache", plain(d.cache.Close))

	d.prefetch = prefetch.New(d.cache.FetchRange, prefetch.Options{
		Has:         d.cache.HasRange,
		MaxBytes:    max(opt.bufferSize/4, int64(f.BlockBytes())),
		Concurrency: max(opt.prefetch, fetchConcurrency),
		Log:         a.log,
	})
	parts.add("read-ahead", plain(d.prefetch.Close))
	return d, nil
}

// written gives the cache of blocks that are written: all of them, or those smaller than the volume's block size. A
// big file would otherwise be written to the cache's disk at once, though it is read back later if ever.
func (d *dataPlane) written(blockSize uint32, all bool) upload.Cache {
	if all {
		return d.cache
	}
	return smallBlocks{d.cache, blockSize}
}

type smallBlocks struct {
	upload.Cache
	below uint32
}

func (s smallBlocks) Put(key block.Key, buf *bytepool.Buf) {
	if key.Size < s.below {
		s.Cache.Put(key, buf)
	}
}

// deleteEach removes blocks, and what the cache has of them.
func (d *dataPlane) deleteEach(ctx context.Context, keys []block.Key) []error {
	d.cache.Remove(keys...)
	return d.blocks.DeleteEach(ctx, keys)
}

// reload follows changes of the volume's settings: another address or key of the store, other limits.
func (a *app) reload(d *dataPlane, old meta.Format, opt *mountOptions) func(meta.Format) {
	return func(f meta.Format) {
		d.limits.set(bandwidths(f, opt))
		before, after := overrideStorage(old, opt), overrideStorage(f, opt)
		if storage(before) == storage(after) {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		store, err := a.openStore(ctx, after, opt.storeOptions(d))
		if err != nil {
			a.log.Error("the store with the volume's new settings cannot be opened, the old one stays in use", "err", err)
			return
		}
		d.store.swap(store)
		old = f
		a.log.Info("Data use " + store.String())
	}
}

func (o *mountOptions) storeOptions(d *dataPlane) storeOptions {
	return storeOptions{
		retry: object.RetryOptions{Attempts: o.retries, GetTimeout: o.getTimeout, PutTimeout: o.putTimeout, OnRetry: d.told.retried},
		up:    d.limits.up, down: d.limits.down, told: d.told, away: o.inject.store,
	}
}

// resolveBucket makes the bucket of --bucket as it would be stored.
func (o *mountOptions) resolveBucket(f meta.Format) (err error) {
	if o.bucket == "" && o.storage == "" {
		return nil
	}
	o.bucket, err = bucketOf(strings.ToLower(overrideStorage(f, o).Storage), o.bucket, o.bucket != "")
	return err
}

// overrideStorage puts the storage flags of a mount in the place of the volume's settings.
func overrideStorage(f meta.Format, o *mountOptions) meta.Format {
	for _, one := range []struct {
		field *string
		value string
	}{{&f.Storage, o.storage}, {&f.Bucket, o.bucket}, {&f.StorageClass, o.storageClass}} {
		if one.value != "" {
			*one.field = one.value
		}
	}
	return f
}

// bandwidths gives the limits that hold for a mount: its own, else the volume's.
func bandwidths(f meta.Format, o *mountOptions) (up, down int64) {
	up, down = f.UploadLimit, f.DownloadLimit
	if o.uploadLimit > 0 {
		up = o.uploadLimit
	}
	if o.downloadLimit > 0 {
		down = o.downloadLimit
	}
	return up, down
}

// openTiers opens the caches in memory and on disk. Their size is 0 for none.
func (d *dataPlane) openTiers(f meta.Format, o *mountOptions, log *slog.Logger) (t cache.TieredOptions, err error) {
	memory, disk := o.memoryCache, o.cacheSize
	if o.cacheDir == memoryOnly {
		memory, disk = o.cacheSize, 0
	}
	if memory > 0 {
		m, err := cache.NewMemory(memory)
		if err != nil {
			return t, fmt.Errorf("cache in memory: %w", err)
		}
		t.Memory = m
	}
	if disk == 0 {
		return t, nil
	}
	dirs, err := cacheDirs(o.cacheDir, f.UUID)
	if err == nil {
		do := o.diskOptions(log)
		do.OnRead, do.OnWrite = d.told.cacheRead, d.told.cacheWritten
		do.Beside = func() (n int64) {
			if s := d.back.Stage; s != nil {
				n += s.Stats().Disk
			}
			if b := d.backed.Load(); b != nil {
				n += b.Bytes()
			}
			return n
		}
		var disks *cache.Disks
		if disks, err = cache.OpenDisks(dirs, do); err == nil {
			t.Disk = disks
			if backed := o.openBacked(disks, f.BlockBytes(), log); backed != nil {
				t.Disk = backed
				d.backed.Store(backed)
			}
		}
	}
	if err != nil && t.Memory != nil {
		err = errors.Join(err, t.Memory.Close())
	}
	return t, err
}

// openBacked opens the files in the cache that the kernel can read by itself, nil if there are to be none.
func (o *mountOptions) openBacked(disks *cache.Disks, blockSize uint32, log *slog.Logger) *cache.Backed {
	why := ""
	switch {
	case o.passthrough != "auto":
		why = "--passthrough off"
	case os.Geteuid() != 0:
		why = "the mount is not root's"
	case o.atimeMode != "noatime":
		why = "--atime-mode " + o.atimeMode + " has to be told of every read"
	case o.cachePartial:
		why = "--cache-partial-only keeps no whole files"
	}
	if why != "" {
		log.Debug("files are not read by passthrough", "why", why)
		return nil
	}
	backed, err := cache.OpenBacked(disks, cache.BackedOptions{BlockSize: blockSize, Expire: o.cacheExpire})
	if err != nil {
		log.Info("files are not read by passthrough", "why", err)
		return nil
	}
	return backed
}

func (o *mountOptions) diskOptions(log *slog.Logger) cache.DiskOptions {
	d := cache.DiskOptions{
		MaxBytes: o.cacheSize, MaxItems: o.cacheItems, FreeRatio: o.freeSpace,
		Checksum: o.checksum, Eviction: o.eviction, Expire: o.cacheExpire, Mode: o.cacheMode,
		ScanInterval: o.cacheScan, Log: log,
	}
	// Zero on the command line means none, and the default in the options.
	if d.FreeRatio == 0 {
		d.FreeRatio = -1
	}
	if d.ScanInterval == 0 {
		d.ScanInterval = -1
	}
	return d
}

// cacheDirs gives the directories of a volume's cache below those of a list, which are separated by colons and may
// be patterns such as /ssd*/jfs.
func cacheDirs(list, uuid string) ([]string, error) {
	var dirs []string
	for place := range strings.SplitSeq(list, string(os.PathListSeparator)) {
		if place == "" {
			continue
		}
		dir, err := absolute(place)
		if err != nil {
			return nil, fmt.Errorf("cache directory: %w", err)
		}
		found := []string{dir}
		if strings.ContainsAny(dir, "*?[") {
			// The last element may have to be made, in each of the places that the ones before match.
			parents, err := filepath.Glob(filepath.Dir(dir))
			if err != nil {
				return nil, fmt.Errorf("cache directory %s: %w", place, err)
			}
			found = found[:0]
			for _, p := range parents {
				found = append(found, filepath.Join(p, filepath.Base(dir)))
			}
			if strings.ContainsAny(filepath.Base(dir), "*?[") {
				if found, err = filepath.Glob(dir); err != nil {
					return nil, fmt.Errorf("cache directory %s: %w", place, err)
				}
			}
			if len(found) == 0 {
				return nil, fmt.Errorf("no directory matches the cache directory %s: make them, or name others with --cache-dir", place)
			}
		}
		for _, d := range found {
			dirs = append(dirs, filepath.Join(d, uuid))
		}
	}
	if len(dirs) == 0 {
		return nil, errors.New("--cache-dir names no directory: give one, or \"memory\"")
	}
	return dirs, nil
}
