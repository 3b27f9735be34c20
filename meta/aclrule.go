package meta

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"jfs/internal/posix"
)

// ACL is a POSIX access control list. Stored rules never change and are shared by the inodes that name them.
type ACL struct {
	Owner, Group, Other uint16 // permission bits, or ACLNone for one that is to be taken from the mode
	Mask                uint16 // ACLNone: the list has no mask
	Users, Groups       []ACLEntry
}

// ACLEntry is what a list gives to a named user or group.
type ACLEntry struct {
	ID   uint32 // uid or gid
	Perm uint16 // permission bits
}

// ACLNone stands for an entry that a list does not have, as stored.
const ACLNone uint16 = 0xFFFF

// ACLType says which of its lists of an inode is meant.
type ACLType uint8

// The lists of an inode. Only directories have a default list, which new entries inherit.
const (
	ACLAccess ACLType = iota + 1
	ACLDefault
)

// Names under which the lists appear as extended attributes.
const (
	XattrACLAccess  = "system.posix_acl_access"
	XattrACLDefault = "system.posix_acl_default"
)

// ACLTypeOf gives the list that an extended attribute stands for; false for an ordinary one.
func ACLTypeOf(xattr string) (ACLType, bool) {
	switch xattr {
	case XattrACLAccess:
		return ACLAccess, true
	case XattrACLDefault:
		return ACLDefault, true
	}
	return 0, false
}

// noACL is the empty list.
func noACL() ACL { return ACL{Owner: ACLNone, Group: ACLNone, Mask: ACLNone, Other: ACLNone} }

// IsEmpty says whether the list says nothing at all, which stands for its removal.
func (r *ACL) IsEmpty() bool {
	return r.Owner == ACLNone && r.Group == ACLNone && r.Other == ACLNone && r.isMinimal()
}

// isMinimal says whether the list says no more than mode bits can.
func (r *ACL) isMinimal() bool { return r.Mask == ACLNone && len(r.Users) == 0 && len(r.Groups) == 0 }

// perms gives the mode bits that show the list: the class of the group is limited by the mask if there is one.
func (r *ACL) perms() uint16 {
	class := r.Mask
	if class == ACLNone {
		class = r.Group
	}
	return r.Owner&7<<6 | class&7<<3 | r.Other&7
}

// filled takes what the list does not say from the mode bits.
func (r ACL) filled(mode uint16) ACL {
	for i, p := range [...]*uint16{&r.Other, &r.Group, &r.Owner} {
		if *p == ACLNone {
			*p = mode >> (3 * i) & 7
		}
	}
	return r
}

// withMode is the list after chmod.
func (r ACL) withMode(mode uint16) ACL {
	r.Owner, r.Other = mode>>6&7, mode&7
	if r.Mask != ACLNone {
		r.Mask = mode >> 3 & 7
	} else {
		r.Group = mode >> 3 & 7
	}
	return r
}

// inherited is the access list of an entry made with the mode in a directory that has r as its default list.
func (r ACL) inherited(mode uint16) ACL {
	r.Owner &= mode >> 6 & 7
	r.Other &= mode & 7
	if r.Mask != ACLNone {
		r.Mask &= mode >> 3 & 7
	} else {
		r.Group &= mode >> 3 & 7
	}
	return r
}

// allows says whether the list gives who all that mask asks for on an inode of the owner and group.
func (r *ACL) allows(who Cred, uid, gid uint32, mask uint16) bool {
	if who.UID == uid {
		return r.Owner&mask == mask
	}
	for _, u := range r.Users {
		if u.ID == who.UID {
			return u.Perm&r.Mask&mask == mask
		}
	}
	matched := false
	if who.member(gid) {
		matched = true
		if r.Group&r.Mask&mask == mask {
			return true
		}
	}
	for _, g := range r.Groups {
		if !who.member(g.ID) {
			continue
		}
		matched = true
		if g.Perm&r.Mask&mask == mask {
			return true
		}
	}
	return !matched && r.Other&mask == mask
}

// EncodeACL gives the stored form: owner(2) group(2) mask(2) other(2), then the number(4) of named users with
// id(4) perm(2) each, and the same for groups.
func EncodeACL(r *ACL) []byte {
	be := binary.BigEndian
	b := make([]byte, 0, 16+6*(len(r.Users)+len(r.Groups)))
	for _, p := range [...]uint16{r.Owner, r.Group, r.Mask, r.Other} {
		b = be.AppendUint16(b, p)
	}
	for _, list := range [...][]ACLEntry{r.Users, r.Groups} {
		b = be.AppendUint32(b, uint32(len(list)))
		for _, e := range list {
			b = be.AppendUint32(b, e.ID)
			b = be.AppendUint16(b, e.Perm)
		}
	}
	return b
}

