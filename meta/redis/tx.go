package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// maxArgs bounds the values of one command inside the script, whose stack holds about 8000.
const maxArgs = 1000

// tx is one run of a transaction's function. Writes are collected in the language of the commit script.
type tx struct {
	e   *Engine
	ctx context.Context

	trust  trust
	hinted bool // the function has seen a record that may be out of date
	loads  int  // moments of which records were read
	reads  map[ref]*read
	order  []*read
	err    error // the first failure of a read, or a write that cannot be; nothing is committed then

	keys     []string // that the script touches
	keyIndex map[string]string
	require  []string
	writes   []string
	effects  []effect
	written  []string                     // keys, of which the server has to tell again if they are of attributes or directories
	sized    []meta.Ino                   // directories whose size the commit tells
	dropped  []uint64                     // sessions whose locks go away with the commit
	locks    map[string]map[string]uint64 // by name of a hash of locks that is changed: its fields, with their sessions
}

// trust says which records of the memory may stand in for reads.
type trust uint8

const (
	trustNothing trust = iota
	trustLive          // those that are true
	trustHints         // all: the commit proves them
)

// effect is what a commit tells the memory.
type effect struct {
	kind byte // 'a' attribute set, or gone if raw is ""; 'e' the same for an entry; 't' attribute from the script
	ino  meta.Ino
	name string
	raw  string
}

func (e *Engine) newTx(ctx context.Context, trust trust) *tx {
	return &tx{e: e, ctx: ctx, trust: trust, reads: make(map[ref]*read), keyIndex: make(map[string]string)}
}

// index gives the number of a key for the script.
func (t *tx) index(key string) string {
	i, ok := t.keyIndex[key]
	if !ok {
		t.keys = append(t.keys, key)
		i = strconv.Itoa(len(t.keys))
		t.keyIndex[key] = i
	}
	return i
}

// do adds a command on one key.
func (t *tx) do(command, key string, args ...string) {
	t.writes = append(t.writes, "!", t.index(key), command, strconv.Itoa(len(args)))
	t.writes = append(t.writes, args...)
	t.wrote(key)
}

// drop removes keys with one command.
func (t *tx) drop(keys ...string) {
	t.do("DEL", keys[0], keys[1:]...)
	for _, key := range keys[1:] {
		t.index(key) // a server has to know all keys that a script names
		t.wrote(key)
	}
}

