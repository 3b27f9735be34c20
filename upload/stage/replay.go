package stage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"jfs/block"
)

// found is a record as it was found in a segment.
type found struct {
	header
	seg  *segment
	off  int64 // of the body
	body []byte
	good bool // the body is what was written
	// pages are checksums of a block, whose body is not kept.
	pages []uint32
	gap   bool // what was before this record cannot be read
}

func segmentNumber(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, ".seg")
	n, err := strconv.ParseUint(hex, 16, 64)
	return n, ok && len(hex) == 16 && err == nil
}

// replay reads what the journal holds.
//
// The end of what was written is where no record with the right numbers follows: behind it lies nothing, the torn rest
// of a record, or what an earlier use of the file has left. Elsewhere a record that cannot be read is damage. What was
// before it counts, and so do the files that it does not concern; if it is not known whom it concerns, no later commit
// counts.
func (j *journal) replay() (Recovered, error) {
	names, err := j.disk.List()
	if err != nil {
		return Recovered{}, err
	}
	slices.Sort(names)
	var all []found
	for _, name := range names {
		if filepath.Ext(name) == ".spare" {
			j.spares = append(j.spares, name)
		}
		number, ok := segmentNumber(name)
		if !ok {
			continue
		}
		seg := &segment{number: number, name: name}
		if seg.file, err = j.disk.Open(name); err != nil {
			return Recovered{}, err
		}
		j.segs = append(j.segs, seg)
		j.last = number
		records, err := j.scan(seg)
		if err != nil {
			return Recovered{}, fmt.Errorf("segment %s: %w", name, err)
		}
		if len(records) == 0 {
			continue
		}
		// Records that the segment before holds with the same numbers were written in vain.
		for len(all) > 0 && all[len(all)-1].number >= records[0].number {
			all = all[:len(all)-1]
		}
		if n := len(all); n > 0 && records[0].number != all[n-1].number+1 {
			records[0].gap = true
		}
		all = append(all, records...)
	}
	if n := len(all); n > 0 && !all[n-1].good {
		all = all[:n-1] // torn
	}
	rec := j.interpret(all)
	for _, seg := range j.segs {
		seg.live = 0
	}
	for key, p := range j.blocks {
		if !slices.ContainsFunc(rec.Commits, func(c *Commit) bool { return c.has(key.Slice) }) {
			delete(j.blocks, key)
			continue
		}
		p.seg.live++
		j.bytes += int64(key.Size)
	}
	for _, c := range rec.Commits {
		c.seg.live++
	}
	j.synced, j.written = j.number, j.number
	j.retire()
	return rec, nil
}

func (c *Commit) has(slice uint64) bool {
	return slices.ContainsFunc(c.Extents, func(e Extent) bool { return e.ID == slice })
}

// interpret makes commits and blocks of records.
func (j *journal) interpret(all []found) Recovered {
	lost := map[uint64]bool{} // files of which a commit is missing
	blind := false            // it is not known which files miss one
	var damaged *segment
	damage := func(f *found) {
		if damaged == nil {
			damaged = f.seg
		}
	}
	// First what a commit is judged by: a block that was moved comes after it, and those of one that is done may be
	// gone already.
	done := map[uint64]bool{}
	for _, f := range all {
		switch {
		case !f.good:
		case f.kind == kindBlock:
			key := block.Key{Slice: f.subject, Index: binary.LittleEndian.Uint32(f.body), Size: f.length - blockHead}
			j.blocks[key] = place{f.seg, f.off + blockHead, f.sum, f.pages}
		case f.kind == kindDone:
			seqs, err := parseDone(f.body)
			if err != nil {
				damage(&f)
			}
			for _, seq := range seqs {
				done[seq] = true
			}
		}
	}
	for i := range all {
		f := &all[i]
		j.number = f.number + 1
		if f.gap {
			blind = true
			damage(f)
		}
		if !f.good {
			damage(f)
			if f.kind == kindCommit {
				lost[f.subject] = true
			}
			continue
		}
		var err error
		switch f.kind {
		case kindCommit:
			var c *Commit
			if c, err = parseCommit(f.subject, f.body); err != nil {
				break
			}
			j.seq = max(j.seq, c.seq+1)
			if done[c.seq] {
				break
			}
			if blind || lost[c.Ino] || !j.complete(c) {
				lost[c.Ino] = true
				damage(f)
				break
			}
			c.journal, c.seg = j, f.seg
			j.commits[c.seq] = c
		case kindPlan:
			var seqs []uint64
			var targets []Target
			if seqs, targets, err = parsePlan(f.body); err == nil {
				j.planned(seqs, targets)
			}
		}
		if err != nil {
			damage(f)
			j.log.Error("a record of the stage is not understood", "dir", j.dir, "segment", f.seg.name, "err", err)
		}
		f.body = nil
	}
	var rec Recovered
	for _, seq := range slices.Sorted(maps.Keys(j.commits)) {
		rec.Commits = append(rec.Commits, j.commits[seq])
	}
	j.first = j.seq
	if len(rec.Commits) > 0 {
		j.first = rec.Commits[0].seq
	}
	rec.Lost = slices.Sorted(maps.Keys(lost))
	if damaged != nil {
		kept := j.aside(damaged)
		j.log.Error("the stage is damaged: writes that were not published yet are lost", "dir", j.dir,
			"inodes", fmt.Sprint(rec.Lost), "kept", strings.Join(kept, " "))
	}
	return rec
}

