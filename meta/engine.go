package meta

import (
	"context"
	"time"
)

// Engine stores the records of one volume and holds no rule of the file system.
//
// All methods are safe for concurrent use, honour ctx, and end within a bounded time when the database
// does not answer. Failures of the database are errors of the engine's own; ErrUnknown marks those after
// which the change may have been committed. Records that break the format are ErrCorrupt.
type Engine interface {
	// Name is the scheme of the engine for people: "redis", "sqlite3", "mem".
	Name() string
	// Init prepares an empty database to hold a volume (tables, indexes). On one that holds a volume it
	// changes nothing, or completes the schema.
	Init(ctx context.Context) error
	// View runs fn on records of one consistent state as far as the engine has such states; Redis gives
	// the state of one moment for what want names. fn may run again.
	View(ctx context.Context, want Want, fn func(Reader) error) error
	// Update runs fn and commits all of its writes or none, serialisable with respect to what fn read.
	// fn may run again, after a conflict or because it first ran on remembered records; it must set its
	// results anew on every run. When fn fails, nothing is written and its error is returned as it is, and
	// what fn had read was then true.
	Update(ctx context.Context, want Want, fn func(Tx) error) error
	// Reserve takes n numbers from a sequence; the caller owns first … first+n−1, for ever. With n 0 it takes none
	// and tells the next one.
	Reserve(ctx context.Context, seq Sequence, n uint64) (first uint64, err error)
	// Erase removes everything that Init and the transactions have made, of this volume only, the setting last. The
	// engine is then as on an empty database that Init has not seen.
	Erase(ctx context.Context) error
	// Close flushes what is buffered and ends the connection. A second call does nothing.
	Close() error
}

// Want names records that a transaction is going to read, so that the engine can load them together. Reading
// another record works too and costs an extra round trip.
type Want struct {
	Attrs   []Ino     // Reader.Attr
	Perms   []Ino     // Reader.Perm
	Entries []Name    // Reader.Entry
	Nodes   []Name    // Reader.Entry, and Reader.Attr of the inode that it names
	Chunks  []ChunkID // Reader.Chunk
}

// Sequence is one of the allocators of the volume.
type Sequence uint8

// The allocators. The engine knows how each is stored and by how much the stored value is ahead.
const (
	SeqInode Sequence = iota
	SeqSlice
	SeqSession
	SeqTrash
	SeqACL
)

// Names of the stored times of the last run of a background job, in unix seconds.
const (
	LastCleanupSessions = "lastCleanupSessions"
	LastCleanupFiles    = "lastCleanupFiles"
	LastCleanupTrash    = "lastCleanupTrash"
	NextCleanupSlices   = "nextCleanupSlices"
)

