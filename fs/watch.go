package fs

import (
	"context"

	"jfs/meta"
)

// Watch gives the part of the database that tells of changes, nil if it has none.
func (f *FS) Watch() meta.Coherent { return f.vol.Coherent() }

// Resolve gives the inode that each of the names in a directory stands for, 0 for those that are not there.
func (f *FS) Resolve(ctx context.Context, dir meta.Ino, names []string) ([]meta.Ino, error) {
	return f.vol.Resolve(ctx, dir, names)
}

// Published says whether all that was written to a file is published, so that its attribute changes only with a
// change that is told.
func (f *FS) Published(ino meta.Ino) bool {
	fl := f.peek(ino)
	if fl == nil {
		return true
	}
	fl.mu.RLock()
	defer fl.mu.RUnlock()
	return len(fl.pending) == 0
}
