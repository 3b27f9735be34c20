package mount

import (
	"context"
	"errors"
	"syscall"

	"jfs/internal/posix"
)

// errno is the one table from errors to numbers for the kernel. logged says that the number is not the whole
// story, so the error belongs into the log.
func errno(err error) (no syscall.Errno, logged bool) {
	if err == nil {
		return 0, false
	}
	fact, ok := err.(posix.Error) //nolint:errorlint // bare answers are the common case; wrapped ones are found below
	if ok || errors.As(err, &fact) {
		if fact == posix.ENOSYS {
			// The kernel takes ENOSYS as "never ask again" and remembers it for the life of the mount.
			return syscall.EOPNOTSUPP, false
		}
		return fact.Errno(), false
	}
	if errors.Is(err, context.Canceled) {
		return syscall.EINTR, false
	}
	return syscall.EIO, true // deadlines, corrupt records, failures of the database and the object store
}

// stale makes of "there is no such inode", where the kernel has named an inode and no name, the answer to which it looks
// the path up once more: the name may lead to another inode by now, here or by the hand of another mount. The caller
// gets what that finds.
func stale(err error) error {
	if errors.Is(err, posix.ENOENT) {
		return posix.ESTALE
	}
	return err
}
