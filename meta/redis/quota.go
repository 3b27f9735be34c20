package redis

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/redis/rueidis"

	"jfs/meta"
)

// quotaKinds are the beginnings of the names of the hashes of quotas.
var quotaKinds = [...]string{meta.QuotaDir: "dirQuota", meta.QuotaUser: "userQuota", meta.QuotaGroup: "groupQuota"}

// quotaHashes are the hashes of one kind of quotas. There is a record if the first one has the field.
type quotaHashes struct {
	usedInodes, usedSpace, limits string
}

func (k keys) quotas(kind meta.QuotaKind) (quotaHashes, error) {
	if int(kind) >= len(quotaKinds) {
		return quotaHashes{}, fmt.Errorf("no kind %d of quotas", kind)
	}
	name := k.global(quotaKinds[kind])
	return quotaHashes{usedInodes: name + "UsedInodes", usedSpace: name + "UsedSpace", limits: name}, nil
}

func quotaField(key meta.QuotaKey) string { return strconv.FormatUint(key.ID, 10) }

const limitsSize = 2 * 8

func encodeLimits(space, inodes int64) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, limitsSize), uint64(space))
	return string(binary.BigEndian.AppendUint64(b, uint64(inodes)))
}

// decodeQuota makes a record of the values in the hashes; a missing one is "", and limits that are missing are none.
func decodeQuota(inodes, space, limits string) (q meta.Quota, err error) {
	if q.UsedInodes, err = parseUsed(inodes); err != nil {
		return q, err
	}
	if q.UsedSpace, err = parseUsed(space); err != nil {
		return q, err
	}
	switch len(limits) {
	case 0:
		q.MaxSpace, q.MaxInodes = -1, -1
	case limitsSize:
		q.MaxSpace = int64(binary.BigEndian.Uint64([]byte(limits[:8])))
		q.MaxInodes = int64(binary.BigEndian.Uint64([]byte(limits[8:])))
	default:
		return q, fmt.Errorf("%w: limits of %d bytes", meta.ErrCorrupt, len(limits))
	}
	return q, nil
}

func parseUsed(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: usage %q", meta.ErrCorrupt, s)
	}
	return n, nil
}

func (t *tx) Quota(key meta.QuotaKey) (meta.Quota, bool, error) {
	h, err := t.e.keys.quotas(key.Kind)
	if err != nil {
		return meta.Quota{}, false, t.fail(fmt.Errorf("read quota: %w", err))
	}
	field := quotaField(key)
	out, err := t.e.client.query(t.ctx, func(b rueidis.Builder) []rueidis.Completed {
		return []rueidis.Completed{
			b.Hget().Key(h.usedInodes).Field(field).Build(), // first, because the others are there when it is
			b.Hget().Key(h.usedSpace).Field(field).Build(),
			b.Hget().Key(h.limits).Field(field).Build(),
		}
	})
	if err != nil {
		return meta.Quota{}, false, t.fail(fmt.Errorf("read %s: %w", h.limits, err))
	}
	var values [3]string
	for i, r := range out {
		if values[i], err = r.ToString(); err != nil && !rueidis.IsRedisNil(err) {
			return meta.Quota{}, false, t.fail(fmt.Errorf("read %s: %w", h.limits, err))
		}
	}
	if values[0] == "" {
		return meta.Quota{}, false, nil
	}
	q, err := decodeQuota(values[0], values[1], values[2])
	if err != nil {
		return meta.Quota{}, false, fmt.Errorf("key %s, field %s: %w", h.limits, field, err)
	}
	return q, true, nil
}

func (t *tx) Quotas() (map[meta.QuotaKey]meta.Quota, error) {
	out, err := t.e.client.query(t.ctx, func(b rueidis.Builder) []rueidis.Completed {
		cmds := make([]rueidis.Completed, 0, 3*len(quotaKinds))
		for kind := range quotaKinds {
			h, err := t.e.keys.quotas(meta.QuotaKind(kind))
			if err != nil {
				continue // the kinds are those of the list
			}
			for _, key := range []string{h.usedInodes, h.usedSpace, h.limits} {
				cmds = append(cmds, b.Hgetall().Key(key).Build())
			}
		}
		return cmds
	})
	if err != nil {
		return nil, t.fail(fmt.Errorf("read quotas: %w", err))
	}
	hashes := make([]map[string]string, len(out))
	for i, r := range out {
		if hashes[i], err = r.AsStrMap(); err != nil {
			return nil, t.fail(fmt.Errorf("read quotas: %w", err))
		}
	}
	quotas := map[meta.QuotaKey]meta.Quota{}
	for kind, name := range quotaKinds {
		inodes, space, limits := hashes[3*kind], hashes[3*kind+1], hashes[3*kind+2]
		for field, used := range inodes {
			id, err := strconv.ParseUint(field, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("key %s: %w: field %q", name, meta.ErrCorrupt, field)
			}
			q, err := decodeQuota(used, space[field], limits[field])
			if err != nil {
				return nil, fmt.Errorf("key %s, field %s: %w", name, field, err)
			}
			quotas[meta.QuotaKey{Kind: meta.QuotaKind(kind), ID: id}] = q
		}
	}
	return quotas, nil
}

// changeQuota lets fn write to the hashes of a quota.
func (t *tx) changeQuota(key meta.QuotaKey, fn func(h quotaHashes, field string)) {
	h, err := t.e.keys.quotas(key.Kind)
	if err != nil {
		t.fail(fmt.Errorf("change quota: %w", err))
		return
	}
	fn(h, quotaField(key))
}

func (t *tx) SetQuota(key meta.QuotaKey, q meta.Quota) {
	t.changeQuota(key, func(h quotaHashes, field string) {
		t.do("HSET", h.limits, field, encodeLimits(q.MaxSpace, q.MaxInodes))
		t.do("HSET", h.usedSpace, field, decimal(q.UsedSpace))
		t.do("HSET", h.usedInodes, field, decimal(q.UsedInodes))
	})
}

func (t *tx) DropQuota(key meta.QuotaKey) {
	t.changeQuota(key, func(h quotaHashes, field string) {
		for _, hash := range []string{h.limits, h.usedSpace, h.usedInodes} {
			t.do("HDEL", hash, field)
		}
	})
}

func (t *tx) AddQuotaUsage(key meta.QuotaKey, space, inodes int64) {
	t.changeQuota(key, func(h quotaHashes, field string) {
		if key.Kind == meta.QuotaDir {
			t.addWhere(field, []string{h.usedInodes, h.usedSpace}, inodes, space)
			return
		}
		t.do("HSETNX", h.limits, field, encodeLimits(-1, -1))
		t.do("HINCRBY", h.usedSpace, field, decimal(space))
		t.do("HINCRBY", h.usedInodes, field, decimal(inodes))
	})
}
