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

// database gives files whose clients have connections of their own, as those of two processes.
func database(params string) metatest.Database {
	return func(t *testing.T) func() meta.Engine {
		url := tempURL(t) + params
		return func() meta.Engine { return openAt(t, url) }
	}
}

func TestConformance(t *testing.T) {
	metatest.Run(t, database(""))
}

func TestConformanceWithPrefix(t *testing.T) {
	metatest.RunEngine(t, func(t *testing.T) meta.Engine { return database("?table_prefix=Vol2")(t)() })
}

// TestRollbackJournal is for file systems on which WAL does not work.
func TestRollbackJournal(t *testing.T) {
	metatest.RunRaces(t, database("?_journal_mode=DELETE&_synchronous=OFF"))
}

func TestTwoClients(t *testing.T) {
	metatest.RunShared(t, func(t *testing.T) (a, b meta.Engine) {
		client := database("")(t)
		return client(), client()
	})
}
