package maintain

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"jfs/meta"
)

// chunksPerRead is how many chunk lists are read in one trip. A list has up to some thousands of records of 24 bytes.
const chunksPerRead = 16

// read reads what belongs to an entry: for most in one trip, as files rarely have more than a few chunks.
func (d *dumper) read(ctx context.Context, e meta.Dirent) (*details, error) {
	det := &details{}
	var want meta.Want
	chunks := (e.Attr.Length + meta.ChunkSize - 1) >> meta.ChunkBits
	few := e.Type == meta.TypeFile && chunks <= chunksPerRead
	if few {
		want.Chunks = chunkRange(e.Ino, chunks)
	}
	err := d.v.Engine().View(ctx, want, func(r meta.Reader) error {
		*det = details{}
		names, err := r.Xattrs(e.Ino)
		if err != nil {
			return err
		}
		slices.Sort(names)
		for _, name := range names {
			value, ok, err := r.Xattr(e.Ino, name)
			if err != nil {
				return err
			}
			if ok {
				det.xattrs = append(det.xattrs, dumpXattr{name, string(value)})
			}
		}
		if e.Type == meta.TypeSymlink {
			if det.target, _, err = r.Symlink(e.Ino); err != nil {
				return err
			}
		}
		if few {
			det.chunks, err = readChunks(r, want.Chunks)
		}
		return err
	})
	if err == nil && e.Type == meta.TypeFile && !few {
		det.chunks, err = d.manyChunks(ctx, e.Ino, chunks)
	}
	if err == nil {
		det.access, err = d.rule(ctx, e.Attr.AccessACL)
	}
	if err == nil {
		det.deflt, err = d.rule(ctx, e.Attr.DefaultACL)
	}
	if err != nil {
		return nil, fmt.Errorf("read inode %d: %w", e.Ino, err)
	}
	return det, nil
}

func chunkRange(ino meta.Ino, n uint64) []meta.ChunkID {
	ids := make([]meta.ChunkID, n)
	for i := range ids {
		ids[i] = meta.ChunkID{Ino: ino, Index: uint32(i)}
	}
	return ids
}

// readChunks reads lists and leaves out the empty ones.
func readChunks(r meta.Reader, ids []meta.ChunkID) ([]dumpChunk, error) {
	var chunks []dumpChunk
	for _, id := range ids {
		records, err := r.Chunk(id.Ino, id.Index)
		if err != nil {
			return nil, err
		}
		if len(records) > 0 {
			chunks = append(chunks, dumpChunk{Index: id.Index, Slices: dumpedSlices(records)})
		}
	}
	return chunks, nil
}

// manyChunks reads the first n lists of a large file, which is perhaps sparse. Lists beyond its end hold nothing but
// what a truncation has hidden.
func (d *dumper) manyChunks(ctx context.Context, ino meta.Ino, n uint64) ([]dumpChunk, error) {
	indexes, err := d.v.ChunkIndexes(ctx, ino)
	if err != nil {
		return nil, err
	}
	indexes = slices.DeleteFunc(indexes, func(i uint32) bool { return uint64(i) >= n })
	var all []dumpChunk
	for part := range slices.Chunk(indexes, chunksPerRead) {
		ids := make([]meta.ChunkID, len(part))
		for i, index := range part {
			ids[i] = meta.ChunkID{Ino: ino, Index: index}
		}
		var some []dumpChunk
		err := d.v.Engine().View(ctx, meta.Want{Chunks: ids}, func(r meta.Reader) (err error) {
			some, err = readChunks(r, ids)
			return err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// rule gives a rule as the dump has it. There are few of them, so they are remembered.
func (d *dumper) rule(ctx context.Context, id uint32) (json.RawMessage, error) {
	if id == 0 {
		return nil, nil
	}
	d.mu.Lock()
	known := d.rules[id]
	d.mu.Unlock()
	if known != nil {
		return known, nil
	}
	var stored []byte
	err := d.v.Engine().View(ctx, meta.Want{}, func(r meta.Reader) error {
		b, ok, err := r.ACL(id)
		if stored = b; err == nil && !ok {
			err = fmt.Errorf("%w: there is no ACL rule %d", meta.ErrCorrupt, id)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	rule, err := dumpedACL(stored)
	if err != nil {
		return nil, err
	}
	byID := func(a, b dumpACLEntry) int { return cmp.Compare(a.ID, b.ID) }
	slices.SortStableFunc(rule.Users, byID)
	slices.SortStableFunc(rule.Groups, byID)
	b, err := json.Marshal(rule)
	d.mu.Lock()
	d.rules[id] = b
	d.mu.Unlock()
	return b, err
}
