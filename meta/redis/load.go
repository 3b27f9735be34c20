package redis

import (
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"jfs/meta"
)

// request names records that are loaded together. The letters are those of the script.
type request struct {
	kind  byte // 'a' attribute, 'e' entry, 'n' entry and attribute of its inode, 'c' chunk
	ino   meta.Ino
	name  string
	index uint32
}

func (t *tx) key(r request) string {
	switch r.kind {
	case 'a':
		return t.e.keys.attr(r.ino)
	case 'c':
		return t.e.keys.chunk(r.ino, r.index)
	}
	return t.e.keys.dir(r.ino)
}

// requests lists what a want names.
func requests(w meta.Want) []request {
	rs := make([]request, 0, len(w.Attrs)+len(w.Perms)+len(w.Entries)+len(w.Nodes)+len(w.Chunks))
	for _, i := range w.Attrs {
		rs = append(rs, request{kind: 'a', ino: i})
	}
	for _, i := range w.Perms {
		rs = append(rs, request{kind: 'a', ino: i})
	}
	for _, n := range w.Entries {
		rs = append(rs, request{kind: 'e', ino: n.Dir, name: n.Name})
	}
	for _, n := range w.Nodes {
		rs = append(rs, request{kind: 'n', ino: n.Dir, name: n.Name})
	}
	for _, c := range w.Chunks {
		rs = append(rs, request{kind: 'c', ino: c.Ino, index: c.Index})
	}
	return rs
}

// prepare gets the records of a want: from hints when all are remembered, else fresh and together.
func (t *tx) prepare(w meta.Want) error {
	rs := requests(w)
	if len(rs) == 0 || t.useHints && t.recall(rs) {
		return nil
	}
	return t.load(rs)
}

// recall takes all requests from the hints, or none.
func (t *tx) recall(rs []request) bool {
	found := make([]*read, 0, len(rs)+1)
	for _, r := range rs {
		if r.kind == 'c' {
			return false
		}
		if r.kind == 'a' {
			raw, ok := t.e.hints.attr(r.ino)
			if !ok {
				return false
			}
			found = append(found, t.attrRead(r.ino, raw, true))
			continue
		}
		raw, ok := t.e.hints.entry(meta.Name{Dir: r.ino, Name: r.name})
		if !ok {
			return false
		}
		found = append(found, t.entryRead(r.ino, r.name, raw, true))
		if r.kind == 'n' && raw != "" {
			e, err := meta.DecodeEntry([]byte(raw))
			if err != nil {
				return false
			}
			if raw, ok = t.e.hints.attr(e.Ino); !ok {
				return false
			}
			found = append(found, t.attrRead(e.Ino, raw, true))
		}
	}
	for _, r := range found {
		t.add(r)
	}
	return true
}

// load gets records fresh, all in one trip and of one moment.
func (t *tx) load(rs []request) error {
	answers, err := t.ask(rs)
	if err != nil {
		return t.fail(fmt.Errorf("load %d records: %w", len(rs), err))
	}
	i := 0
	next := func() (m *rueidis.RedisMessage) {
		if i < len(answers) {
			m = &answers[i]
		}
		i++
		return m
	}
	for _, r := range rs {
		if err := t.take(r, next); err != nil {
			return t.fail(err)
		}
	}
	if i != len(answers) {
		return t.fail(fmt.Errorf("load %d records: got %d answers", len(rs), len(answers)))
	}
	return nil
}

