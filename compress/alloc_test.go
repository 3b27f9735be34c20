//go:build !race

package compress

import (
	"strings"
	"testing"
)

// The race detector empties pools at random, so allocations are counted without it.
func TestNoAllocations(t *testing.T) {
	src := []byte(strings.Repeat("a block of a file, ", 5000))
	for _, name := range []string{"none", "lz4", "zstd"} {
		c := codec(t, name)
		packed, dst := make([]byte, c.Bound(len(src))), make([]byte, len(src))
		got := testing.AllocsPerRun(50, func() {
			n, err := c.Compress(packed, src)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Decompress(dst, packed[:n]); err != nil {
				t.Fatal(err)
			}
		})
		if got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}
