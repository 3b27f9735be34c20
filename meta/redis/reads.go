package redis

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"jfs/meta"
)

// kind says how a record is stored, and with that how it is read and proved.
type kind uint8

const (
	kindString kind = iota // GET
	kindField              // HGET
	kindList               // LRANGE, joined
	kindNames              // HKEYS
	kindHash               // HGETALL
	kindScore              // ZSCORE
)

// ref names a record.
type ref struct {
	kind  kind
	key   string
	field string // or the member of a sorted set
}

// promise says how much of a record the commit has to find unchanged.
type promise uint8

const (
	promiseNothing promise = iota // loaded and not yet looked at
	promisePerm                   // an attribute without times, links and length
	promiseAll
)

// read is a record as a transaction knows it.
type read struct {
	ref
	ok      bool
	raw     string   // the value
	list    []string // kindNames: names; kindHash: names and values by turns
	hinted  bool
	promise promise
}

func (t *tx) attrRead(ino meta.Ino, raw string, hinted bool) *read {
	return &read{ref: ref{kindString, t.e.keys.attr(ino), ""}, ok: raw != "", raw: raw, hinted: hinted}
}

func (t *tx) entryRead(dir meta.Ino, name, raw string, hinted bool) *read {
	return &read{ref: ref{kindField, t.e.keys.dir(dir), name}, ok: raw != "", raw: raw, hinted: hinted}
}

// add keeps a record for the rest of the transaction, in which it does not change any more.
func (t *tx) add(r *read) {
	if _, ok := t.reads[r.ref]; ok {
		return
	}
	t.reads[r.ref] = r
	t.order = append(t.order, r)
}

// look notes that the transaction depends on a record.
func (t *tx) look(r *read, p promise) *read {
	r.promise = max(r.promise, p)
	t.hinted = t.hinted || r.hinted
	return r
}

// fail keeps the first error, so that a transaction that overlooks it is not committed.
func (t *tx) fail(err error) error {
	if t.err == nil {
		t.err = err
	}
	return err
}

// known gives a record that the transaction takes from memory, nil if it cannot.
func (t *tx) known(r request, f ref) *read {
	if t.trust != trustNothing {
		t.recall([]request{r})
	}
	return t.reads[f]
}

func (t *tx) Attr(ino meta.Ino) (meta.Attr, bool, error) { return t.attr(ino, promiseAll) }
func (t *tx) Perm(ino meta.Ino) (meta.Attr, bool, error) { return t.attr(ino, promisePerm) }

func (t *tx) attr(ino meta.Ino, p promise) (meta.Attr, bool, error) {
	f := ref{kindString, t.e.keys.attr(ino), ""}
	r := t.reads[f]
	if r == nil {
		r = t.known(request{kind: 'a', ino: ino}, f)
	}
	if r == nil {
		if err := t.load([]request{{kind: 'a', ino: ino}}); err != nil {
			return meta.Attr{}, false, err
		}
		r = t.reads[f]
	}
	if t.look(r, p); !r.ok {
		return meta.Attr{}, false, nil
	}
	a, err := meta.DecodeAttr([]byte(r.raw))
	if err != nil {
		return meta.Attr{}, false, t.fail(fmt.Errorf("key %s: %w", r.key, err))
	}
	return a, true, nil
}

func (t *tx) Entry(dir meta.Ino, name string) (meta.Entry, bool, error) {
	f := ref{kindField, t.e.keys.dir(dir), name}
	r := t.reads[f]
	if r == nil {
		r = t.known(request{kind: 'e', ino: dir, name: name}, f)
	}
	if r == nil {
		if err := t.load([]request{{kind: 'e', ino: dir, name: name}}); err != nil {
			return meta.Entry{}, false, err
		}
		r = t.reads[f]
	}
	if t.look(r, promiseAll); !r.ok {
		return meta.Entry{}, false, nil
	}
	e, err := meta.DecodeEntry([]byte(r.raw))
	if err != nil {
		return meta.Entry{}, false, t.fail(fmt.Errorf("key %s, field %q: %w", r.key, name, err))
	}
	return e, true, nil
}

func (t *tx) Chunk(ino meta.Ino, index uint32) ([]meta.Slice, error) {
	r := t.reads[ref{kindList, t.e.keys.chunk(ino, index), ""}]
	if r == nil {
		if err := t.load([]request{{kind: 'c', ino: ino, index: index}}); err != nil {
			return nil, err
		}
		r = t.reads[ref{kindList, t.e.keys.chunk(ino, index), ""}]
	}
	s, err := meta.DecodeSlices([]byte(t.look(r, promiseAll).raw))
	if err != nil {
		return nil, t.fail(fmt.Errorf("key %s: %w", r.key, err))
	}
	return s, nil
}

func (t *tx) Symlink(ino meta.Ino) (string, bool, error) {
	r, err := t.fetch(ref{kindString, t.e.keys.symlink(ino), ""})
	if err != nil {
		return "", false, err
	}
	return r.raw, r.ok, nil
}

func (t *tx) Xattr(ino meta.Ino, name string) ([]byte, bool, error) {
	r, err := t.fetch(ref{kindField, t.e.keys.xattrs(ino), name})
	if err != nil || !r.ok {
		return nil, false, err
	}
	return []byte(r.raw), true, nil
}

func (t *tx) Xattrs(ino meta.Ino) ([]string, error) {
	r, err := t.fetch(ref{kindNames, t.e.keys.xattrs(ino), ""})
	if err != nil {
		return nil, err
	}
	return append([]string(nil), r.list...), nil
}

