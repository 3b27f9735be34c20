package fstest_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"jfs/fs/fstest"
)

// TestRandomLocal: the model of random histories is right about a local directory, of which a symbolic link is a second
// view.
func TestRandomLocal(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dir := t.TempDir()
			view := filepath.Join(t.TempDir(), "view")
			if err := os.Symlink(dir, view); err != nil {
				t.Fatal(err)
			}
			happened := 0
			event := func(*rand.Rand) error { happened++; return nil }
			fstest.Random(t, fstest.RandomOptions{
				Seed: seed, Steps: 3000, Views: []string{dir, view}[:1+seed%2], Late: seed%4 == 1,
				Events: []fstest.Event{
					{Name: "nothing", Every: 300, Do: event}, {Name: "nothing when synced", Every: 300, Need: fstest.Synced, Do: event},
					{Name: "nothing when closed", Every: 300, Need: fstest.Closed, Last: true, Do: event},
				},
			})
			if happened < 5 {
				t.Errorf("%d events", happened)
			}
		})
	}
}
