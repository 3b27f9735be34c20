package sql

import (
	"fmt"

	"jfs/meta"
	"jfs/meta/internal/record"
)

func (r *reader) DelayedSlices(before int64, limit int) (all []meta.Delayed, err error) {
	var id, at number
	var b []byte
	err = r.each(qDelayed, []any{before, max(limit, 0)}, func() error {
		slices, err := record.DecodeSliceRefs(b)
		if err != nil {
			return fmt.Errorf("jfs_delslices chunkid %d: %w", uint64(id), err)
		}
		all = append(all, meta.Delayed{ID: uint64(id), At: int64(at), Slices: slices})
		return nil
	}, &id, &at, &b)
	return all, err
}

func (t *tx) SetDelayed(d meta.Delayed) {
	t.add(qSetDelayed, int64(d.ID), d.At, record.EncodeSliceRefs(d.Slices))
}

func (t *tx) DropDelayed(d meta.Delayed) { t.add(qDropDelayed, int64(d.ID), d.At) }

func (r *reader) Detached(before int64, limit int) (inodes []meta.Ino, err error) {
	var ino number
	err = r.each(qDetached, []any{before, max(limit, 0)}, func() error {
		inodes = append(inodes, meta.Ino(ino))
		return nil
	}, &ino)
	return inodes, err
}

func (t *tx) SetDetached(ino meta.Ino, at int64) { t.add(qSetDetached, int64(ino), at) }

func (t *tx) DropDetached(ino meta.Ino) { t.add(qDropDetached, int64(ino)) }
