package tkv

import (
	"strconv"
	"testing"

	"jfs/meta"
)

func TestHintsAreBounded(t *testing.T) {
	h := newHints()
	for i := range meta.Ino(maxHints + 10) {
		h.learn(meta.Name{Dir: 1, Name: strconv.Itoa(int(i))}, i)
	}
	if len(h.inodes) != maxHints {
		t.Errorf("%d names are remembered", len(h.inodes))
	}
}
