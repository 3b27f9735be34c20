package redis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"jfs/meta"
)

// Lists and sums, which promise nothing.

const (
	probeBatch  = 1000  // chunks that one trip asks for
	probeLimit  = 10000 // chunks up to which asking for each is cheaper than anything else
	scanCount   = 1000  // elements that one step of a scan looks at
	legacyAlive = 300   // seconds that a heartbeat of a client before 1.0 is good for
)

func (t *tx) Setting() ([]byte, error) {
	r, err := t.fetch(ref{kindString, t.e.keys.global(keySetting), ""})
	if err != nil || !r.ok {
		return nil, err
	}
	return []byte(r.raw), nil
}

// Entries gives what one step of a scan of the hash gives. A small directory comes as a whole.
func (t *tx) Entries(dir meta.Ino, cursor string, limit int, plus bool) ([]meta.Dirent, string, error) {
	at, place := uint64(0), t.e.client.where.place()
	if cursor != "" {
		var err error
		number, begun, _ := strings.Cut(cursor, "@")
		if at, err = strconv.ParseUint(number, 10, 64); err != nil {
			return nil, "", fmt.Errorf("list directory %d: cursor %q is none of this engine", dir, cursor)
		}
		if begun != "" {
			if place, err = strconv.ParseUint(begun, 10, 64); err != nil {
				return nil, "", fmt.Errorf("list directory %d: cursor %q is none of this engine", dir, cursor)
			}
		}
	}
	key := t.e.keys.dir(dir)
	elements, next, err := t.scanDir(dir, key, at, max(limit, 1))
	if err == nil && t.e.client.where.place() != place && (at != 0 || next != 0) {
		err = errMoved
	}
	if err != nil {
		return nil, "", t.fail(fmt.Errorf("list %s: %w", key, err))
	}
	page := make([]meta.Dirent, 0, len(elements)/2)
	for i := 0; i+1 < len(elements); i += 2 {
		name, raw := elements[i], elements[i+1]
		e, err := meta.DecodeEntry([]byte(raw))
		if err != nil {
			return nil, "", fmt.Errorf("key %s, field %q: %w", key, name, err)
		}
		page = append(page, meta.Dirent{Name: name, Entry: e})
	}
	if plus && len(page) > 0 {
		if err := t.attrs(page); err != nil {
			return nil, "", err
		}
	}
	if next == 0 {
		return page, "", nil
	}
	if place != 0 {
		return page, strconv.FormatUint(next, 10) + "@" + strconv.FormatUint(place, 10), nil
	}
	return page, strconv.FormatUint(next, 10), nil
}

// scanDir makes one step of a scan of a directory, and gives names and values by turns. With the last step the
// server also says how many entries there are, by which the memory knows whether it has them all.
func (t *tx) scanDir(dir meta.Ino, key string, cursor uint64, count int) (elements []string, next uint64, err error) {
	cmds := [][]string{{"HSCAN", key, strconv.FormatUint(cursor, 10), "COUNT", strconv.Itoa(count)}}
	if t.e.tracker != nil {
		cmds = append(cmds, []string{"HLEN", key})
	}
	answers, err := t.e.ask(t.ctx, func(era uint64, answers []reply) {
		elements, next, err := scanned(&answers[0])
		if err != nil {
			return // which the caller meets too
		}
		t.e.memory.learn(era, func(l learner) {
			for i := 0; i+1 < len(elements); i += 2 {
				l.entry(meta.Name{Dir: dir, Name: elements[i]}, elements[i+1])
			}
			if next == 0 && len(answers) > 1 && answers[1].kind == replyInt {
				l.size(dir, answers[1].n)
			}
		})
	}, cmds...)
	if err != nil {
		return nil, 0, err
	}
	return scanned(&answers[0])
}

// scanned reads the answer of a scan.
func scanned(r *reply) (elements []string, next uint64, err error) {
	if r.kind != replyList || len(r.list) != 2 {
		return nil, 0, r.wrong()
	}
	if next, err = strconv.ParseUint(r.list[0].text, 10, 64); err != nil {
		return nil, 0, fmt.Errorf("cursor of a scan: %w", err)
	}
	elements, err = r.list[1].strings()
	return elements, next, err
}