func (t *tx) Parents(ino meta.Ino) (map[meta.Ino]int64, error) {
	r, err := t.fetch(ref{kindHash, t.e.keys.parents(ino), ""})
	if err != nil {
		return nil, err
	}
	out := make(map[meta.Ino]int64, len(r.list)/2)
	for i := 0; i+1 < len(r.list); i += 2 {
		dir, err := strconv.ParseUint(r.list[i], 10, 64)
		n, err2 := strconv.ParseInt(r.list[i+1], 10, 64)
		if err != nil || err2 != nil {
			return nil, fmt.Errorf("key %s, field %q: %w: %q links", r.key, r.list[i], meta.ErrCorrupt, r.list[i+1])
		}
		if n > 0 { // others stay behind when links go, and mean nothing
			out[meta.Ino(dir)] = n
		}
	}
	return out, nil
}

func (t *tx) Refs(slices []meta.SliceRef) ([]int64, error) {
	fields := make([]ref, len(slices))
	for i, s := range slices {
		fields[i] = ref{kindField, t.e.keys.global(keySliceRef), sliceField(s.ID, s.Size)}
	}
	if err := t.fetchAll(fields...); err != nil {
		return nil, err
	}
	out := make([]int64, len(slices))
	for i, f := range fields {
		r := t.look(t.reads[f], promiseAll)
		if !r.ok {
			out[i] = 1
			continue
		}
		n, err := strconv.ParseInt(r.raw, 10, 64)
		if err != nil {
			return nil, t.fail(fmt.Errorf("key %s, field %s: %w: %q references", r.key, r.field, meta.ErrCorrupt, r.raw))
		}
		out[i] = n + 1
	}
	return out, nil
}

func (t *tx) Counter(name string) (int64, error) {
	r, err := t.fetch(ref{kindString, t.e.keys.global(name), ""})
	if err != nil || !r.ok {
		return 0, err
	}
	n, err := strconv.ParseInt(r.raw, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("key %s: %w: counter %q", r.key, meta.ErrCorrupt, r.raw)
	}
	return n, nil
}

func (t *tx) Session(sid uint64) (meta.SessionRecord, bool, error) {
	member := strconv.FormatUint(sid, 10)
	expire := ref{kindScore, t.e.keys.global(keyAllSessions), member}
	info := ref{kindField, t.e.keys.global(keySessionInfos), member}
	if err := t.fetchAll(expire, info); err != nil {
		return meta.SessionRecord{}, false, err
	}
	score := t.look(t.reads[expire], promiseAll)
	text := t.look(t.reads[info], promiseAll)
	if !score.ok {
		return meta.SessionRecord{}, false, nil
	}
	at, err := strconv.ParseInt(score.raw, 10, 64)
	if err != nil {
		return meta.SessionRecord{}, false, fmt.Errorf("key %s, member %s: %w: score %q", score.key, member, meta.ErrCorrupt, score.raw)
	}
	r := meta.SessionRecord{Sid: sid, Expire: at}
	if text.ok {
		r.Info = []byte(text.raw)
	}
	return r, true, nil
}

// fetch gets a record that is not loaded with others.
func (t *tx) fetch(f ref) (*read, error) {
	if err := t.fetchAll(f); err != nil {
		return nil, err
	}
	return t.look(t.reads[f], promiseAll), nil
}

// fetchAll gets records in one trip. They may be of different moments.
func (t *tx) fetchAll(fs ...ref) error {
	missing := fs[:0:0]
	for _, f := range fs {
		if t.reads[f] == nil {
			missing = append(missing, f)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	t.loads += len(missing)
	out, err := t.e.client.query(t.ctx, func(b rueidis.Builder) []rueidis.Completed {
		cmds := make([]rueidis.Completed, len(missing))
		for i, f := range missing {
			cmds[i] = f.command(b)
		}
		return cmds
	})
	if err != nil {
		return t.fail(fmt.Errorf("read %s: %w", missing[0].key, err))
	}
	for i, f := range missing {
		r, err := f.answer(out[i])
		if err != nil {
			return t.fail(fmt.Errorf("read %s: %w", f.key, err))
		}
		t.add(r)
	}
	return nil
}

func (f ref) command(b rueidis.Builder) rueidis.Completed {
	switch f.kind {
	case kindField:
		return b.Hget().Key(f.key).Field(f.field).Build()
	case kindList:
		return b.Lrange().Key(f.key).Start(0).Stop(-1).Build()
	case kindNames:
		return b.Hkeys().Key(f.key).Build()
	case kindHash:
		return b.Hgetall().Key(f.key).Build()
	case kindScore:
		return b.Zscore().Key(f.key).Member(f.field).Build()
	}
	return b.Get().Key(f.key).Build()
}

func (f ref) answer(out rueidis.RedisResult) (*read, error) {
	r := &read{ref: f}
	m, err := out.ToMessage()
	if rueidis.IsRedisNil(err) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	switch f.kind {
	case kindNames:
		r.list, err = m.AsStrSlice()
		r.ok = len(r.list) > 0
	case kindHash:
		var fields map[string]string
		fields, err = m.AsStrMap()
		for k, v := range fields {
			r.list = append(r.list, k, v)
		}
		r.ok = len(fields) > 0
	case kindScore:
		var score float64
		score, err = m.AsFloat64()
		r.raw, r.ok = strconv.FormatInt(int64(score), 10), true
	case kindList:
		var elements []string
		elements, err = m.AsStrSlice()
		r.raw, r.ok = strings.Join(elements, ""), len(elements) > 0
	default:
		r.raw, err = m.ToString()
		r.ok = true
	}
	return r, err
}
