package tkv

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"jfs/meta"
)

// pageSize is how many pairs one scan asks for. Chunks and extended attributes have values of up to 64 KiB.
const pageSize = 256

// each calls fn for the pairs of a range until it says that it has enough.
func (r *reader) each(from Reader, begin, end []byte, fn func(Pair) (more bool, err error)) error {
	for {
		pairs, err := from.Scan(r.ctx, begin, end, pageSize)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			if more, err := fn(p); err != nil || !more {
				return err
			}
		}
		if len(pairs) < pageSize {
			return nil
		}
		begin = next(pairs[len(pairs)-1].Key)
	}
}

// next is the smallest key behind key.
func next(key []byte) []byte { return append(bytes.Clone(key), 0) }

// Entries: the cursor is the last name of the page before.
func (r *reader) Entries(dir meta.Ino, cursor string, limit int, plus bool) ([]meta.Dirent, string, error) {
	if limit < 1 {
		limit = pageSize
	}
	begin, end := kind(dir, 'D')
	if cursor != "" {
		begin = next(entryKey(dir, cursor))
	}
	// One more tells whether there is another page.
	pairs, err := r.snapshot.Scan(r.ctx, begin, end, limit+1)
	if err != nil {
		return nil, "", err
	}
	more := len(pairs) > limit
	if more {
		pairs = pairs[:limit]
	}
	page := make([]meta.Dirent, 0, len(pairs))
	for _, p := range pairs {
		en, err := meta.DecodeEntry(p.Value)
		if err != nil {
			return nil, "", corrupt(p.Key, err)
		}
		page = append(page, meta.Dirent{Name: string(p.Key[inodeKeySize+1:]), Entry: en})
	}
	if plus {
		if err := r.fillAttrs(page); err != nil {
			return nil, "", err
		}
	}
	if !more {
		return page, "", nil
	}
	return page, page[len(page)-1].Name, nil
}

func (r *reader) fillAttrs(page []meta.Dirent) error {
	if len(page) == 0 {
		return nil
	}
	keys := make([][]byte, len(page))
	for i := range page {
		keys[i] = attrKey(page[i].Ino)
	}
	values, err := r.snapshot.BatchGet(r.ctx, keys)
	if err != nil {
		return err
	}
	for i, v := range values {
		if v == nil {
			continue
		}
		a, err := meta.DecodeAttr(v)
		if err != nil {
			return corrupt(keys[i], err)
		}
		page[i].Attr = &a
	}
	return nil
}

// Chunks lists keys; the length is of no use here.
func (r *reader) Chunks(ino meta.Ino, _ uint64) ([]uint32, error) {
	var all []uint32
	begin, end := kind(ino, 'C')
	err := r.each(r.snapshot, begin, end, func(p Pair) (bool, error) {
		if len(p.Key) == chunkKeySize {
			all = append(all, binary.BigEndian.Uint32(p.Key[inodeKeySize+1:]))
		}
		return true, nil
	})
	return all, err
}

func (r *reader) Xattrs(ino meta.Ino) ([]string, error) {
	var names []string
	begin, end := kind(ino, 'X')
	err := r.each(r.promised, begin, end, func(p Pair) (bool, error) {
		names = append(names, string(p.Key[inodeKeySize+1:]))
		return true, nil
	})
	return names, err
}

func (r *reader) Parents(ino meta.Ino) (map[meta.Ino]int64, error) {
	parents := map[meta.Ino]int64{}
	begin, end := kind(ino, 'P')
	err := r.each(r.promised, begin, end, func(p Pair) (bool, error) {
		if len(p.Key) != parentKeySize {
			return true, nil
		}
		n, err := number(binary.LittleEndian, p.Key, p.Value)
		if n > 0 { // counts that fell to 0 stay behind
			parents[inodeIn(p.Key, inodeKeySize+1)] = n
		}
		return true, err
	})
	return parents, err
}

func (r *reader) DeadSlices(limit int) ([]meta.SliceRef, error) {
	return r.refRecords(limit, func(n int64) bool { return n < 0 })
}

// SpareRefs: the store holds one less than there are, and nothing for one.
func (r *reader) SpareRefs(limit int) ([]meta.SliceRef, error) {
	return r.refRecords(limit, func(n int64) bool { return n == 0 })
}

func (r *reader) refRecords(limit int, wanted func(int64) bool) ([]meta.SliceRef, error) {
	var found []meta.SliceRef
	begin, end := letters("K")
	err := r.each(r.snapshot, begin, end, func(p Pair) (bool, error) {
		if len(p.Key) != refKeySize {
			return true, nil
		}
		n, err := number(binary.LittleEndian, p.Key, p.Value)
		if err == nil && wanted(n) && len(found) < limit {
			be := binary.BigEndian
			found = append(found, meta.SliceRef{ID: be.Uint64(p.Key[1:]), Size: be.Uint32(p.Key[9:])})
		}
		return len(found) < limit, err
	})
	return found, err
}

func (r *reader) DelFiles(before int64, limit int) ([]meta.DelFile, error) {
	var files []meta.DelFile
	begin, end := letters("D")
	err := r.each(r.snapshot, begin, end, func(p Pair) (bool, error) {
		if len(p.Key) != delKeySize {
			return true, nil
		}
		at, err := number(binary.BigEndian, p.Key, p.Value)
		if err == nil && at <= before && len(files) < limit {
			files = append(files, meta.DelFile{Ino: inodeIn(p.Key, 1), Length: binary.BigEndian.Uint64(p.Key[9:]), Removed: at})
		}
		return len(files) < limit, err
	})
	return files, err
}

func (r *reader) Sessions() ([]meta.SessionRecord, error) {
	found := map[uint64]*meta.SessionRecord{}
	for _, kind := range []byte{'H', 'E', 'I'} { // an expiry counts more than a heartbeat
		begin, end := letters(string([]byte{'S', kind}))
		err := r.each(r.snapshot, begin, end, func(p Pair) (bool, error) {
			if len(p.Key) != sidKeySize {
				return true, nil
			}
			sid := binary.BigEndian.Uint64(p.Key[2:])
			s := found[sid]
			if s == nil {
				s = &meta.SessionRecord{Sid: sid}
				found[sid] = s
			}
			var err error
			switch kind {
			case 'H':
				s.Expire, err = oldExpiry(p.Key, p.Value)
			case 'E':
				s.Expire, err = number(binary.BigEndian, p.Key, p.Value)
			case 'I':
				s.Info = bytes.Clone(p.Value)
			}
			return true, err
		})
		if err != nil {
			return nil, fmt.Errorf("list sessions: %w", err)
		}
	}
	all := make([]meta.SessionRecord, 0, len(found))
	for _, s := range found {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b meta.SessionRecord) int {
		if a.Sid < b.Sid {
			return -1
		}
		return 1
	})
	return all, nil
}

func (r *reader) Sustained(sid uint64) ([]meta.Ino, error) {
	var inodes []meta.Ino
	begin := sessionKey('S', sid)
	err := r.each(r.snapshot, begin, after(begin), func(p Pair) (bool, error) {
		if len(p.Key) == sustKeySize {
			inodes = append(inodes, inodeIn(p.Key, sidKeySize))
		}
		return true, nil
	})
	return inodes, err
}
