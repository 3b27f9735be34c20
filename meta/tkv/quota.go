package tkv

import (
	"encoding/binary"
	"fmt"

	"jfs/meta"
)

const quotaSize = 4 * 8

func encodeQuota(q meta.Quota) []byte {
	b := make([]byte, 0, quotaSize)
	for _, n := range [...]int64{q.MaxSpace, q.MaxInodes, q.UsedSpace, q.UsedInodes} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

func decodeQuota(key, b []byte) (meta.Quota, error) {
	if len(b) != quotaSize {
		return meta.Quota{}, corrupt(key, fmt.Errorf("%w: quota of %d bytes", meta.ErrCorrupt, len(b)))
	}
	n := func(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
	return meta.Quota{MaxSpace: n(0), MaxInodes: n(8), UsedSpace: n(16), UsedInodes: n(24)}, nil
}

func (r *reader) Quota(q meta.QuotaKey) (meta.Quota, bool, error) {
	key := quotaKey(q)
	if key == nil {
		return meta.Quota{}, false, fmt.Errorf("read quota: no kind %d", q.Kind)
	}
	v, err := r.snapshot.Get(r.ctx, key)
	if err != nil || v == nil {
		return meta.Quota{}, false, err
	}
	quota, err := decodeQuota(key, v)
	return quota, err == nil, err
}

func (r *reader) Quotas() (map[meta.QuotaKey]meta.Quota, error) {
	quotas := map[meta.QuotaKey]meta.Quota{}
	for kind, letter := range quotaLetters {
		begin, end := letters(string([]byte{'Q', letter}))
		err := r.each(r.snapshot, begin, end, func(p Pair) (bool, error) {
			if len(p.Key) != quotaKeySize {
				return true, nil
			}
			q := meta.QuotaKey{Kind: meta.QuotaKind(kind), ID: binary.BigEndian.Uint64(p.Key[2:])}
			if q.Kind == meta.QuotaDir {
				q.ID = uint64(inodeIn(p.Key, 2))
			}
			var err error
			quotas[q], err = decodeQuota(p.Key, p.Value)
			return true, err
		})
		if err != nil {
			return nil, err
		}
	}
	return quotas, nil
}

func (t *tx) SetQuota(q meta.QuotaKey, quota meta.Quota) {
	if key := t.quotaKey(q); key != nil {
		t.put(key, encodeQuota(quota))
	}
}

func (t *tx) DropQuota(q meta.QuotaKey) {
	if key := t.quotaKey(q); key != nil {
		t.drop(key)
	}
}

// AddQuotaUsage reads and writes the record at commit, as the store has no addition.
func (t *tx) AddQuotaUsage(q meta.QuotaKey, space, inodes int64) {
	key := t.quotaKey(q)
	if key == nil {
		return
	}
	t.mutate(key, func(old []byte) ([]byte, error) {
		quota := meta.Quota{MaxSpace: -1, MaxInodes: -1}
		if old != nil {
			var err error
			if quota, err = decodeQuota(key, old); err != nil {
				return nil, err
			}
		} else if q.Kind == meta.QuotaDir {
			return nil, nil
		}
		quota.UsedSpace += space
		quota.UsedInodes += inodes
		return encodeQuota(quota), nil
	})
}

// quotaKey lets the commit fail when there is no such kind.
func (t *tx) quotaKey(q meta.QuotaKey) []byte {
	key := quotaKey(q)
	if key == nil {
		t.notes = append(t.notes, note{do: func() error { return fmt.Errorf("change quota: no kind %d", q.Kind) }})
	}
	return key
}
