package etcd

import (
	"context"
	"maps"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"jfs/meta/tkv"
)

// Commit is one request. Without writes it is none: what was read was all true at one revision. What rests on more
// keys than the servers compare at once goes in parts.
func (t *txn) Commit(ctx context.Context) error {
	if len(t.writes) == 0 {
		return ctx.Err()
	}
	conds := t.conditions()
	ops, ok := nest(t.operations(), len(conds), t.store.maxOps)
	if !ok {
		return t.commitParts(ctx)
	}
	resp, err := t.store.commit(ctx, clientv3.OpTxn(conds, ops, nil))
	if err != nil {
		return err
	}
	if !resp.Succeeded {
		return tkv.ErrConflict
	}
	return nil
}

// conditions say that what was read is still so.
func (t *txn) conditions() []clientv3.Cmp {
	conds := make([]clientv3.Cmp, 0, len(t.ranges)+len(t.read))
	for _, r := range t.ranges {
		conds = append(conds, t.unchanged(r))
	}
	for _, k := range slices.Sorted(maps.Keys(t.read)) {
		conds = append(conds, t.same(k))
	}
	return conds
}

// unchanged: nothing in the range has changed after the snapshot. That shows what was added; what was removed shows
// at the keys that were found in the range.
func (t *txn) unchanged(r keyRange) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(r.begin), "<", t.rev+1).WithRange(r.end)
}

// same: the key has the revision that was read, 0 if it was not there.
func (t *txn) same(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", t.read[key])
}

func (t *txn) operations() []clientv3.Op {
	ops := make([]clientv3.Op, 0, len(t.writes))
	for _, k := range t.order {
		if v := t.writes[k]; v != nil {
			ops = append(ops, clientv3.OpPut(k, string(v)))
		} else {
			ops = append(ops, clientv3.OpDelete(k))
		}
	}
	return ops
}

// nest packs operations that are too many for one transaction into transactions inside of it, which take effect
// together with it. Servers count the larger of conditions and operations on the way down: outer + inner ≤ limit.
// It says whether all of them fit.
func nest(ops []clientv3.Op, conds, limit int) ([]clientv3.Op, bool) {
	if max(len(ops), conds) <= limit {
		return ops, true
	}
	outer := max(conds, limit/2)
	inner := limit - outer
	if inner < 1 || inner*outer < len(ops) {
		return nil, false
	}
	var nested []clientv3.Op
	for part := range slices.Chunk(ops, inner) {
		nested = append(nested, clientv3.OpTxn(nil, part, nil))
	}
	return nested, true
}