// attrs fills in the attributes of a page.
func (t *tx) attrs(page []meta.Dirent) error {
	words := make([]string, 1, 1+len(page))
	words[0] = "MGET"
	inodes := make([]meta.Ino, len(page))
	for i := range page {
		inodes[i] = page[i].Ino
		words = append(words, t.e.keys.attr(inodes[i]))
	}
	raws, err := t.array(func(era uint64, raws []reply) {
		t.e.memory.learn(era, func(l learner) {
			for i := range min(len(raws), len(inodes)) {
				if !raws[i].wrongString() {
					l.attr(inodes[i], raws[i].text)
				}
			}
		})
	}, words...)
	if err == nil && len(raws) != len(page) {
		err = errShape
	}
	if err != nil {
		return t.fail(fmt.Errorf("read %d attributes: %w", len(page), err))
	}
	for i := range raws {
		raw, err := raws[i].string()
		if err != nil {
			return t.fail(fmt.Errorf("read %s: %w", words[1+i], err))
		}
		if raw == "" {
			continue
		}
		a, err := meta.DecodeAttr([]byte(raw))
		if err != nil {
			return fmt.Errorf("key %s: %w", words[1+i], err)
		}
		page[i].Attr = &a
	}
	return nil
}

func (t *tx) scanStep(key string, cursor uint64, count int) (rueidis.ScanEntry, error) {
	r, err := t.e.client.query1(t.ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Hscan().Key(key).Cursor(cursor).Count(int64(count)).Build()
	})
	if err != nil {
		return rueidis.ScanEntry{}, err
	}
	return r.AsScanEntry()
}

// Chunks asks for every chunk that the length allows. For a file so sparse that this would be more work than
// looking at all keys of the database, it looks at all keys.
func (t *tx) Chunks(ino meta.Ino, length uint64) ([]uint32, error) {
	n := min((length+meta.ChunkSize-1)>>meta.ChunkBits, meta.MaxFileSize>>meta.ChunkBits)
	if n > probeLimit {
		r, err := t.e.client.query1(t.ctx, func(b rueidis.Builder) rueidis.Completed { return b.Dbsize().Build() })
		if err != nil {
			return nil, t.fail(fmt.Errorf("count keys: %w", err))
		}
		if size, err := r.AsInt64(); err == nil && uint64(size) < n {
			return t.scanChunks(ino, n)
		}
	}
	if n == 1 {
		return []uint32{0}, nil // an empty list does no harm, and most files have one chunk
	}
	var found []uint32
	for at := uint64(0); at < n; at += probeBatch {
		end := min(at+probeBatch, n)
		out, err := t.e.client.query(t.ctx, func(b rueidis.Builder) []rueidis.Completed {
			cmds := make([]rueidis.Completed, 0, end-at)
			for i := at; i < end; i++ {
				cmds = append(cmds, b.Exists().Key(t.e.keys.chunk(ino, uint32(i))).Build())
			}
			return cmds
		})
		if err != nil {
			return nil, t.fail(fmt.Errorf("look for chunks of inode %d: %w", ino, err))
		}
		for i, r := range out {
			if there, err := r.AsInt64(); err == nil && there == 1 {
				found = append(found, uint32(at)+uint32(i))
			}
		}
	}
	return found, nil
}

// scanChunks finds the chunks below index n among all keys.
func (t *tx) scanChunks(ino meta.Ino, n uint64) ([]uint32, error) {
	prefix := strings.TrimSuffix(t.e.keys.chunk(ino, 0), "0")
	var found []uint32
	place := t.e.client.where.place()
	for cursor := uint64(0); ; {
		r, err := t.e.client.query1(t.ctx, func(b rueidis.Builder) rueidis.Completed {
			return b.Scan().Cursor(cursor).Match(prefix + "*").Count(10 * scanCount).Build()
		})
		if err != nil {
			return nil, t.fail(fmt.Errorf("look for chunks of inode %d: %w", ino, err))
		}
		step, err := r.AsScanEntry()
		if err != nil {
			return nil, t.fail(fmt.Errorf("look for chunks of inode %d: %w", ino, err))
		}
		for _, key := range step.Elements {
			if i, err := strconv.ParseUint(strings.TrimPrefix(key, prefix), 10, 32); err == nil && i < n {
				found = append(found, uint32(i))
			}
		}
		if t.e.client.where.place() != place {
			return nil, t.fail(fmt.Errorf("look for chunks of inode %d: %w", ino, errMoved))
		}
		if cursor = step.Cursor; cursor == 0 {
			slices.Sort(found)
			return slices.Compact(found), nil
		}
	}
}

