package stage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"jfs/block"
)

// spareMost is how many segments are kept for use again: writing over a file costs a sync less than growing one.
const spareMost = 2

// together is the size up to which records are written with one call.
const together = 256 << 10

// journal is what one mount at a time writes: segments in a directory of its own.
type journal struct {
	dir   string
	disk  Disk
	lock  *os.File
	log   *slog.Logger
	now   func() time.Time
	block uint32 // size of the volume's blocks
	full  int64  // size of a segment from which on the next is begun

	mu      sync.Mutex // guards the rest and what segments hold
	segs    []*segment // oldest first
	active  *segment   // the last of segs, nil if the next record begins another
	last    uint64     // number of the last segment
	number  uint64     // of the next record
	seq     uint64     // of the next commit
	first   uint64     // no commit before is left
	spares  []string
	blocks  map[block.Key]place
	commits map[uint64]*Commit
	bytes   int64 // of blocks
	delayed time.Duration
	buf     []byte
	pause   time.Time // nothing is written before, because of a failure

	dirty   []*segment    // have records that are not synced
	names   bool          // so has the directory
	written uint64        // number behind the last record
	synced  uint64        // number behind the last one that is durable
	syncing chan struct{} // closed when the sync under way ends
	syncs   int64
	doubt   bool  // a segment is bad
	failure error // of the last sync, nil after a good one
}

// segment is a file of the journal.
type segment struct {
	number uint64
	name   string
	file   File
	size   int64
	live   int  // blocks and commits that are still needed
	refs   int  // reads under way
	bad    bool // a sync has failed, so what was written is in doubt
}

// place is where the bytes of a block lie.
type place struct {
	seg *segment
	off int64
	sum uint64 // of the body
	// pages are checksums of the block's pages, for reads of a part of it.
	pages []uint32
}

func segmentName(number uint64) string { return fmt.Sprintf("%016x.seg", number) }

// append writes blocks, and a commit unless it is nil. What is written survives the end of this process.
func (j *journal) append(blocks []Block, c *Commit) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if c != nil {
		c.seq = j.seq
	}
	seg, places, err := j.write(blocks, c)
	if err != nil {
		return err
	}
	for i, b := range blocks {
		j.blocks[b.Key] = places[i]
		j.bytes += int64(b.Key.Size)
		seg.live++
	}
	if c != nil {
		j.seq++
		c.journal, c.seg = j, seg
		j.commits[c.seq] = c
		seg.live++
	}
	return nil
}

// write is append without its bookkeeping. mu is held.
func (j *journal) write(blocks []Block, c *Commit) (*segment, []place, error) {
	seg, err := j.room()
	if err != nil {
		return nil, nil, err
	}
	b, at, number := j.buf[:0], seg.size, j.number
	places := make([]place, len(blocks))
	flush := func() {
		if err == nil && len(b) > 0 {
			_, err = seg.file.WriteAt(b, at)
			at += int64(len(b))
			b = b[:0]
		}
	}
	for i, one := range blocks {
		h := header{kind: kindBlock, length: blockHead + uint32(len(one.Data)), number: number, segment: seg.number, subject: one.Key.Slice}
		head := binary.LittleEndian.AppendUint32(nil, one.Key.Index)
		head = binary.LittleEndian.AppendUint32(head, one.Key.Size)
		var sum xxhash.Digest
		sum.Reset()
		_, _ = sum.Write(head)
		_, _ = sum.Write(one.Data)
		h.sum = sum.Sum64()
		var start [headerSize]byte
		h.put(start[:])
		b = append(append(b, start[:]...), head...)
		places[i] = place{seg, at + int64(len(b)), h.sum, pageSums(one.Data)}
		if len(b)+len(one.Data) <= together {
			b = append(b, one.Data...)
		} else {
			flush()
			if err == nil {
				_, err = seg.file.WriteAt(one.Data, at)
				at += int64(len(one.Data))
			}
		}
		number++
	}
	if c != nil {
		b = frame(b, header{kind: kindCommit, number: number, segment: seg.number, subject: c.Ino}, c.body)
		number++
	}
	flush()
	j.buf = b[:0]
	return seg, places, j.wrote(seg, at, number, err)
}

// note writes a record of another kind. mu is held.
func (j *journal) note(k kind, body func([]byte) []byte) error {
	seg, err := j.room()
	if err != nil {
		return err
	}
	b := frame(j.buf[:0], header{kind: k, number: j.number, segment: seg.number}, body)
	j.buf = b[:0]
	_, err = seg.file.WriteAt(b, seg.size)
	return j.wrote(seg, seg.size+int64(len(b)), j.number+1, err)
}

