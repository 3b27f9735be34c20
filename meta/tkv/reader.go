package tkv

import (
	"bytes"
	"context"
	"encoding/binary"

	"jfs/meta"
)

// reader is a meta.Reader on one state of the store.
type reader struct {
	ctx      context.Context // of the View or Update that it serves
	engine   *Engine
	promised Reader            // reads that a change rests on
	snapshot Reader            // reads without a promise
	known    map[string][]byte // what was read under promise; nil: no such key
}

func newReader(ctx context.Context, e *Engine, promised, snapshot Reader) *reader {
	return &reader{ctx: ctx, engine: e, promised: promised, snapshot: snapshot, known: map[string][]byte{}}
}

// load reads what want names: all keys that it tells at once, then the attributes of the entries found, unless they were
// expected and came with them.
func (r *reader) load(want meta.Want) error {
	var keys [][]byte
	for _, ino := range want.Attrs {
		keys = append(keys, attrKey(ino))
	}
	for _, ino := range want.Perms {
		keys = append(keys, attrKey(ino))
	}
	for _, n := range want.Entries {
		keys = append(keys, entryKey(n.Dir, n.Name))
	}
	nodes := make([][]byte, 0, len(want.Nodes))
	for _, n := range want.Nodes {
		nodes = append(nodes, entryKey(n.Dir, n.Name))
	}
	keys = append(keys, nodes...)
	for _, n := range want.Nodes {
		if ino, ok := r.engine.hints.get(n); ok {
			keys = append(keys, attrKey(ino))
		}
	}
	for _, c := range want.Chunks {
		keys = append(keys, chunkKey(c.Ino, c.Index))
	}
	if err := r.fetch(keys); err != nil {
		return err
	}
	var attrs [][]byte
	for i, k := range nodes {
		// An entry that is corrupt is reported by the read of it.
		if en, err := meta.DecodeEntry(r.known[string(k)]); err == nil {
			attrs = append(attrs, attrKey(en.Ino))
			r.engine.hints.learn(want.Nodes[i], en.Ino)
		} else {
			r.engine.hints.forget(want.Nodes[i])
		}
	}
	return r.fetch(attrs)
}

