package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"jfs/block"
	"jfs/internal/bytepool"
)

// Sub is the directory below that of a cache in which the journals are, one for each mount that writes.
const Sub = "stage"

const lockName = "lock"

// Open opens a stage in the first of the cache directories that can be used, and takes over what mounts that have
// ended left in any of them.
func Open(dirs []string, o Options) (*Stage, Recovered, error) {
	if o.Segment == 0 {
		o.Segment = defaultSegment
	}
	if o.SyncEvery == 0 {
		o.SyncEvery = defaultSync
	}
	if o.Writers <= 0 {
		o.Writers = defaultWriters
	}
	if o.Mode == 0 {
		o.Mode = defaultMode
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OpenDisk == nil {
		o.OpenDisk = OS
	}
	s := &Stage{o: o, slots: make(chan struct{}, o.Writers), wake: make(chan struct{}, 1), pool: bytepool.New(0)}
	var rec Recovered
	var errs []error
	for _, dir := range dirs {
		if err := s.openDir(filepath.Join(dir, Sub), &rec); err != nil {
			errs = append(errs, fmt.Errorf("stage in %s: %w", dir, err))
		}
	}
	if s.own == nil {
		for _, j := range s.left {
			errs = append(errs, j.close())
		}
		return nil, Recovered{}, errors.Join(errs...)
	}
	for _, err := range errs {
		o.Log.Warn("a cache directory cannot be used for staging", "err", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.wg.Go(func() { s.syncer(ctx) })
	return s, rec, nil
}

// openDir takes over the journals of a directory that nobody holds, and makes one for this process if there is none
// yet.
func (s *Stage) openDir(dir string, rec *Recovered) error {
	if err := os.MkdirAll(dir, s.o.Mode|s.o.Mode>>2&0o111|0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var numbers []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && e.IsDir() && n >= 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	var errs []error
	for _, n := range numbers {
		errs = append(errs, s.openJournal(filepath.Join(dir, strconv.Itoa(n)), rec))
	}
	// Another mount may take the same number at the same time, so it is tried again with the next.
	for n, tries := 0, 0; s.own == nil && tries < 100; n++ {
		if slices.Contains(numbers, n) {
			continue
		}
		tries++
		path := filepath.Join(dir, strconv.Itoa(n))
		if err := os.Mkdir(path, s.o.Mode|s.o.Mode>>2&0o111|0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return errors.Join(append(errs, err)...)
		}
		if err := s.openJournal(path, rec); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	return errors.Join(errs...)
}

// openJournal takes over a journal unless somebody holds it. The first one becomes that of this process.
func (s *Stage) openJournal(dir string, rec *Recovered) error {
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, s.o.Mode)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its holder has just removed it
	}
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = nil
		}
		return errors.Join(err, lock.Close())
	}
	if now, err := os.Stat(lock.Name()); err != nil || !sameFile(lock, now) {
		return lock.Close() // removed between open and lock
	}
	j := &journal{
		dir: dir, lock: lock, disk: s.o.OpenDisk(dir, s.o.Mode), log: s.o.Log, now: s.o.Now, block: s.o.BlockSize, full: s.o.Segment,
		blocks: map[block.Key]place{}, commits: map[uint64]*Commit{},
	}
	one, err := j.replay()
	if err != nil {
		for _, seg := range j.segs {
			err = errors.Join(err, seg.file.Close())
		}
		return errors.Join(fmt.Errorf("%s: %w", dir, err), lock.Close())
	}
	rec.Commits = append(rec.Commits, one.Commits...)
	rec.Lost = append(rec.Lost, one.Lost...)
	switch {
	case s.own == nil:
		s.own = j
	case len(j.commits) == 0:
		return j.close()
	default:
		s.left = append(s.left, j)
	}
	return nil
}

func sameFile(open *os.File, now fs.FileInfo) bool {
	info, err := open.Stat()
	return err == nil && os.SameFile(info, now)
}
