package redis

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"jfs/meta"
	"jfs/meta/internal/record"
)

// delayedField is the field of a set of replaced slices: the slice that took their place, and when it did.
func delayedField(d meta.Delayed) string {
	return strconv.FormatUint(d.ID, 10) + "_" + decimal(d.At)
}

func parseDelayedField(field string) (meta.Delayed, error) {
	id, at, ok := strings.Cut(field, "_")
	n, err := strconv.ParseUint(id, 10, 64)
	m, err2 := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || err2 != nil {
		return meta.Delayed{}, fmt.Errorf("%w: replaced slices %q", meta.ErrCorrupt, field)
	}
	return meta.Delayed{ID: n, At: m}, nil
}

func (t *tx) DelayedSlices(before int64, limit int) ([]meta.Delayed, error) {
	key := t.e.keys.global(keyDelSlices)
	var all []meta.Delayed
	seen := map[string]bool{} // a scan may give an element twice
	for cursor := uint64(0); len(all) < limit; {
		step, err := t.scanStep(key, cursor, scanCount)
		if err != nil {
			return nil, t.fail(fmt.Errorf("scan %s: %w", key, err))
		}
		for i := 0; i+1 < len(step.Elements) && len(all) < limit; i += 2 {
			field := step.Elements[i]
			d, err := parseDelayedField(field)
			if err != nil {
				return nil, fmt.Errorf("key %s: %w", key, err)
			}
			if d.At >= before || seen[field] {
				continue
			}
			seen[field] = true
			if d.Slices, err = record.DecodeSliceRefs([]byte(step.Elements[i+1])); err != nil {
				return nil, fmt.Errorf("key %s, field %s: %w", key, field, err)
			}
			all = append(all, d)
		}
		if cursor = step.Cursor; cursor == 0 {
			break
		}
	}
	return all, nil
}

func (t *tx) SetDelayed(d meta.Delayed) {
	t.do("HSET", t.e.keys.global(keyDelSlices), delayedField(d), string(record.EncodeSliceRefs(d.Slices)))
}

func (t *tx) DropDelayed(d meta.Delayed) {
	t.do("HDEL", t.e.keys.global(keyDelSlices), delayedField(d))
}

func (t *tx) Detached(before int64, limit int) ([]meta.Ino, error) {
	if limit < 1 {
		return nil, nil
	}
	key := t.e.keys.global(keyDetached)
	r, err := t.e.client.query1(t.ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Zrangebyscore().Key(key).Min("-inf").Max(decimal(before)).Limit(0, int64(limit)).Build()
	})
	if err != nil {
		return nil, t.fail(fmt.Errorf("list %s: %w", key, err))
	}
	members, err := r.AsStrSlice()
	if err != nil {
		return nil, t.fail(fmt.Errorf("list %s: %w", key, err))
	}
	return inodesOf(key, members)
}

func (t *tx) SetDetached(ino meta.Ino, at int64) {
	t.do("ZADD", t.e.keys.global(keyDetached), decimal(at), ino.String())
}

func (t *tx) DropDetached(ino meta.Ino) { t.do("ZREM", t.e.keys.global(keyDetached), ino.String()) }
