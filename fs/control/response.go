package control

import (
	"encoding/binary"
	"encoding/json"
	"syscall"

	"jfs/meta"
)

// Totals is what a tree holds.
type Totals struct {
	Length uint64 // bytes of files
	Size   uint64 // bytes that are charged
	Files  uint64 // everything but directories
	Dirs   uint64
}

// InfoResponse is what is known of an inode.
type InfoResponse struct {
	Ino     meta.Ino
	Failed  bool // Reason says why, and the rest is empty
	Reason  string
	Summary Totals
	Paths   []string // from the root of the volume
	Chunks  []Slice  // of a file, if slices were asked for
	Objects []Object // of a file, if not
	FLocks  []Lock
	PLocks  []Lock
}

// WarmResponse is what the files consist of that were asked for, and what of it was not in the cache.
type WarmResponse struct {
	FileCount  uint64
	SliceCount uint64
	TotalBytes uint64
	MissBytes  uint64
}

// Slice is a visible piece of a slice in a chunk. Id 0 is a hole.
type Slice struct {
	ChunkIndex uint64
	Pos        uint32 // offset in the chunk
	Id         uint64 //nolint:revive,staticcheck // the name in the JSON
	Size       uint32 // of the whole slice
	Off        uint32 // of the piece in the slice
	Len        uint32
}

// Object is a visible piece of an object. A hole has no Key.
type Object struct {
	ChunkIndex uint64
	Key        string // with the prefix of the volume
	Size       uint32 // of the block, before compression
	Off        uint32 // of the piece in the block
	Len        uint32
	Pos        uint32 // offset in the chunk
}

// Lock is a lock on a file. Of a BSD lock there is no range.
type Lock struct {
	Sid, Owner uint64
	Type       any    // "R" or "W" of a BSD lock, the number of F_RDLCK or F_WRLCK of a POSIX lock
	Pid        uint32 `json:",omitempty"`
	Start      uint64 `json:",omitempty"`
	End        uint64 `json:",omitempty"`
}

// SummaryResponse is a tree of totals.
type SummaryResponse struct {
	Errno syscall.Errno
	Tree  Tree
}

// Tree is an entry with the totals of all that is below.
type Tree struct {
	Inode    meta.Ino
	Path     string // below the top; "..." at the end stands for the entries that are not named
	Type     uint8
	Size     uint64 // bytes that are charged
	Files    uint64
	Dirs     uint64
	Children []*Tree `json:",omitempty"`
}

// answerJSON is the item that ends an answer with data.
func answerJSON(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint32([]byte{markData}, uint32(len(data)))
	return append(b, data...), nil
}
