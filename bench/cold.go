package bench

import (
	"errors"
	"fmt"
	"os"
)

// dropCachesFile is where the kernel takes the order to drop its caches.
const dropCachesFile = "/proc/sys/vm/drop_caches"

var errNotRoot = errors.New("only root can drop the kernel's caches")

// dropCaches makes the kernel forget clean pages, entries and attributes. What is dirty in the file system of dir
// is written first, because dirty pages stay.
func dropCaches(dir, control string) error {
	if os.Geteuid() != 0 {
		return errNotRoot
	}
	if err := syncfs(dir); err != nil {
		return fmt.Errorf("drop the kernel's caches: %w", err)
	}
	if err := os.WriteFile(control, []byte("3\n"), 0); err != nil { // pages, and entries with inodes
		return fmt.Errorf("drop the kernel's caches: %w", err)
	}
	return nil
}
