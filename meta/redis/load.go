package redis

import (
	"fmt"
	"slices"
	"strings"

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

// prepare gets the records of a want: from memory when all are there, else fresh and together.
func (t *tx) prepare(w meta.Want) error {
	rs := requests(w)
	if len(rs) == 0 || t.trust != trustNothing && t.recall(rs) {
		return nil
	}
	return t.load(rs)
}

// recall takes all requests from memory as it is at one moment, or none.
func (t *tx) recall(rs []request) bool {
	live := t.trust == trustLive
	found := make([]*read, 0, len(rs)+1)
	m := t.e.memory
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, r := range rs {
		switch r.kind {
		case 'c':
			return false
		case 'a':
			raw, ok := m.attr(r.ino, live)
			if !ok {
				return false
			}
			found = append(found, t.attrRead(r.ino, raw, !live))
			continue
		}
		raw, ok := m.entry(meta.Name{Dir: r.ino, Name: r.name}, live)
		if !ok {
			return false
		}
		found = append(found, t.entryRead(r.ino, r.name, raw, !live))
		if r.kind == 'n' && raw != "" {
			e, err := meta.DecodeEntry([]byte(raw))
			if err != nil {
				return false
			}
			if raw, ok = m.attr(e.Ino, live); !ok {
				return false
			}
			found = append(found, t.attrRead(e.Ino, raw, !live))
		}
	}
	for _, r := range found {
		t.add(r)
	}
	return true
}

// load gets records fresh, all in one trip and of one moment.
func (t *tx) load(rs []request) error {
	t.loads++
	guessed := t.guess(rs)
	answers, err := t.ask(rs, guessed, func(era uint64, answers []reply) {
		t.e.memory.learn(era, func(l learner) { l.answers(rs, guessed, answers) })
	})
	if err != nil {
		return t.fail(fmt.Errorf("load %d records: %w", len(rs), err))
	}
	i := 0
	next := func() (r *reply) {
		if i < len(answers) {
			r = &answers[i]
		} else {
			r = &reply{}
		}
		i++
		return r
	}
	for _, r := range rs {
		ino, raw, err := t.take(r, next)
		if err != nil {
			return t.fail(err)
		}
		if raw != "" && !slices.Contains(guessed, ino) {
			t.e.follow(ino, raw)
		}
	}
	if i != len(answers) {
		return t.fail(fmt.Errorf("load %d records: got %d answers", len(rs), len(answers)))
	}
	return nil
}

// guess gives the inodes that names are going to stand for, as far as the memory has an idea.
func (t *tx) guess(rs []request) (inodes []meta.Ino) {
	if t.e.tracker == nil {
		return nil
	}
	m := t.e.memory
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, r := range rs {
		if r.kind != 'n' {
			continue
		}
		if raw, _ := m.entry(meta.Name{Dir: r.ino, Name: r.name}, false); raw != "" {
			if e, err := meta.DecodeEntry([]byte(raw)); err == nil {
				inodes = append(inodes, e.Ino)
			}
		}
	}
	return inodes
}

// follow makes the server watch an attribute that a script has read under a name that it found itself: servers up to
// version 7.0 watch only the keys that a script was called with. Should the attribute have changed in between, that
// is told like any change.
func (e *Engine) follow(ino meta.Ino, was string) {
	l := e.tracker.get()
	if l == nil {
		return
	}
	e.memory.mu.RLock()
	_, live := e.memory.attr(ino, true)
	e.memory.mu.RUnlock()
	if live {
		return
	}
	l.post(func(answers []reply) {
		if answers[0].wrongString() {
			return
		}
		raw := answers[0].text
		e.memory.learn(l.era, func(l learner) { l.attr(ino, raw) })
		if raw != was {
			e.tracker.changed(meta.Notice{Ino: ino})
		}
	}, []string{"GET", e.keys.attr(ino)})
}

// take adds one request's answers to the transaction. It gives the attribute to which a name has led.
func (t *tx) take(r request, next func() *reply) (ino meta.Ino, raw string, err error) {
	answer := next()
	if r.kind == 'c' {
		list, err := answer.strings()
		if err != nil {
			return 0, "", fmt.Errorf("load %s: %w", t.key(r), err)
		}
		chunk := strings.Join(list, "")
		t.add(&read{ref: ref{kindList, t.key(r), ""}, ok: chunk != "", raw: chunk})
		return 0, "", nil
	}
	value, err := answer.string()
	if err != nil {
		return 0, "", fmt.Errorf("load %s %s: %w", t.key(r), r.name, err)
	}
	if r.kind == 'a' {
		t.add(t.attrRead(r.ino, value, false))
		return 0, "", nil
	}
	t.add(t.entryRead(r.ino, r.name, value, false))
	if r.kind == 'e' {
		return 0, "", nil
	}
	if raw, err = next().string(); err != nil {
		return 0, "", fmt.Errorf("load inode of %s in %s: %w", r.name, t.key(r), err)
	}
	e, bad := meta.DecodeEntry([]byte(value))
	if bad != nil { // Entry tells the reader
		return 0, "", nil
	}
	t.add(t.attrRead(e.Ino, raw, false))
	return e.Ino, raw, nil
}

// answers takes the records that answer requests. What is not as it should be is left to the reader of the
// transaction to tell.
func (l learner) answers(rs []request, guessed []meta.Ino, answers []reply) {
	for _, r := range rs {
		if len(answers) == 0 {
			return
		}
		raw, err := answers[0].text, answers[0].wrongString()
		answers = answers[1:]
		switch {
		case r.kind == 'c' || r.kind == 'a' && err:
			continue
		case r.kind == 'a':
			l.attr(r.ino, raw)
			continue
		case !err:
			l.entry(meta.Name{Dir: r.ino, Name: r.name}, raw)
		}
		if r.kind != 'n' || len(answers) == 0 {
			continue
		}
		attr, wrong := answers[0].text, answers[0].wrongString()
		answers = answers[1:]
		switch e, bad := meta.DecodeEntry([]byte(raw)); {
		case bad != nil || err || wrong:
		case slices.Contains(guessed, e.Ino):
			l.attr(e.Ino, attr)
		default:
			l.hint(e.Ino, attr)
		}
	}
}

// ask sends requests as the cheapest command that answers all of them at one moment.
// guessed are inodes that answers may lead to.
func (t *tx) ask(rs []request, guessed []meta.Ino, then learn) ([]reply, error) {
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
	switch {
	case only == 'a' && len(rs) > 1:
		return t.array(then, append([]string{"MGET"}, keys...)...)
	case only == 'a':
		return t.e.ask(t.ctx, then, []string{"GET", keys[0]})
	case only == 'e' && len(rs) == 1:
		return t.e.ask(t.ctx, then, []string{"HGET", keys[0], rs[0].name})
	case only == 'c' && len(rs) == 1:
		return t.e.ask(t.ctx, then, []string{"LRANGE", keys[0], "0", "-1"})
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
	for _, ino := range guessed {
		keys = append(keys, t.e.keys.attr(ino))
	}
	s := t.e.loader
	out, err := t.array(then, s.bySum(keys, args)...)
	if code(err) == "NOSCRIPT" {
		out, err = t.array(then, s.byText(keys, args)...)
	}
	return out, err
}

// array sends a command whose answer is a list.
func (t *tx) array(then learn, words ...string) ([]reply, error) {
	answers, err := t.e.ask(t.ctx, func(era uint64, answers []reply) {
		if then != nil {
			then(era, answers[0].list)
		}
	}, words)
	if err != nil {
		return nil, err
	}
	if answers[0].kind != replyList {
		return nil, answers[0].wrong()
	}
	return answers[0].list, nil
}
