package redis

import (
	"sync"

	"jfs/meta"
)

// memory remembers stored attributes and entries. A record is live while the server would have told of a change:
// it was read or written on the connection that the server tells, and nothing was told of it since. Any other
// record is a hint, which may be out of date; whoever acts on it has to prove it at commit.
//
// It is bounded: when it is full, arbitrary records are given up for new ones.
type memory struct {
	limit int // records of each kind; 0: nothing is remembered

	mu      sync.RWMutex // guards the rest
	era     uint64       // number of the connection that the server tells; 0: there is none
	attrs   map[meta.Ino]attrRecord
	dirs    map[meta.Ino]*dirRecord
	entries int // records in dirs, with one for each directory itself
}

type attrRecord struct {
	raw string
	era uint64 // in which it is live; 0: a hint
}

// dirRecord is what is known of a directory's entries.
type dirRecord struct {
	era     uint64 // in which entries with the stamp are live
	stamp   uint32 // grows when the server tells of a change
	count   int    // live entries that are there
	whole   bool   // those are all that the directory has
	entries map[string]entryRecord
}

type entryRecord struct {
	raw   string // "" for a name that is not there
	stamp uint32 // of the directory; smaller: a hint
}

// newMemory makes a memory for up to n attributes and n entries.
func newMemory(n int) *memory {
	return &memory{limit: max(n, 0), attrs: make(map[meta.Ino]attrRecord), dirs: make(map[meta.Ino]*dirRecord)}
}

// begin makes records live from now on that are learned in an era.
func (m *memory) begin(era uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.era = era
}

// end makes hints of all records.
func (m *memory) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.era = 0
}

// forget forgets everything.
func (m *memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.attrs)
	clear(m.dirs)
	m.entries = 0
}

// live is the era, 0 when nothing is live.
func (m *memory) live() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.era
}

// attr gives an attribute; only a live one if so asked. m.mu is held.
func (m *memory) attr(ino meta.Ino, live bool) (raw string, ok bool) {
	a, ok := m.attrs[ino]
	return a.raw, ok && (!live || a.era == m.era && m.era != 0)
}

// entry is attr for an entry; raw is "" if there is no such name. m.mu is held.
func (m *memory) entry(n meta.Name, live bool) (raw string, ok bool) {
	d := m.dirs[n.Dir]
	if d == nil {
		return "", false
	}
	fresh := d.era == m.era && m.era != 0
	e, ok := d.entries[n.Name]
	if ok && (!live || fresh && e.stamp == d.stamp) {
		return e.raw, true
	}
	return "", fresh && d.whole // a name that is in a whole directory has been found above
}

// learner takes what was learned at one moment of the server. It is used under the lock of the memory.
type learner struct {
	m   *memory
	era uint64 // of the connection, if that is the one of the memory; else 0
}

// learn lets fn take over records that belong together, which came on the connection of an era; 0 for one that the
// server does not tell.
func (m *memory) learn(era uint64, fn func(learner)) {
	if m.limit == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if era != m.era {
		era = 0
	}
	fn(learner{m: m, era: era})
}

// attr takes an attribute, which is gone if raw is "".
func (l learner) attr(ino meta.Ino, raw string) {
	m := l.m
	if raw == "" {
		delete(m.attrs, ino)
		return
	}
	if _, known := m.attrs[ino]; !known && len(m.attrs) >= m.limit {
		for old := range m.attrs {
			delete(m.attrs, old)
			break
		}
	}
	m.attrs[ino] = attrRecord{raw, l.era}
}

// hint takes an attribute that the server does not watch yet. One that is live is not older.
func (l learner) hint(ino meta.Ino, raw string) {
	if _, live := l.m.attr(ino, true); !live {
		l.era = 0
		l.attr(ino, raw)
	}
}

// entry takes an entry; raw is "" for a name that is not there.
func (l learner) entry(n meta.Name, raw string) {
	d := l.dir(n.Dir)
	e := entryRecord{raw: raw, stamp: d.stamp}
	if l.era == 0 {
		// What comes another way may be older than what is live, so it must not be taken for live.
		d.outdate()
		e.stamp = d.stamp - 1
	}
	old, known := d.entries[n.Name]
	if known && old.raw != "" && old.stamp == d.stamp {
		d.count--
	}
	if raw != "" && e.stamp == d.stamp {
		d.count++
	}
	if raw == "" && d.whole {
		if known {
			delete(d.entries, n.Name)
			l.m.entries--
		}
		return
	}
	if !known {
		l.m.makeRoom(d)
		l.m.entries++
	}
	d.entries[n.Name] = e
}

// dir gives the record of a directory, ready for entries of the learner's era.
func (l learner) dir(ino meta.Ino) *dirRecord {
	d := l.m.dirs[ino]
	if d == nil {
		l.m.makeRoom(nil)
		d = &dirRecord{era: l.era, stamp: 1, entries: make(map[string]entryRecord)}
		l.m.dirs[ino] = d
		l.m.entries++
	}
	if d.era != l.era && l.era != 0 {
		d.outdate()
		d.era = l.era
	}
	return d
}

// size takes the number of entries that a directory has. If as many are known, those are all.
func (l learner) size(dir meta.Ino, n int64) {
	if l.era == 0 {
		return
	}
	d := l.dir(dir)
	d.whole = int64(d.count) == n
}

// dropDir forgets a directory that is gone.
func (l learner) dropDir(dir meta.Ino) {
	if d := l.m.dirs[dir]; d != nil {
		l.m.entries -= 1 + len(d.entries)
		delete(l.m.dirs, dir)
	}
}

// outdate makes hints of the entries of a directory.
func (d *dirRecord) outdate() {
	d.stamp++
	d.count, d.whole = 0, false
}

// changedAttr forgets an attribute that the server tells to be changed.
func (m *memory) changedAttr(ino meta.Ino) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.attrs, ino)
}

// changedDir makes hints of the entries of a directory in which, as the server tells, something has changed.
func (m *memory) changedDir(ino meta.Ino) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.dirs[ino]; d != nil {
		d.outdate()
	}
}

// dropEntry forgets an entry that has proved wrong.
func (m *memory) dropEntry(n meta.Name) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dirs[n.Dir]
	if d == nil {
		return
	}
	d.whole = false
	if e, ok := d.entries[n.Name]; ok {
		m.dropFrom(d, n.Name, e)
	}
}

func (m *memory) dropFrom(d *dirRecord, name string, e entryRecord) {
	if e.raw != "" && e.stamp == d.stamp {
		d.count--
		d.whole = false
	}
	delete(d.entries, name)
	m.entries--
}

// makeRoom gives up records so that there is room for one more, but not the directory that is to be kept.
func (m *memory) makeRoom(keep *dirRecord) {
	for m.entries >= m.limit {
		if !m.giveUp(keep) {
			return // one directory without entries is all there is
		}
	}
}

// giveUp forgets an entry of an arbitrary directory, or the directory if it has none.
func (m *memory) giveUp(keep *dirRecord) bool {
	for ino, d := range m.dirs {
		for name, e := range d.entries {
			m.dropFrom(d, name, e)
			return true
		}
		if d != keep {
			delete(m.dirs, ino)
			m.entries--
			return true
		}
	}
	return false
}
