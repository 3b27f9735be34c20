package meta

import (
	"context"
	"fmt"
)

// ChunkIndexes lists the chunks of a file that have a record, in ascending order.
func (v *Volume) ChunkIndexes(ctx context.Context, ino Ino) ([]uint32, error) {
	var list []uint32
	err := v.view(ctx, func() string { return fmt.Sprintf("chunks of inode %d", ino) }, Want{Attrs: []Ino{ino}}, func(r Reader) error {
		a, ok, err := r.Attr(ino)
		if err != nil || !ok {
			list = nil
			return err
		}
		list, err = r.Chunks(ino, a.Length)
		return err
	})
	return list, err
}

// ScanChunks gives a page of all chunk lists of the volume, see Reader.
func (v *Volume) ScanChunks(ctx context.Context, cursor string, limit int) (page []ChunkRecord, next string, err error) {
	err = v.view(ctx, func() string { return "scan chunks" }, Want{}, func(r Reader) (err error) {
		page, next, err = r.ScanChunks(cursor, limit)
		return err
	})
	return page, next, err
}

// ScanNodes gives a page of all inodes of the volume, see Reader.
func (v *Volume) ScanNodes(ctx context.Context, cursor string, limit int) (page []Node, next string, err error) {
	err = v.view(ctx, func() string { return "scan inodes" }, Want{}, func(r Reader) (err error) {
		page, next, err = r.ScanNodes(cursor, limit)
		return err
	})
	return page, next, err
}