// fetch makes keys known in one trip.
func (r *reader) fetch(keys [][]byte) error {
	var ask [][]byte
	for _, k := range keys {
		if _, ok := r.known[string(k)]; !ok {
			r.known[string(k)] = nil // a key that is named twice is asked for once
			ask = append(ask, k)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	values, err := r.promised.BatchGet(r.ctx, ask)
	if err != nil {
		for _, k := range ask {
			delete(r.known, string(k))
		}
		return err
	}
	for i, k := range ask {
		r.known[string(k)] = values[i]
	}
	return nil
}

// get reads a key under promise.
func (r *reader) get(key []byte) ([]byte, error) {
	if v, ok := r.known[string(key)]; ok {
		return v, nil
	}
	v, err := r.promised.Get(r.ctx, key)
	if err == nil {
		r.known[string(key)] = v
	}
	return v, err
}

func (r *reader) Setting() ([]byte, error) {
	v, err := r.get(settingKey())
	return bytes.Clone(v), err
}

func (r *reader) Attr(ino meta.Ino) (meta.Attr, bool, error) {
	key := attrKey(ino)
	v, err := r.get(key)
	if err != nil || v == nil {
		return meta.Attr{}, false, err
	}
	a, err := meta.DecodeAttr(v)
	return a, err == nil, corrupt(key, err)
}

// Perm promises more than it has to: stores compare whole values. Touch and retries make up for it.
func (r *reader) Perm(ino meta.Ino) (meta.Attr, bool, error) { return r.Attr(ino) }

func (r *reader) Entry(dir meta.Ino, name string) (meta.Entry, bool, error) {
	key := entryKey(dir, name)
	v, err := r.get(key)
	if err != nil || v == nil {
		return meta.Entry{}, false, err
	}
	en, err := meta.DecodeEntry(v)
	return en, err == nil, corrupt(key, err)
}

func (r *reader) Symlink(ino meta.Ino) (string, bool, error) {
	v, err := r.get(symlinkKey(ino))
	return string(v), v != nil, err
}

func (r *reader) Chunk(ino meta.Ino, index uint32) ([]meta.Slice, error) {
	key := chunkKey(ino, index)
	v, err := r.get(key)
	if err != nil || v == nil {
		return nil, err
	}
	ss, err := meta.DecodeSlices(v)
	return ss, corrupt(key, err)
}

func (r *reader) Xattr(ino meta.Ino, name string) ([]byte, bool, error) {
	v, err := r.get(xattrKey(ino, name))
	return bytes.Clone(v), v != nil, err
}

// Refs: the store holds one less than there are, and nothing for one.
func (r *reader) Refs(slices []meta.SliceRef) ([]int64, error) {
	keys := make([][]byte, len(slices))
	for i, s := range slices {
		keys[i] = refKey(s.ID, s.Size)
	}
	if err := r.fetch(keys); err != nil {
		return nil, err
	}
	refs := make([]int64, len(slices))
	for i, k := range keys {
		n, err := number(binary.LittleEndian, k, r.known[string(k)])
		if err != nil {
			return nil, err
		}
		refs[i] = n + 1
	}
	return refs, nil
}

func (r *reader) DirStats(dirs []meta.Ino) (map[meta.Ino]meta.DirStat, error) {
	stats := make(map[meta.Ino]meta.DirStat, len(dirs))
	if len(dirs) == 0 {
		return stats, nil
	}
	keys := make([][]byte, len(dirs))
	for i, d := range dirs {
		keys[i] = dirStatKey(d)
	}
	values, err := r.snapshot.BatchGet(r.ctx, keys)
	if err != nil {
		return nil, err
	}
	for i, v := range values {
		if v == nil {
			continue
		}
		if stats[dirs[i]], err = decodeDirStat(keys[i], v); err != nil {
			return nil, err
		}
	}
	return stats, nil
}

func (r *reader) Counter(name string) (int64, error) {
	key := counterKey(name)
	v, err := r.get(key)
	if err != nil {
		return 0, err
	}
	return number(binary.BigEndian, key, v)
}

// Usage reads a state of its own: the stored counters and the changes that wait must be of one moment.
func (r *reader) Usage() (space, inodes int64, err error) {
	return r.engine.usage.Read(r.ctx, func() (space, inodes int64, err error) {
		t, err := r.engine.store.Begin(r.ctx)
		if err != nil {
			return 0, 0, err
		}
		defer t.Rollback()
		keys := [][]byte{counterKey(usedSpace), counterKey(totalInodes)}
		values, err := t.Snapshot().BatchGet(r.ctx, keys)
		if err != nil {
			return 0, 0, err
		}
		if space, err = number(binary.LittleEndian, keys[0], values[0]); err != nil {
			return 0, 0, err
		}
		inodes, err = number(binary.LittleEndian, keys[1], values[1])
		return space, inodes, err
	})
}

func (r *reader) Session(sid uint64) (meta.SessionRecord, bool, error) {
	keys := [][]byte{sessionKey('E', sid), sessionKey('I', sid), sessionKey('H', sid)}
	if err := r.fetch(keys); err != nil {
		return meta.SessionRecord{}, false, err
	}
	expire, info, beat := r.known[string(keys[0])], r.known[string(keys[1])], r.known[string(keys[2])]
	s := meta.SessionRecord{Sid: sid, Info: bytes.Clone(info)}
	var err error
	if expire != nil {
		s.Expire, err = number(binary.BigEndian, keys[0], expire)
	} else if beat != nil {
		s.Expire, err = oldExpiry(keys[2], beat)
	}
	return s, err == nil && (expire != nil || info != nil || beat != nil), err
}

// oldExpiry is when a session of a client before 1.0, which only left a heartbeat, is over: after five minutes.
func oldExpiry(key, beat []byte) (int64, error) {
	at, err := number(binary.BigEndian, key, beat)
	return at + 300, err
}
