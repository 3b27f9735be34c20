package record

import (
	"encoding/binary"
	"fmt"

	"jfs/meta"
)

// ACL is a stored rule in its parts. Users and Groups are runs of id(4) and permissions(2), without a count.
type ACL struct {
	Owner, Group, Mask, Other uint16
	Users, Groups             []byte
}

const (
	aclHead  = 4 * 2
	aclCount = 4
	aclNamed = 4 + 2
)

// SplitACL takes a rule, as Tx.AddACL gets it, apart. The parts are copies.
func SplitACL(rule []byte) (ACL, error) {
	be := binary.BigEndian
	if len(rule) < aclHead {
		return ACL{}, fmt.Errorf("%w: rule of %d bytes", meta.ErrCorrupt, len(rule))
	}
	a := ACL{Owner: be.Uint16(rule), Group: be.Uint16(rule[2:]), Mask: be.Uint16(rule[4:]), Other: be.Uint16(rule[6:])}
	rest := rule[aclHead:]
	for _, list := range []*[]byte{&a.Users, &a.Groups} {
		if len(rest) < aclCount {
			return ACL{}, fmt.Errorf("%w: rule of %d bytes ends before a count", meta.ErrCorrupt, len(rule))
		}
		size := uint64(be.Uint32(rest)) * aclNamed
		if rest = rest[aclCount:]; size > uint64(len(rest)) {
			return ACL{}, fmt.Errorf("%w: rule of %d bytes ends inside a list", meta.ErrCorrupt, len(rule))
		}
		*list = append(make([]byte, 0, size), rest[:size]...)
		rest = rest[size:]
	}
	if len(rest) > 0 {
		return ACL{}, fmt.Errorf("%w: rule of %d bytes has %d too many", meta.ErrCorrupt, len(rule), len(rest))
	}
	return a, nil
}

// Join is the opposite of SplitACL.
func (a ACL) Join() ([]byte, error) {
	be := binary.BigEndian
	rule := make([]byte, 0, aclHead+2*aclCount+len(a.Users)+len(a.Groups))
	for _, perm := range [...]uint16{a.Owner, a.Group, a.Mask, a.Other} {
		rule = be.AppendUint16(rule, perm)
	}
	for _, list := range [...][]byte{a.Users, a.Groups} {
		if len(list)%aclNamed != 0 {
			return nil, fmt.Errorf("%w: named entries of %d bytes are no multiple of %d", meta.ErrCorrupt, len(list), aclNamed)
		}
		rule = be.AppendUint32(rule, uint32(len(list)/aclNamed))
		rule = append(rule, list...)
	}
	return rule, nil
}
