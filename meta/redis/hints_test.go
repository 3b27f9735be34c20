package redis

import (
	"strconv"
	"testing"

	"jfs/meta"
)

var wantNothing = meta.Want{}

func TestHintsAreBounded(t *testing.T) {
	for _, limit := range []int{0, 16, 64} {
		h := newHints(limit)
		for i := range 1000 {
			h.setAttr(meta.Ino(i), "a")
			h.setEntry(meta.Name{Dir: 1, Name: strconv.Itoa(i)}, "e")
		}
		attrs, entries := 0, 0
		for i := range h.shards {
			attrs += len(h.shards[i].attrs)
			entries += len(h.shards[i].entries)
		}
		if attrs != limit || entries > limit || limit > 0 && entries == 0 {
			t.Errorf("limit %d: %d attributes, %d entries", limit, attrs, entries)
		}
	}
}

func TestHintsReplaceAndForget(t *testing.T) {
	h := newHints(16)
	n := meta.Name{Dir: 1, Name: "n"}
	if _, ok := h.entry(n); ok {
		t.Error("knows an entry that it was not told")
	}
	h.setEntry(n, "")
	if raw, ok := h.entry(n); !ok || raw != "" {
		t.Error("does not know that a name is not there")
	}
	h.setEntry(n, "e")
	h.setAttr(5, "a")
	h.setAttr(5, "b")
	if raw, ok := h.attr(5); !ok || raw != "b" {
		t.Errorf("attribute %q, %v", raw, ok)
	}
	if raw, _ := h.entry(n); raw != "e" {
		t.Errorf("entry %q", raw)
	}
	h.dropEntry(n)
	h.dropAttr(5)
	if _, ok := h.entry(n); ok {
		t.Error("entry not forgotten")
	}
	if _, ok := h.attr(5); ok {
		t.Error("attribute not forgotten")
	}
}