// Reader reads records. "ok" is false, and the error nil, when there is no such record.
//
// Inside Update a read also is a promise: the transaction commits only if the record is still the same. The
// methods that promise less say so.
type Reader interface {
	// Setting is the JSON of the volume's format; nil when the database holds no volume.
	Setting() ([]byte, error)

	Attr(ino Ino) (a Attr, ok bool, err error)
	// Perm is Attr for a directory that only has to be there and allow the change: the promise does not
	// cover times, Nlink and Length, which may be old, so parallel changes in one directory do not conflict.
	Perm(ino Ino) (a Attr, ok bool, err error)
	Entry(dir Ino, name string) (e Entry, ok bool, err error)
	// Entries gives a page of a directory, about limit entries, in an order of the engine's own. cursor is
	// "" at first and then the next of the page before; next is "" at the end. A name that stays is given
	// at least once, and possibly twice; one that comes or goes meanwhile perhaps. plus fills Attr where
	// the inode has one. No promise.
	Entries(dir Ino, cursor string, limit int, plus bool) (page []Dirent, next string, err error)
	Symlink(ino Ino) (target string, ok bool, err error)
	Chunk(ino Ino, index uint32) ([]Slice, error)
	// Chunks lists the chunks of a file that have a record, in ascending order. length bounds the search in
	// engines that cannot list keys; they miss chunks that a file had before it was cut. No promise.
	Chunks(ino Ino, length uint64) ([]uint32, error)
	Xattr(ino Ino, name string) (value []byte, ok bool, err error)
	Xattrs(ino Ino) (names []string, err error)
	// Parents gives the directories that hold links to an inode whose Attr.Parent is 0, and how many each.
	Parents(ino Ino) (map[Ino]int64, error)

	// Refs gives the number of references to each of the slices: 1 unless recorded otherwise (SQL: 0 if there
	// is no row).
	Refs(slices []SliceRef) ([]int64, error)
	// DeadSlices lists up to limit slices whose references are used up. No promise.
	DeadSlices(limit int) ([]SliceRef, error)
	// DelFiles lists up to limit files, removed at or before the time, whose data waits to be freed. No promise.
	DelFiles(before int64, limit int) ([]DelFile, error)

	// Usage is the space in bytes and the inodes that the volume holds, with the changes that this engine has
	// collected and not applied yet. No promise.
	Usage() (space, inodes int64, err error)
	// DirStats gives the usage records that the directories have. No promise: use Tx.AddDirStat to change one.
	DirStats(dirs []Ino) (map[Ino]DirStat, error)
	// Counter is one of the stored job times; 0 when it is not there.
	Counter(name string) (int64, error)

	// DelayedSlices lists up to limit sets of slices that compactions before the time have replaced and that wait
	// for the trash to expire. No promise.
	DelayedSlices(before int64, limit int) ([]Delayed, error)
	// HasDelayed says whether a set of delayed slices is still there.
	HasDelayed(d Delayed) (bool, error)
	// SpareRefs lists up to limit slices whose reference record says what would be true without it, so that
	// DropRef may remove it while Refs gives 1. SQL has none. No promise.
	SpareRefs(limit int) ([]SliceRef, error)
	// Detached lists up to limit roots of clones, made at or before the time, that are not entered into a
	// directory. No promise.
	Detached(before int64, limit int) ([]Ino, error)
	// ScanChunks gives a page of all chunk lists of the volume, about limit of them, as Entries gives pages. No
	// promise.
	ScanChunks(cursor string, limit int) (page []ChunkRecord, next string, err error)
	// ScanNodes gives a page of all inodes of the volume. No promise.
	ScanNodes(cursor string, limit int) (page []Node, next string, err error)

	// Quota is the quota record of a directory, a user or a group. No promise: use Tx.AddQuotaUsage.
	Quota(key QuotaKey) (q Quota, ok bool, err error)
	// Quotas gives all quota records. No promise.
	Quotas() (map[QuotaKey]Quota, error)
	// ACL is a stored rule, in the encoding of EncodeACL. Rules never change.
	ACL(id uint32) (rule []byte, ok bool, err error)
	// ACLs gives all stored rules. No promise.
	ACLs() (map[uint32][]byte, error)

	// Flocks gives the BSD locks of an inode.
	Flocks(ino Ino) (map[LockOwner]FlockType, error)
	// Plocks gives the POSIX record locks of an inode, by owner and in ascending order of Start.
	Plocks(ino Ino) (map[LockOwner][]Plock, error)

	// Locked lists the inodes on which a session has locks, in ascending order. Redis does not know the shared BSD
	// locks of official clients there. No promise.
	Locked(sid uint64) ([]Ino, error)

	// Sessions lists the sessions of all clients, expired ones included. No promise.
	Sessions() ([]SessionRecord, error)
	// Session is the record of one session.
	Session(sid uint64) (r SessionRecord, ok bool, err error)
	// Sustained lists the inodes that a session keeps although they are unlinked. No promise.
	Sustained(sid uint64) ([]Ino, error)
}

