package etcd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"jfs/meta"
	"jfs/meta/tkv"
)

// step is a condition, a write, or both on one key.
type step struct {
	conds []clientv3.Cmp
	ops   []clientv3.Op
}

// commitParts carries out a change that does not fit into one transaction as several: first the conditions of what is
// not written, then each write with its own. If one of them finds that something has changed, those before it
// are taken back and the change may run again.
//
// Others can see the change half done meanwhile, and it stays so if this process ends in the middle: etcd offers
// nothing better, and official clients do not take back. The order of the writes makes that a leak and no loss.
func (t *txn) commitParts(ctx context.Context) error {
	var undo []clientv3.Cmp // the keys are as this transaction has left them ...
	var redo []clientv3.Op  // ... and were like this before
	for part := range slices.Chunk(t.steps(), t.store.maxOps) {
		var all step
		for _, s := range part {
			all.conds = append(all.conds, s.conds...)
			all.ops = append(all.ops, s.ops...)
		}
		resp, err := t.store.commit(ctx, clientv3.OpTxn(all.conds, all.ops, nil))
		if err == nil && !resp.Succeeded {
			err = tkv.ErrConflict
		}
		if err != nil {
			if len(redo) == 0 || errors.Is(err, meta.ErrUnknown) {
				return err
			}
			return t.takeBack(ctx, undo, redo, err)
		}
		for i, op := range all.ops {
			key := string(op.KeyBytes())
			back := clientv3.OpDelete(key)
			if before := previous(resp, i); before != nil {
				back = clientv3.OpPut(key, string(before.Value))
			}
			redo = append(redo, back)
			left := resp.Header.Revision
			if op.IsDelete() {
				left = 0
			}
			undo = append(undo, clientv3.Compare(clientv3.ModRevision(key), "=", left))
		}
	}
	return nil
}

// takeBack undoes parts that were committed, because of the error that kept the next one from it.
func (t *txn) takeBack(ctx context.Context, undo []clientv3.Cmp, redo []clientv3.Op, why error) error {
	// Whoever has called it off wants this done all the more.
	ctx = context.WithoutCancel(ctx)
	for end := len(redo); end > 0; {
		begin := max(0, end-t.store.maxOps)
		resp, err := t.store.commit(ctx, clientv3.OpTxn(undo[begin:end], redo[begin:end], nil))
		if err == nil && !resp.Succeeded {
			err = errors.New("another client has changed a part of it")
		}
		if err != nil {
			return fmt.Errorf("etcd: %w: take back a change that was done in part: %w", meta.ErrUnknown, err)
		}
		end = begin
	}
	return why
}

// steps are the conditions and writes of a transaction, those without a write first.
func (t *txn) steps() []step {
	steps := make([]step, 0, len(t.ranges)+len(t.read)+len(t.writes))
	for _, r := range t.ranges {
		steps = append(steps, step{conds: []clientv3.Cmp{t.unchanged(r)}})
	}
	for _, k := range slices.Sorted(maps.Keys(t.read)) {
		if _, written := t.writes[k]; !written {
			steps = append(steps, step{conds: []clientv3.Cmp{t.same(k)}})
		}
	}
	for _, k := range t.order {
		var s step
		if _, read := t.read[k]; read {
			s.conds = []clientv3.Cmp{t.same(k)}
		}
		if v := t.writes[k]; v != nil {
			s.ops = []clientv3.Op{clientv3.OpPut(k, string(v), clientv3.WithPrevKV())}
		} else {
			s.ops = []clientv3.Op{clientv3.OpDelete(k, clientv3.WithPrevKV())}
		}
		steps = append(steps, s)
	}
	return steps
}

// previous is the pair that the i-th write of a transaction has replaced or removed, nil for none.
func previous(resp *clientv3.TxnResponse, i int) *mvccpb.KeyValue {
	if put := resp.Responses[i].GetResponsePut(); put != nil {
		return put.PrevKv
	}
	return only(resp.Responses[i].GetResponseDeleteRange().GetPrevKvs())
}
