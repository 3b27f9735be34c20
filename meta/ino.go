// Package meta is the metadata of a volume: its nouns, the seam to the databases that store them, and
// Volume, in which every operation of the file system is written once.
//
// An Engine (packages meta/redis, meta/sql, meta/tkv) stores records and knows no rule of the file system.
// The encodings of records that several engines share (attribute, entry, slice record, ...) stand here.
package meta

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// Ino is the number of an inode.
type Ino uint64

// Reserved inode numbers.
const (
	// RootIno is the root directory.
	RootIno Ino = 1
	// TrashIno is the root of the trash; the hourly directories of the trash are TrashIno + n, n ≥ 1.
	TrashIno Ino = 0x7FFFFFFF10000000
)

// IsTrash says whether the number belongs to the trash root or to an hourly trash directory.
func (i Ino) IsTrash() bool { return i >= TrashIno }

// String gives the decimal form that keys and logs use.
func (i Ino) String() string { return strconv.FormatUint(uint64(i), 10) }

// Type is the kind of an inode, with the numbers of the volume format.
type Type uint8

// The types of inodes.
const (
	TypeFile Type = iota + 1
	TypeDirectory
	TypeSymlink
	TypeFIFO
	TypeBlockDev
	TypeCharDev
	TypeSocket
)

// Valid says whether t is one of the types of the format.
func (t Type) Valid() bool { return t >= TypeFile && t <= TypeSocket }

// Entry is what a name in a directory stands for.
type Entry struct {
	Type Type
	Ino  Ino
}

// EntrySize is the length of an encoded Entry in bytes.
const EntrySize = 9

// Encode gives the stored form: type(1) inode(8 BE).
func (e Entry) Encode() []byte {
	b := make([]byte, EntrySize)
	b[0] = byte(e.Type)
	binary.BigEndian.PutUint64(b[1:], uint64(e.Ino))
	return b
}

// DecodeEntry reads the stored form of an entry.
func DecodeEntry(b []byte) (Entry, error) {
	if len(b) != EntrySize || !Type(b[0]).Valid() {
		return Entry{}, fmt.Errorf("%w: directory entry % x", ErrCorrupt, b)
	}
	return Entry{Type: Type(b[0]), Ino: Ino(binary.BigEndian.Uint64(b[1:]))}, nil
}

// Name is a name in a directory.
type Name struct {
	Dir  Ino
	Name string
}
