package fs

import (
	"context"
	"slices"

	"jfs/internal/posix"
	"jfs/meta"
)

// Directions of Seek, with the numbers of lseek(2).
const (
	SeekData uint32 = 3
	SeekHole uint32 = 4
)

// seekChunks is how many chunk lists are asked for at a time.
const seekChunks = 32

// Seek gives the offset of the first byte at or behind off that is data, or is in a hole; the end of the file counts
// as a hole.
func (h *Handle) Seek(ctx context.Context, off uint64, whence uint32) (uint64, error) {
	if whence != SeekData && whence != SeekHole {
		return 0, posix.EINVAL
	}
	return h.file.seek(ctx, off, whence == SeekData)
}

func (f *file) seek(ctx context.Context, off uint64, data bool) (uint64, error) {
	f.mu.RLock()
	length := f.length()
	f.mu.RUnlock()
	if off >= length {
		return 0, posix.ENXIO
	}
	var with []uint32 // chunks that have records, once it is worth asking
	for ahead := 1; off < length; ahead = seekChunks {
		index := uint32(off >> meta.ChunkBits)
		last := uint32((length - 1) >> meta.ChunkBits)
		if err := f.loadViews(ctx, index, min(ahead, int(last-index)+1)); err != nil {
			return 0, err
		}
		view, err := f.lockView(ctx, index)
		if err != nil {
			return 0, err
		}
		f.mu.RUnlock()
		first := uint64(index) << meta.ChunkBits
		if pos, ok := seekIn(view, uint32(off-first), data); ok {
			if at := first + uint64(pos); at < length {
				return at, nil
			}
			break
		}
		off = first + meta.ChunkSize
		if !data || off >= length {
			continue
		}
		if with == nil {
			var err error
			if with, err = f.chunks(ctx, length); err != nil {
				return 0, err
			}
		}
		i, _ := slices.BinarySearch(with, index+1)
		if i == len(with) {
			break
		}
		off = uint64(with[i]) << meta.ChunkBits
	}
	if data {
		return 0, posix.ENXIO
	}
	return length, nil
}

// seekIn looks in the view of one chunk for the first byte at or behind pos that is data or is not.
func seekIn(view []meta.Slice, pos uint32, data bool) (at uint32, ok bool) {
	for _, s := range view {
		end := s.Pos + s.Len
		if end <= pos {
			continue
		}
		if (s.ID != 0) == data {
			return max(s.Pos, pos), true
		}
		pos = end
	}
	return pos, !data && pos < meta.ChunkSize
}

// chunks lists the chunks that may hold data, in ascending order.
func (f *file) chunks(ctx context.Context, length uint64) ([]uint32, error) {
	f.mu.RLock()
	fresh := f.fresh
	f.mu.RUnlock()
	all := []uint32{}
	if !fresh {
		stored, err := f.fs.vol.Chunks(ctx, f.ino, length)
		if err != nil {
			return nil, err
		}
		all = append(all, stored...)
	}
	f.mu.RLock()
	for index := range f.views {
		all = append(all, index)
	}
	for _, s := range f.pending {
		for _, w := range s.written() {
			all = append(all, w.Index)
		}
	}
	f.mu.RUnlock()
	slices.Sort(all)
	return slices.Compact(all), nil
}

// loadViews makes the published views of n chunks from first on known, or only that of the first if it is known
// already.
func (f *file) loadViews(ctx context.Context, first uint32, n int) error {
	f.mu.RLock()
	_, ok := f.views[first]
	ok = ok || f.fresh
	gen, commits := f.gen, f.commits
	f.mu.RUnlock()
	if ok {
		return nil
	}
	lists, err := f.fs.vol.ChunkRun(ctx, f.ino, first, n)
	if err != nil {
		return err
	}
	f.mu.Lock()
	if f.gen == gen && f.commits == commits {
		for i, records := range lists {
			f.views[first+uint32(i)] = meta.View(records)
		}
	}
	f.mu.Unlock()
	return f.loadView(ctx, first) // which is there, unless views were dropped meanwhile
}