// aside gives the segments from one on a second name, under which they stay.
func (j *journal) aside(from *segment) (kept []string) {
	for _, seg := range j.segs {
		if seg.number < from.number {
			continue
		}
		if err := j.disk.Link(seg.name, seg.name+".bad"); err != nil {
			j.log.Warn("keep a damaged segment", "segment", seg.name, "err", err)
			continue
		}
		seg.bad, j.doubt = true, true // it must not be written over
		kept = append(kept, seg.name+".bad")
	}
	return kept
}

// complete says whether the stage has all blocks of a commit.
func (j *journal) complete(c *Commit) bool {
	for _, key := range j.keys(c) {
		if _, ok := j.blocks[key]; !ok {
			return false
		}
	}
	return true
}

// planned remembers where commits may be published.
func (j *journal) planned(seqs []uint64, targets []Target) {
	for _, seq := range seqs {
		c := j.commits[seq]
		if c == nil {
			continue
		}
		c.Planned = nil
		for _, t := range targets {
			if c.has(t.Slice) {
				c.Planned = append(c.Planned, t)
			}
		}
	}
}

// scan reads the records of a segment. Bodies of blocks are verified and not kept.
func (j *journal) scan(seg *segment) (all []found, err error) {
	size, err := seg.file.Size()
	if err != nil {
		return nil, err
	}
	gap := false
	for off := int64(0); off+headerSize <= size; {
		f, err := j.record(seg, off, size)
		if err != nil {
			return nil, err
		}
		if n := len(all); f == nil || n == 0 && f.kind != kindHead || n > 0 && !gap && f.number != all[n-1].number+1 || n > 0 && f.number <= all[n-1].number {
			next, err := j.seek(seg, off+1, size, all)
			if err != nil || next < 0 {
				return all, err
			}
			off, gap = next, true
			continue
		}
		if f.kind == kindHead && f.good {
			if v := binary.LittleEndian.Uint32(f.body); v != version {
				return nil, fmt.Errorf("it has version %d of the format, this program knows %d: mount with the program that wrote it, so that it is drained", v, version)
			}
			if bs := binary.LittleEndian.Uint32(f.body[4:]); bs != j.block {
				return nil, fmt.Errorf("it is of a volume with blocks of %d bytes instead of %d", bs, j.block)
			}
		}
		f.gap, gap = gap, false
		off = f.off + int64(f.length)
		seg.size = off
		all = append(all, *f)
	}
	return all, nil
}

// record reads the record at off; nil if there is none.
func (j *journal) record(seg *segment, off, size int64) (*found, error) {
	var b [headerSize]byte
	if _, err := seg.file.ReadAt(b[:], off); err != nil {
		return nil, err
	}
	f := found{seg: seg, off: off + headerSize}
	if f.parse(b[:]) != nil || f.segment != seg.number {
		return nil, nil
	}
	n := min(int64(f.length), size-f.off)
	if int64(len(j.buf)) < n {
		j.buf = make([]byte, n)
	}
	body := j.buf[:n]
	if _, err := seg.file.ReadAt(body, f.off); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	f.good = n == int64(f.length) && xxhash.Sum64(body) == f.sum
	switch {
	case f.kind == kindBlock && f.good:
		f.body, f.pages = bytes.Clone(body[:blockHead]), pageSums(body[blockHead:])
	case f.kind != kindBlock:
		f.body = bytes.Clone(body)
	}
	return &f, nil
}

// seek looks for a record behind damage, which tells damage from the end; −1 if there is none.
func (j *journal) seek(seg *segment, off, size int64, before []found) (int64, error) {
	var last uint64
	if n := len(before); n > 0 {
		last = before[n-1].number
	}
	mark := binary.LittleEndian.AppendUint32(nil, magic)
	const window = 1 << 20
	b := make([]byte, window+headerSize)
	for ; off+headerSize <= size; off += window {
		n, err := seg.file.ReadAt(b, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return -1, err
		}
		for at := 0; ; at++ {
			i := bytes.Index(b[at:n], mark)
			if i < 0 || at+i >= window || at+i+headerSize > n {
				break
			}
			at += i
			var h header
			if h.parse(b[at:n]) == nil && h.segment == seg.number && h.number > last {
				return off + int64(at), nil
			}
		}
	}
	return -1, nil
}
