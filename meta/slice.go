package meta

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
)

// ChunkSize is the window of a file that one list of slice records describes.
const (
	ChunkBits = 26
	ChunkSize = 1 << ChunkBits
)

// MaxFileSize is the first offset that a file cannot reach.
const MaxFileSize = ChunkSize << 31

// ChunkID names a chunk: window Index of a file.
type ChunkID struct {
	Ino   Ino
	Index uint32
}

// Slice is a slice record: bytes [Off, Off+Len) of slice ID appear at Pos in the chunk. Size is the total
// length of the slice as it lies in objects. ID 0 is a run of zeros, with Size and Off 0.
type Slice struct {
	Pos  uint32
	ID   uint64
	Size uint32
	Off  uint32
	Len  uint32
}

// SliceSize is the length of an encoded slice record.
const SliceSize = 24

// AppendSlice appends the stored form of s to b.
func AppendSlice(b []byte, s Slice) []byte {
	be := binary.BigEndian
	b = be.AppendUint32(b, s.Pos)
	b = be.AppendUint64(b, s.ID)
	b = be.AppendUint32(b, s.Size)
	b = be.AppendUint32(b, s.Off)
	return be.AppendUint32(b, s.Len)
}

// EncodeSlices gives the stored form of a list of records.
func EncodeSlices(ss []Slice) []byte {
	b := make([]byte, 0, len(ss)*SliceSize)
	for _, s := range ss {
		b = AppendSlice(b, s)
	}
	return b
}

// DecodeSlices reads the stored form of a list of records and checks the invariants that a reader relies on.
func DecodeSlices(b []byte) ([]Slice, error) {
	if len(b)%SliceSize != 0 {
		return nil, fmt.Errorf("%w: chunk of %d bytes is no multiple of %d", ErrCorrupt, len(b), SliceSize)
	}
	be := binary.BigEndian
	ss := make([]Slice, 0, len(b)/SliceSize)
	for ; len(b) > 0; b = b[SliceSize:] {
		s := Slice{Pos: be.Uint32(b), ID: be.Uint64(b[4:]), Size: be.Uint32(b[12:]), Off: be.Uint32(b[16:]), Len: be.Uint32(b[20:])}
		if uint64(s.Pos)+uint64(s.Len) > ChunkSize || s.ID != 0 && uint64(s.Off)+uint64(s.Len) > uint64(s.Size) {
			return nil, fmt.Errorf("%w: slice record %+v", ErrCorrupt, s)
		}
		ss = append(ss, s)
	}
	return ss, nil
}

// View paints the records in order, later ones over earlier ones, and returns what is seen: ordered by Pos,
// without gaps from 0 to the last painted byte, gaps as ID 0. The result is new memory.
func View(records []Slice) []Slice {
	if len(records) == 0 {
		return nil
	}
	// seen is ordered by Pos and free of overlaps after every step. It is painted on in place: thousands of scattered
	// writes would else copy it thousands of times. A record that is put into the middle of another makes two more.
	seen := make([]Slice, 0, len(records)+2)
	for _, r := range records {
		if r.Len == 0 {
			continue
		}
		if n := len(seen); n == 0 || end(seen[n-1]) <= uint64(r.Pos) {
			seen = append(seen, r) // the usual case: written from front to back
			continue
		}
		seen = paint(seen, r)
	}
	gaps := 0
	var at uint32
	for _, s := range seen {
		if s.Pos > at {
			gaps++
		}
		at = s.Pos + s.Len
	}
	if gaps == 0 {
		return seen
	}
	out := make([]Slice, 0, len(seen)+gaps)
	at = 0
	for _, s := range seen {
		if s.Pos > at {
			out = append(out, Slice{Pos: at, Len: s.Pos - at})
		}
		out = append(out, s)
		at = s.Pos + s.Len
	}
	return out
}

func end(s Slice) uint64 { return uint64(s.Pos) + uint64(s.Len) }

// paint puts r over an ordered list, which it changes, and keeps it ordered.
func paint(seen []Slice, r Slice) []Slice {
	// [i, j) are the items that r touches.
	i := sort.Search(len(seen), func(k int) bool { return end(seen[k]) > uint64(r.Pos) })
	j := i
	for j < len(seen) && uint64(seen[j].Pos) < end(r) {
		j++
	}
	var mid [3]Slice
	n := 0
	if i < j && seen[i].Pos < r.Pos {
		mid[n] = seen[i]
		mid[n].Len = r.Pos - seen[i].Pos
		n++
	}
	mid[n] = r
	n++
	if i < j && end(seen[j-1]) > end(r) {
		right := seen[j-1]
		cut := uint32(end(r) - uint64(right.Pos))
		right.Pos += cut
		right.Len -= cut
		if right.ID != 0 {
			right.Off += cut
		}
		mid[n] = right
		n++
	}
	return slices.Replace(seen, i, j, mid[:n]...)
}