// take adds one request's answers to the transaction and to the hints.
func (t *tx) take(r request, next func() *rueidis.RedisMessage) error {
	m := next()
	switch r.kind {
	case 'c':
		raw, err := joined(m)
		if err != nil {
			return fmt.Errorf("load %s: %w", t.key(r), err)
		}
		t.add(&read{ref: ref{kindList, t.key(r), ""}, ok: raw != "", raw: raw})
		return nil
	case 'a':
		raw, err := value(m)
		if err != nil {
			return fmt.Errorf("load %s: %w", t.key(r), err)
		}
		t.addAttr(r.ino, raw)
		return nil
	}
	raw, err := value(m)
	if err != nil {
		return fmt.Errorf("load %s of %s: %w", r.name, t.key(r), err)
	}
	t.add(t.entryRead(r.ino, r.name, raw, false))
	t.e.hints.setEntry(meta.Name{Dir: r.ino, Name: r.name}, raw)
	if r.kind == 'e' {
		return nil
	}
	attr, err := value(next())
	if err != nil {
		return fmt.Errorf("load inode of %s in %s: %w", r.name, t.key(r), err)
	}
	if e, err := meta.DecodeEntry([]byte(raw)); err == nil { // else Entry tells the reader
		t.addAttr(e.Ino, attr)
	}
	return nil
}

// addAttr adds a fresh attribute, which is not there when raw is "".
func (t *tx) addAttr(ino meta.Ino, raw string) {
	t.add(t.attrRead(ino, raw, false))
	if raw == "" {
		t.e.hints.dropAttr(ino)
	} else {
		t.e.hints.setAttr(ino, raw)
	}
}

// ask sends requests as the cheapest command that answers all of them at one moment.
func (t *tx) ask(rs []request) ([]rueidis.RedisMessage, error) {
	only := rs[0].kind
	for _, r := range rs {
		if r.kind != only {
			only = 0
		}
	}
	keys := make([]string, len(rs))
	for i, r := range rs {
		keys[i] = t.key(r)
	}
	t.loads++
	switch {
	case only == 'a' && len(rs) > 1:
		return t.array(func(b rueidis.Builder) rueidis.Completed { return b.Mget().Key(keys...).Build() })
	case only == 'a':
		return t.single(func(b rueidis.Builder) rueidis.Completed { return b.Get().Key(keys[0]).Build() })
	case only == 'e' && len(rs) == 1:
		return t.single(func(b rueidis.Builder) rueidis.Completed { return b.Hget().Key(keys[0]).Field(rs[0].name).Build() })
	case only == 'c' && len(rs) == 1:
		return t.single(func(b rueidis.Builder) rueidis.Completed {
			return b.Lrange().Key(keys[0]).Start(0).Stop(-1).Build()
		})
	}
	var kinds strings.Builder
	args := make([]string, 2, 2+len(rs))
	for _, r := range rs {
		kinds.WriteByte(r.kind)
		if r.kind == 'e' || r.kind == 'n' {
			args = append(args, r.name)
		}
	}
	args[0], args[1] = t.e.keys.global("i"), kinds.String()
	s := t.e.loader
	out, err := t.array(func(b rueidis.Builder) rueidis.Completed { return s.bySum(b, keys, args) })
	if code(err) == "NOSCRIPT" {
		out, err = t.array(func(b rueidis.Builder) rueidis.Completed { return s.byText(b, keys, args) })
	}
	return out, err
}

func (t *tx) single(build func(rueidis.Builder) rueidis.Completed) ([]rueidis.RedisMessage, error) {
	r, err := t.e.client.query1(t.ctx, build)
	if err != nil {
		return nil, err
	}
	m, err := r.ToMessage()
	if err != nil && !rueidis.IsRedisNil(err) {
		return nil, err
	}
	return []rueidis.RedisMessage{m}, nil
}

func (t *tx) array(build func(rueidis.Builder) rueidis.Completed) ([]rueidis.RedisMessage, error) {
	r, err := t.e.client.query1(t.ctx, build)
	if err != nil {
		return nil, err
	}
	return r.ToArray()
}

// value is the string of an answer, "" for nil. No record of the format is an empty string, except the value
// of an xattr, which is not read here.
func value(m *rueidis.RedisMessage) (string, error) {
	if m == nil || m.IsNil() {
		return "", nil
	}
	return m.ToString()
}

// joined is the elements of a list as one string.
func joined(m *rueidis.RedisMessage) (string, error) {
	if m == nil || m.IsNil() {
		return "", nil
	}
	elements, err := m.AsStrSlice()
	return strings.Join(elements, ""), err
}
