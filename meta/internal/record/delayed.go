// Package record holds stored forms that several engines share and that package meta does not need.
package record

import (
	"encoding/binary"
	"fmt"

	"jfs/meta"
)

// sliceRefSize is the length of one replaced slice in bytes: its id and its size.
const sliceRefSize = 8 + 4

// EncodeSliceRefs gives the stored form of the slices that a compaction has replaced.
func EncodeSliceRefs(slices []meta.SliceRef) []byte {
	b := make([]byte, 0, len(slices)*sliceRefSize)
	for _, s := range slices {
		b = binary.BigEndian.AppendUint64(b, s.ID)
		b = binary.BigEndian.AppendUint32(b, s.Size)
	}
	return b
}

// DecodeSliceRefs reads the stored form of the slices that a compaction has replaced.
func DecodeSliceRefs(b []byte) ([]meta.SliceRef, error) {
	if len(b)%sliceRefSize != 0 {
		return nil, fmt.Errorf("%w: replaced slices of %d bytes are no multiple of %d", meta.ErrCorrupt, len(b), sliceRefSize)
	}
	slices := make([]meta.SliceRef, 0, len(b)/sliceRefSize)
	for ; len(b) > 0; b = b[sliceRefSize:] {
		slices = append(slices, meta.SliceRef{ID: binary.BigEndian.Uint64(b), Size: binary.BigEndian.Uint32(b[8:])})
	}
	return slices, nil
}
