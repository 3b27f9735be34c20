package fs

import (
	"context"

	"jfs/internal/posix"
	"jfs/meta"
)

// Locks are also how programs on several machines agree on who may use a file. So what was written under a lock is
// published before the lock is given up, and who gets a lock sees the file as it is then.

// Flock sets or removes a BSD lock, see meta.Volume.Flock. stale says that another client has changed the file since
// the kernel filled its pages, which it must forget before the caller goes on.
func (f *FS) Flock(ctx context.Context, ino meta.Ino, owner uint64, typ meta.FlockType, block bool) (stale bool, err error) {
	if IsVirtual(ino) {
		return false, posix.ENOLCK
	}
	if typ == meta.FlockNone {
		f.beforeUnlock(ctx, ino)
	}
	if err := f.vol.Flock(ctx, ino, owner, typ, block); err != nil {
		return false, err
	}
	return typ != meta.FlockNone && f.afterLock(ctx, ino), nil
}

// Setlk sets or removes a POSIX record lock, see meta.Volume.Setlk; stale is as with Flock.
func (f *FS) Setlk(ctx context.Context, ino meta.Ino, owner uint64, lock meta.Plock, block bool) (stale bool, err error) {
	if IsVirtual(ino) {
		return false, posix.ENOLCK
	}
	unlock := lock.Type == meta.PlockUnlock
	if unlock {
		f.beforeUnlock(ctx, ino)
	}
	if err := f.vol.Setlk(ctx, ino, owner, lock, block); err != nil {
		return false, err
	}
	return !unlock && f.afterLock(ctx, ino), nil
}

// Getlk gives the first record lock that is in the way, see meta.Volume.Getlk.
func (f *FS) Getlk(ctx context.Context, ino meta.Ino, owner uint64, probe meta.Plock) (meta.Plock, error) {
	return f.vol.Getlk(ctx, ino, owner, probe)
}

// ReleaseLocks removes all record locks of an owner on an inode, as the close of a descriptor does. What was written
// must have been flushed.
func (f *FS) ReleaseLocks(ctx context.Context, ino meta.Ino, owner uint64) error {
	return f.vol.ReleaseLocks(ctx, ino, owner)
}

// beforeUnlock publishes what was written. An error is not the unlock's to report: fsync and close do.
func (f *FS) beforeUnlock(ctx context.Context, ino meta.Ino) {
	fl := f.peek(ino)
	if fl == nil {
		return
	}
	err := fl.flushOut(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if len(fl.pending) == fl.staged && fl.lost == nil {
		fl.lost = err
	}
}

// afterLock makes the present state of the file known.
func (f *FS) afterLock(ctx context.Context, ino meta.Ino) (stale bool) {
	fl := f.peek(ino)
	if fl == nil {
		return false
	}
	stamp := fl.stamp()
	a, err := f.vol.GetAttr(ctx, ino)
	if err != nil {
		// The lock is taken, and must not be reported as refused. Without knowledge everything is old.
		f.log.Warn("state of a locked file", "inode", ino, "err", err)
		fl.mu.Lock()
		defer fl.mu.Unlock()
		fl.dropViews()
		return true
	}
	fl.observe(a, stamp)
	return a.Type == meta.TypeFile && !fl.opened(&a)
}