// wrote notes that a key is written of which the server has to tell again.
func (t *tx) wrote(key string) {
	if t.e.tracker != nil {
		t.written = append(t.written, key)
	}
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

func (t *tx) SetSetting(json []byte) { t.do("SET", t.e.keys.global(keySetting), string(json)) }

func (t *tx) SetCounter(name string, v int64) { t.do("SET", t.e.keys.global(name), decimal(v)) }

func (t *tx) SetAttr(ino meta.Ino, a *meta.Attr) {
	raw, key := string(meta.EncodeAttr(a)), t.e.keys.attr(ino)
	r := t.reads[ref{kindString, key, ""}]
	if r != nil && r.promise == promisePerm {
		r.promise = promiseAll // the whole record is replaced, so the whole has to be as it was read
	}
	if r == nil && a.Type == meta.TypeDirectory {
		t.wrote(t.e.keys.dir(ino)) // a new directory, of which all is known: there is nothing in it
	}
	t.do("SET", key, raw)
	t.effects = append(t.effects, effect{kind: 'a', ino: ino, raw: raw})
}

func (t *tx) DropNode(ino meta.Ino) {
	k := t.e.keys
	t.drop(k.attr(ino), k.symlink(ino), k.xattrs(ino), k.parents(ino))
	t.effects = append(t.effects, effect{kind: 'a', ino: ino})
}

func (t *tx) SetEntry(dir meta.Ino, name string, e meta.Entry) {
	raw := string(e.Encode())
	t.do("HSET", t.e.keys.dir(dir), name, raw)
	t.effects = append(t.effects, effect{kind: 'e', ino: dir, name: name, raw: raw})
}

func (t *tx) DropEntry(dir meta.Ino, name string) {
	t.do("HDEL", t.e.keys.dir(dir), name)
	t.effects = append(t.effects, effect{kind: 'e', ino: dir, name: name})
}

func (t *tx) SetSymlink(ino meta.Ino, target string) { t.do("SET", t.e.keys.symlink(ino), target) }

func (t *tx) SetXattr(ino meta.Ino, name string, value []byte) {
	t.do("HSET", t.e.keys.xattrs(ino), name, string(value))
}

func (t *tx) DropXattr(ino meta.Ino, name string) { t.do("HDEL", t.e.keys.xattrs(ino), name) }
func (t *tx) DropXattrs(ino meta.Ino)             { t.drop(t.e.keys.xattrs(ino)) }

func (t *tx) AddParent(ino, dir meta.Ino, n int64) {
	t.do("HINCRBY", t.e.keys.parents(ino), dir.String(), decimal(n))
}

func (t *tx) DropParents(ino meta.Ino) { t.drop(t.e.keys.parents(ino)) }

// push adds records to an end of a list, in their order as seen from that end.
func (t *tx) push(command, key string, records []meta.Slice) {
	args := make([]string, 0, min(len(records), maxArgs))
	for len(records) > 0 {
		args = args[:0]
		n := min(len(records), maxArgs)
		for _, s := range records[:n] {
			args = append(args, string(meta.AppendSlice(nil, s)))
		}
		t.do(command, key, args...)
		records = records[n:]
	}
}

func (t *tx) AppendSlices(ino meta.Ino, index uint32, records []meta.Slice) {
	t.push("RPUSH", t.e.keys.chunk(ino, index), records)
}

// ReplaceSlices also writes the inode's own unchanged attribute, because an official client that copies
// records out of this chunk watches the attribute of the file and not the chunk.
func (t *tx) ReplaceSlices(ino meta.Ino, index uint32, n int, records []meta.Slice) {
	key := t.e.keys.chunk(ino, index)
	r := t.reads[ref{kindList, key, ""}]
	if r == nil || r.promise == promiseNothing || n < 0 || n*meta.SliceSize > len(r.raw) {
		t.fail(fmt.Errorf("replace %d records of %s: they were not read", n, key))
		return
	}
	t.do("LTRIM", key, strconv.Itoa(n), "-1")
	backwards := make([]meta.Slice, len(records))
	for i, s := range records {
		backwards[len(records)-1-i] = s
	}
	t.push("LPUSH", key, backwards)
	t.writes = append(t.writes, "w", t.index(t.e.keys.attr(ino)))
	t.wrote(t.e.keys.attr(ino))
}

func (t *tx) DropChunk(ino meta.Ino, index uint32) { t.drop(t.e.keys.chunk(ino, index)) }

// NewRef writes nothing: here a slice without a record has one reference.
func (t *tx) NewRef(slice uint64, size uint32) {}

func (t *tx) AddRef(slice uint64, size uint32, n int64) {
	t.do("HINCRBY", t.e.keys.global(keySliceRef), sliceField(slice, size), decimal(n))
}

func (t *tx) DropRef(slice uint64, size uint32) {
	t.do("HDEL", t.e.keys.global(keySliceRef), sliceField(slice, size))
}

func (t *tx) SetDelFile(f meta.DelFile) {
	t.do("ZADD", t.e.keys.global(keyDelFiles), decimal(f.Removed), delFileMember(f.Ino, f.Length))
}

func (t *tx) DropDelFile(f meta.DelFile) {
	t.do("ZREM", t.e.keys.global(keyDelFiles), delFileMember(f.Ino, f.Length))
}

func (t *tx) SetSession(r meta.SessionRecord) {
	sid := strconv.FormatUint(r.Sid, 10)
	t.do("ZADD", t.e.keys.global(keyAllSessions), decimal(r.Expire), sid)
	if len(r.Info) > 0 {
		t.do("HSET", t.e.keys.global(keySessionInfos), sid, string(r.Info))
	}
}

// DropSession removes the record of a session and all of its locks.
func (t *tx) DropSession(sid uint64) {
	member := strconv.FormatUint(sid, 10)
	t.do("ZREM", t.e.keys.global(keyAllSessions), member)
	t.do("HDEL", t.e.keys.global(keySessionInfos), member)
	if t.e.keys.prefix == "" { // in a cluster that key may be on another node, and was never used
		t.do("ZREM", keyOldHeartbeats, member)
	}
	t.dropped = append(t.dropped, sid)
}

func (t *tx) SetSustained(sid uint64, ino meta.Ino) {
	t.do("SADD", t.e.keys.sustained(sid), ino.String())
}

func (t *tx) DropSustained(sid uint64, ino meta.Ino) {
	t.do("SREM", t.e.keys.sustained(sid), ino.String())
}

func (t *tx) Touch(dir meta.Ino, now meta.Time, nlink int32, window time.Duration) {
	key := t.e.keys.attr(dir)
	switch r := t.reads[ref{kindString, key, ""}]; {
	case r == nil || r.promise == promiseNothing:
		t.fail(fmt.Errorf("touch %s: it was not read", key))
		return
	case !r.ok:
		t.fail(fmt.Errorf("touch %s: %w", key, posix.ENOENT))
		return
	}
	stamp := binary.BigEndian.AppendUint64(make([]byte, 0, 12), uint64(now.Sec))
	stamp = binary.BigEndian.AppendUint32(stamp, now.Nsec)
	sec, nsec := "", ""
	if window > 0 {
		limit := meta.TimeOf(now.Time().Add(-window))
		sec, nsec = decimal(limit.Sec), decimal(int64(limit.Nsec))
	}
	t.writes = append(t.writes, "t", t.index(key), string(stamp), decimal(int64(nlink)), sec, nsec)
	t.wrote(key)
	t.effects = append(t.effects, effect{kind: 't', ino: dir})
}

// RequireEmpty is decided by the commit, so it never fails at once.
func (t *tx) RequireEmpty(dir meta.Ino) error {
	t.require = append(t.require, "e", t.index(t.e.keys.dir(dir)))
	return nil
}

func (t *tx) AddUsage(space, inodes int64) {
	if space != 0 {
		t.do("INCRBY", t.e.keys.global(keyUsedSpace), decimal(space))
	}
	if inodes != 0 {
		t.do("INCRBY", t.e.keys.global(keyTotalInodes), decimal(inodes))
	}
}

func (t *tx) AddDirStat(dir meta.Ino, d meta.DirStat) {
	k := t.e.dirStatKeys()
	t.addWhere(dir.String(), k[:], d.Inodes, d.Space, d.Length)
}

// addWhere adds to a field of several hashes if the first of them has it.
func (t *tx) addWhere(field string, hashes []string, numbers ...int64) {
	t.writes = append(t.writes, "a", t.index(hashes[0]), field, strconv.Itoa(len(hashes)))
	for i, key := range hashes {
		t.writes = append(t.writes, t.index(key), decimal(numbers[i]))
	}
}

func (t *tx) SetDirStat(dir meta.Ino, s meta.DirStat) {
	for i, key := range t.e.dirStatKeys() {
		t.do("HSET", key, dir.String(), decimal([]int64{s.Inodes, s.Space, s.Length}[i]))
	}
}

func (t *tx) DropDirStat(dir meta.Ino) {
	for _, key := range t.e.dirStatKeys() {
		t.do("HDEL", key, dir.String())
	}
}
