package sql

import (
	"fmt"
	"math"

	"jfs/meta"
	"jfs/meta/internal/record"
)

// aclRow is a row of jfs_acl without its id.
type aclRow struct {
	perms  [4]number // owner, group, mask, other
	users  []byte
	groups []byte
}

func (a *aclRow) dest(before ...any) []any {
	return append(before, &a.perms[0], &a.perms[1], &a.perms[2], &a.perms[3], &a.users, &a.groups)
}

// rule gives the row in the encoding of other engines.
func (a *aclRow) rule(id number) ([]byte, error) {
	for _, p := range a.perms {
		if p < 0 || p > math.MaxUint16 {
			return nil, fmt.Errorf("jfs_acl id %d: %w: permissions %d", id, meta.ErrCorrupt, p)
		}
	}
	rule, err := record.ACL{
		Owner: uint16(a.perms[0]), Group: uint16(a.perms[1]), Mask: uint16(a.perms[2]), Other: uint16(a.perms[3]),
		Users: a.users, Groups: a.groups,
	}.Join()
	if err != nil {
		return nil, fmt.Errorf("jfs_acl id %d: %w", id, err)
	}
	return rule, nil
}

func (r *reader) ACL(id uint32) ([]byte, bool, error) {
	if r.narrow && id > math.MaxInt32 {
		return nil, false, r.ctx.Err() // nobody's
	}
	var row aclRow
	ok, err := r.one(qACL, []any{int64(id)}, row.dest()...)
	if err != nil || !ok {
		return nil, false, err
	}
	rule, err := row.rule(number(id))
	return rule, err == nil, err
}

func (r *reader) ACLs() (map[uint32][]byte, error) {
	rules := map[uint32][]byte{}
	var id number
	var row aclRow
	err := r.each(qACLs, nil, func() (err error) {
		rules[uint32(id)], err = row.rule(id)
		return err
	}, row.dest(&id)...)
	return rules, err
}

// AddACL takes the number that the row is going to have. The row itself is written with the others, so that a
// transaction that fails after it has nothing to undo.
func (t *tx) AddACL(rule []byte) (uint32, error) {
	a, err := record.SplitACL(rule)
	if err != nil {
		err = fmt.Errorf("add ACL: %w", err)
		t.fail(err)
		return 0, err
	}
	last, err := t.reserve(meta.SeqACL, 1+t.acls)
	if err != nil {
		t.fail(err)
		return 0, err
	}
	id := int64(last) + t.acls
	if id > math.MaxUint32 {
		err := fmt.Errorf("add ACL: %w: its number would be %d", meta.ErrCorrupt, id)
		t.fail(err)
		return 0, err
	}
	t.acls++
	t.add(qNewACL, id, int64(a.Owner), int64(a.Group), int64(a.Mask), int64(a.Other), a.Users, a.Groups)
	return uint32(id), nil
}
