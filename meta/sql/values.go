package sql

import (
	"fmt"
	"math"

	"jfs/meta"
)

// number is a column of integers as it is scanned. It spares database/sql's conversions by reflection, and
// takes NULL for 0: the format leaves columns nullable that were added in later versions.
type number int64

func (n *number) Scan(src any) error {
	switch v := src.(type) {
	case int64:
		*n = number(v)
	case nil:
		*n = 0
	default:
		return fmt.Errorf("%w: %T in a column of integers", meta.ErrCorrupt, src)
	}
	return nil
}

// The columns of jfs_node behind inode, in the order of a nodeRow.
const (
	colType = iota
	colFlags
	colMode
	colUID
	colGID
	colAtime
	colMtime
	colCtime
	colAtimeNsec
	colMtimeNsec
	colCtimeNsec
	colNlink
	colLength
	colRdev
	colParent
	colAccessACL
	colDefaultACL
	colTier
	numNodeCols
)

var nodeCols = [numNodeCols]string{
	"type", "flags", "mode", "uid", "gid", "atime", "mtime", "ctime", "atimensec", "mtimensec", "ctimensec",
	"nlink", "length", "rdev", "parent", "access_acl_id", "default_acl_id", "tier_id",
}

// nodeRow is a row of jfs_node without its inode.
type nodeRow [numNodeCols]number

// maxMicros bounds seconds whose microseconds fit the column.
const maxMicros = math.MaxInt64 / 1_000_000

// splitTime gives the two columns of a time: microseconds rounded down, and the nanoseconds above them. Times
// out of the range of the column become its ends.
func splitTime(t meta.Time) (micros, nanos number) {
	switch {
	case t.Sec >= maxMicros:
		return math.MaxInt64, 0
	case t.Sec <= -maxMicros:
		return math.MinInt64, 0
	}
	return number(t.Sec*1_000_000 + int64(t.Nsec/1000)), number(t.Nsec % 1000)
}

func joinTime(micros, nanos number) (meta.Time, error) {
	if nanos < 0 || nanos > 999 {
		return meta.Time{}, fmt.Errorf("%w: time with a remainder of %d ns", meta.ErrCorrupt, nanos)
	}
	sec, rest := micros/1_000_000, micros%1_000_000
	if rest < 0 {
		sec, rest = sec-1, rest+1_000_000
	}
	return meta.Time{Sec: int64(sec), Nsec: uint32(rest*1000 + nanos)}, nil
}

func encodeNode(a *meta.Attr) nodeRow {
	r := nodeRow{
		colType: number(a.Type), colFlags: number(a.Flags), colMode: number(a.Mode & 07777),
		colUID: number(a.UID), colGID: number(a.GID), colNlink: number(a.Nlink), colLength: number(a.Length),
		colRdev: number(a.Rdev), colParent: number(a.Parent),
		colAccessACL: number(a.AccessACL), colDefaultACL: number(a.DefaultACL), colTier: number(a.Tier),
	}
	r[colAtime], r[colAtimeNsec] = splitTime(a.Atime)
	r[colMtime], r[colMtimeNsec] = splitTime(a.Mtime)
	r[colCtime], r[colCtimeNsec] = splitTime(a.Ctime)
	return r
}

func decodeNode(ino meta.Ino, r *nodeRow) (meta.Attr, error) {
	a := meta.Attr{
		Flags: uint8(r[colFlags]), Type: meta.Type(r[colType]), Mode: uint16(r[colMode]) & 07777,
		UID: uint32(r[colUID]), GID: uint32(r[colGID]), Nlink: uint32(r[colNlink]), Length: uint64(r[colLength]),
		Rdev: uint32(r[colRdev]), Parent: meta.Ino(r[colParent]),
		AccessACL: uint32(r[colAccessACL]), DefaultACL: uint32(r[colDefaultACL]), Tier: uint8(r[colTier]),
	}
	if r[colType] < 0 || r[colType] > math.MaxUint8 || !a.Type.Valid() {
		return a, fmt.Errorf("jfs_node inode %d: %w: type %d", ino, meta.ErrCorrupt, r[colType])
	}
	for _, t := range [...]struct {
		to            *meta.Time
		micros, nanos int
	}{{&a.Atime, colAtime, colAtimeNsec}, {&a.Mtime, colMtime, colMtimeNsec}, {&a.Ctime, colCtime, colCtimeNsec}} {
		var err error
		if *t.to, err = joinTime(r[t.micros], r[t.nanos]); err != nil {
			return a, fmt.Errorf("jfs_node inode %d: %w", ino, err)
		}
	}
	return a, nil
}

func decodeEntry(dir meta.Ino, name []byte, ino, typ number) (meta.Entry, error) {
	e := meta.Entry{Ino: meta.Ino(ino), Type: meta.Type(typ)}
	if typ < 0 || typ > math.MaxUint8 || !e.Type.Valid() {
		return e, fmt.Errorf("jfs_edge parent %d name %q: %w: type %d", dir, name, meta.ErrCorrupt, typ)
	}
	return e, nil
}
