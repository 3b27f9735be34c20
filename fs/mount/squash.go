package mount

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/meta"
)

// Identity is a user with a group.
type Identity struct{ UID, GID uint32 }

// squashed gives who a caller acts as, if not as itself.
func (o *Options) squashed(uid uint32) *Identity {
	if o.AllSquash != nil {
		return o.AllSquash
	}
	if uid == 0 {
		return o.RootSquash
	}
	return nil
}

// who gives the caller of a request.
func (a *adapter) who(h *fuse.InHeader) meta.Cred {
	if as := a.opt.squashed(h.Uid); as != nil {
		return meta.Cred{UID: as.UID, GID: as.GID}
	}
	c := meta.Cred{UID: h.Uid, GID: h.Gid, Checked: !a.opt.NoDefaultPermissions}
	if !c.Checked && c.UID != 0 {
		c.Groups = groupsOf(h.Pid)
	}
	return c
}

// groups gives the other groups of a caller. One that acts as somebody else has none.
func (a *adapter) groups(h *fuse.InHeader) []uint32 {
	if a.opt.squashed(h.Uid) != nil {
		return nil
	}
	return groupsOf(h.Pid)
}

// umask gives the mask for a new inode, when the caller has the one given.
func (a *adapter) umask(callers uint32) uint16 {
	if a.opt.Umask != nil {
		return *a.opt.Umask & 0777
	}
	return uint16(callers & 0777)
}
