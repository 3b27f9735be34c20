package maintain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"jfs/meta"
	"jfs/object"
)

// BackupOptions say how often the metadata are backed up. The zero value works.
type BackupOptions struct {
	Interval  time.Duration // between two backups; 0 means one hour, less than five minutes means five; negative none
	SkipTrash bool
	Dir       string // where a backup is kept until it is stored; "" means the directory for temporary files
	Threads   int    // inodes read at a time; 0 means DefaultThreads
	Log       *slog.Logger
	Now       func() time.Time // nil: time.Now
}

// Numbers of the volume format's rules for backups.
const (
	backupInterval = time.Hour
	backupLeast    = 5 * time.Minute
	backupChecks   = 10        // times within an interval that a client looks whether a backup is due
	backupInodes   = 1_000_000 // volumes with more are backed up only when the interval is longer than an hour
	backupPrefix   = "meta/dump-"
	backupSuffix   = ".json.gz"
	backupTime     = "2006-01-02-150405" // UTC
)

// BackupStats is a snapshot of what a Backup has done.
type BackupStats struct {
	Last time.Time     // start of the last successful backup; zero: none yet
	Took time.Duration // what it took
}

// Backup stores a dump of the metadata beside the data at regular intervals, once for all clients of the volume.
type Backup struct {
	v     *meta.Volume
	store object.Store
	o     BackupOptions
	log   *slog.Logger
	stop  context.CancelFunc
	done  sync.WaitGroup

	mu    sync.Mutex // guards stats
	stats BackupStats
}

// StartBackup begins to back up. store shows the objects below the volume's prefix. Close must follow.
func StartBackup(v *meta.Volume, store object.Store, o BackupOptions) *Backup {
	if o.Interval == 0 {
		o.Interval = backupInterval
	}
	if o.Interval > 0 {
		o.Interval = max(o.Interval, backupLeast)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Backup{v: v, store: store, o: o, log: logger(o.Log), stop: stop}
	if o.Interval > 0 && !v.ReadOnly() {
		b.done.Go(func() { b.loop(ctx) })
	}
	return b
}

// Interval is the time between two backups; negative: there are none.
func (b *Backup) Interval() time.Duration { return b.o.Interval }

// Close ends the backups and waits for one that is under way to give up.
func (b *Backup) Close() error {
	b.stop()
	b.done.Wait()
	return nil
}

// Stats is what was done so far.
func (b *Backup) Stats() BackupStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stats
}

func (b *Backup) loop(ctx context.Context) {
	tick := time.NewTicker(b.o.Interval / backupChecks)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := b.Run(ctx); err != nil && ctx.Err() == nil {
				b.log.Warn("backup of the metadata", "err", err)
			}
		}
	}
}

// Run makes a backup if one is due and says whether it did.
func (b *Backup) Run(ctx context.Context) (made bool, err error) {
	_, inodes, err := b.v.Usage(ctx)
	if err != nil {
		return false, err
	}
	if b.o.Interval <= time.Hour && inodes > backupInodes {
		b.log.Info("metadata are not backed up: the volume has many inodes, choose an interval of more than an hour", "inodes", inodes)
		return false, nil
	}
	if won, err := b.v.ClaimBackup(ctx, b.o.Interval); err != nil || !won {
		return false, err
	}
	start := b.o.Now()
	key := backupPrefix + start.UTC().Format(backupTime) + backupSuffix
	if err := b.save(ctx, key); err != nil {
		return false, fmt.Errorf("store %s: %w", key, err)
	}
	b.mu.Lock()
	b.stats = BackupStats{Last: start, Took: b.o.Now().Sub(start)}
	b.mu.Unlock()
	b.log.Info("metadata are backed up", "object", key)
	if err := b.rotate(ctx, start); err != nil {
		return true, fmt.Errorf("remove old backups: %w", err)
	}
	return true, nil
}

// save writes a dump to a file, as its length is not known before, and from there to the store.
func (b *Backup) save(ctx context.Context, key string) (err error) {
	file, err := os.CreateTemp(b.o.Dir, "jfs-backup-*.json.gz")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// Without a name the file goes away with this process, however that ends.
	if err := os.Remove(file.Name()); err != nil {
		return err
	}
	w, err := Compressed(key, file)
	if err != nil {
		return err
	}
	if err := Dump(ctx, b.v, w, DumpOptions{SkipTrash: b.o.SkipTrash, Threads: b.o.Threads, Log: b.o.Log}); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return b.store.Put(ctx, key, file)
}

// rotate deletes the backups that nobody is expected to want any more.
func (b *Backup) rotate(ctx context.Context, now time.Time) error {
	var made []time.Time
	err := listObjects(ctx, b.store, backupPrefix, func(infos []object.Info) error {
		for _, info := range infos {
			if t, ok := backupMade(info.Key); ok {
				made = append(made, t)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range Outdated(made, now) {
		if err := b.store.Delete(ctx, backupPrefix+t.Format(backupTime)+backupSuffix); err != nil {
			return err
		}
	}
	return nil
}

// backupMade gives the time of a backup by the name of its object.
func backupMade(key string) (time.Time, bool) {
	name, ok := strings.CutPrefix(key, backupPrefix)
	name, gz := strings.CutSuffix(name, backupSuffix)
	t, err := time.Parse(backupTime, name)
	return t, ok && gz && err == nil
}

// Outdated gives those of the backups that are to be deleted: all of the last two days stay, then the first of each day
// for two weeks, of each week for two months, and of each month for two years. Days, weeks (from Monday) and months are
// those of UTC, so a backup that was chosen once stays chosen.
func Outdated(made []time.Time, now time.Time) []time.Time {
	sorted := slices.Clone(made)
	slices.SortFunc(sorted, time.Time.Compare)
	now = now.UTC()
	type period struct {
		unit byte
		a, b int
	}
	kept := map[period]bool{}
	var old []time.Time
	for _, t := range sorted {
		u := t.UTC()
		var in period
		switch {
		case u.After(now.AddDate(0, 0, -2)):
			continue
		case u.After(now.AddDate(0, 0, -14)):
			in = period{'d', u.Year(), u.YearDay()}
		case u.After(now.AddDate(0, -2, 0)):
			year, week := u.ISOWeek()
			in = period{'w', year, week}
		case u.After(now.AddDate(-2, 0, 0)):
			in = period{'m', u.Year(), int(u.Month())}
		default:
			old = append(old, t)
			continue
		}
		if kept[in] {
			old = append(old, t)
		}
		kept[in] = true
	}
	return old
}
