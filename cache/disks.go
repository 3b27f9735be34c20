package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cespare/xxhash/v2"

	"jfs/block"
	"jfs/internal/bytepool"
)

var _ Tier = (*Disks)(nil)

// Disks spreads blocks over several directories, which are usually one disk each. A block's directories are
// ranked by a hash of both, so losing or adding a directory moves that directory's share and no other block.
type Disks struct {
	dirs  []*Disk
	seeds []uint64 // hashes of the directories' names
	counters
}

// OpenDisks opens a cache over dirs; the limits of o are divided among them. A directory that cannot be used
// is logged and left out; it is an error if none remains.
func OpenDisks(dirs []string, o DiskOptions) (*Disks, error) {
	if len(dirs) == 0 {
		return nil, errors.New("open disk cache: no directory is named")
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	n := int64(len(dirs))
	o.MaxBytes = max(o.MaxBytes/n, 1)
	o.QueueBytes = max(o.QueueBytes/n, 1)
	if o.MaxItems > 0 {
		o.MaxItems = max(o.MaxItems/n, 1)
	}

	d := &Disks{}
	var errs []error
	seen := make(map[string]bool)
	for _, dir := range dirs {
		if seen[dir] {
			continue
		}
		seen[dir] = true
		disk, err := OpenDisk(dir, o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		o.Beside = nil // it is in the first
		d.dirs = append(d.dirs, disk)
		d.seeds = append(d.seeds, xxhash.Sum64String(dir))
	}
	if len(d.dirs) == 0 {
		return nil, fmt.Errorf("open disk cache: %w", errors.Join(errs...))
	}
	for _, err := range errs {
		o.Log.Warn("cache directory left out", slog.Any("err", err))
	}
	return d, nil
}

// ReadAt implements Tier. It also asks the directories that are not a block's first choice: the first may
// have been out of order when the block was written.
func (d *Disks) ReadAt(key block.Key, dst []byte, off int) bool {
	for r := d.rank(key); ; {
		disk := r.next()
		if disk == nil {
			return d.read(false, len(dst))
		}
		if disk.fill(key, dst, off) {
			return d.read(true, len(dst))
		}
	}
}

// Has implements Tier.
func (d *Disks) Has(key block.Key) bool {
	for _, disk := range d.dirs {
		if disk.Has(key) {
			return true
		}
	}
	return false
}

// Put implements Tier: the best ranked directory that can be written to takes the block.
func (d *Disks) Put(key block.Key, buf *bytepool.Buf) {
	if !d.Has(key) {
		d.choose(key, func(disk *Disk) { disk.Put(key, buf) })
	}
}

// PutWait is Put for a block that is not to be dropped because too many wait to be written.
func (d *Disks) PutWait(ctx context.Context, key block.Key, buf *bytepool.Buf) {
	if !d.Has(key) {
		d.choose(key, func(disk *Disk) { disk.PutWait(ctx, key, buf) })
	}
}

// choose hands the directory that is to take a block to give.
func (d *Disks) choose(key block.Key, give func(*Disk)) {
	for r := d.rank(key); ; {
		disk := r.next()
		if disk == nil {
			d.drops.Add(1)
			return
		}
		if disk.writable() {
			give(disk)
			return
		}
	}
}

// Remove implements Tier.
func (d *Disks) Remove(key block.Key) {
	for _, disk := range d.dirs {
		disk.Remove(key)
	}
}

// Flush waits until everything that was put before is written or dropped.
func (d *Disks) Flush() {
	for _, disk := range d.dirs {
		disk.Flush()
	}
}

// Stats implements Tier with the sum over the directories.
func (d *Disks) Stats() Stats {
	sum := d.snapshot()
	for _, disk := range d.dirs {
		s := disk.Stats()
		sum.Blocks += s.Blocks
		sum.Bytes += s.Bytes
		sum.Writes += s.Writes
		sum.WriteBytes += s.WriteBytes
		sum.Evictions += s.Evictions
		sum.Drops += s.Drops
	}
	return sum
}

// Close implements Tier.
func (d *Disks) Close() error {
	var errs []error
	for _, disk := range d.dirs {
		errs = append(errs, disk.Close())
	}
	return errors.Join(errs...)
}

// ranking yields the directories of a block, best first. It sorts by selection, without memory, because the
// first is nearly always the last one needed.
type ranking struct {
	d     *Disks
	key   block.Key
	given int
	bound uint64 // score of the directory given last
	last  int
}

func (d *Disks) rank(key block.Key) ranking { return ranking{d: d, key: key} }

func (r *ranking) next() *Disk {
	best, bestScore := -1, uint64(0)
	for i, seed := range r.d.seeds {
		score := hashKey(r.key, seed)
		after := r.given == 0 || score < r.bound || score == r.bound && i > r.last
		if after && (best < 0 || score > bestScore) {
			best, bestScore = i, score
		}
	}
	if best < 0 {
		return nil
	}
	r.given, r.bound, r.last = r.given+1, bestScore, best
	return r.d.dirs[best]
}
