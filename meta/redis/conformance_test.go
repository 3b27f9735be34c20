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

// TestConformanceWithoutHints proves that nothing but round trips depends on what is remembered.
func TestConformanceWithoutHints(t *testing.T) {
	metatest.Run(t, database(t, Options{Hints: -1}))
}

// TestShared lets two clients change the same records.
func TestShared(t *testing.T) {
	all := database(t, Options{})
	metatest.RunShared(t, func(t *testing.T) (a, b meta.Engine) {
		connect := all(t)
		return connect(), connect()
	})
}