func (t *tx) DeadSlices(limit int) ([]meta.SliceRef, error) {
	return t.refRecords(limit, func(refs string) bool { return strings.HasPrefix(refs, "-") })
}

// SpareRefs: the server holds one less than there are, and nothing for one.
func (t *tx) SpareRefs(limit int) ([]meta.SliceRef, error) {
	return t.refRecords(limit, func(refs string) bool { return refs == "0" })
}

func (t *tx) refRecords(limit int, wanted func(refs string) bool) ([]meta.SliceRef, error) {
	key := t.e.keys.global(keySliceRef)
	var found []meta.SliceRef
	seen := map[meta.SliceRef]bool{} // a scan may give an element twice
	for cursor := uint64(0); len(found) < limit; {
		step, err := t.scanStep(key, cursor, scanCount)
		if err != nil {
			return nil, t.fail(fmt.Errorf("scan %s: %w", key, err))
		}
		for i := 0; i+1 < len(step.Elements) && len(found) < limit; i += 2 {
			if !wanted(step.Elements[i+1]) {
				continue
			}
			s, err := parseSliceField(step.Elements[i])
			if err != nil {
				return nil, fmt.Errorf("key %s: %w", key, err)
			}
			if !seen[s] {
				seen[s] = true
				found = append(found, s)
			}
		}
		if cursor = step.Cursor; cursor == 0 {
			break
		}
	}
	return found, nil
}

func parseSliceField(field string) (meta.SliceRef, error) {
	id, size, ok := strings.Cut(strings.TrimPrefix(field, "k"), "_")
	n, err := strconv.ParseUint(id, 10, 64)
	m, err2 := strconv.ParseUint(size, 10, 32)
	if !ok || err != nil || err2 != nil {
		return meta.SliceRef{}, fmt.Errorf("%w: slice reference %q", meta.ErrCorrupt, field)
	}
	return meta.SliceRef{ID: n, Size: uint32(m)}, nil
}

func (t *tx) DelFiles(before int64, limit int) ([]meta.DelFile, error) {
	key := t.e.keys.global(keyDelFiles)
	var files []meta.DelFile
	for skip := int64(0); len(files) < limit; {
		n := int64(min(limit-len(files), scanCount))
		r, err := t.e.client.query1(t.ctx, func(b rueidis.Builder) rueidis.Completed {
			return b.Zrangebyscore().Key(key).Min("-inf").Max(strconv.FormatInt(before, 10)).
				Withscores().Limit(skip, n).Build()
		})
		if err != nil {
			return nil, t.fail(fmt.Errorf("list %s: %w", key, err))
		}
		page, err := r.AsZScores()
		if err != nil {
			return nil, t.fail(fmt.Errorf("list %s: %w", key, err))
		}
		for _, z := range page {
			ino, length, ok := strings.Cut(z.Member, ":")
			i, err := strconv.ParseUint(ino, 10, 64)
			l, err2 := strconv.ParseUint(length, 10, 64)
			if !ok || err != nil || err2 != nil {
				continue // an old client's member of another form, which is not a file of ours to free
			}
			files = append(files, meta.DelFile{Ino: meta.Ino(i), Length: l, Removed: int64(z.Score)})
		}
		if int64(len(page)) < n {
			break
		}
		skip += n
	}
	return files, nil
}

func (t *tx) Usage() (space, inodes int64, err error) {
	k := t.e.keys
	// Not on the link, on which the server would then tell of every change of these.
	out, err := t.e.client.query1(t.ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Mget().Key(k.global(keyUsedSpace), k.global(keyTotalInodes)).Build()
	})
	if err != nil {
		return 0, 0, t.fail(fmt.Errorf("read usage: %w", err))
	}
	messages, err := out.ToArray()
	if err != nil {
		return 0, 0, fmt.Errorf("read usage: %w", err)
	}
	n, err := numbers(messages)
	if err != nil {
		return 0, 0, fmt.Errorf("keys %s and %s: %w", keyUsedSpace, keyTotalInodes, err)
	}
	return n[0], n[1], nil
}

