package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"jfs/object"
)

// An unfinished object is ".jfs." base name ".tmp." random in the object's own directory, so that the
// rename stays in one directory; the base name is cut so that the result is a legal file name.
const (
	tmpPrefix  = ".jfs."
	tmpInfix   = ".tmp."
	tmpNameMax = 200
)

// copyBuffer is the step of copying a body that is not in memory: the cancellation is checked between
// steps.
const copyBuffer = 256 << 10

// Put writes body beside its place and moves it there. Directories appear as they are needed.
func (s *Store) Put(ctx context.Context, key string, body io.ReadSeeker) error {
	path, err := s.path(ctx, object.OpPut, key)
	if err != nil {
		return err
	}
	slash := strings.LastIndexByte(path, '/')
	dir, base := path[:slash+1], path[slash+1:]
	if leftover(base) {
		return fmt.Errorf("put %s: the name is one of unfinished objects: %w", key, object.ErrInvalid)
	}
	tmp := dir + tmpPrefix + base[:min(len(base), tmpNameMax)] + tmpInfix + strconv.FormatUint(rand.Uint64(), 36)

	// Nearly always the directory is there; only if not, it is worth looking for.
	fd, err := open(tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o666)
	if errors.Is(err, unix.ENOENT) {
		if err = s.makeDir(dir); err == nil {
			fd, err = open(tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o666)
		}
	}
	if err != nil {
		return s.fail(object.OpPut, key, err)
	}
	err = s.fill(ctx, fd, body)
	if closeErr := unix.Close(fd); err == nil {
		err = closeErr // network and quota file systems may report a full disk only here
	}
	if err == nil {
		err = retryIntr(func() error { return unix.Rename(tmp, path) })
	}
	if err != nil {
		_ = unix.Unlink(tmp) // the space is wanted back most of all when the disk is full
		return s.fail(object.OpPut, key, err)
	}
	return nil
}

// makeDir makes dir (which ends in a slash) and those above it, but not the store's own directory.
func (s *Store) makeDir(dir string) error {
	if len(dir) <= len(s.root) {
		return fmt.Errorf("the directory of the store does not exist: %w", unix.ENOENT)
	}
	err := unix.Mkdir(dir, 0o777)
	if errors.Is(err, unix.ENOENT) {
		parent := dir[:strings.LastIndexByte(dir[:len(dir)-1], '/')+1]
		if err = s.makeDir(parent); err == nil {
			err = unix.Mkdir(dir, 0o777)
		}
	}
	if errors.Is(err, unix.EEXIST) {
		return nil // by another Put; if it is no directory, the open says so
	}
	return err
}

func (s *Store) fill(ctx context.Context, fd int, body io.ReadSeeker) error {
	out := writer{ctx: ctx, fd: fd, write: s.write}
	if b, ok := body.(*bytes.Reader); ok {
		_, err := b.WriteTo(out) // one write, straight from the caller's memory
		return err
	}
	n, err := object.Remaining(body)
	if err != nil {
		return err
	}
	buf := make([]byte, min(max(n, 1), copyBuffer))
	_, err = io.CopyBuffer(out, struct{ io.Reader }{body}, buf)
	return err
}

type writer struct {
	ctx   context.Context
	fd    int
	write func(fd int, p []byte) (int, error)
}

func (w writer) Write(p []byte) (done int, err error) {
	for done < len(p) {
		if err := w.ctx.Err(); err != nil {
			return done, err
		}
		n, err := w.write(w.fd, p[done:])
		if err != nil && !errors.Is(err, unix.EINTR) {
			return done, err
		}
		done += max(n, 0)
	}
	return done, w.ctx.Err()
}

func leftover(base string) bool {
	return strings.HasPrefix(base, tmpPrefix) && strings.Contains(base, tmpInfix)
}
