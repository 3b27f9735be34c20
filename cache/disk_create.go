package cache

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// createFile makes a file that is not there, of pieces one after the other, and returns the space that it takes, or leaves nothing. With
// os.File there would be a call for each piece, and one that asks whether the file can be waited for, which no file
// can: for a small block that is much of the cost.
func createFile(path string, mode fs.FileMode, pieces ...[]byte) (int64, error) {
	fd := -1
	err := again(func() (err error) {
		fd, err = unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, uint32(mode.Perm()))
		return err
	})
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	op, err := "write", writeAll(fd, pieces)
	var st unix.Stat_t
	if err == nil {
		op, err = "stat", again(func() error { return unix.Fstat(fd, &st) })
	}
	// Linux has closed it even if it says that it was interrupted.
	if e := unix.Close(fd); err == nil && e != nil && !errors.Is(e, unix.EINTR) {
		op, err = "close", e
	}
	if err != nil {
		_ = os.Remove(path)
		return 0, &os.PathError{Op: op, Path: path, Err: err}
	}
	return st.Blocks * 512, nil
}

func writeAll(fd int, pieces [][]byte) error {
	for {
		for len(pieces) > 0 && len(pieces[0]) == 0 {
			pieces = pieces[1:]
		}
		if len(pieces) == 0 {
			return nil
		}
		n := 0
		err := again(func() (err error) {
			n, err = unix.Writev(fd, pieces)
			return err
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return unix.EIO // else it would be tried for ever
		}
		for n > 0 {
			part := min(n, len(pieces[0]))
			if pieces[0], n = pieces[0][part:], n-part; n > 0 {
				pieces = pieces[1:]
			}
		}
	}
}

// again repeats a call that a signal has interrupted.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
