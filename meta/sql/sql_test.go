package sql

import (
	"path/filepath"
	"testing"

	"jfs/meta"
	"jfs/meta/metatest"
)

// openAt opens the database of a URL; the test closes it.
func openAt(t testing.TB, url string) *Engine {
	t.Helper()
	e, err := Open(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

func tempURL(t testing.TB) string { return sqliteScheme + filepath.Join(t.TempDir(), "meta.db") }

func TestEngine(t *testing.T) {
	metatest.RunEngine(t, func(t *testing.T) meta.Engine { return openAt(t, tempURL(t)) })
}

func TestEngineWithPrefix(t *testing.T) {
	metatest.RunEngine(t, func(t *testing.T) meta.Engine { return openAt(t, tempURL(t)+"?table_prefix=Vol2") })
}

func TestTwoClients(t *testing.T) {
	metatest.RunShared(t, func(t *testing.T) (a, b meta.Engine) {
		url := tempURL(t)
		return openAt(t, url), openAt(t, url)
	})
}
