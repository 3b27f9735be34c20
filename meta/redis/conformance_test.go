package redis

import (
	"testing"

	"jfs/meta"
	"jfs/meta/metatest"
)

func TestConformance(t *testing.T) {
	s := start(t)
	metatest.RunEngine(t, func(t *testing.T) meta.Engine { return open(t, s.empty(), Options{}) })
}

// TestConformanceWithoutHints proves that nothing but round trips depends on what is remembered.
func TestConformanceWithoutHints(t *testing.T) {
	s := start(t)
	metatest.RunEngine(t, func(t *testing.T) meta.Engine { return open(t, s.empty(), Options{Hints: -1}) })
}
