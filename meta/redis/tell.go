package redis

import (
	"jfs/meta"
)

// watchAgain adds reads of the records that are written, after which the server tells of their changes again. Of a
// directory it asks the size, by which the memory knows whether it has all entries.
func (t *tx) watchAgain(args []string) []string {
	if len(t.written) == 0 {
		return args
	}
	gone := make(map[meta.Ino]bool)
	for _, f := range t.effects {
		if f.kind != 'e' {
			gone[f.ino] = f.kind == 'a' && f.raw == ""
		}
	}
	seen := make(map[string]bool, len(t.written))
	for _, key := range t.written {
		if seen[key] {
			continue
		}
		seen[key] = true
		if ino, ok := t.e.keys.isAttr(key); ok && !gone[ino] {
			args = append(args, "!", t.index(key), "EXISTS", "0")
		}
		if dir, ok := t.e.keys.isDir(key); ok && !gone[dir] {
			args = append(args, "n", t.index(key))
			t.sized = append(t.sized, dir)
		}
	}
	return args
}

// tell gives the memory what is stored now, and tells the listener of it. It may be called when the
// transaction has ended.
func (t *tx) tell(era uint64, answers []reply) {
	list := answers[0].list
	if len(list) == 0 || list[0].kind != replyInt || list[0].n != answerDone {
		return
	}
	list = list[1:]
	t.e.memory.learn(era, func(l learner) {
		next := func() (r reply) {
			if len(list) > 0 {
				r, list = list[0], list[1:]
			}
			return r
		}
		for _, key := range t.unaccounted() {
			if ino, ok := t.e.keys.isAttr(key); ok {
				l.attr(ino, "")
			} else if dir, ok := t.e.keys.isDir(key); ok {
				l.dropDir(dir)
			}
		}
		for _, f := range t.effects {
			switch f.kind {
			case 'e':
				l.entry(meta.Name{Dir: f.ino, Name: f.name}, f.raw)
			case 't':
				l.attr(f.ino, next().text)
			default:
				if l.attr(f.ino, f.raw); f.raw == "" {
					l.dropDir(f.ino)
				}
			}
		}
		for _, dir := range t.sized {
			l.size(dir, next().n)
		}
	})
	if t.e.tracker != nil {
		t.e.tracker.changed(t.changes()...)
	}
}

// unaccounted gives the keys that are written without an effect that says what is stored now.
func (t *tx) unaccounted() []string {
	if len(t.written) == 0 {
		return nil
	}
	known := make(map[string]bool, len(t.effects))
	for _, f := range t.effects {
		if f.kind == 'e' {
			known[t.e.keys.dir(f.ino)] = true
		} else {
			known[t.e.keys.attr(f.ino)] = true
		}
	}
	for _, dir := range t.sized {
		known[t.e.keys.dir(dir)] = true
	}
	var missing []string
	for _, key := range t.written {
		if !known[key] {
			missing = append(missing, key)
		}
	}
	return missing
}

// changes lists what the transaction has changed.
func (t *tx) changes() []meta.Notice {
	cs := make([]meta.Notice, len(t.effects))
	by := meta.ByRequest(t.ctx)
	for i, f := range t.effects {
		if f.kind == 'e' {
			cs[i] = meta.Notice{Dir: f.ino, Name: f.name, By: by}
		} else {
			cs[i] = meta.Notice{Ino: f.ino, By: by}
		}
	}
	return cs
}

// forget drops the records that this transaction has read or would have changed from the memory.
func (t *tx) forget() {
	m := t.e.memory
	for _, f := range t.effects {
		if f.kind == 'e' {
			m.dropEntry(meta.Name{Dir: f.ino, Name: f.name})
		} else {
			m.changedAttr(f.ino)
		}
	}
	for _, r := range t.order {
		switch r.kind {
		case kindString:
			if ino, ok := t.e.keys.isAttr(r.key); ok {
				m.changedAttr(ino)
			}
		case kindField:
			if dir, ok := t.e.keys.isDir(r.key); ok {
				m.dropEntry(meta.Name{Dir: dir, Name: r.field})
			}
		}
	}
}
