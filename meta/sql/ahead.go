package sql

import "jfs/meta"

// ahead is what was read before it was asked for. Inodes are with the reader's others.
type ahead struct {
	entries map[meta.Name]aheadEntry
	chunks  map[meta.ChunkID][]byte // nil: there is none
}

type aheadEntry struct {
	ok       bool
	ino, typ number
}

func newAhead() *ahead {
	return &ahead{entries: map[meta.Name]aheadEntry{}, chunks: map[meta.ChunkID][]byte{}}
}

// entry gives what is known of a name.
func (a *ahead) entry(n meta.Name) (e aheadEntry, known bool) {
	if a == nil {
		return e, false
	}
	e, known = a.entries[n]
	return e, known
}

func (a *ahead) chunk(id meta.ChunkID) (b []byte, known bool) {
	if a == nil {
		return nil, false
	}
	b, known = a.chunks[id]
	return b, known
}
