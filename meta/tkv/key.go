package tkv

import (
	"encoding/binary"

	"jfs/meta"
)

// The keys of the format. Inodes inside keys are little endian, everything else is big endian; the order of the
// bytes is part of the format. Letters are shared by several kinds of keys, so scans also check the length.

const (
	keySetting = "setting"

	nextInode     = "nextInode"
	nextChunk     = "nextChunk"
	nextSession   = "nextSession"
	nextTrash     = "nextTrash"
	aclMaxID      = "aclMaxId"
	usedSpace     = "usedSpace"
	totalInodes   = "totalInodes"
	inodeKeySize  = 1 + 8
	chunkKeySize  = inodeKeySize + 1 + 4
	parentKeySize = inodeKeySize + 1 + 8
	delKeySize    = 1 + 8 + 8
	refKeySize    = 1 + 8 + 4
	sidKeySize    = 2 + 8
	sustKeySize   = sidKeySize + 8
	delayKeySize  = 1 + 8 + 8
	quotaKeySize  = 2 + 8
	aclKeySize    = 1 + 4
)

func settingKey() []byte { return []byte(keySetting) }

func counterKey(name string) []byte { return append([]byte{'C'}, name...) }

// inodeKey is the start of all keys of an inode, with room for what follows.
func inodeKey(letter byte, ino meta.Ino, room int) []byte {
	b := make([]byte, 0, inodeKeySize+room)
	return binary.LittleEndian.AppendUint64(append(b, letter), uint64(ino))
}

func attrKey(ino meta.Ino) []byte { return append(inodeKey('A', ino, 1), 'I') }

func entryKey(dir meta.Ino, name string) []byte {
	return append(append(inodeKey('A', dir, 1+len(name)), 'D'), name...)
}

func parentKey(ino, dir meta.Ino) []byte {
	return binary.LittleEndian.AppendUint64(append(inodeKey('A', ino, 9), 'P'), uint64(dir))
}

func chunkKey(ino meta.Ino, index uint32) []byte {
	return binary.BigEndian.AppendUint32(append(inodeKey('A', ino, 5), 'C'), index)
}

func symlinkKey(ino meta.Ino) []byte { return append(inodeKey('A', ino, 1), 'S') }

func xattrKey(ino meta.Ino, name string) []byte {
	return append(append(inodeKey('A', ino, 1+len(name)), 'X'), name...)
}

// kind is the range of the keys of one kind of an inode: all entries, all chunks, ...
func kind(ino meta.Ino, letter byte) (begin, end []byte) { return kinds(ino, letter, letter) }

// kinds is the range of the keys of an inode from one kind to another.
func kinds(ino meta.Ino, first, last byte) (begin, end []byte) {
	return append(inodeKey('A', ino, 1), first), append(inodeKey('A', ino, 1), last+1)
}

// letters is the range of the keys that begin with the given letters.
func letters(s string) (begin, end []byte) { return []byte(s), after([]byte(s)) }

func delFileKey(f meta.DelFile) []byte {
	return binary.BigEndian.AppendUint64(inodeKey('D', f.Ino, 8), f.Length)
}

func refKey(slice uint64, size uint32) []byte {
	b := binary.BigEndian.AppendUint64(append(make([]byte, 0, refKeySize), 'K'), slice)
	return binary.BigEndian.AppendUint32(b, size)
}

// sessionKey is of kind 'E' (expiry), 'I' (information), 'H' (heartbeat of an old client), or 'S', the start
// of the keys of sustained inodes.
func sessionKey(kind byte, sid uint64) []byte {
	b := append(make([]byte, 0, sustKeySize), 'S', kind)
	return binary.BigEndian.AppendUint64(b, sid)
}

func sustainedKey(sid uint64, ino meta.Ino) []byte {
	return binary.LittleEndian.AppendUint64(sessionKey('S', sid), uint64(ino))
}

func dirStatKey(dir meta.Ino) []byte { return inodeKey('U', dir, 0) }

// delayedKey begins with the time, so the oldest come first.
func delayedKey(d meta.Delayed) []byte {
	b := binary.BigEndian.AppendUint64(append(make([]byte, 0, delayKeySize), 'L'), uint64(d.At))
	return binary.BigEndian.AppendUint64(b, d.ID)
}

func detachedKey(ino meta.Ino) []byte { return inodeKey('N', ino, 0) }

func flockKey(ino meta.Ino) []byte { return inodeKey('F', ino, 0) }

func plockKey(ino meta.Ino) []byte { return inodeKey('P', ino, 0) }

func aclKey(id uint32) []byte {
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, aclKeySize), 'R'), id)
}

// quotaLetters are the second letters of the keys of quotas.
var quotaLetters = [...]byte{meta.QuotaDir: 'D', meta.QuotaUser: 'U', meta.QuotaGroup: 'G'}

// quotaKey: an inode is little endian here too, a uid or gid big endian. It is nil for an unknown kind.
func quotaKey(q meta.QuotaKey) []byte {
	if int(q.Kind) >= len(quotaLetters) {
		return nil
	}
	b := append(make([]byte, 0, quotaKeySize), 'Q', quotaLetters[q.Kind])
	if q.Kind == meta.QuotaDir {
		return binary.LittleEndian.AppendUint64(b, q.ID)
	}
	return binary.BigEndian.AppendUint64(b, q.ID)
}

// inodeIn reads an inode out of a key.
func inodeIn(key []byte, at int) meta.Ino { return meta.Ino(binary.LittleEndian.Uint64(key[at:])) }
