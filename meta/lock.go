package meta

import (
	"encoding/binary"
	"fmt"
)

// PlockSize is the length of an encoded record lock in bytes.
const PlockSize = 24

// EncodePlocks gives the stored form of an owner's record locks.
func EncodePlocks(locks []Plock) []byte {
	be := binary.BigEndian
	b := make([]byte, 0, len(locks)*PlockSize)
	for _, l := range locks {
		b = be.AppendUint32(b, l.Type)
		b = be.AppendUint32(b, l.PID)
		b = be.AppendUint64(b, l.Start)
		b = be.AppendUint64(b, l.End)
	}
	return b
}

// DecodePlocks reads the stored form of an owner's record locks.
func DecodePlocks(b []byte) ([]Plock, error) {
	if len(b)%PlockSize != 0 {
		return nil, fmt.Errorf("%w: record locks of %d bytes", ErrCorrupt, len(b))
	}
	be := binary.BigEndian
	locks := make([]Plock, 0, len(b)/PlockSize)
	for ; len(b) > 0; b = b[PlockSize:] {
		locks = append(locks, Plock{Type: be.Uint32(b), PID: be.Uint32(b[4:]), Start: be.Uint64(b[8:]), End: be.Uint64(b[16:])})
	}
	return locks, nil
}
