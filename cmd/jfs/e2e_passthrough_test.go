package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// backings gives the files in the cache that the kernel can read by itself.
func (w *world) backings() (names []string) {
	w.t.Helper()
	sums, err := filepath.Glob(w.path("cache/*/passthrough/0/*.sums"))
	must(w.t, err)
	for _, s := range sums {
		names = append(names, strings.TrimSuffix(s, ".sums"))
	}
	return names
}

// TestE2EPassthrough: a file that was read twice is read by the kernel alone, in volumes that compress and encrypt too; that
// is so after the mount was killed, and what was damaged meanwhile is not read.
func TestE2EPassthrough(t *testing.T) {
	for _, compression := range []string{"none", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			w := newWorld(t)
			w.format("--compress", compression)
			flags := []string{"sqlite3://$/m.db", "$/mnt", "--passthrough", "auto"}
			f := w.mountForeground(flags...)
			data := content(9<<20+123, 5)
			w.write("mnt/f", data)
			made := func() {
				t.Helper()
				eventually(t, "a backing file", func() error {
					w.holds("mnt/f", data)
					if n := len(w.backings()); n != 1 {
						return fmt.Errorf("%d backing files", n)
					}
					return nil
				})
			}
			made()
			for _, name := range w.backings() {
				if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, data) {
					t.Errorf("the backing file has %d bytes: %v", len(got), err)
				}
			}
			if n := cachedBlocks(t, w.path("cache")); n != 0 {
				t.Errorf("%d blocks are kept twice", n)
			}
			w.holds("mnt/f", data)
			must(t, f.cmd.Process.Kill())
			_ = f.cmd.Wait() //nolint:errcheck // it was killed

			name := w.backings()[0]
			file, err := os.OpenFile(name, os.O_RDWR, 0)
			must(t, err)
			_, err = file.WriteAt([]byte{data[5<<20] ^ 1}, 5<<20)
			must(t, errors.Join(err, file.Close()))
			w.mountForeground(flags...)
			eventually(t, "the damaged file goes", func() error {
				w.holds("mnt/f", data)
				for _, name := range w.backings() { // another one, if the kernel has not all of the file in its pages
					if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, data) {
						return errors.New("it is there still")
					}
				}
				return nil
			})
			w.ok("umount", "$/mnt")
		})
	}
}

// TestE2EPassthroughOff: what cannot be read so is told, and is read as ever.
func TestE2EPassthroughOff(t *testing.T) {
	w := newWorld(t)
	w.format()
	for _, flags := range [][]string{{"--passthrough", "off"}, {"--atime-mode", "relatime", "--passthrough", "auto"}} {
		w.mount(flags...)
		data := content(3<<20, 5)
		w.write("mnt/f", data)
		for range 3 {
			w.holds("mnt/f", data)
		}
		w.ok("umount", "$/mnt")
		if n := len(w.backings()); n != 0 {
			t.Errorf("%q: %d backing files", flags, n)
		}
	}
}
