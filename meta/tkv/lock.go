package tkv

import (
	"encoding/binary"
	"fmt"

	"jfs/meta"
)

// The locks of all sessions on one inode are one value: records of sid(8) owner(8) type(1) under F, and of
// sid(8) owner(8) length(4) ranges(length) under P.

// DropSession removes the records of a session and the locks that it still holds.
func (t *tx) DropSession(sid uint64) {
	for _, kind := range []byte{'E', 'I', 'H'} {
		t.drop(sessionKey(kind, sid))
	}
	t.dropLocks("F", sid, flockSize)
	t.dropLocks("P", sid, plockSize)
}

// dropLocks takes the records of a session out of all lock values of one kind. size gives the length of the
// first record, 0 if there is no whole one.
func (t *tx) dropLocks(letter string, sid uint64, size func([]byte) int) {
	t.notes = append(t.notes, note{do: func() error {
		begin, end := letters(letter)
		return t.each(t.promised, begin, end, func(p Pair) (bool, error) {
			if len(p.Key) != inodeKeySize {
				return true, nil
			}
			records := p.Value
			if now, again := t.pending[string(p.Key)]; again { // another session that goes with it
				records = now
			}
			kept, err := withoutSession(records, sid, size)
			if err != nil {
				return false, corrupt(p.Key, err)
			}
			switch len(kept) {
			case len(records):
			case 0:
				t.pending[string(p.Key)] = nil
			default:
				t.pending[string(p.Key)] = kept
			}
			return true, nil
		})
	}})
}

func withoutSession(records []byte, sid uint64, size func([]byte) int) (kept []byte, err error) {
	for rest := records; len(rest) > 0; {
		n := size(rest)
		if n == 0 {
			return nil, fmt.Errorf("%w: lock record ends after %d of %d bytes", meta.ErrCorrupt, len(records)-len(rest), len(records))
		}
		if binary.BigEndian.Uint64(rest) != sid {
			kept = append(kept, rest[:n]...)
		}
		rest = rest[n:]
	}
	return kept, nil
}

func flockSize(b []byte) int {
	const size = 8 + 8 + 1
	if len(b) < size {
		return 0
	}
	return size
}

func plockSize(b []byte) int {
	const head = 8 + 8 + 4
	if len(b) < head {
		return 0
	}
	size := head + uint64(binary.BigEndian.Uint32(b[16:]))
	if size > uint64(len(b)) {
		return 0
	}
	return int(size)
}
