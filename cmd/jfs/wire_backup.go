package main

import (
	"fmt"
	"log/slog"

	"jfs/maintain"
	"jfs/meta"
	"jfs/object"
)

// backupThreads is how many inodes a backup reads at a time. It has an hour, and the mount's users come first.
const backupThreads = 2

// startBackup begins to back up the metadata beside the data, if this mount is one that does; nil: it is not.
func (o *mountOptions) startBackup(v *meta.Volume, store object.Store, log *slog.Logger) *maintain.Backup {
	if o.backupMeta == 0 || o.readOnly || o.noBGJob {
		return nil
	}
	b := maintain.StartBackup(v, store, maintain.BackupOptions{
		Interval: o.backupMeta, SkipTrash: o.backupSkipTrash, Threads: backupThreads, Log: log,
	})
	if least := b.Interval(); o.backupMeta < least {
		log.Warn(fmt.Sprintf("--backup-meta %s is too often: metadata are backed up every %s", o.backupMeta, least))
	}
	return b
}
