package sql

import (
	"fmt"

	"jfs/meta"
)

// quotaRow is the numbers of a quota: limits and usage.
type quotaRow [4]number

func (q *quotaRow) dest(before ...any) []any { return append(before, &q[0], &q[1], &q[2], &q[3]) }

func (q *quotaRow) quota() meta.Quota {
	return meta.Quota{MaxSpace: int64(q[0]), MaxInodes: int64(q[1]), UsedSpace: int64(q[2]), UsedInodes: int64(q[3])}
}

// byKind gives the statement for a directory or for an owner, and its first arguments.
func byKind(key meta.QuotaKey, dir, owner stmt) (stmt, []any, error) {
	switch key.Kind {
	case meta.QuotaDir:
		return dir, []any{int64(key.ID)}, nil
	case meta.QuotaUser, meta.QuotaGroup:
		return owner, []any{int64(key.Kind), int64(key.ID)}, nil
	}
	return 0, nil, fmt.Errorf("no kind %d of quotas", key.Kind)
}

func (r *reader) Quota(key meta.QuotaKey) (meta.Quota, bool, error) {
	q, args, err := byKind(key, qQuotaDir, qQuotaOwner)
	if err != nil {
		return meta.Quota{}, false, err
	}
	var row quotaRow
	ok, err := r.one(q, args, row.dest()...)
	return row.quota(), ok, err
}

func (r *reader) Quotas() (map[meta.QuotaKey]meta.Quota, error) {
	quotas := map[meta.QuotaKey]meta.Quota{}
	var row quotaRow
	var kind, id number
	if err := r.each(qQuotasDir, nil, func() error {
		quotas[meta.QuotaKey{Kind: meta.QuotaDir, ID: uint64(id)}] = row.quota()
		return nil
	}, row.dest(&id)...); err != nil {
		return nil, err
	}
	err := r.each(qQuotasOwner, nil, func() error {
		if k := meta.QuotaKind(kind); number(k) == kind && (k == meta.QuotaUser || k == meta.QuotaGroup) {
			quotas[meta.QuotaKey{Kind: k, ID: uint64(id)}] = row.quota()
		}
		return nil // a kind of a later version is not ours
	}, row.dest(&kind, &id)...)
	if err != nil {
		return nil, err
	}
	return quotas, nil
}

// quotaOp adds a statement on a quota; rest are its arguments behind the key.
func (t *tx) quotaOp(key meta.QuotaKey, dir, owner stmt, rest ...any) {
	q, args, err := byKind(key, dir, owner)
	if err != nil {
		t.fail(fmt.Errorf("change quota: %w", err))
		return
	}
	t.add(q, append(args, rest...)...)
}

func (t *tx) SetQuota(key meta.QuotaKey, q meta.Quota) {
	t.quotaOp(key, qSetQuotaDir, qSetQuotaOwner, q.MaxSpace, q.MaxInodes, q.UsedSpace, q.UsedInodes)
}

func (t *tx) DropQuota(key meta.QuotaKey) { t.quotaOp(key, qDropQuotaDir, qDropQuotaOwner) }

func (t *tx) AddQuotaUsage(key meta.QuotaKey, space, inodes int64) {
	if key.Kind == meta.QuotaDir {
		t.add(qAddQuotaDir, space, inodes, int64(key.ID))
		return
	}
	t.quotaOp(key, 0, qAddQuotaOwner, int64(-1), int64(-1), space, inodes)
}
