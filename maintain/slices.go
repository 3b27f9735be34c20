package maintain

import (
	"cmp"
	"slices"
	"sort"
)

// use says why a slice is still wanted, the strongest reason first.
type use uint8

const (
	inUse   use = iota // by a record of a chunk
	pending            // not by any more: it waits to be deleted
	delayed            // replaced by a compaction and kept for the time of the trash
)

// sliceUse is one slice: 16 bytes.
type sliceUse struct {
	id     uint64
	size   uint32
	use    use
	blocks uint16 // that were found; a slice has at most 1024
}

// sliceSet is a set of slices with the strongest use of each. It takes 16 bytes a slice, and up to half as much again
// while it is being filled.
type sliceSet struct {
	sorted []sliceUse // by id and size, each once
	fresh  []sliceUse // not sorted in yet
}

// minFresh is how many slices are collected at least before they are sorted in.
const minFresh = 4096

func (s *sliceSet) add(id uint64, size uint32, u use) {
	if len(s.fresh) >= max(minFresh, len(s.sorted)/2) {
		s.settle()
	}
	s.fresh = append(s.fresh, sliceUse{id: id, size: size, use: u})
}

func byID(a, b sliceUse) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.size, b.size)) }

// byUse puts the strongest use of a slice first.
func byUse(a, b sliceUse) int { return cmp.Or(byID(a, b), cmp.Compare(a.use, b.use)) }

// settle sorts in what was added. It must be called before find.
func (s *sliceSet) settle() {
	if len(s.fresh) == 0 {
		return
	}
	slices.SortFunc(s.fresh, byUse)
	s.fresh = slices.CompactFunc(s.fresh, func(a, b sliceUse) bool { return byID(a, b) == 0 })
	// Merge from the back, in place.
	i, j := len(s.sorted)-1, len(s.fresh)-1
	s.sorted = append(s.sorted, s.fresh...)
	for k := len(s.sorted) - 1; j >= 0; k-- {
		switch {
		case i < 0 || byUse(s.sorted[i], s.fresh[j]) < 0:
			s.sorted[k] = s.fresh[j]
			j--
		default:
			s.sorted[k] = s.sorted[i]
			i--
		}
	}
	s.sorted = slices.CompactFunc(s.sorted, func(a, b sliceUse) bool { return byID(a, b) == 0 })
	s.fresh = s.fresh[:0]
}

// find gives all slices with an id: one, or several if the metadata contradict themselves.
func (s *sliceSet) find(id uint64) []sliceUse {
	i := sort.Search(len(s.sorted), func(k int) bool { return s.sorted[k].id >= id })
	j := i
	for j < len(s.sorted) && s.sorted[j].id == id {
		j++
	}
	return s.sorted[i:j]
}

func (s *sliceSet) len() int { return len(s.sorted) }
