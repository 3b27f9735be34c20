package sql

import (
	"fmt"
	"math"
	"strconv"

	"jfs/meta"
)

// Pages of whole tables, in the order of the primary key. The cursor is the first key of the next page.

func (r *reader) ScanChunks(cursor string, limit int) (page []meta.ChunkRecord, next string, err error) {
	var id, ino, index number
	var b []byte
	next, err = r.scan(qScanChunks, cursor, limit, &id, func() error {
		records, err := meta.DecodeSlices(b)
		if err != nil {
			return fmt.Errorf("jfs_chunk inode %d indx %d: %w", ino, index, err)
		}
		page = append(page, meta.ChunkRecord{ChunkID: meta.ChunkID{Ino: meta.Ino(ino), Index: uint32(index)}, Slices: records})
		return nil
	}, &id, &ino, &index, &b)
	if err != nil {
		return nil, "", err
	}
	return page, next, nil
}

func (r *reader) ScanNodes(cursor string, limit int) (page []meta.Node, next string, err error) {
	var ino number
	next, err = r.scan(qScanNodes, cursor, limit, &ino, func() error {
		a, err := decodeNode(meta.Ino(ino), &r.c.space().row)
		page = append(page, meta.Node{Ino: meta.Ino(ino), Attr: a})
		return err
	}, r.joined(&ino)...)
	if err != nil {
		return nil, "", err
	}
	return page, next, nil
}

// scan calls fn for each row of a page and gives the cursor of the next one. key is where the primary key is
// scanned to.
func (r *reader) scan(q stmt, cursor string, limit int, key *number, fn func() error, dest ...any) (string, error) {
	limit = max(limit, 1)
	from := int64(math.MinInt64)
	if cursor != "" {
		var err error
		if from, err = strconv.ParseInt(cursor, 10, 64); err != nil {
			return "", fmt.Errorf("cursor %q is none of this engine", cursor)
		}
	}
	n := 0
	err := r.each(q, []any{from, limit}, func() error {
		n++
		return fn()
	}, dest...)
	if err != nil || n < limit || *key == math.MaxInt64 {
		return "", err
	}
	return strconv.FormatInt(int64(*key)+1, 10), nil
}
