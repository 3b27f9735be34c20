package redis

import (
	"strconv"
	"strings"

	"jfs/meta"
)

// Keys that exist once in a volume, without the prefix.
const (
	keySetting       = "setting"
	keyUsedSpace     = "usedSpace"
	keyTotalInodes   = "totalInodes"
	keyAllSessions   = "allSessions"
	keySessionInfos  = "sessionInfos"
	keyDelFiles      = "delfiles"
	keySliceRef      = "sliceRef"
	keyDirLength     = "dirDataLength"
	keyDirSpace      = "dirUsedSpace"
	keyDirInodes     = "dirUsedInodes"
	keyDelSlices     = "delSlices"
	keyDetached      = "detachedNodes"
	keyACL           = "acl"
	keyOldHeartbeats = "sessions" // of clients before 1.0; never has a prefix
)

// keys builds the names of a volume's keys. The prefix is "" except in a cluster, where one hash tag keeps
// all keys of a volume in one slot.
type keys struct {
	prefix string
}

func (k keys) global(name string) string { return k.prefix + name }

func (k keys) attr(ino meta.Ino) string    { return k.numbered("i", uint64(ino)) }
func (k keys) dir(ino meta.Ino) string     { return k.numbered("d", uint64(ino)) }
func (k keys) parents(ino meta.Ino) string { return k.numbered("p", uint64(ino)) }
func (k keys) symlink(ino meta.Ino) string { return k.numbered("s", uint64(ino)) }
func (k keys) xattrs(ino meta.Ino) string  { return k.numbered("x", uint64(ino)) }

func (k keys) sustained(sid uint64) string { return k.numbered("session", sid) }
func (k keys) locked(sid uint64) string    { return k.numbered("locked", sid) }

func (k keys) flocks(ino meta.Ino) string { return k.numbered("lockf", uint64(ino)) }
func (k keys) plocks(ino meta.Ino) string { return k.numbered("lockp", uint64(ino)) }

func (k keys) chunk(ino meta.Ino, index uint32) string {
	b := make([]byte, 0, len(k.prefix)+32)
	b = append(b, k.prefix...)
	b = append(b, 'c')
	b = strconv.AppendUint(b, uint64(ino), 10)
	b = append(b, '_')
	b = strconv.AppendUint(b, uint64(index), 10)
	return string(b)
}

func (k keys) numbered(kind string, n uint64) string {
	b := make([]byte, 0, len(k.prefix)+len(kind)+20)
	b = append(b, k.prefix...)
	b = append(b, kind...)
	b = strconv.AppendUint(b, n, 10)
	return string(b)
}

// isAttr says which inode's attribute a key holds.
func (k keys) isAttr(key string) (meta.Ino, bool) {
	n, ok := numberAfter(key, k.prefix+"i")
	return meta.Ino(n), ok
}

// isDir says which directory's entries a key holds.
func (k keys) isDir(key string) (meta.Ino, bool) {
	n, ok := numberAfter(key, k.prefix+"d")
	return meta.Ino(n), ok
}

func numberAfter(key, prefix string) (uint64, bool) {
	rest, ok := strings.CutPrefix(key, prefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(rest, 10, 64)
	return n, err == nil
}

// sequence gives the key of an allocator. Some are lower case in this engine only.
func (k keys) sequence(s meta.Sequence) (key string, ok bool) {
	switch s {
	case meta.SeqInode:
		return k.global("nextinode"), true
	case meta.SeqSlice:
		return k.global("nextchunk"), true
	case meta.SeqSession:
		return k.global("nextsession"), true
	case meta.SeqTrash:
		return k.global("nextTrash"), true
	case meta.SeqACL:
		return k.global("aclMaxId"), true
	}
	return "", false
}

// sliceField is the field of a slice in the hash of references.
func sliceField(id uint64, size uint32) string {
	b := make([]byte, 0, 32)
	b = append(b, 'k')
	b = strconv.AppendUint(b, id, 10)
	b = append(b, '_')
	b = strconv.AppendUint(b, uint64(size), 10)
	return string(b)
}

// delFileMember is the member of a removed file in the sorted set of files to free.
func delFileMember(ino meta.Ino, length uint64) string {
	b := make([]byte, 0, 40)
	b = strconv.AppendUint(b, uint64(ino), 10)
	b = append(b, ':')
	b = strconv.AppendUint(b, length, 10)
	return string(b)
}
