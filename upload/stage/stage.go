// Package stage keeps what was written to files on a local disk until it is in the object store and published.
//
// It is a journal: records are appended to segment files, and a segment goes when nothing in it is needed any more.
// What Append has taken survives the end of this process, and after Sync also a crash of the machine, but not the loss
// of the disk. Who opens the stage next finds every commit that was not marked as done, in the order of their making.
package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"jfs/block"
	"jfs/internal/bytepool"
)

// Defaults of Options.
const (
	defaultSegment = 64 << 20
	defaultSync    = time.Second
	defaultWriters = 1000 // of the flag --max-stage-write
	defaultMode    = fs.FileMode(0o600)

	retryAfter = 10 * time.Second // pause after a failed write
	freeEvery  = time.Second      // how old the knowledge of free space may be
)

// Reasons why nothing is staged. The caller stores and publishes at once instead.
var (
	ErrFull   = errors.New("the disk of the stage has too little free space")
	ErrPaused = errors.New("the stage has failed and is tried again later")
	ErrClosed = errors.New("the stage is closed")
)

// Options say how a Stage works. BlockSize must be given.
type Options struct {
	BlockSize uint32        // of the volume, in bytes
	FreeRatio float64       // share of the disk that is left free; 0 means none
	MaxBytes  int64         // most bytes of blocks; 0 means no limit
	Writers   int           // appends at a time; 0 means 1000
	Segment   int64         // size of a segment in bytes; 0 means 64 MiB
	SyncEvery time.Duration // longest time until what was appended is durable without Sync; 0 means 1 s
	Mode      fs.FileMode   // of files; 0 means 0600
	Log       *slog.Logger  // nil: no log
	Now       func() time.Time
	// OpenDisk opens the directory of a journal, which is there; nil means OS.
	OpenDisk func(dir string, mode fs.FileMode) Disk
}

// Block is a block of a slice. Its key has the true size of the block.
type Block struct {
	Key  block.Key
	Data []byte
}

// Commit is what a flush has written to a file. Its extents name slices whose blocks are in the stage.
type Commit struct {
	Ino     uint64
	Mtime   Time // of the last write
	Base    Time // mtime that the file has when what was committed before is published
	Staged  Time // when
	Extents []Extent

	// Planned, of a commit that was left by another process: it may have been published, with its slices at these
	// places.
	Planned []Target

	seq     uint64
	journal *journal
	seg     *segment
}

// Slices gives the slices of a commit, each once, with Extent.ID and Size.
func (c *Commit) Slices() []Extent {
	var all []Extent
	for _, e := range c.Extents {
		if !slices.ContainsFunc(all, func(x Extent) bool { return x.ID == e.ID }) {
			all = append(all, e)
		}
	}
	return all
}

func (c *Commit) age(now time.Time) time.Duration {
	return now.Sub(time.Unix(c.Staged.Sec, int64(c.Staged.Nsec)))
}

// Bytes is how much data a commit has.
func (c *Commit) Bytes() (n int64) {
	for _, s := range c.Slices() {
		n += int64(s.Size)
	}
	return n
}

// Recovered is what was left in the stage.
type Recovered struct {
	Commits []*Commit // in the order in which they were made
	Lost    []uint64  // inodes of files with commits that could not be read; they are kept aside
}

// Stats is a snapshot.
type Stats struct {
	Commits int           // not done
	Blocks  int           // needed
	Bytes   int64         // of these
	Disk    int64         // space that the stage takes, segments for use again included
	Oldest  time.Duration // age of the commit that was made first
	Delayed time.Duration // sum of the ages of the commits when they were done
	Writing int           // appends under way
	Written int64         // bytes of blocks since the start
	Errors  int64         // appends and syncs that failed
	Syncs   int64
}

// Stage is safe for concurrent use.
type Stage struct {
	o     Options
	slots chan struct{}
	pool  *bytepool.Pool // an allocator only
	stop  context.CancelFunc
	wg    sync.WaitGroup

	own  *journal
	left []*journal // of others, which are only read and marked

	mu      sync.Mutex // guards the rest
	closed  bool
	checked time.Time // when full was found out
	full    bool
	written int64
	errors  int64
	wake    chan struct{} // something was appended
}

