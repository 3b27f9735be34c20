package stage

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Disk is a directory that holds one journal. Tests put one that fails in its place.
type Disk interface {
	// List gives the names of the files.
	List() ([]string, error)
	// Open opens a file for reading and writing, which it makes if need be.
	Open(name string) (File, error)
	Rename(from, to string) error
	// Link gives a file a second name.
	Link(from, to string) error
	Remove(name string) error
	// Sync makes names durable.
	Sync() error
	// Free is the share of the file system's space that is free.
	Free() (float64, error)
}

// File is a file of a Disk.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	// Reserve makes room for a file of that size, so that a sync need not write where it lies. It may do nothing.
	Reserve(size int64)
	// Sync makes the contents durable.
	Sync() error
}

// directory is a Disk of the operating system.
type directory struct {
	dir  string
	mode fs.FileMode // of files
}

// OS is a directory of the operating system; mode is that of files.
func OS(dir string, mode fs.FileMode) Disk { return directory{dir, mode} }

func (d directory) path(name string) string { return filepath.Join(d.dir, name) }

func (d directory) List() ([]string, error) {
	entries, err := os.ReadDir(d.dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (d directory) Open(name string) (File, error) {
	f, err := os.OpenFile(d.path(name), os.O_RDWR|os.O_CREATE, d.mode)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d directory) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }
func (d directory) Remove(name string) error     { return os.Remove(d.path(name)) }

func (d directory) Link(from, to string) error {
	err := os.Link(d.path(from), d.path(to))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func (d directory) Sync() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d directory) Free() (float64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil || st.Blocks == 0 {
		return 1, err
	}
	return float64(st.Bavail) / float64(st.Blocks), nil
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) Reserve(size int64) { _ = unix.Fallocate(int(f.Fd()), 0, 0, size) } // only a matter of speed

func (f osFile) Sync() error { return unix.Fdatasync(int(f.Fd())) }
