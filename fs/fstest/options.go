package fstest

// Options say which groups of cases are run and what the file system does otherwise than a local one of Linux. The
// zero value is the latter with all that the kernel offers. Each difference is a promise too: a case checks what the
// file system does instead.
type Options struct {
	Groups []string // names of groups; none: all

	NoAtime    bool // reading leaves access times alone
	NoWhiteout bool // RENAME_WHITEOUT is not supported
	NoShift    bool // FALLOC_FL_COLLAPSE_RANGE and FALLOC_FL_INSERT_RANGE are not supported
	NoXattr    bool // there are no extended attributes
	NoACL      bool // there are no access control lists
	NoFlags    bool // files cannot be made immutable or append-only

	AnyXattr bool // attributes may have names of any kind, not only user, trusted, security and system

	// QuietAttr: a change of mode or owner that changes nothing, and extended attributes, leave the ctime alone.
	QuietAttr bool
	// KernelKeeps: a rule about set-group-ID that only the kernel can carry out is that of FUSE, which leaves the
	// bit where the group cannot execute the file.
	KernelKeeps bool
	// KeptLinks: what is unlinked while open shows the links that it had, and its mode and times stay: its name has
	// moved into a trash.
	KeptLinks bool

	// NoDeadlock: processes that wait for each other's locks wait until one is interrupted (EDEADLK otherwise).
	NoDeadlock bool
	Patient    bool // signals do not interrupt a wait for a lock

	LateErrors bool // a write that the file system cannot keep is told of by fsync

	// SignedIDs: numbers of users, groups and devices from 1<<31 on cannot be kept (EINVAL).
	SignedIDs bool
	TextNames bool // names of extended attributes must be UTF-8 (EINVAL otherwise)

	MaxFile  int64 // largest size of a file in bytes
	MaxXattr int   // largest value of an extended attribute in bytes that surely fits; 0 means 2000
}

// Ext4 is what ext4 with blocks of 4 KiB does.
func Ext4() Options { return Options{MaxFile: (1<<32 - 1) << 12} }

// Volume is what a mounted volume does, with extended attributes, access control lists and attribute flags turned on,
// directory times not skipped and no trash.
func Volume() Options {
	return Options{
		NoAtime: true, NoWhiteout: true, NoShift: true, AnyXattr: true, QuietAttr: true, KernelKeeps: true, NoDeadlock: true,
		MaxFile: 1<<57 - 1, MaxXattr: 65536,
	}
}

// RecordGroups are the groups that depend on how a database keeps records.
func RecordGroups() []string {
	return []string{"unlink", "link", "rename", "dir", "name", "owner", "xattr", "lock", "attribute", "listing"}
}
