package tkv

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"jfs/meta"
)

// tx is a meta.Tx. It notes the writes while fn runs and carries them out, in their order, before the commit.
type tx struct {
	*reader
	txn     Txn
	attempt int // 0 for the first run
	notes   []note
	pending map[string][]byte // the outcome of the notes; nil: the key goes away

	space, inodes int64 // for the usage counters, if the commit succeeds
}

// note is a write to be done. need is the key whose stored value it starts from, if it is only one.
type note struct {
	need []byte
	do   func() error
}

func newTx(r *reader, txn Txn, attempt int) *tx {
	return &tx{reader: r, txn: txn, attempt: attempt, pending: map[string][]byte{}}
}

// apply hands the writes to the store's transaction.
func (t *tx) apply() error {
	var needs [][]byte
	for _, n := range t.notes {
		if n.need != nil {
			needs = append(needs, n.need)
		}
	}
	if err := t.fetch(needs); err != nil {
		return err
	}
	for _, n := range t.notes {
		if err := n.do(); err != nil {
			return err
		}
	}
	for _, k := range t.order() {
		if v := t.pending[k]; v == nil {
			t.txn.Delete([]byte(k))
		} else {
			t.txn.Put([]byte(k), v)
		}
	}
	return nil
}

// order gives the keys of the writes in an order in which a store may make them in parts: references to slices are added
// before anything refers to them and taken away when nothing does, so that a part loses no data.
func (t *tx) order() []string {
	const adds, others, takes = 0, 1, 2
	kind := func(key string) int {
		if len(key) != refKeySize || key[0] != 'K' {
			return others
		}
		// A missing record is one reference, as a stored 0. What cannot be read was refused before.
		before, _ := number(binary.LittleEndian, nil, t.known[key])
		after, _ := number(binary.LittleEndian, nil, t.pending[key])
		if after > before {
			return adds
		}
		return takes
	}
	return slices.SortedFunc(maps.Keys(t.pending), func(a, b string) int {
		return cmp.Or(cmp.Compare(kind(a), kind(b)), strings.Compare(a, b))
	})
}

// put notes a write that does not look at the old value.
func (t *tx) put(key, value []byte) {
	t.notes = append(t.notes, note{do: func() error {
		t.pending[string(key)] = value
		return nil
	}})
}

func (t *tx) drop(key []byte) { t.put(key, nil) }

// mutate notes a write that makes a new value out of the old one; nil is no value. fn must not change old.
func (t *tx) mutate(key []byte, fn func(old []byte) ([]byte, error)) {
	t.notes = append(t.notes, note{need: key, do: func() error {
		old, again := t.pending[string(key)]
		if !again {
			old = t.known[string(key)]
		}
		v, err := fn(old)
		if err != nil {
			return err
		}
		if v != nil || old != nil {
			t.pending[string(key)] = v
		}
		return nil
	}})
}

// add notes an addition to a little endian number; a missing one counts as 0.
func (t *tx) add(key []byte, n int64) {
	t.mutate(key, func(old []byte) ([]byte, error) {
		v, err := number(binary.LittleEndian, key, old)
		return little(v + n), err
	})
}

// dropRange notes that all keys of a range go away.
func (t *tx) dropRange(begin, end []byte) {
	t.notes = append(t.notes, note{do: func() error {
		for k := range t.pending {
			if k >= string(begin) && k < string(end) {
				t.pending[k] = nil
			}
		}
		return t.each(t.promised, begin, end, func(p Pair) (bool, error) {
			t.pending[string(p.Key)] = nil
			return true, nil
		})
	}})
}

func (t *tx) SetSetting(json []byte) { t.put(settingKey(), filled(json)) }

func (t *tx) SetCounter(name string, value int64) { t.put(counterKey(name), big(value)) }

func (t *tx) SetAttr(ino meta.Ino, a *meta.Attr) { t.put(attrKey(ino), meta.EncodeAttr(a)) }

func (t *tx) DropNode(ino meta.Ino) {
	t.drop(attrKey(ino))
	// Parents, symlink and xattrs are neighbours with nothing else in between: P, S, X.
	t.dropRange(kinds(ino, 'P', 'X'))
}

func (t *tx) SetEntry(dir meta.Ino, name string, e meta.Entry) {
	t.put(entryKey(dir, name), e.Encode())
	t.engine.hints.learn(meta.Name{Dir: dir, Name: name}, e.Ino)
}

func (t *tx) DropEntry(dir meta.Ino, name string) {
	t.drop(entryKey(dir, name))
	t.engine.hints.forget(meta.Name{Dir: dir, Name: name})
}

func (t *tx) SetSymlink(ino meta.Ino, target string) { t.put(symlinkKey(ino), filled([]byte(target))) }

func (t *tx) SetXattr(ino meta.Ino, name string, value []byte) {
	t.put(xattrKey(ino, name), filled(value))
}

// filled copies a value that belongs to the caller; an empty one is still a value.
func filled(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }

func (t *tx) DropXattr(ino meta.Ino, name string) { t.drop(xattrKey(ino, name)) }

func (t *tx) DropXattrs(ino meta.Ino) { t.dropRange(kind(ino, 'X')) }

func (t *tx) AddParent(ino, dir meta.Ino, n int64) { t.add(parentKey(ino, dir), n) }

func (t *tx) DropParents(ino meta.Ino) { t.dropRange(kind(ino, 'P')) }

func (t *tx) AppendSlices(ino meta.Ino, index uint32, records []meta.Slice) {
	if len(records) == 0 {
		return
	}
	more := meta.EncodeSlices(records)
	t.mutate(chunkKey(ino, index), func(old []byte) ([]byte, error) {
		return append(bytes.Clone(old), more...), nil
	})
}

func (t *tx) ReplaceSlices(ino meta.Ino, index uint32, n int, records []meta.Slice) {
	with := meta.EncodeSlices(records)
	key := chunkKey(ino, index)
	t.mutate(key, func(old []byte) ([]byte, error) {
		if len(old) < n*meta.SliceSize {
			return nil, fmt.Errorf("replace %d records of chunk %d of inode %d: it has %d", n, index, ino, len(old)/meta.SliceSize)
		}
		list := append(with, old[n*meta.SliceSize:]...)
		if len(list) == 0 {
			return nil, nil
		}
		return list, nil
	})
}

func (t *tx) DropChunk(ino meta.Ino, index uint32) { t.drop(chunkKey(ino, index)) }

// NewRef writes nothing: a slice without a record has one reference.
func (t *tx) NewRef(uint64, uint32) {}

func (t *tx) AddRef(slice uint64, size uint32, n int64) { t.add(refKey(slice, size), n) }

func (t *tx) DropRef(slice uint64, size uint32) { t.drop(refKey(slice, size)) }

func (t *tx) SetDelFile(f meta.DelFile) { t.put(delFileKey(f), big(f.Removed)) }

func (t *tx) DropDelFile(f meta.DelFile) { t.drop(delFileKey(f)) }

func (t *tx) SetSession(r meta.SessionRecord) {
	t.put(sessionKey('E', r.Sid), big(r.Expire))
	if len(r.Info) > 0 {
		t.put(sessionKey('I', r.Sid), filled(r.Info))
	}
}

func (t *tx) SetSustained(sid uint64, ino meta.Ino) { t.put(sustainedKey(sid, ino), []byte{1}) }

func (t *tx) DropSustained(sid uint64, ino meta.Ino) { t.drop(sustainedKey(sid, ino)) }
