package meta

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"jfs/internal/posix"
)

// FindPath finds an inode by its path from the root of the volume. Symlinks are not followed and ".." is refused.
func (v *Volume) FindPath(ctx context.Context, who Cred, path string) (Ino, Attr, error) {
	at := RootIno
	a, err := v.GetAttr(ctx, at)
	if err != nil {
		return 0, Attr{}, err
	}
	for name := range strings.SplitSeq(path, "/") {
		switch {
		case name == "" || name == ".":
			continue
		case name == "..":
			return 0, Attr{}, fmt.Errorf("path %q: %w: give it without \"..\"", path, posix.EINVAL)
		case a.Type != TypeDirectory:
			return 0, Attr{}, fmt.Errorf("path %q: %w", path, posix.ENOTDIR)
		}
		if at, a, err = v.Lookup(ctx, who, at, name); err != nil {
			return 0, Attr{}, fmt.Errorf("path %q: %w", path, err)
		}
	}
	return at, a, nil
}

// MakePath finds a directory by its path from the root of the volume, and makes those that are missing on the way,
// with mode 0755.
func (v *Volume) MakePath(ctx context.Context, who Cred, path string) (Ino, error) {
	at := RootIno
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." {
			continue
		}
		if name == ".." {
			return 0, fmt.Errorf("path %q: %w: give it without \"..\"", path, posix.EINVAL)
		}
		next, a, err := v.Lookup(ctx, who, at, name)
		if errors.Is(err, posix.ENOENT) {
			next, a, err = v.Mknod(ctx, who, at, name, New{Type: TypeDirectory, Mode: 0755})
			if errors.Is(err, posix.EEXIST) { // somebody else was faster
				next, a, err = v.Lookup(ctx, who, at, name)
			}
		}
		if err == nil && a.Type != TypeDirectory {
			err = posix.ENOTDIR
		}
		if err != nil {
			return 0, fmt.Errorf("path %q: %w", path, err)
		}
		at = next
	}
	return at, nil
}
