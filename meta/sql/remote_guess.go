package sql

import (
	"sync"
	"time"

	"jfs/meta"
)

// maxGuesses bounds the directories that are remembered, which are some hundred bytes each.
const maxGuesses = 4096

// guesses remembers directories as they were read or written last. Others may have changed them since. A change that many
// clients make in one directory is checked with its writes anyway, so a guess does for the first attempt, and a file is
// created in one round trip instead of two.
type guesses struct {
	mu   sync.Mutex // guards dirs
	dirs map[meta.Ino]meta.Attr
}

func (g *guesses) get(dir meta.Ino) (meta.Attr, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a, ok := g.dirs[dir]
	return a, ok
}

// learn takes the directories among the inodes of a transaction that has succeeded.
func (g *guesses) learn(nodes map[meta.Ino]node) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for ino, n := range nodes {
		if !n.exists || n.now.Type != meta.TypeDirectory {
			delete(g.dirs, ino)
			continue
		}
		if g.dirs == nil {
			g.dirs = map[meta.Ino]meta.Attr{}
		}
		if _, known := g.dirs[ino]; !known && len(g.dirs) >= maxGuesses {
			for old := range g.dirs {
				delete(g.dirs, old)
				break
			}
		}
		g.dirs[ino] = n.now
	}
}

func (g *guesses) drop(dirs []meta.Ino) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, dir := range dirs {
		delete(g.dirs, dir)
	}
}

// guess takes what is remembered of directories for what would be read with Perm, and a name alone in one of them for
// free, as for a new file. It leaves the rest of want to be loaded. ok says that there is something to guess.
func (t *remoteTx) guess(want *meta.Want) (rest meta.Want, ok bool) {
	rest = *want
	rest.Perms = nil
	for _, dir := range want.Perms {
		a, known := t.s.e.guesses.get(dir)
		if !known {
			rest.Perms = append(rest.Perms, dir)
			continue
		}
		t.perms[dir] = a
		t.nodes[dir] = node{attr: a, ok: true, now: a, exists: true}
		t.guessed = true
	}
	if !t.guessed {
		return rest, false
	}
	alone := len(want.Attrs)+len(want.Nodes)+len(want.Chunks)+len(rest.Perms) == 0 && len(want.Entries) == 1
	// The directories of the trash are made by whoever comes first, and then are there for all.
	if n := want.Entries; alone && n[0].Dir != meta.TrashIno {
		t.ahead.entries[n[0]] = aheadEntry{}
		t.missing[n[0]] = true
		rest.Entries = nil
	}
	return rest, true
}

// spare notes that a touch is left out because of a guess, so that the directory is checked to have been touched within
// the window.
func (t *remoteTx) spare(dir meta.Ino, now meta.Time, window time.Duration) {
	if t.spared == nil {
		t.spared = map[meta.Ino]int64{}
	}
	micros, _ := splitTime(meta.TimeOf(now.Time().Add(-window)))
	t.spared[dir] = max(t.spared[dir], int64(micros))
}