func (t *tx) DirStats(dirs []meta.Ino) (map[meta.Ino]meta.DirStat, error) {
	found := make(map[meta.Ino]meta.DirStat, len(dirs))
	if len(dirs) == 0 {
		return found, nil
	}
	fields := make([]string, len(dirs))
	for i, dir := range dirs {
		fields[i] = dir.String()
	}
	out, err := t.e.client.query(t.ctx, func(b rueidis.Builder) []rueidis.Completed {
		cmds := make([]rueidis.Completed, 0, 3)
		for _, key := range t.e.dirStatKeys() {
			cmds = append(cmds, b.Hmget().Key(key).Field(fields...).Build())
		}
		return cmds
	})
	if err != nil {
		return nil, t.fail(fmt.Errorf("read usage of %d directories: %w", len(dirs), err))
	}
	var columns [3][]int64
	var present []rueidis.RedisMessage
	for i, r := range out {
		messages, err := r.ToArray()
		if err == nil {
			columns[i], err = numbers(messages)
		}
		if err != nil {
			return nil, fmt.Errorf("usage of directories: %w", err)
		}
		if i == 0 {
			present = messages
		}
	}
	for i, dir := range dirs {
		if !present[i].IsNil() {
			found[dir] = meta.DirStat{Inodes: columns[0][i], Space: columns[1][i], Length: columns[2][i]}
		}
	}
	return found, nil
}

// numbers reads decimal strings; nil is 0.
func numbers(ms []rueidis.RedisMessage) ([]int64, error) {
	out := make([]int64, len(ms))
	for i := range ms {
		s, err := value(&ms[i])
		if err != nil {
			return nil, err
		}
		if s == "" {
			continue
		}
		if out[i], err = strconv.ParseInt(s, 10, 64); err != nil {
			return nil, fmt.Errorf("%w: number %q", meta.ErrCorrupt, s)
		}
	}
	return out, nil
}

func (t *tx) Sessions() ([]meta.SessionRecord, error) {
	k := t.e.keys
	out, err := t.e.client.query(t.ctx, func(b rueidis.Builder) []rueidis.Completed {
		cmds := []rueidis.Completed{
			b.Zrange().Key(k.global(keyAllSessions)).Min("0").Max("-1").Withscores().Build(),
			b.Hgetall().Key(k.global(keySessionInfos)).Build(),
		}
		if k.prefix == "" { // as where a session is dropped
			cmds = append(cmds, b.Zrange().Key(keyOldHeartbeats).Min("0").Max("-1").Withscores().Build())
		}
		return cmds
	})
	if err != nil {
		return nil, t.fail(fmt.Errorf("list sessions: %w", err))
	}
	live, err1 := out[0].AsZScores()
	infos, err2 := out[1].AsStrMap()
	var old []rueidis.ZScore
	var err3 error
	if len(out) > 2 {
		old, err3 = out[2].AsZScores()
	}
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return nil, t.fail(fmt.Errorf("list sessions: %w", err))
		}
	}
	records := make([]meta.SessionRecord, 0, len(live)+len(old))
	add := func(zs []rueidis.ZScore, key string, more int64) error {
		for _, z := range zs {
			sid, err := strconv.ParseUint(z.Member, 10, 64)
			if err != nil {
				return fmt.Errorf("key %s: %w: session %q", key, meta.ErrCorrupt, z.Member)
			}
			r := meta.SessionRecord{Sid: sid, Expire: int64(z.Score) + more}
			if info, ok := infos[z.Member]; ok {
				r.Info = []byte(info)
			}
			records = append(records, r)
		}
		return nil
	}
	if err := add(live, keyAllSessions, 0); err != nil {
		return nil, err
	}
	return records, add(old, keyOldHeartbeats, legacyAlive)
}

func (t *tx) Sustained(sid uint64) ([]meta.Ino, error) {
	key := t.e.keys.sustained(sid)
	members, err := t.members(key)
	if err != nil {
		return nil, err
	}
	return inodesOf(key, members)
}

// members reads a set.
func (t *tx) members(key string) ([]string, error) {
	r, err := t.e.client.query1(t.ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Smembers().Key(key).Build()
	})
	var members []string
	if err == nil {
		members, err = r.AsStrSlice()
	}
	if err != nil {
		return nil, t.fail(fmt.Errorf("read %s: %w", key, err))
	}
	return members, nil
}

// inodesOf gives the numbers of inodes that a key holds in decimal.
func inodesOf(key string, members []string) ([]meta.Ino, error) {
	inodes := make([]meta.Ino, 0, len(members))
	for _, m := range members {
		ino, err := strconv.ParseUint(m, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w: inode %q", key, meta.ErrCorrupt, m)
		}
		inodes = append(inodes, meta.Ino(ino))
	}
	return inodes, nil
}
