package redis

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"jfs/meta"
)

// Pages of all records of a kind. The cursor is that of the server, which finds the keys by their names; keys of
// another form are left alone.

func (t *tx) ScanChunks(cursor string, limit int) ([]meta.ChunkRecord, string, error) {
	keys, next, err := t.scanKeys("c*_*", cursor, limit, func(name string) bool {
		_, ok := parseChunkKey(name)
		return ok
	})
	if err != nil || len(keys) == 0 {
		return nil, next, err
	}
	out, err := t.e.client.query(t.ctx, func(b rueidis.Builder) []rueidis.Completed {
		cmds := make([]rueidis.Completed, len(keys))
		for i, key := range keys {
			cmds[i] = b.Lrange().Key(key).Start(0).Stop(-1).Build()
		}
		return cmds
	})
	if err != nil {
		return nil, "", t.fail(fmt.Errorf("read %d chunks: %w", len(keys), err))
	}
	page := make([]meta.ChunkRecord, 0, len(keys))
	for i, key := range keys {
		m, err := out[i].ToMessage()
		if err != nil {
			return nil, "", t.fail(fmt.Errorf("read %s: %w", key, err))
		}
		raw, err := joined(&m)
		if err != nil {
			return nil, "", t.fail(fmt.Errorf("read %s: %w", key, err))
		}
		if raw == "" {
			continue // it went meanwhile
		}
		id, _ := parseChunkKey(strings.TrimPrefix(key, t.e.keys.prefix))
		ss, err := meta.DecodeSlices([]byte(raw))
		if err != nil {
			return nil, "", fmt.Errorf("key %s: %w", key, err)
		}
		page = append(page, meta.ChunkRecord{ChunkID: id, Slices: ss})
	}
	return page, next, nil
}

func (t *tx) ScanNodes(cursor string, limit int) ([]meta.Node, string, error) {
	keys, next, err := t.scanKeys("i*", cursor, limit, func(name string) bool {
		_, ok := parseAttrKey(name)
		return ok
	})
	if err != nil || len(keys) == 0 {
		return nil, next, err
	}
	out, err := t.e.client.query1(t.ctx, func(b rueidis.Builder) rueidis.Completed { return b.Mget().Key(keys...).Build() })
	if err != nil {
		return nil, "", t.fail(fmt.Errorf("read %d attributes: %w", len(keys), err))
	}
	raws, err := out.ToArray()
	if err != nil {
		return nil, "", t.fail(fmt.Errorf("read %d attributes: %w", len(keys), err))
	}
	page := make([]meta.Node, 0, len(keys))
	for i, key := range keys {
		raw, err := value(&raws[i])
		if err != nil {
			return nil, "", t.fail(fmt.Errorf("read %s: %w", key, err))
		}
		if raw == "" {
			continue
		}
		ino, _ := parseAttrKey(strings.TrimPrefix(key, t.e.keys.prefix))
		a, err := meta.DecodeAttr([]byte(raw))
		if err != nil {
			return nil, "", fmt.Errorf("key %s: %w", key, err)
		}
		page = append(page, meta.Node{Ino: ino, Attr: a})
	}
	return page, next, nil
}

// errMoved ends a scan that would go on at another server, or at one that has been started again. Each orders its keys
// in a way of its own, so keys would be missed, and what uses them taken for garbage.
var errMoved = errors.New("another server has taken over the volume in the middle, please try again")

// scanKeys gives about limit keys whose names, without the prefix, match the pattern and are wanted. One step of
// the server's scan may find none, so it takes as many as it needs for half of the limit.
func (t *tx) scanKeys(pattern, cursor string, limit int, wanted func(name string) bool) (keys []string, next string, err error) {
	limit = max(limit, 1)
	at, server := uint64(0), ""
	if cursor != "" {
		number, run, _ := strings.Cut(cursor, "@")
		if at, err = strconv.ParseUint(number, 10, 64); err != nil {
			return nil, "", fmt.Errorf("scan %s: cursor %q is none of this engine", pattern, cursor)
		}
		server = run
	}
	prefix := t.e.keys.prefix
	for first := cursor == ""; ; first = false {
		place := t.e.client.where.place()
		out, err := t.e.client.query(t.ctx, func(b rueidis.Builder) []rueidis.Completed {
			return append([]rueidis.Completed{
				b.Scan().Cursor(at).Match(prefix + pattern).Count(int64(limit)).Build(),
				b.Info().Section("server").Build(),
			}, t.e.client.where.stays(b)...)
		})
		if err != nil {
			return nil, "", t.fail(fmt.Errorf("scan %s: %w", pattern, err))
		}
		step, err := out[0].AsScanEntry()
		if err != nil {
			return nil, "", t.fail(fmt.Errorf("scan %s: %w", pattern, err))
		}
		info, err := out[1].ToString()
		if err != nil {
			return nil, "", t.fail(fmt.Errorf("scan %s: %w", pattern, err))
		}
		run := parseInfo(info)["run_id"]
		if run != server && !first || place != t.e.client.where.place() {
			return nil, "", t.fail(fmt.Errorf("scan %s: %w", pattern, errMoved))
		}
		server = run
		for _, key := range step.Elements {
			if name, ok := strings.CutPrefix(key, prefix); ok && wanted(name) {
				keys = append(keys, key)
			}
		}
		if at = step.Cursor; at == 0 {
			return keys, "", nil
		}
		if 2*len(keys) >= limit {
			return keys, strconv.FormatUint(at, 10) + "@" + server, nil
		}
	}
}

func parseAttrKey(name string) (meta.Ino, bool) {
	n, ok := strings.CutPrefix(name, "i")
	ino, exact := parseDecimal(n, 64)
	return meta.Ino(ino), ok && exact
}

func parseChunkKey(name string) (meta.ChunkID, bool) {
	ino, index, ok := strings.Cut(strings.TrimPrefix(name, "c"), "_")
	i, exact := parseDecimal(ino, 64)
	n, exact2 := parseDecimal(index, 32)
	return meta.ChunkID{Ino: meta.Ino(i), Index: uint32(n)}, ok && exact && exact2 && strings.HasPrefix(name, "c")
}

// parseDecimal reads a number in the one form in which keys have it: no sign and no zeros in front.
func parseDecimal(s string, bits int) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, bits)
	return n, err == nil && strconv.FormatUint(n, 10) == s
}
