package stage

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"jfs/block"
)

// keys are the blocks of a commit.
func (j *journal) keys(c *Commit) []block.Key {
	var keys []block.Key
	for _, s := range c.Slices() {
		for i := range block.Count(s.Size, j.block) {
			keys = append(keys, block.KeyAt(s.ID, s.Size, i, j.block))
		}
	}
	return keys
}

// oldest is the commit that was made first. mu is held.
func (j *journal) oldest() *Commit {
	if len(j.commits) == 0 {
		return nil
	}
	for ; ; j.first++ {
		if c := j.commits[j.first]; c != nil {
			return c
		}
	}
}

func (j *journal) done(seqs []uint64, log *slog.Logger) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.note(kindDone, func(b []byte) []byte { return appendSeqs(b, seqs) }); err != nil && !errors.Is(err, ErrPaused) {
		log.Warn("the stage cannot record what is published", "commits", len(seqs), "err", err)
	}
	for _, seq := range seqs {
		c := j.commits[seq]
		if c == nil {
			continue
		}
		delete(j.commits, seq)
		j.delayed += c.age(j.now())
		c.seg.live--
		for _, key := range j.keys(c) {
			j.drop(key)
		}
	}
	j.retire()
	if err := j.move(); err != nil {
		log.Warn("the stage cannot move what waits for long", "err", err)
	}
}

// moveFrom is how many segments there are when what pins the oldest is moved.
const moveFrom = 8

// move writes what is needed of the oldest segment once more, if that pins many segments of which little is needed: a
// commit that is refused again and again would otherwise fill the disk. mu is held, and released for a while.
func (j *journal) move() error {
	if len(j.segs) < moveFrom || int64(len(j.segs))*j.full < 4*(j.bytes+j.full) {
		return nil
	}
	seg := j.segs[0]
	for key, p := range j.blocks {
		if p.seg != seg {
			continue
		}
		data := make([]byte, key.Size)
		if err := p.load(key, data); err != nil { // what is damaged must not get a new checksum
			return err
		}
		to, places, err := j.write([]Block{{key, data}}, nil)
		if err != nil {
			return err
		}
		j.blocks[key] = places[0]
		seg.live--
		to.live++
	}
	for seq, c := range j.commits {
		if c.seg != seg {
			continue
		}
		to, _, err := j.write(nil, c)
		if err == nil && c.Planned != nil { // replay goes by the last plan behind the commit
			err = j.note(kindPlan, func(b []byte) []byte { return planBody(b, []uint64{seq}, c.Planned) })
		}
		if err != nil {
			return err
		}
		c.seg = to
		seg.live--
		to.live++
	}
	// What has moved must be durable before the segment goes.
	seg.refs++
	j.mu.Unlock()
	err := j.sync(context.Background())
	j.mu.Lock()
	seg.refs--
	if err == nil {
		j.retire()
	}
	return err
}

// Aside lets a commit go that cannot be read, and keeps its segments under another name.
func (s *Stage) Aside(c *Commit) {
	j := c.journal
	j.mu.Lock()
	first := c.seg
	for _, key := range j.keys(c) {
		if p, ok := j.blocks[key]; ok && p.seg.number < first.number {
			first = p.seg
		}
	}
	kept := j.aside(first)
	j.mu.Unlock()
	s.o.Log.Error("the stage is damaged: a write that was not published yet is lost", "dir", j.dir, "inode", c.Ino, "kept", kept)
	s.Done(c)
}

// drop lets a block go. mu is held.
func (j *journal) drop(key block.Key) {
	p, ok := j.blocks[key]
	if !ok {
		return
	}
	delete(j.blocks, key)
	j.bytes -= int64(key.Size)
	p.seg.live--
}

// close removes the journal if nothing in it is needed, and lets go of it.
func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var errs []error
	for _, seg := range j.segs {
		errs = append(errs, seg.file.Close())
	}
	if len(j.commits) == 0 {
		names, err := j.disk.List()
		errs = append(errs, err)
		for _, name := range names {
			if _, ok := segmentNumber(name); ok || filepath.Ext(name) == ".spare" {
				errs = append(errs, j.disk.Remove(name))
			}
		}
	}
	j.segs, j.active, j.spares = nil, nil, nil
	if j.lock != nil {
		if len(j.commits) == 0 { // under the lock, and only if nothing is kept aside
			if entries, err := os.ReadDir(j.dir); err == nil && len(entries) == 1 {
				errs = append(errs, os.RemoveAll(j.dir))
			}
		}
		errs = append(errs, j.lock.Close())
	}
	return errors.Join(errs...)
}
