// Package posix holds the errors that are answers of a file system.
//
// An Error states a fact about the file system ("there is no such entry"). It is a type of our own
// and not syscall.Errno on purpose: an errno may also come out of a cache file or a socket, and such
// an errno must never reach an application as if it were an answer about its file.
package posix

import "syscall"

// Error is a fact about the file system, with the meaning of the Linux errno of the same name.
type Error uint16

// The facts that operations return. The numbers are those of Linux.
const (
	EPERM        = Error(syscall.EPERM)
	ENOENT       = Error(syscall.ENOENT)
	EINTR        = Error(syscall.EINTR)
	EIO          = Error(syscall.EIO)
	EBADF        = Error(syscall.EBADF)
	EAGAIN       = Error(syscall.EAGAIN)
	EACCES       = Error(syscall.EACCES)
	EBUSY        = Error(syscall.EBUSY)
	EEXIST       = Error(syscall.EEXIST)
	EXDEV        = Error(syscall.EXDEV)
	ENODEV       = Error(syscall.ENODEV)
	ENOTDIR      = Error(syscall.ENOTDIR)
	EISDIR       = Error(syscall.EISDIR)
	EINVAL       = Error(syscall.EINVAL)
	ENOLCK       = Error(syscall.ENOLCK)
	ENOTTY       = Error(syscall.ENOTTY)
	ENXIO        = Error(syscall.ENXIO)
	EFBIG        = Error(syscall.EFBIG)
	ENOSPC       = Error(syscall.ENOSPC)
	EROFS        = Error(syscall.EROFS)
	EMLINK       = Error(syscall.EMLINK)
	EPIPE        = Error(syscall.EPIPE)
	ERANGE       = Error(syscall.ERANGE)
	ENAMETOOLONG = Error(syscall.ENAMETOOLONG)
	ENOSYS       = Error(syscall.ENOSYS)
	ENOTEMPTY    = Error(syscall.ENOTEMPTY)
	ELOOP        = Error(syscall.ELOOP)
	ENODATA      = Error(syscall.ENODATA)
	ENOTSUP      = Error(syscall.ENOTSUP)
	ESTALE       = Error(syscall.ESTALE)
	EDQUOT       = Error(syscall.EDQUOT)
)

// Error gives the text that Linux gives.
func (e Error) Error() string { return syscall.Errno(e).Error() }

// Errno gives the number for the kernel.
func (e Error) Errno() syscall.Errno { return syscall.Errno(e) }
