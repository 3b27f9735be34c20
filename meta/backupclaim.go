package meta

import (
	"context"
	"time"
)

// lastBackup is the extended attribute of the root that tells when the metadata were last backed up.
const lastBackup = "lastBackup"

// ClaimBackup notes that a backup of the metadata is made now, unless one was made within the interval, and says
// whether it did: of all clients one makes it.
func (v *Volume) ClaimBackup(ctx context.Context, interval time.Duration) (won bool, err error) {
	err = v.update(ctx, func() string { return "claim backup" }, Want{}, func(tx Tx) error {
		won = false
		now := v.now()
		value, ok, err := tx.Xattr(RootIno, lastBackup)
		if err != nil {
			return err
		}
		if ok {
			// What is no time, or one far ahead by a wrong clock, must not stop the backups.
			last, err := time.Parse(time.RFC3339, string(value))
			if age := now.Sub(last); err == nil && age < interval && age > -interval {
				return nil
			}
		}
		tx.SetXattr(RootIno, lastBackup, []byte(now.UTC().Format(time.RFC3339)))
		won = true
		return nil
	})
	return won, err
}
