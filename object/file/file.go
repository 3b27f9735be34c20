// Package file is an object store in a local directory: an object is a file named directory + key.
//
// A Put is whole or absent for readers and for a crash of the process. It is not forced to the disk: like
// the format's official client it leaves that to the kernel, so a power cut may take recent objects.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"jfs/object"
)

// Store keeps objects below a directory.
type Store struct {
	root  string // absolute, ends in a slash
	write func(fd int, p []byte) (int, error)
}

var _ object.Store = (*Store)(nil)

// New makes a store in the directory root, an absolute path that ends in "/" (a volume's Bucket). The
// directory is made by Create, not by New, and never by Put: a disk that is not mounted must not be taken
// for an empty store.
func New(root string) (*Store, error) {
	if !filepath.IsAbs(root) || !strings.HasSuffix(root, "/") || strings.ContainsRune(root, 0) {
		return nil, fmt.Errorf("bucket %q of a file store must be an absolute directory that ends in \"/\": %w", root, object.ErrInvalid)
	}
	return &Store{root: root, write: unix.Write}, nil
}

// String names the store.
func (s *Store) String() string { return "file://" + s.root }

// Create makes the directory, with those above it.
func (s *Store) Create(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("create %s: %w", s.root, err)
	}
	if err := os.MkdirAll(s.root, 0o777); err != nil {
		return s.fail(object.OpCreate, s.root, err)
	}
	return nil
}

// Get opens bytes [off, off+n) of an object; n < 0 means to its end. The reader is for one goroutine.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	path, err := s.path(ctx, object.OpGet, key)
	if err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, fmt.Errorf("get %s: offset %d is negative: %w", key, off, object.ErrInvalid)
	}
	fd, err := open(path, unix.O_RDONLY, 0)
	if err != nil {
		return nil, s.fail(object.OpGet, key, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, s.fail(object.OpGet, key, err)
	}
	if !isFile(&st) {
		unix.Close(fd)
		return nil, s.fail(object.OpGet, key, unix.ENOENT)
	}
	end := st.Size
	if n >= 0 && n < end-off {
		end = off + n
	}
	return &reader{ctx: ctx, fd: fd, key: key, at: off, end: end}, nil
}

// Head describes an object.
func (s *Store) Head(ctx context.Context, key string) (object.Info, error) {
	path, err := s.path(ctx, object.OpHead, key)
	if err != nil {
		return object.Info{}, err
	}
	info, err := describe(path, key)
	if err != nil {
		return object.Info{}, s.fail(object.OpHead, key, err)
	}
	return info, nil
}

// Delete removes an object. A key that ends in "/" means the directory of that name, which goes if it is
// empty. Directories that become empty stay: removing them would race with a Put into them.
func (s *Store) Delete(ctx context.Context, key string) error {
	path, err := s.path(ctx, object.OpDelete, strings.TrimSuffix(key, "/"))
	if err != nil {
		return err
	}
	if strings.HasSuffix(key, "/") {
		err = unix.Rmdir(path)
	} else {
		err = unix.Unlink(path)
	}
	switch {
	case err == nil, errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EISDIR),
		errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.ENAMETOOLONG):
		return nil
	}
	return s.fail(object.OpDelete, key, err)
}

// path checks ctx and key, and gives the file's path. Elements that the kernel would resolve are refused:
// two keys must never be one file, and no key a file outside of the directory.
func (s *Store) path(ctx context.Context, op object.Op, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("%s %s: %w", op, key, err)
	}
	if !clean(key) {
		// For a reader such an object simply does not exist.
		kind := object.ErrInvalid
		if op == object.OpGet || op == object.OpHead {
			kind = object.ErrNotFound
		}
		return "", fmt.Errorf("%s: key %q has an empty, \".\" or \"..\" element or a zero byte: %w", op, key, kind)
	}
	return s.root + key, nil
}

func clean(key string) bool {
	for element := range strings.SplitSeq(key, "/") {
		if element == "" || element == "." || element == ".." {
			return false
		}
	}
	return !strings.ContainsRune(key, 0)
}

// fail says what a system call's failure means for the caller.
func (s *Store) fail(op object.Op, key string, err error) error {
	var kind error
	switch {
	case errors.Is(err, unix.ENOENT):
		kind = object.ErrNotFound
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.ELOOP):
		kind = object.ErrInvalid
		if op == object.OpGet || op == object.OpHead {
			kind = object.ErrNotFound
		}
	case errors.Is(err, unix.EISDIR):
		kind = object.ErrInvalid
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		kind = object.ErrDenied
	default:
		return fmt.Errorf("%s %s in %s: %w", op, key, s.root, err)
	}
	return fmt.Errorf("%s %s in %s: %w: %w", op, key, s.root, err, kind)
}

func describe(path, key string) (object.Info, error) {
	var st unix.Stat_t
	if err := retryIntr(func() error { return unix.Stat(path, &st) }); err != nil {
		return object.Info{}, err
	}
	if !isFile(&st) {
		return object.Info{}, unix.ENOENT
	}
	return object.Info{Key: key, Size: st.Size, Modified: time.Unix(st.Mtim.Unix())}, nil
}

func isFile(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }

type reader struct {
	ctx     context.Context
	fd      int // -1 when closed
	key     string
	at, end int64
}

func (r *reader) Read(p []byte) (int, error) {
	if r.at >= r.end {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.ctx.Err(); err != nil {
		return 0, fmt.Errorf("read %s: %w", r.key, err)
	}
	if r.fd < 0 {
		return 0, fmt.Errorf("read %s: %w", r.key, os.ErrClosed)
	}
	p = p[:min(int64(len(p)), r.end-r.at)]
	var n int
	err := retryIntr(func() (err error) {
		n, err = unix.Pread(r.fd, p, r.at)
		return err
	})
	switch {
	case err != nil:
		return 0, fmt.Errorf("read %s: %w", r.key, err)
	case n == 0: // the file was cut behind our back
		return 0, fmt.Errorf("read %s: %w", r.key, io.ErrUnexpectedEOF)
	}
	r.at += int64(n)
	return n, nil
}

func (r *reader) Close() error {
	if r.fd < 0 {
		return nil
	}
	fd := r.fd
	r.fd = -1
	return unix.Close(fd)
}

// The calls go to the kernel directly: package os would register every file with the poller and stat the
// target of every rename, which costs a third more system calls for an object.

func open(path string, flags int, mode uint32) (fd int, err error) {
	err = retryIntr(func() error {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

func retryIntr(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
