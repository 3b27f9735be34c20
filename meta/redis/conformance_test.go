package redis

import (
	"context"
	"testing"

	"jfs/meta"
	"jfs/meta/metatest"
)

func TestConformance(t *testing.T) {
	metatest.Run(t, database(t, Options{}))
}

// prompt is an engine that answers reads from what the server has told by then, all of it, so that a change that
// another client has finished is seen. It takes another trip, and nothing else of the engine is different.
type prompt struct{ *Engine }

func (p prompt) View(ctx context.Context, want meta.Want, fn func(meta.Reader) error) error {
	if l := p.tracker.get(); l != nil && ctx.Err() == nil {
		_, _ = l.do(ctx, nil, []string{"PING"}) // a link that has ended is not relied upon
	}
	return p.Engine.View(ctx, want, fn)
}

// database gives databases of a server whose clients share nothing but the server.
func database(t *testing.T, o Options) metatest.Database {
	s := start(t)
	return func(t *testing.T) func() meta.Engine {
		url := s.empty()
		return func() meta.Engine { return prompt{open(t, url, o)} }
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

// TestShared lets two clients change the same records.
func TestShared(t *testing.T) {
	all := database(t, Options{})
	metatest.RunShared(t, func(t *testing.T) (a, b meta.Engine) {
		connect := all(t)
		return connect(), connect()
	})
}