// Tx reads and writes. Writes are seen by later reads of the same transaction only where a method says so;
// the operations are written so that they do not depend on it. Writes of one kind to one record are applied
// in the order in which they were made.
type Tx interface {
	Reader

	SetSetting(json []byte)
	SetCounter(name string, value int64)

	// SetAttr writes the attribute of a new inode, or of one that was read with Attr in this transaction.
	SetAttr(ino Ino, a *Attr)
	// DropNode removes the attribute, the symlink target, the xattrs and the parent records.
	DropNode(ino Ino)
	// SetEntry adds an entry or replaces the one that was read.
	SetEntry(dir Ino, name string, e Entry)
	DropEntry(dir Ino, name string)
	SetSymlink(ino Ino, target string)
	SetXattr(ino Ino, name string, value []byte)
	DropXattr(ino Ino, name string)
	DropXattrs(ino Ino)
	// AddParent changes the number of links that a directory holds to an inode. Engines that find parents
	// by the entries do nothing.
	AddParent(ino, dir Ino, n int64)
	DropParents(ino Ino)

	// AppendSlices appends records at the tail of a chunk. The references of slices are counted apart.
	AppendSlices(ino Ino, index uint32, records []Slice)
	// ReplaceSlices puts records in the place of the first n, which must have been read with Chunk.
	ReplaceSlices(ino Ino, index uint32, n int, records []Slice)
	DropChunk(ino Ino, index uint32)
	// NewRef records the first reference to a slice.
	NewRef(slice uint64, size uint32)
	// AddRef changes the references to a slice that has one.
	AddRef(slice uint64, size uint32, n int64)
	// DropRef removes the record of a slice whose objects are gone.
	DropRef(slice uint64, size uint32)

	SetDelayed(d Delayed)
	DropDelayed(d Delayed)
	SetDetached(ino Ino, at int64)
	DropDetached(ino Ino)

	// SetQuota writes limits and usage of a quota record.
	SetQuota(key QuotaKey, q Quota)
	// DropQuota removes the record of a directory's, a user's or a group's quota, if there is one.
	DropQuota(key QuotaKey)
	// AddACL stores a rule and gives its number, which is never 0. A number may be lost when the transaction
	// is not committed.
	AddACL(rule []byte) (id uint32, err error)

	// SetFlock writes the BSD lock of an owner, FlockNone removes it. The locks of the inode must have been read
	// with Flocks in this transaction.
	SetFlock(ino Ino, owner LockOwner, typ FlockType)
	// SetPlocks writes all record locks of an owner, none removes them. The locks of the inode must have been
	// read with Plocks in this transaction.
	SetPlocks(ino Ino, owner LockOwner, locks []Plock)

	SetDelFile(f DelFile)
	DropDelFile(f DelFile)

	SetSession(r SessionRecord) // an empty Info leaves the stored one as it is
	DropSession(sid uint64)
	SetSustained(sid uint64, ino Ino)
	DropSustained(sid uint64, ino Ino)

	// Intents: applied at commit to the state of that moment, without a read and without a conflict.

	// Touch sets mtime and ctime of a directory to now and adds nlink to its links. With nlink 0 the write
	// is left out when less than window has passed since its mtime. The directory must have been read with
	// Perm or Attr; if it is not there, the commit fails with posix.ENOENT.
	Touch(dir Ino, now Time, nlink int32, window time.Duration)
	// RequireEmpty lets the commit fail with posix.ENOTEMPTY unless the directory has no entry. It returns
	// that error at once where the engine can tell.
	RequireEmpty(dir Ino) error
	// AddUsage changes the usage of the volume. Engines in which that row would be contended may collect
	// the changes and apply them within a second, at the latest in Close.
	AddUsage(space, inodes int64)
	// AddDirStat changes the usage record of a directory if there is one.
	AddDirStat(dir Ino, d DirStat)
	SetDirStat(dir Ino, s DirStat)
	DropDirStat(dir Ino)
	// AddQuotaUsage adds to the usage of a quota record. Users and groups without a record get one without
	// limits; a directory without one is passed over.
	AddQuotaUsage(key QuotaKey, space, inodes int64)
}

// Dirent is an entry of a directory listing.
type Dirent struct {
	Name string
	Entry
	Attr *Attr // only when asked for, and nil for an entry whose inode is missing
}

// DirStat is the usage of the direct entries of a directory.
type DirStat struct {
	Length int64 // Σ length of regular files, bytes
	Space  int64 // Σ charge, bytes
	Inodes int64
}

// SliceRef names a slice and its length, which is part of its objects' names.
type SliceRef struct {
	ID   uint64
	Size uint32
}

// DelFile is a removed file whose data is still there.
type DelFile struct {
	Ino     Ino
	Length  uint64
	Removed int64 // unix seconds
}

// SessionRecord is a session as stored.
type SessionRecord struct {
	Sid    uint64
	Expire int64  // unix seconds
	Info   []byte // JSON of SessionInfo
}

// Delayed is a set of slices that the compaction into slice ID has replaced, one item per record.
type Delayed struct {
	ID     uint64
	At     int64 // unix seconds
	Slices []SliceRef
}

// ChunkRecord is a chunk with its list.
type ChunkRecord struct {
	ChunkID
	Slices []Slice
}

// Node is an inode with its attribute.
type Node struct {
	Ino  Ino
	Attr Attr
}

// QuotaKind says what a quota is for.
type QuotaKind uint8

// The kinds of quotas; the numbers of users and groups are those of the SQL table.
const (
	QuotaDir QuotaKind = iota
	QuotaUser
	QuotaGroup
)

// QuotaKey names a quota: ID is an inode, a uid or a gid.
type QuotaKey struct {
	Kind QuotaKind
	ID   uint64
}

// Quota is a quota record. A limit that is 0 or less is none.
type Quota struct {
	MaxSpace, MaxInodes   int64
	UsedSpace, UsedInodes int64
}

// LockOwner is who holds a lock: an owner number of the kernel in a session.
type LockOwner struct{ Sid, Owner uint64 }

// FlockType is the kind of a BSD lock, with the stored letters.
type FlockType byte

// The kinds of BSD locks.
const (
	FlockNone      FlockType = 0
	FlockShared    FlockType = 'R'
	FlockExclusive FlockType = 'W'
)

// Plock is a POSIX record lock of one owner.
type Plock struct {
	Type       uint32 // PlockRead or PlockWrite
	PID        uint32
	Start, End uint64 // End is inclusive; PlockEOF is to the end of any file
}

// The kinds of record locks, with the stored numbers.
const (
	PlockRead  uint32 = 0
	PlockWrite uint32 = 1

	PlockEOF uint64 = 1<<63 - 1
)
