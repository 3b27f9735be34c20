package sql

import (
	"fmt"

	"jfs/meta"
)

func (r *reader) Chunk(ino meta.Ino, index uint32) ([]meta.Slice, error) {
	b, known := r.ahead.chunk(meta.ChunkID{Ino: ino, Index: index})
	if !known {
		ok, err := r.one(qChunk, []any{int64(ino), int64(index)}, &b)
		if err != nil || !ok {
			return nil, err
		}
	} else if err := r.ctx.Err(); err != nil || b == nil {
		return nil, err
	}
	records, err := meta.DecodeSlices(b)
	if err != nil {
		return nil, fmt.Errorf("jfs_chunk inode %d indx %d: %w", ino, index, err)
	}
	return records, nil
}

func (r *reader) Chunks(ino meta.Ino, _ uint64) (indexes []uint32, err error) {
	var index number
	err = r.each(qChunks, []any{int64(ino)}, func() error {
		indexes = append(indexes, uint32(index))
		return nil
	}, &index)
	return indexes, err
}

func (r *reader) Refs(slices []meta.SliceRef) ([]int64, error) {
	refs, list := make([]int64, len(slices)), make([][]any, len(slices))
	for i, s := range slices {
		list[i] = []any{int64(s.ID), int64(s.Size)}
	}
	var n number
	err := r.many(qRefs, list, func(i int, ok bool) error {
		if ok {
			refs[i] = int64(n)
		}
		return nil
	}, &n)
	if err != nil {
		return nil, err
	}
	return refs, nil
}

func (r *reader) DeadSlices(limit int) (dead []meta.SliceRef, err error) {
	var id, size number
	err = r.each(qDeadSlices, []any{limit}, func() error {
		dead = append(dead, meta.SliceRef{ID: uint64(id), Size: uint32(size)})
		return nil
	}, &id, &size)
	return dead, err
}

func (r *reader) DelFiles(before int64, limit int) (files []meta.DelFile, err error) {
	var ino, length, removed number
	err = r.each(qDelFiles, []any{before, limit}, func() error {
		files = append(files, meta.DelFile{Ino: meta.Ino(ino), Length: uint64(length), Removed: int64(removed)})
		return nil
	}, &ino, &length, &removed)
	return files, err
}

func (r *reader) Usage() (space, inodes int64, err error) {
	if r.usage != nil {
		return r.usage.Read(r.ctx, r.storedUsage)
	}
	return r.storedUsage()
}

func (r *reader) storedUsage() (space, inodes int64, err error) {
	var name string
	var value number
	err = r.each(qUsage, nil, func() error {
		if name == counterSpace {
			space = int64(value)
		} else {
			inodes = int64(value)
		}
		return nil
	}, &name, &value)
	return space, inodes, err
}

func (r *reader) DirStats(dirs []meta.Ino) (map[meta.Ino]meta.DirStat, error) {
	stats := make(map[meta.Ino]meta.DirStat, len(dirs))
	list := make([][]any, len(dirs))
	for i, dir := range dirs {
		list[i] = []any{int64(dir)}
	}
	var length, space, inodes number
	err := r.many(qDirStat, list, func(i int, ok bool) error {
		if ok {
			stats[dirs[i]] = meta.DirStat{Length: int64(length), Space: int64(space), Inodes: int64(inodes)}
		}
		return nil
	}, &length, &space, &inodes)
	if err != nil {
		return nil, err
	}
	return stats, nil
}

func (r *reader) Counter(name string) (int64, error) {
	var value number
	_, err := r.one(qCounter, []any{name}, &value)
	return int64(value), err
}

func (r *reader) Sessions() (records []meta.SessionRecord, err error) {
	var sid, expire number
	var info []byte
	err = r.each(qSessions, nil, func() error {
		records = append(records, meta.SessionRecord{Sid: uint64(sid), Expire: int64(expire), Info: info})
		return nil
	}, &sid, &expire, &info)
	return records, err
}

func (r *reader) Session(sid uint64) (meta.SessionRecord, bool, error) {
	var expire number
	var info []byte
	ok, err := r.one(qSession, []any{int64(sid)}, &expire, &info)
	if !ok {
		return meta.SessionRecord{}, false, err
	}
	return meta.SessionRecord{Sid: sid, Expire: int64(expire), Info: info}, true, err
}

func (r *reader) Sustained(sid uint64) (inodes []meta.Ino, err error) {
	var ino number
	err = r.each(qSustained, []any{int64(sid)}, func() error {
		inodes = append(inodes, meta.Ino(ino))
		return nil
	}, &ino)
	return inodes, err
}
