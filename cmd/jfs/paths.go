package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"jfs/fs/control"
	"jfs/meta"
)

// target is a path in a mount. Symlinks are not followed in its last element.
type target struct {
	path string // as given
	abs  string // the same, absolute
	dir  string // that it lies in: absolute, without symlinks
	name string
	ino  meta.Ino // as the mount shows it
	dev  uint64
	mode os.FileMode
}

func findTarget(path string) (target, error) {
	abs, err := absolute(path)
	if err != nil {
		return target{}, err
	}
	info, err := os.Lstat(abs)
	if err != nil {
		return target{}, err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return target{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return target{}, fmt.Errorf("%s has no inode number", path)
	}
	return target{path: path, abs: abs, dir: dir, name: filepath.Base(abs), ino: meta.Ino(st.Ino), dev: st.Dev, mode: info.Mode()}, nil
}

// near is a directory in the same mount.
func (t *target) near() string {
	if t.mode.IsDir() {
		return t.abs
	}
	return t.dir
}

// withMount runs fn with the control file of the mount that a directory lies in. Closing it ends what is under way.
func withMount(dir string, fn func(*control.Client) error) (err error) {
	c, err := control.Open(dir)
	if errors.Is(err, control.ErrNoMount) {
		return fmt.Errorf("%w: give a path in one", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return fn(c)
}

// eachTarget runs fn on all paths, also if it fails for some.
func (a *app) eachTarget(ctx context.Context, paths []string, fn func(target) error) error {
	var failed []error
	for _, path := range paths {
		t, err := findTarget(path)
		if err == nil {
			err = fn(t)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", path, ctx.Err())
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", path, err))
		}
	}
	return errors.Join(failed...)
}

// eachPath is eachTarget with the control file of each path's mount.
func (a *app) eachPath(ctx context.Context, paths []string, fn func(t target, c *control.Client) error) error {
	return a.eachTarget(ctx, paths, func(t target) error {
		return withMount(t.near(), func(c *control.Client) error { return fn(t, c) })
	})
}
