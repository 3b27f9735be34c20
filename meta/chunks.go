package meta

import (
	"context"
	"fmt"
)

// Chunks lists the chunks of a file that have records, in ascending order. length is that of the file.
func (v *Volume) Chunks(ctx context.Context, ino Ino, length uint64) ([]uint32, error) {
	var indexes []uint32
	what := func() string { return fmt.Sprintf("list chunks of inode %d", ino) }
	err := v.view(ctx, what, Want{}, func(r Reader) (err error) {
		indexes, err = r.Chunks(ino, length)
		return err
	})
	return indexes, err
}

// ChunkRun gives the slice records of n chunks in a row, each in commit order.
func (v *Volume) ChunkRun(ctx context.Context, ino Ino, first uint32, n int) ([][]Slice, error) {
	var want Want
	for i := range n {
		want.Chunks = append(want.Chunks, ChunkID{ino, first + uint32(i)})
	}
	lists := make([][]Slice, n)
	what := func() string { return fmt.Sprintf("read chunks %d+%d of inode %d", first, n, ino) }
	err := v.view(ctx, what, want, func(r Reader) (err error) {
		for i, c := range want.Chunks {
			if lists[i], err = r.Chunk(ino, c.Index); err != nil {
				return err
			}
		}
		return nil
	})
	return lists, err
}
