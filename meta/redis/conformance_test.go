package redis

import (
	"testing"

	"jfs/meta"
	"jfs/meta/metatest"
)

func TestConformance(t *testing.T) {
	metatest.Run(t, database(t, Options{}))
}

// database gives databases of a server whose clients share nothing but the server.
func database(t *testing.T, o Options) metatest.Database {
	s := start(t)
	return func(t *testing.T) func() meta.Engine {
		url := s.empty()
		return func() meta.Engine { return open(t, url, o) }
	}
}

// TestConformanceWithoutTracking is about servers that do not tell of changes.
func TestConformanceWithoutTracking(t *testing.T) {
	metatest.Run(t, database(t, Options{NoTracking: true}))
}

// TestConformanceWithLittleMemory gives records up all the time.
func TestConformanceWithLittleMemory(t *testing.T) {
	metatest.Run(t, database(t, Options{Hints: 3}))
}

// TestConformanceWithoutHints proves that nothing but round trips depends on what is remembered.
func TestConformanceWithoutHints(t *testing.T) {
	metatest.Run(t, database(t, Options{Hints: -1}))
}
