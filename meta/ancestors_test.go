package meta

import (
	"testing"
	"time"
)

func TestAncestors(t *testing.T) {
	var c ancestors
	now := time.Unix(1000, 0)
	until := now.Add(ancestorsTTL)
	for dir := range Ino(5 * ancestorsKept) {
		c.add(dir, dir+1, until)
		c.get(7, now) // in use, so it stays
	}
	if n := len(c.recent) + len(c.older); n > 2*ancestorsKept {
		t.Errorf("%d directories are remembered, want %d at most", n, 2*ancestorsKept)
	}
	if p, ok := c.get(7, now); !ok || p != 8 {
		t.Errorf("parent of a directory in use: %d, %v", p, ok)
	}
	if _, ok := c.get(8, now); ok {
		t.Error("a directory that nobody asks for is remembered for ever")
	}
	if _, ok := c.get(7, until); ok {
		t.Error("a parent is believed for too long")
	}
	c.add(7, 9, until)
	c.moved(7)
	if _, ok := c.get(7, now); ok {
		t.Error("the parent of a moved directory is still known")
	}
	state := c.state()
	c.moved(20)
	if c.keep(state, map[Ino]Ino{7: 8}, until) {
		t.Error("parents were kept that were read before a move")
	}
	if !c.keep(c.state(), map[Ino]Ino{7: 9}, until) {
		t.Error("parents were not kept")
	}
	if p, ok := c.get(7, now); !ok || p != 9 {
		t.Errorf("parent %d, %v", p, ok)
	}
}
