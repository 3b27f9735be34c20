package sql

import (
	"fmt"

	"jfs/meta"
)

func (t *tx) AppendSlices(ino meta.Ino, index uint32, records []meta.Slice) {
	if len(records) > 0 {
		t.add(qAppend, int64(ino), int64(index), meta.EncodeSlices(records))
	}
}

func (t *tx) ReplaceSlices(ino meta.Ino, index uint32, n int, records []meta.Slice) {
	missing := fmt.Errorf("chunk %d of inode %d: %w: no such record", index, ino, meta.ErrCorrupt)
	t.must(missing, qReplace, meta.EncodeSlices(records), int64(n*meta.SliceSize+1), int64(ino), int64(index))
}

func (t *tx) DropChunk(ino meta.Ino, index uint32) { t.add(qDropChunk, int64(ino), int64(index)) }

// NewRef fails with meta.ErrCorrupt when the slice has its reference already. Slice numbers are given out
// once, so that happens only when an Update that ended with meta.ErrUnknown was committed after all and is
// carried out again: before doing that, look for the record in the chunk.
func (t *tx) NewRef(slice uint64, size uint32) { t.add(qNewRef, int64(slice), int64(size)) }

// AddRef to a slice without a reference fails with meta.ErrCorrupt: its objects may be deleted at any time.
// Taking a reference away from one is no error, or such a file could never be deleted.
func (t *tx) AddRef(slice uint64, size uint32, n int64) {
	var missing error
	if n > 0 {
		missing = fmt.Errorf("jfs_chunk_ref chunkid %d size %d: %w: no such record", slice, size, meta.ErrCorrupt)
	}
	t.must(missing, qAddRef, n, int64(slice), int64(size))
}

func (t *tx) DropRef(slice uint64, size uint32) { t.add(qDropRef, int64(slice), int64(size)) }

func (t *tx) SetDelFile(f meta.DelFile) {
	t.add(qSetDelFile, int64(f.Ino), int64(f.Length), f.Removed)
}

func (t *tx) DropDelFile(f meta.DelFile) { t.add(qDropDelFile, int64(f.Ino)) }

func (t *tx) SetSession(r meta.SessionRecord) {
	var info any // NULL leaves the stored one
	if len(r.Info) > 0 {
		info = r.Info
	}
	t.add(qSetSession, int64(r.Sid), r.Expire, info)
}

// DropSession removes the locks of the session too: nobody else could release them.
func (t *tx) DropSession(sid uint64) {
	t.add(qDropFlocks, int64(sid))
	t.add(qDropPlocks, int64(sid))
	t.add(qDropSession, int64(sid))
}

func (t *tx) SetSustained(sid uint64, ino meta.Ino) { t.add(qSetSustained, int64(sid), int64(ino)) }

func (t *tx) DropSustained(sid uint64, ino meta.Ino) { t.add(qDropSustained, int64(sid), int64(ino)) }