// Append takes blocks, and a commit unless it is nil, as one: after a crash either all or none of it is there. The
// data is not used any more when it returns. On an error nothing was taken.
func (s *Stage) Append(ctx context.Context, blocks []Block, c *Commit) error {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.slots }()
	if err := s.usable(); err != nil {
		return err
	}
	if c != nil {
		now := s.o.Now()
		c.Staged = Time{now.Unix(), uint32(now.Nanosecond())}
	}
	err := s.own.append(blocks, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.errors++
		return err
	}
	for _, b := range blocks {
		s.written += int64(b.Key.Size)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// usable says whether more may be staged.
func (s *Stage) usable() error {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if age := now.Sub(s.checked); age < 0 || age >= freeEvery {
		s.checked = now
		free, err := s.own.disk.Free()
		if err != nil {
			return fmt.Errorf("free space of the stage: %w", err)
		}
		s.full = free < s.o.FreeRatio || s.o.MaxBytes > 0 && s.needed() >= s.o.MaxBytes
	}
	if s.full {
		return ErrFull
	}
	return nil
}

// needed is the size of the blocks that are needed.
func (s *Stage) needed() (n int64) {
	for _, j := range s.journals() {
		j.mu.Lock()
		n += j.bytes
		j.mu.Unlock()
	}
	return n
}

// Sync returns when everything that was appended before is durable.
func (s *Stage) Sync(ctx context.Context) error { return s.own.sync(ctx) }

// Durable says whether commits will be found after a crash of the machine, which is so after a Sync that went well
// unless an earlier one has failed.
func (s *Stage) Durable(commits ...*Commit) bool {
	for _, c := range commits {
		j := c.journal
		j.mu.Lock()
		doubt := j.doubt && j.doubtful(c)
		all := !j.doubt && j == s.own
		j.mu.Unlock()
		if doubt {
			return false
		}
		if all { // there is no doubt about any
			return true
		}
	}
	return true
}

func (j *journal) doubtful(c *Commit) bool {
	if j.commits[c.seq] == nil {
		return false // it is done
	}
	if c.seg.bad {
		return true
	}
	for _, key := range j.keys(c) {
		if j.blocks[key].seg.bad {
			return true
		}
	}
	return false
}

// Plan records, durably, that commits are about to be published with their slices at the targets. All must be of one
// Recovered, or all of this process.
func (s *Stage) Plan(ctx context.Context, commits []*Commit, targets []Target) error {
	for j, seqs := range byJournal(commits) {
		j.mu.Lock()
		err := j.note(kindPlan, func(b []byte) []byte { return planBody(b, seqs, targets) })
		if err == nil {
			j.planned(seqs, targets)
		}
		j.mu.Unlock()
		if err == nil {
			err = j.sync(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Done lets commits go with their blocks: they are published, or not wanted. If that cannot be recorded, the next one
// to open the stage finds them once more.
func (s *Stage) Done(commits ...*Commit) {
	for j, seqs := range byJournal(commits) {
		j.done(seqs, s.o.Log)
	}
}

func byJournal(commits []*Commit) map[*journal][]uint64 {
	by := map[*journal][]uint64{}
	for _, c := range commits {
		by[c.journal] = append(by[c.journal], c.seq)
	}
	return by
}

// Forget lets blocks go that belong to no commit.
func (s *Stage) Forget(keys ...block.Key) {
	j := s.own
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, key := range keys {
		j.drop(key)
	}
	j.retire()
}

func (s *Stage) journals() []*journal { return append([]*journal{s.own}, s.left...) }

// Stats returns a snapshot.
func (s *Stage) Stats() Stats {
	s.mu.Lock()
	st := Stats{Written: s.written, Errors: s.errors}
	s.mu.Unlock()
	now := s.o.Now()
	st.Writing = len(s.slots)
	for _, j := range s.journals() {
		j.mu.Lock()
		st.Delayed += j.delayed
		st.Commits += len(j.commits)
		st.Blocks += len(j.blocks)
		st.Bytes += j.bytes
		st.Syncs += j.syncs
		st.Disk += int64(len(j.spares)) * j.full
		for _, seg := range j.segs {
			st.Disk += seg.size
		}
		if c := j.oldest(); c != nil {
			st.Oldest = max(st.Oldest, c.age(now))
		}
		j.mu.Unlock()
	}
	return st
}

// syncer makes durable what nobody syncs.
func (s *Stage) syncer(ctx context.Context) {
	timer := time.NewTimer(s.o.SyncEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		timer.Reset(s.o.SyncEvery)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := s.own.sync(ctx); err != nil && ctx.Err() == nil {
			s.mu.Lock()
			s.errors++
			s.mu.Unlock()
			s.o.Log.Error("the stage cannot be made durable", "err", err)
		}
	}
}

// Close ends the use of the stage. What is not done stays for who opens it next.
func (s *Stage) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.wg.Wait()
	err := s.own.sync(context.Background())
	for _, j := range s.journals() {
		err = errors.Join(err, j.close())
	}
	return err
}