// wrote takes over what was written. After a failure the segment is left: the records that the next one begins with
// have the same numbers, so none of the failed ones counts.
func (j *journal) wrote(seg *segment, end int64, number uint64, err error) error {
	if err != nil {
		j.active = nil
		j.pause = j.now().Add(retryAfter)
		return fmt.Errorf("write to the stage %s: %w", j.dir, err)
	}
	j.pause = time.Time{}
	seg.size, j.number, j.written = end, number, number
	if n := len(j.dirty); n == 0 || j.dirty[n-1] != seg {
		j.dirty = append(j.dirty, seg)
	}
	return nil
}

// room gives the segment for the next record. mu is held.
func (j *journal) room() (*segment, error) {
	if j.now().Before(j.pause) {
		return nil, fmt.Errorf("stage %s: %w", j.dir, ErrPaused)
	}
	if j.active != nil && j.active.size < j.full {
		return j.active, nil
	}
	seg, err := j.begin()
	if err != nil {
		j.pause = j.now().Add(retryAfter)
		return nil, fmt.Errorf("begin a segment of the stage %s: %w", j.dir, err)
	}
	j.active = seg
	return seg, nil
}

// begin makes the next segment, of a spare one if there is.
func (j *journal) begin() (*segment, error) {
	number := j.last + 1
	seg := &segment{number: number, name: segmentName(number)}
	fresh := true
	if n := len(j.spares); n > 0 {
		spare := j.spares[n-1]
		j.spares = j.spares[:n-1]
		fresh = j.disk.Rename(spare, seg.name) != nil
	}
	var err error
	if seg.file, err = j.disk.Open(seg.name); err != nil {
		return nil, err
	}
	if fresh {
		seg.file.Reserve(j.full)
	}
	b := frame(nil, header{kind: kindHead, number: j.number, segment: number}, func(b []byte) []byte {
		return append(b, headBody(j.block)...)
	})
	if _, err := seg.file.WriteAt(b, 0); err != nil {
		return nil, errors.Join(err, seg.file.Close(), j.disk.Remove(seg.name))
	}
	seg.size = int64(len(b))
	j.last, j.names = number, true
	j.number++
	j.segs = append(j.segs, seg)
	return seg, nil
}

// sync returns when everything that was appended before is durable. Those who come while a sync is under way share
// the next one.
func (j *journal) sync(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	want := j.written
	for {
		switch {
		case j.synced >= want:
			return nil
		case j.syncing == nil:
			if err := j.syncNow(); err != nil {
				return err
			}
			continue
		}
		wait := j.syncing
		j.mu.Unlock()
		var err error
		select {
		case <-wait:
		case <-ctx.Done():
			err = ctx.Err()
		}
		j.mu.Lock()
		if err != nil {
			return err
		}
		if j.synced < want && j.failure != nil && j.syncing == nil {
			return j.failure
		}
	}
}

// syncNow makes one sync, with mu released meanwhile. After a failure nobody knows what is on the disk: the segments
// are not used any more, and are bad.
func (j *journal) syncNow() error {
	done := make(chan struct{})
	target, segs, names := j.written, j.dirty, j.names
	j.dirty, j.names, j.syncing = nil, false, done
	for _, s := range segs {
		s.refs++
	}
	j.mu.Unlock()
	var err error
	if names {
		err = j.disk.Sync()
	}
	for _, s := range segs {
		if err == nil {
			err = s.file.Sync()
		}
	}
	j.mu.Lock()
	j.syncs++
	j.syncing = nil
	close(done)
	j.failure = nil
	if err != nil {
		err = fmt.Errorf("sync the stage %s: %w", j.dir, err)
		j.failure = err
		j.names = j.names || names
		for _, s := range segs {
			s.bad, j.doubt = true, true
		}
		if j.active != nil && j.active.bad {
			j.active = nil
			j.pause = j.now().Add(retryAfter)
		}
	} else {
		j.synced = max(j.synced, target)
	}
	for _, s := range segs {
		s.refs--
	}
	j.retire()
	return err
}

// retire removes segments at the front that nobody needs. Only there: a mark that a commit is published must not go
// before the commit. mu is held.
func (j *journal) retire() {
	for len(j.segs) > 0 && j.segs[0] != j.active && j.segs[0].live == 0 && j.segs[0].refs == 0 {
		seg := j.segs[0]
		j.segs[0] = nil
		j.segs = j.segs[1:]
		j.dirty = slices.DeleteFunc(j.dirty, func(s *segment) bool { return s == seg })
		if err := seg.file.Close(); err != nil {
			j.log.Warn("close a segment of the stage", "dir", j.dir, "segment", seg.name, "err", err)
		}
		if !seg.bad && len(j.spares) < spareMost && j.disk.Rename(seg.name, spareName(seg.number)) == nil {
			j.spares = append(j.spares, spareName(seg.number))
			continue
		}
		if err := j.disk.Remove(seg.name); err != nil {
			j.log.Warn("remove a segment of the stage", "dir", j.dir, "segment", seg.name, "err", err)
		}
	}
}

func spareName(number uint64) string { return fmt.Sprintf("%016x.spare", number) }
