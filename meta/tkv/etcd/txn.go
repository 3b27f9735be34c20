package etcd

import (
	"bytes"
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"jfs/meta/tkv"
)

// snapshot reads one revision, that of the first answer.
type snapshot struct {
	store *Store
	rev   int64 // 0: nothing was read yet
}

// at adds the revision to what is asked for.
func (s *snapshot) at(opts ...clientv3.OpOption) []clientv3.OpOption {
	if s.rev == 0 {
		return opts
	}
	return append(opts, clientv3.WithRev(s.rev))
}

// took notes the revision of an answer to a request that named none.
func (s *snapshot) took(rev int64) {
	if s.rev == 0 {
		s.rev = rev
	}
}

// get reads keys, in one request as long as the servers take them in one. Keys that are missing give nil.
func (s *snapshot) get(ctx context.Context, keys [][]byte) ([]*mvccpb.KeyValue, error) {
	found := make([]*mvccpb.KeyValue, 0, len(keys))
	for len(keys) > 1 {
		part := keys[:min(len(keys), s.store.maxOps)]
		keys = keys[len(part):]
		ops := make([]clientv3.Op, len(part))
		for i, k := range part {
			ops[i] = clientv3.OpGet(string(k), s.at()...)
		}
		err := s.store.call(ctx, func(ctx context.Context) error {
			resp, err := s.store.client.Txn(ctx).Then(ops...).Commit()
			if err != nil {
				return err
			}
			s.took(resp.Header.Revision)
			for _, r := range resp.Responses {
				found = append(found, only(r.GetResponseRange().Kvs))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, k := range keys {
		kvs, err := s.ask(ctx, string(k))
		if err != nil {
			return nil, err
		}
		found = append(found, only(kvs))
	}
	return found, nil
}

func only(kvs []*mvccpb.KeyValue) *mvccpb.KeyValue {
	if len(kvs) == 0 {
		return nil
	}
	return kvs[0]
}

func (s *snapshot) ask(ctx context.Context, key string, opts ...clientv3.OpOption) (kvs []*mvccpb.KeyValue, err error) {
	err = s.store.call(ctx, func(ctx context.Context) error {
		resp, err := s.store.client.Get(ctx, key, s.at(opts...)...)
		if err != nil {
			return err
		}
		s.took(resp.Header.Revision)
		kvs = resp.Kvs
		return nil
	})
	return kvs, err
}

// scan reads a range. etcd has no empty keys, and calls the end of all keys "\x00".
func (s *snapshot) scan(ctx context.Context, begin, end []byte, limit int) ([]*mvccpb.KeyValue, error) {
	if end != nil && bytes.Compare(begin, end) >= 0 {
		return nil, nil
	}
	return s.ask(ctx, firstKey(begin), clientv3.WithRange(lastKey(end)), clientv3.WithLimit(int64(limit)))
}

func firstKey(begin []byte) string {
	if len(begin) == 0 {
		return "\x00"
	}
	return string(begin)
}

func lastKey(end []byte) string {
	if end == nil {
		return "\x00"
	}
	return string(end)
}

// value is that of a pair, nil for none.
func value(kv *mvccpb.KeyValue) []byte {
	switch {
	case kv == nil:
		return nil
	case kv.Value == nil:
		return []byte{}
	}
	return kv.Value
}

func values(kvs []*mvccpb.KeyValue) [][]byte {
	vs := make([][]byte, len(kvs))
	for i, kv := range kvs {
		vs[i] = value(kv)
	}
	return vs
}

func pairs(kvs []*mvccpb.KeyValue) []tkv.Pair {
	ps := make([]tkv.Pair, len(kvs))
	for i, kv := range kvs {
		ps[i] = tkv.Pair{Key: kv.Key, Value: value(kv)}
	}
	return ps
}

// unpromised reads without a promise.
type unpromised struct{ *snapshot }

func (s unpromised) Get(ctx context.Context, key []byte) ([]byte, error) {
	kvs, err := s.get(ctx, [][]byte{key})
	if err != nil {
		return nil, err
	}
	return value(kvs[0]), nil
}

func (s unpromised) BatchGet(ctx context.Context, keys [][]byte) ([][]byte, error) {
	kvs, err := s.get(ctx, keys)
	return values(kvs), err
}

func (s unpromised) Scan(ctx context.Context, begin, end []byte, limit int) ([]tkv.Pair, error) {
	kvs, err := s.scan(ctx, begin, end, limit)
	return pairs(kvs), err
}

// txn is a transaction: a revision, what was read of it, and what is to be written.
type txn struct {
	snapshot
	read   map[string]int64 // revision of the last change of each key that was read; 0: there was none
	ranges []keyRange       // that were read
	writes map[string][]byte
	order  []string // keys of writes, as they were made
}

// keyRange is what begin ≤ key < end names; lastKey(nil) is the end of all keys.
type keyRange struct{ begin, end string }

func (t *txn) Snapshot() tkv.Reader { return unpromised{&t.snapshot} }

func (t *txn) Get(ctx context.Context, key []byte) ([]byte, error) {
	vs, err := t.BatchGet(ctx, [][]byte{key})
	if err != nil {
		return nil, err
	}
	return vs[0], nil
}

func (t *txn) BatchGet(ctx context.Context, keys [][]byte) ([][]byte, error) {
	kvs, err := t.get(ctx, keys)
	if err != nil {
		return nil, err
	}
	for i, kv := range kvs {
		t.read[string(keys[i])] = kv.GetModRevision()
	}
	return values(kvs), nil
}

func (t *txn) Scan(ctx context.Context, begin, end []byte, limit int) ([]tkv.Pair, error) {
	kvs, err := t.scan(ctx, begin, end, limit)
	if err != nil {
		return nil, err
	}
	seen := keyRange{firstKey(begin), lastKey(end)}
	if limit > 0 && len(kvs) == limit { // what lies behind was not looked at
		seen.end = string(kvs[limit-1].Key) + "\x00"
	}
	t.ranges = append(t.ranges, seen)
	for _, kv := range kvs {
		t.read[string(kv.Key)] = kv.ModRevision
	}
	return pairs(kvs), nil
}

func (t *txn) Put(key, value []byte) {
	if value == nil {
		value = []byte{}
	}
	t.write(string(key), value)
}

func (t *txn) Delete(key []byte) { t.write(string(key), nil) }

func (t *txn) write(key string, value []byte) {
	if _, again := t.writes[key]; !again {
		t.order = append(t.order, key)
	}
	t.writes[key] = value
}

// Rollback has nothing to give back.
func (t *txn) Rollback() {}
