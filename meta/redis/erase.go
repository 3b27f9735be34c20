package redis

import (
	"context"
	"fmt"
	"regexp"

	"github.com/redis/rueidis"

	"jfs/meta"
)

// volumeKeys is what the keys of a volume look like, without the prefix and the setting. Keys of others in the same
// database are left alone.
const volumeKeys = `^(?:` +
	`[idpsx]\d+|c\d+_\d+|k\d+_\d+|session\d+|locked\d+|lock[fp]\d+` +
	`|allSessions|sessionInfos|sessions|delfiles|sliceRef|delSlices|detachedNodes|acl|krbToken|txnLog|txnLastLog` +
	`|dir(?:DataLength|UsedSpace|UsedInodes)|(?:dir|user|group)Quota(?:UsedSpace|UsedInodes)?` +
	`|usedSpace|totalInodes|next(?:inode|chunk|session|Trash|CleanupSlices)|aclMaxId|krbTokenMaxId|lastCleanup\w+` +
	`)$`

// eraseCount is how many keys the server looks at for one step.
const eraseCount = 1000

// Erase removes the keys of the volume, and the setting last: until then the volume can be found, and an Erase that was
// interrupted be repeated.
func (e *Engine) Erase(ctx context.Context) error {
	if e.closed.Load() {
		return errClosed
	}
	mine, err := regexp.Compile(volumeKeys)
	if err != nil {
		return err
	}
	t := e.newTx(ctx, trustNothing)
	for cursor := ""; ; {
		names, next, err := t.scanKeys("*", cursor, eraseCount, mine.MatchString)
		if err != nil {
			return fmt.Errorf("erase: %w", err)
		}
		if err := e.unlink(ctx, names); err != nil {
			return err
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	return e.unlink(ctx, []string{e.keys.global(keySetting)})
}

// unlink removes keys; that may be repeated without harm.
func (e *Engine) unlink(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	e.client.where.write()
	_, err := e.client.query1(ctx, func(b rueidis.Builder) rueidis.Completed { return b.Unlink().Key(names...).Build() })
	if err != nil {
		return fmt.Errorf("erase %d keys: %w", len(names), err)
	}
	return nil
}

// HasDelayed reads under promise.
func (t *tx) HasDelayed(d meta.Delayed) (bool, error) {
	r, err := t.fetch(ref{kindField, t.e.keys.global(keyDelSlices), delayedField(d)})
	if err != nil {
		return false, err
	}
	return r.ok, nil
}
