package fs

import (
	"maps"
	"slices"

	"jfs/meta"
)

// Scattered small writes are packed before they are uploaded: what is seen of them goes into one slice, and each
// extent gets a record of its own that refers to its part of it. A thousand random writes of 4 KiB are then one
// object and one commit, and bytes that were written over before the flush are never stored.

// packMost bounds the slices of a pack, and with them the records that it may have.
const packMost = 1 << 14

// packable says that a slice is small and wholly in memory.
func (s *slice) packable(blockSize uint32) bool {
	return s.packed == nil && s.len < blockSize && len(s.blocks) == 1 && s.blocks[0].state == filling
}

// pack replaces the small ones among frozen slices by packs, in an order that hides and shows the same bytes.
// newID gives the number of a pack; without one the slices stay as they are. f.mu is held.
func (f *file) pack(batch []*slice, newID func() (uint64, error)) []*slice {
	p := packer{file: f, newID: newID, runs: map[uint32][]*slice{}}
	for _, s := range batch {
		if s.packable(f.fs.blockSize) {
			if p.count == packMost || p.bytes+uint64(s.len) > meta.ChunkSize {
				p.close()
			}
			p.add(s)
			continue
		}
		// A pack may come after the slice only if they do not lie in the same chunk.
		if len(p.runs[s.index]) > 0 || s.packed != nil {
			p.close()
		}
		p.out = append(p.out, s)
	}
	p.close()
	return p.out
}

// packer collects the slices of one pack.
type packer struct {
	file  *file
	newID func() (uint64, error)
	out   []*slice            // what is done
	runs  map[uint32][]*slice // by chunk, in the order in which they were begun
	count int
	bytes uint64
}

func (p *packer) add(s *slice) {
	p.runs[s.index] = append(p.runs[s.index], s)
	p.count++
	p.bytes += uint64(s.len)
}

// close ends the pack and begins the next. One slice alone is not worth a pack.
func (p *packer) close() {
	var s *slice
	if p.count > 1 {
		if id, err := p.newID(); err == nil {
			s = p.build(id)
		}
	}
	if s != nil {
		p.out = append(p.out, s)
	} else {
		for _, index := range p.indexes() {
			p.out = append(p.out, p.runs[index]...)
		}
	}
	clear(p.runs)
	p.count, p.bytes = 0, 0
}

// indexes are the chunks of the pack in ascending order: an earlier one must not be published after a later one.
func (p *packer) indexes() []uint32 { return slices.Sorted(maps.Keys(p.runs)) }

// build makes the slice that holds what is seen of the collected ones, and lets them go.
func (p *packer) build(id uint64) *slice {
	f := p.file
	s := &slice{id: id, frozen: true, packed: []meta.Written{}}
	for _, index := range p.indexes() {
		run := p.runs[index]
		records := make([]meta.Slice, len(run))
		for i, one := range run {
			records[i] = one.record()
			if s.born.IsZero() || one.born.Before(s.born) {
				s.born = one.born
			}
			if one.mtime.Sub(s.mtime) > 0 {
				s.mtime = one.mtime
			}
		}
		for _, e := range meta.View(records) {
			if e.ID == 0 {
				continue
			}
			from := s.len
			s.put(f.fs, from, f.byID[e.ID].blocks[0].buf.B[e.Off:e.Off+e.Len])
			if n := len(s.packed); n > 0 {
				// Neighbours in the chunk are neighbours in the pack, so one record serves both.
				if last := &s.packed[n-1]; last.Index == index && last.Slice.Pos+last.Slice.Len == e.Pos {
					last.Slice.Len += e.Len
					continue
				}
			}
			s.packed = append(s.packed, meta.Written{Index: index, Slice: meta.Slice{Pos: e.Pos, ID: id, Off: from, Len: e.Len}})
		}
	}
	for i := range s.packed {
		s.packed[i].Slice.Size = s.len
	}
	for _, run := range p.runs {
		for _, one := range run {
			delete(f.byID, one.id)
			one.drop()
		}
	}
	f.byID[id] = s
	return s
}

// written lists the records of a slice.
func (s *slice) written() []meta.Written {
	if s.packed != nil {
		return s.packed
	}
	return []meta.Written{{Index: s.index, Slice: s.record()}}
}
