package tkv

import (
	"sync"

	"jfs/meta"
)

// maxHints bounds the names that are remembered, which are some hundred bytes each.
const maxHints = 16384

// hints remembers which inodes names stood for, so that the attribute of an entry is read together with the entry. One that
// is wrong costs the read of another key and nothing else: the entry that was read counts.
type hints struct {
	mu     sync.Mutex // guards inodes
	inodes map[meta.Name]meta.Ino
}

func newHints() *hints { return &hints{inodes: map[meta.Name]meta.Ino{}} }

func (h *hints) get(n meta.Name) (meta.Ino, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ino, ok := h.inodes[n]
	return ino, ok
}

func (h *hints) learn(n meta.Name, ino meta.Ino) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.inodes[n]; !known && len(h.inodes) >= maxHints {
		for old := range h.inodes {
			delete(h.inodes, old)
			break
		}
	}
	h.inodes[n] = ino
}

func (h *hints) forget(n meta.Name) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.inodes, n)
}
