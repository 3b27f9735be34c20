package meta

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Time is a point in time with the resolution and range of the format.
type Time struct {
	Sec  int64  // since the epoch, may be negative
	Nsec uint32 // 0..999,999,999
}

// TimeOf converts a time.Time.
func TimeOf(t time.Time) Time { return Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())} }

// Time converts to a time.Time.
func (t Time) Time() time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }

// Sub returns the duration t − u; saturated when it does not fit.
func (t Time) Sub(u Time) time.Duration { return t.Time().Sub(u.Time()) }

// Attribute flags, as stored.
const (
	FlagImmutable uint8 = 1 << iota
	FlagAppend
	FlagWindowsHidden
	FlagWindowsSystem
	FlagWindowsArchive
	FlagSkipTrash
)

// Mode bits above the permissions.
const (
	ModeSticky uint16 = 01000
	ModeSetGID uint16 = 02000
	ModeSetUID uint16 = 04000
)

// Attr is the attribute record of an inode.
type Attr struct {
	Flags  uint8
	Type   Type
	Mode   uint16 // 07777
	UID    uint32
	GID    uint32
	Atime  Time
	Mtime  Time
	Ctime  Time
	Nlink  uint32
	Length uint64 // file: bytes; directory: 4096; symlink: bytes of its target; others 0
	Rdev   uint32 // Linux dev_t as FUSE delivers it
	Parent Ino    // 0: more than one possible parent, see Reader.Parents

	AccessACL  uint32 // 0: none
	DefaultACL uint32 // 0: none
	Tier       uint8
}

// Byte layout of an encoded attribute. Engines that compare or patch a part of a stored attribute in place
// use these offsets; [0, AttrTimes) and [AttrParent, end) together are what a permission check looks at.
const (
	AttrTimes  = 11 // atime 8+4, mtime 8+4, ctime 8+4
	AttrMtime  = AttrTimes + 12
	AttrCtime  = AttrMtime + 12
	AttrNlink  = AttrCtime + 12 // 4
	AttrLength = AttrNlink + 4  // 8
	AttrRdev   = AttrLength + 8 // 4
	AttrParent = AttrRdev + 4   // 8, then the optional ACL ids and the tier
)

// EncodeAttr gives the stored form used by Redis and ordered key spaces: 72 bytes, 8 more with ACLs, 1 more
// with a tier.
func EncodeAttr(a *Attr) []byte {
	be := binary.BigEndian
	b := make([]byte, 0, 81)
	b = append(b, a.Flags)
	b = be.AppendUint16(b, uint16(a.Type)<<12|a.Mode&07777)
	b = be.AppendUint32(b, a.UID)
	b = be.AppendUint32(b, a.GID)
	for _, t := range [...]Time{a.Atime, a.Mtime, a.Ctime} {
		b = be.AppendUint64(b, uint64(t.Sec))
		b = be.AppendUint32(b, t.Nsec)
	}
	b = be.AppendUint32(b, a.Nlink)
	b = be.AppendUint64(b, a.Length)
	b = be.AppendUint32(b, a.Rdev)
	b = be.AppendUint64(b, uint64(a.Parent))
	if a.AccessACL|a.DefaultACL != 0 {
		b = be.AppendUint32(b, a.AccessACL)
		b = be.AppendUint32(b, a.DefaultACL)
	}
	b = append(b, a.Tier)
	if a.Tier != 0 {
		b = append(b, 0)
	}
	return b
}

// DecodeAttr reads the stored form, also the shorter ones of old volumes.
func DecodeAttr(b []byte) (Attr, error) {
	var a Attr
	be := binary.BigEndian
	if len(b) < AttrParent {
		return a, fmt.Errorf("%w: attribute of %d bytes, want at least %d", ErrCorrupt, len(b), AttrParent)
	}
	a.Flags = b[0]
	tm := be.Uint16(b[1:])
	a.Type, a.Mode = Type(tm>>12), tm&07777
	if !a.Type.Valid() {
		return a, fmt.Errorf("%w: attribute with type %d", ErrCorrupt, a.Type)
	}
	a.UID, a.GID = be.Uint32(b[3:]), be.Uint32(b[7:])
	for i, t := range [...]*Time{&a.Atime, &a.Mtime, &a.Ctime} {
		at := b[AttrTimes+12*i:]
		t.Sec, t.Nsec = int64(be.Uint64(at)), be.Uint32(at[8:])
		if t.Nsec > 999_999_999 {
			return a, fmt.Errorf("%w: attribute with %d nanoseconds", ErrCorrupt, t.Nsec)
		}
	}
	a.Nlink = be.Uint32(b[AttrNlink:])
	a.Length = be.Uint64(b[AttrLength:])
	a.Rdev = be.Uint32(b[AttrRdev:])
	rest := b[AttrParent:]
	if len(rest) >= 8 {
		a.Parent, rest = Ino(be.Uint64(rest)), rest[8:]
	}
	if len(rest) >= 8 {
		a.AccessACL, a.DefaultACL, rest = be.Uint32(rest), be.Uint32(rest[4:]), rest[8:]
	}
	if len(rest) >= 1 {
		a.Tier = rest[0]
	}
	return a, nil
}

// pageSize is the unit of space accounting.
const pageSize = 4096

// Align4K is the space that n bytes of a file are charged: whole pages, and one page for an empty file.
func Align4K(n uint64) int64 {
	if n == 0 {
		return pageSize
	}
	return int64((n + pageSize - 1) &^ (pageSize - 1))
}

// Space is the charge of an inode in bytes.
func (a *Attr) Space() int64 {
	if a.Type == TypeFile {
		return Align4K(a.Length)
	}
	return pageSize
}

// dataLength is what the inode adds to its directory's data length.
func (a *Attr) dataLength() int64 {
	if a.Type == TypeFile {
		return int64(a.Length)
	}
	return 0
}
