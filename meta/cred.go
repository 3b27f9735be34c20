package meta

import (
	"slices"

	"jfs/internal/posix"
)

// Cred is who asks for an operation.
type Cred struct {
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary groups, used only when permissions are checked here
	// Checked: the kernel has checked permission bits already (default_permissions), so they are not
	// checked again. The tests that belong to an operation itself (sticky directory, flags) still are.
	Checked bool
}

// Root is the superuser, for work that the client does on its own account.
var Root = Cred{Checked: true}

func (c Cred) member(gid uint32) bool { return c.GID == gid || slices.Contains(c.Groups, gid) }

// Permission bits of Access.
const (
	MayExec  uint16 = 1
	MayWrite uint16 = 2
	MayRead  uint16 = 4
)

// usesACL says whether a list decides what who may do. A list whose group class has no permission at all gives
// nobody anything that the other classes do not.
func usesACL(who Cred, a *Attr) bool {
	return !who.Checked && who.UID != 0 && who.UID != a.UID && a.AccessACL != 0 && a.Mode&070 != 0
}

// access checks the permission bits of a, or its access control list, which r gives. r is not needed, and may be
// nil, where usesACL says no.
func access(r Reader, who Cred, a *Attr, mask uint16) error {
	if who.Checked || who.UID == 0 {
		return nil
	}
	if usesACL(who, a) {
		rule, err := loadACL(r, a.AccessACL)
		if err == nil && !rule.allows(who, a.UID, a.GID, mask) {
			err = posix.EACCES
		}
		return err
	}
	perm := a.Mode & 7
	switch {
	case who.UID == a.UID:
		perm = a.Mode >> 6 & 7
	case who.member(a.GID):
		perm = a.Mode >> 3 & 7
	}
	if perm&mask != mask {
		return posix.EACCES
	}
	return nil
}

// sticky says whether who may not remove or rename an entry of dir that belongs to owner.
func sticky(who Cred, dir *Attr, owner uint32) error {
	if who.UID != 0 && dir.Mode&ModeSticky != 0 && who.UID != dir.UID && who.UID != owner {
		return posix.EACCES
	}
	return nil
}
