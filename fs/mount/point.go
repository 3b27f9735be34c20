package mount

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"jfs/internal/mounts"
)

// resolve gives the path of a mount point as the kernel's table shows it. Its last part is looked at only when
// nothing of FUSE is mounted there, because a look may hang.
func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("mount point %s: %w", path, err)
	}
	for range 40 { // the kernel's limit of symlinks in a row
		parent, err := filepath.EvalSymlinks(filepath.Dir(abs))
		if err != nil {
			return "", pointError(path, err)
		}
		point := filepath.Join(parent, filepath.Base(abs))
		if m, ok, err := mounts.At(point); err != nil || ok && m.FUSE() {
			return point, err
		}
		target, err := os.Readlink(point)
		if err != nil { // not a link, or a problem that the caller will find
			return point, nil //nolint:nilerr // as said
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(parent, target)
		}
		abs = target
	}
	return "", pointError(path, syscall.ELOOP)
}

// checkPoint says why a resolved path cannot be mounted on. With force a mount of a volume that is there is no reason,
// and nothing is asked of it.
func checkPoint(point string, nonEmpty, force bool) error {
	m, ok, err := mounts.At(point)
	if err != nil {
		return err
	}
	if ok && force && m.Type == "fuse."+fuseType {
		return nil
	}
	if ok && m.FUSE() {
		return fmt.Errorf("mount point %[1]s: %[2]s is already mounted there; unmount it with: jfs umount %[1]s "+
			"(with --force if it answers \"transport endpoint is not connected\" or not at all)", point, m.Source)
	}
	info, err := os.Stat(point)
	if err != nil {
		return pointError(point, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("mount point %s is not a directory; give the path of an empty directory", point)
	}
	if nonEmpty {
		return nil
	}
	dir, err := os.Open(point)
	if err != nil {
		return pointError(point, err)
	}
	defer dir.Close() //nolint:errcheck // only read
	switch _, err := dir.Readdirnames(1); {
	case err == nil:
		return fmt.Errorf("mount point %s is not empty; empty it, or hide what it has with: -o nonempty", point)
	case !errors.Is(err, io.EOF):
		return pointError(point, err)
	}
	return nil
}

func pointError(point string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("mount point %[1]s does not exist; make it with: mkdir -p %[1]s", point)
	case errors.Is(err, syscall.ENOTCONN):
		return fmt.Errorf("mount point %[1]s is left over from a mount whose process is gone (transport endpoint is not "+
			"connected); remove that with: jfs umount --force %[1]s", point)
	}
	return fmt.Errorf("mount point %s: %w", point, err)
}
