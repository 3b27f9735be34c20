package redis

import (
	"fmt"
	"strconv"

	"github.com/redis/rueidis"

	"jfs/meta"
)

func aclField(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

func (t *tx) ACL(id uint32) ([]byte, bool, error) {
	r, err := t.fetch(ref{kindField, t.e.keys.global(keyACL), aclField(id)})
	if err != nil || !r.ok {
		return nil, false, err
	}
	return []byte(r.raw), true, nil
}

func (t *tx) ACLs() (map[uint32][]byte, error) {
	key := t.e.keys.global(keyACL)
	r, err := t.e.client.query1(t.ctx, func(b rueidis.Builder) rueidis.Completed { return b.Hgetall().Key(key).Build() })
	if err != nil {
		return nil, t.fail(fmt.Errorf("read %s: %w", key, err))
	}
	fields, err := r.AsStrMap()
	if err != nil {
		return nil, t.fail(fmt.Errorf("read %s: %w", key, err))
	}
	rules := make(map[uint32][]byte, len(fields))
	for field, rule := range fields {
		id, err := strconv.ParseUint(field, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w: number of a rule %q", key, meta.ErrCorrupt, field)
		}
		rules[uint32(id)] = []byte(rule)
	}
	return rules, nil
}

// AddACL takes the number in a trip of its own: the script cannot tell it to a function that has already run.
func (t *tx) AddACL(rule []byte) (uint32, error) {
	id, err := t.e.Reserve(t.ctx, meta.SeqACL, 1)
	if err != nil {
		return 0, t.fail(err)
	}
	if id > 1<<32-1 {
		return 0, t.fail(fmt.Errorf("add rule: %w: its number would be %d", meta.ErrCorrupt, id))
	}
	t.do("HSET", t.e.keys.global(keyACL), aclField(uint32(id)), string(rule))
	return uint32(id), nil
}