// DecodeACL reads the stored form.
func DecodeACL(b []byte) (ACL, error) {
	be := binary.BigEndian
	bad := func() (ACL, error) { return ACL{}, fmt.Errorf("%w: ACL rule % x", ErrCorrupt, b[:min(len(b), 64)]) }
	if len(b) < 8 {
		return bad()
	}
	r := ACL{Owner: be.Uint16(b), Group: be.Uint16(b[2:]), Mask: be.Uint16(b[4:]), Other: be.Uint16(b[6:])}
	rest := b[8:]
	for _, list := range [...]*[]ACLEntry{&r.Users, &r.Groups} {
		if len(rest) < 4 {
			return bad()
		}
		n := uint64(be.Uint32(rest))
		if rest = rest[4:]; uint64(len(rest)) < 6*n {
			return bad()
		}
		for range n {
			*list = append(*list, ACLEntry{ID: be.Uint32(rest), Perm: be.Uint16(rest[4:])})
			rest = rest[6:]
		}
	}
	if len(rest) > 0 {
		return bad()
	}
	return r, nil
}

// The form of a list in an extended attribute, see acl(5) and linux/posix_acl_xattr.h.
const (
	aclVersion   = 2
	aclHeader    = 4 // bytes
	aclEntrySize = 8

	aclTagUserObj  = 0x01
	aclTagUser     = 0x02
	aclTagGroupObj = 0x04
	aclTagGroup    = 0x08
	aclTagMask     = 0x10
	aclTagOther    = 0x20
	aclUndefinedID = 0xFFFFFFFF
)

// ACLFromXattr reads the value of the extended attribute that stands for a list; EINVAL if it is none. No value,
// or one without entries, is the empty list.
func ACLFromXattr(b []byte) (ACL, error) {
	r := noACL()
	if len(b) == 0 {
		return r, nil
	}
	le := binary.LittleEndian
	if len(b) < aclHeader || (len(b)-aclHeader)%aclEntrySize != 0 || le.Uint32(b) != aclVersion {
		return ACL{}, posix.EINVAL
	}
	for b = b[aclHeader:]; len(b) > 0; b = b[aclEntrySize:] {
		tag, perm, id := le.Uint16(b), le.Uint16(b[2:]), le.Uint32(b[4:])
		if perm > 7 {
			return ACL{}, posix.EINVAL
		}
		var one *uint16
		switch tag {
		case aclTagUser:
			r.Users = append(r.Users, ACLEntry{id, perm})
			continue
		case aclTagGroup:
			r.Groups = append(r.Groups, ACLEntry{id, perm})
			continue
		case aclTagUserObj:
			one = &r.Owner
		case aclTagGroupObj:
			one = &r.Group
		case aclTagMask:
			one = &r.Mask
		case aclTagOther:
			one = &r.Other
		}
		if one == nil || *one != ACLNone {
			return ACL{}, posix.EINVAL
		}
		*one = perm
	}
	if r.Mask == ACLNone && !r.isMinimal() {
		return ACL{}, posix.EINVAL
	}
	return r, nil
}

// Xattr gives the value of the extended attribute that stands for the list, in the order that Linux demands.
func (r *ACL) Xattr() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, aclHeader+aclEntrySize*(4+len(r.Users)+len(r.Groups)))
	b = le.AppendUint32(b, aclVersion)
	add := func(tag, perm uint16, id uint32) {
		b = le.AppendUint16(b, tag)
		b = le.AppendUint16(b, perm)
		b = le.AppendUint32(b, id)
	}
	named := func(tag uint16, list []ACLEntry) {
		sorted := slices.Clone(list)
		slices.SortStableFunc(sorted, func(x, y ACLEntry) int { return cmp.Compare(x.ID, y.ID) })
		for _, e := range sorted {
			add(tag, e.Perm, e.ID)
		}
	}
	one := func(tag, perm uint16) {
		if perm != ACLNone {
			add(tag, perm, aclUndefinedID)
		}
	}
	one(aclTagUserObj, r.Owner)
	named(aclTagUser, r.Users)
	one(aclTagGroupObj, r.Group)
	named(aclTagGroup, r.Groups)
	one(aclTagMask, r.Mask)
	one(aclTagOther, r.Other)
	return b
}
