package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"jfs/internal/units"
)

// DefaultDrainLimit is how long a run waits for written data to be in the store.
const DefaultDrainLimit = time.Minute

// drainLook is how often a mount is asked whether everything is stored; short against what is measured.
const drainLook = 5 * time.Millisecond

// ErrDrain means that written data did not get to the store in time.
var ErrDrain = errors.New("not everything is in the store")

// drain waits until what was written below dir is on the disk, or, in a mount that tells, in the store.
func (r *run) drain(ctx context.Context, dir string) error {
	if err := syncfs(dir); err != nil {
		return err
	}
	if !r.held {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.DrainLimit, fmt.Errorf("%w after %s", ErrDrain, r.DrainLimit))
	defer cancel()
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for {
		c, err := r.counters(dir)
		if err != nil {
			return err
		}
		if c["staging_blocks"] == 0 && c["staging_block_bytes"] == 0 && c["staging_oldest_seconds"] == 0 && c["object_request_uploading"] == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// syncfs writes what is dirty in the file system of dir.
func syncfs(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = unix.Syncfs(int(d.Fd()))
	_ = d.Close() // a directory: nothing to lose
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// ErrSpace means that the workload does not fit.
var ErrSpace = errors.New("there is too little space")

// checkSpace refuses a workload for which there is no room, before anything is written.
func (r *run) checkSpace(path string) error {
	bytes, inodes := r.cfg.need()
	freeBytes, freeInodes, err := r.free(path)
	switch {
	case err != nil:
		return fmt.Errorf("bench: %w", err)
	case bytes > freeBytes:
		return fmt.Errorf("bench %s: %w: %s are needed and %s are free: make room or choose smaller files", path, ErrSpace,
			units.FormatShort(uint64(bytes)), units.FormatShort(uint64(freeBytes)))
	case inodes > freeInodes && freeInodes > 0: // some file systems tell of none
		return fmt.Errorf("bench %s: %w: %d inodes are needed and %d are free: make room or choose fewer files", path, ErrSpace, inodes, freeInodes)
	}
	return nil
}

func product(a, b int64) int64 {
	if a > 0 && b > math.MaxInt64/a {
		return math.MaxInt64
	}
	return a * b
}

func freeSpace(dir string) (bytes, inodes int64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return product(int64(min(st.Bavail, math.MaxInt64)), st.Bsize), int64(min(st.Ffree, math.MaxInt64)), nil
}

// Space returns how many bytes the workload keeps at a time.
func (c Config) Space() (int64, error) {
	c, err := c.withDefaults()
	if err != nil {
		return 0, err
	}
	bytes, _ := c.need()
	return bytes, nil
}

// need returns the bytes and the inodes that the workload takes. c has its defaults.
func (c Config) need() (bytes, inodes int64) {
	sets := map[string][2]int64{}
	for _, p := range phases(c) {
		threads := int64(c.Threads)
		need := [2]int64{0, int64(p.Files) * threads}
		if p.Op == Write {
			need[0] = product(p.volume(), threads)
		}
		if p.Shared {
			threads = 1
		}
		need[1] += int64(p.treeSize()) * threads
		has := sets[p.Set]
		sets[p.Set] = [2]int64{max(has[0], need[0]), max(has[1], need[1])}
	}
	for _, need := range sets {
		bytes, inodes = bytes+min(need[0], math.MaxInt64-bytes), inodes+need[1]
	}
	return bytes, inodes
}

// Free returns the bytes that are free in the file system of a directory.
func Free(dir string) (int64, error) {
	bytes, _, err := freeSpace(dir)
	return bytes, err
}
