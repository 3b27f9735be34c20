package main

import (
	"jfs/cache"
	"jfs/maintain"
	"jfs/meta"
)

// addQuota puts in the quota of the directory that is mounted, 0 for none.
func (f figures) addQuota(v *meta.Volume, root meta.Ino) {
	q, ok := v.KnownQuota(meta.QuotaKey{Kind: meta.QuotaDir, ID: uint64(root)})
	if !ok {
		q = meta.Quota{}
	}
	for name, n := range map[string]int64{
		"max_space_bytes": q.MaxSpace, "max_inodes": q.MaxInodes, "used_space_bytes": q.UsedSpace, "used_inodes": q.UsedInodes,
	} {
		f["dir_quota_"+name] = float64(max(n, 0))
	}
}

// addBackup puts in when the metadata were last backed up by this mount, in unix seconds, and how long it took; b is nil
// where it does not do that.
func (f figures) addBackup(b *maintain.Backup) {
	f["last_successful_backup"], f["last_backup_duration"] = 0, 0
	if b == nil {
		return
	}
	if s := b.Stats(); !s.Last.IsZero() {
		f["last_successful_backup"], f["last_backup_duration"] = float64(s.Last.Unix()), s.Took.Seconds()
	}
}

// addStaging puts in what waits on the local disk to be stored. Nothing ever does in a mount that stores before it
// answers.
func (f figures) addStaging() {
	for _, name := range []string{"blocks", "block_bytes", "block_errors", "block_delay_seconds", "write_bytes", "writing_blocks"} {
		f["staging_"+name] = 0
	}
}

// addTiers puts in what each tier of the cache has answered, and what of the blocks read ahead was wanted. These names
// are our own.
func (f figures) addTiers(s cache.TieredStats) {
	for name, tier := range map[string]cache.Stats{"memory": s.Memory, "recent": s.Recent, "disk": s.Disk} {
		f["blockcache_"+name+"_hits"], f["blockcache_"+name+"_hit_bytes"] = float64(tier.Hits), float64(tier.HitBytes)
	}
	f["prefetch_blocks"] = float64(s.Prefetched)
	f["prefetch_bytes"], f["prefetch_used_bytes"] = float64(s.PrefetchBytes), float64(s.PrefetchUsed)
}
