package etcd

import (
	"context"
	"maps"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"jfs/meta/tkv"
)

// Commit is one request. Without writes it is none: what was read was all true at one revision.
func (t *txn) Commit(ctx context.Context) error {
	if len(t.writes) == 0 {
		return ctx.Err()
	}
	conds := t.conditions()
	if len(conds) > t.store.maxOps {
		return tooLarge(len(conds), t.store.maxOps)
	}
	ops, err := nest(t.operations(), len(conds), t.store.maxOps)
	if err != nil {
		return err
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

// conditions say that what was read is still so. A key has the revision of its last change, 0 if it is not there.
// In a range nothing may have changed after the snapshot, which shows what was added; what was removed shows at
// the keys that were found in it.
func (t *txn) conditions() []clientv3.Cmp {
	conds := make([]clientv3.Cmp, 0, len(t.ranges)+len(t.read))
	for _, r := range t.ranges {
		unchanged := clientv3.Compare(clientv3.ModRevision(r.begin), "<", t.rev+1)
		conds = append(conds, unchanged.WithRange(r.end))
	}
	for _, k := range slices.Sorted(maps.Keys(t.read)) {
		conds = append(conds, clientv3.Compare(clientv3.ModRevision(k), "=", t.read[k]))
	}
	return conds
}

func (t *txn) operations() []clientv3.Op {
	ops := make([]clientv3.Op, 0, len(t.writes))
	for _, k := range slices.Sorted(maps.Keys(t.writes)) {
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
func nest(ops []clientv3.Op, conds, limit int) ([]clientv3.Op, error) {
	if len(ops) <= limit {
		return ops, nil
	}
	outer := max(conds, limit/2)
	inner := limit - outer
	if inner*outer < len(ops) {
		return nil, tooLarge(len(ops)+conds, limit)
	}
	var nested []clientv3.Op
	for part := range slices.Chunk(ops, inner) {
		nested = append(nested, clientv3.OpTxn(nil, part, nil))
	}
	return nested, nil
}
