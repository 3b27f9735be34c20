package tkv

import (
	"bytes"
	"encoding/binary"

	"jfs/meta"
)

// kindAt is where the letter of the kind stands in the keys of an inode.
const kindAt = inodeKeySize

// ScanChunks: the cursor is the last key of the page before.
func (r *reader) ScanChunks(cursor string, limit int) ([]meta.ChunkRecord, string, error) {
	var page []meta.ChunkRecord
	next, err := r.scan('C', chunkKeySize, cursor, limit, func(p Pair) error {
		ss, err := meta.DecodeSlices(p.Value)
		if err != nil {
			return err
		}
		id := meta.ChunkID{Ino: inodeIn(p.Key, 1), Index: binary.BigEndian.Uint32(p.Key[kindAt+1:])}
		page = append(page, meta.ChunkRecord{ChunkID: id, Slices: ss})
		return nil
	})
	return page, next, err
}

// ScanNodes: the cursor is the last key of the page before.
func (r *reader) ScanNodes(cursor string, limit int) ([]meta.Node, string, error) {
	var page []meta.Node
	next, err := r.scan('I', inodeKeySize+1, cursor, limit, func(p Pair) error {
		a, err := meta.DecodeAttr(p.Value)
		if err != nil {
			return err
		}
		page = append(page, meta.Node{Ino: inodeIn(p.Key, 1), Attr: a})
		return nil
	})
	return page, next, err
}

// scan goes through the keys of all inodes and calls fn for those of one kind and size. It stops at the first
// that is one too many and gives the last one before it, or "" at the end. Keys of other kinds lie in between; a
// batch that ends among them is followed by one that begins behind them.
func (r *reader) scan(kind byte, size int, cursor string, limit int, fn func(Pair) error) (string, error) {
	if limit < 1 {
		limit = pageSize
	}
	begin, end := letters("A")
	if cursor != "" {
		begin = next([]byte(cursor))
	}
	for found, last := 0, ""; bytes.Compare(begin, end) < 0; {
		pairs, err := r.snapshot.Scan(r.ctx, begin, end, pageSize)
		if err != nil {
			return "", err
		}
		for _, p := range pairs {
			if len(p.Key) != size || p.Key[kindAt] != kind {
				continue
			}
			if found == limit {
				return last, nil
			}
			if err := fn(p); err != nil {
				return "", corrupt(p.Key, err)
			}
			found, last = found+1, string(p.Key)
		}
		if len(pairs) < pageSize {
			break
		}
		begin = seek(pairs[len(pairs)-1].Key, kind)
	}
	return "", nil
}

// seek is where keys of a kind can follow behind key.
func seek(key []byte, kind byte) []byte {
	switch {
	case len(key) <= kindAt || key[kindAt] == kind:
		return next(key)
	case key[kindAt] < kind:
		return append(bytes.Clone(key[:kindAt]), kind)
	}
	return after(key[:kindAt])
}
