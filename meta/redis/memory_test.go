package redis

import (
	"strconv"
	"testing"

	"jfs/meta"
)

var wantNothing = meta.Want{}

func (m *memory) setAttr(era uint64, ino meta.Ino, raw string) {
	m.learn(era, func(l learner) { l.attr(ino, raw) })
}

func (m *memory) setEntry(era uint64, dir meta.Ino, name, raw string) {
	m.learn(era, func(l learner) { l.entry(meta.Name{Dir: dir, Name: name}, raw) })
}

func (m *memory) setSize(era uint64, dir meta.Ino, n int64) {
	m.learn(era, func(l learner) { l.size(dir, n) })
}

// known says what the memory has of an entry: "live" or "hint" and the value, or "".
func (m *memory) known(dir meta.Ino, name string) string {
	n := meta.Name{Dir: dir, Name: name}
	if raw, ok := m.entry(n, true); ok {
		return "live " + raw
	}
	if raw, ok := m.entry(n, false); ok {
		return "hint " + raw
	}
	return ""
}

func TestMemoryIsBounded(t *testing.T) {
	for _, limit := range []int{0, 16, 64} {
		m := newMemory(limit)
		m.begin(1)
		for i := range 1000 {
			m.setAttr(1, meta.Ino(i), "a")
			m.setEntry(1, meta.Ino(1+i%3), strconv.Itoa(i), "e")
			m.setSize(1, meta.Ino(i), 0)
		}
		entries, known := 0, 0
		for _, d := range m.dirs {
			entries += len(d.entries)
			live := 0
			for _, e := range d.entries {
				if e.raw != "" && e.stamp == d.stamp {
					live++
				}
			}
			if live != d.count {
				t.Errorf("limit %d: %d live entries counted as %d", limit, live, d.count)
			}
			known += 1 + len(d.entries)
		}
		if len(m.attrs) != limit || known > limit || known != m.entries {
			t.Errorf("limit %d: %d attributes, %d entries, %d counted", limit, len(m.attrs), known, m.entries)
		}
	}
}

func TestMemoryReplacesAndForgets(t *testing.T) {
	m := newMemory(16)
	if got := m.known(1, "n"); got != "" {
		t.Errorf("knows %q, which it was not told", got)
	}
	for _, step := range []struct {
		what string
		do   func()
		want string
	}{
		{"a missing name, before there is an era", func() { m.setEntry(0, 1, "n", "") }, "hint "},
		{"an entry, not yet relied upon", func() { m.setEntry(1, 1, "n", "e") }, "hint e"},
		{"beginning makes nothing live", func() { m.begin(1) }, "hint e"},
		{"an entry of this era", func() { m.setEntry(1, 1, "n", "f") }, "live f"},
		{"another directory changes", func() { m.changedDir(2) }, "live f"},
		{"the directory changes", func() { m.changedDir(1) }, "hint f"},
		{"the entry is gone", func() { m.setEntry(1, 1, "n", "") }, "live "},
		{"it comes from another connection", func() { m.setEntry(0, 1, "n", "g") }, "hint g"},
		{"and again on the link", func() { m.setEntry(1, 1, "n", "h") }, "live h"},
		{"the link is lost", func() { m.end() }, "hint h"},
		{"an answer of the old link", func() { m.setEntry(1, 1, "n", "i") }, "hint i"},
		{"the next link", func() { m.begin(2) }, "hint i"},
		{"an answer of the old link after that", func() { m.setEntry(1, 1, "n", "j") }, "hint j"},
		{"an answer of the next link", func() { m.setEntry(2, 1, "n", "k") }, "live k"},
		{"it has proved wrong", func() { m.dropEntry(meta.Name{Dir: 1, Name: "n"}) }, ""},
		{"everything is forgotten", func() { m.setEntry(2, 1, "n", "l"); m.forget() }, ""},
	} {
		step.do()
		if got := m.known(1, "n"); got != step.want {
			t.Errorf("%s: %q, want %q", step.what, got, step.want)
		}
	}
	m.setAttr(2, 5, "a")
	m.setAttr(2, 5, "b")
	if raw, ok := m.attr(5, true); !ok || raw != "b" {
		t.Errorf("attribute %q, %v", raw, ok)
	}
	m.changedAttr(5)
	if _, ok := m.attr(5, false); ok {
		t.Error("attribute not forgotten")
	}
}

func TestWholeDirectory(t *testing.T) {
	m := newMemory(8)
	m.begin(1)
	check := func(what, want string) {
		t.Helper()
		if got := m.known(1, "missing"); got != want {
			t.Errorf("%s: a name that was not looked up is %q, want %q", what, got, want)
		}
	}
	m.setSize(1, 1, 0)
	check("an empty directory", "live ")
	m.setEntry(1, 1, "a", "x")
	m.setSize(1, 1, 1)
	check("own file", "live ")
	m.setEntry(1, 1, "a", "")
	m.setSize(1, 1, 0)
	check("own removal", "live ")
	m.setEntry(1, 1, "b", "x")
	m.setSize(1, 1, 2)
	check("somebody else has made a file", "")
	m.setEntry(1, 1, "c", "x")
	m.setSize(1, 1, 2)
	check("which is known now", "live ")
	m.changedDir(1)
	check("told of a change", "")
	m.setEntry(1, 1, "b", "x")
	m.setSize(1, 1, 2)
	check("one of two is known", "")
	m.setEntry(1, 1, "c", "x")
	m.setSize(1, 1, 2)
	check("both are", "live ")
	m.dropEntry(meta.Name{Dir: 1, Name: "b"})
	check("one has proved wrong", "")
	m.setEntry(1, 1, "b", "x")
	m.setSize(1, 1, 2)
	for i := range 100 { // others need the room
		m.setEntry(1, 2, strconv.Itoa(i), "x")
	}
	if d := m.dirs[1]; d != nil && d.whole && d.count < 2 {
		t.Error("a directory is whole without its entries")
	}
}
