package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"jfs/object"
)

// List walks the tree in the order of full keys, in which a directory sorts as its name with a slash.
// It enters only directories that can hold a key of the page, so a page costs its own objects and the
// entries of the directories on the way to it.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, bool, error) {
	if limit <= 0 {
		return nil, false, fmt.Errorf("list %s: limit %d is not positive: %w", prefix, limit, object.ErrInvalid)
	}
	if _, err := os.Stat(s.root); err != nil {
		return nil, false, s.fail(object.OpList, prefix, err)
	}
	l := &lister{ctx: ctx, root: s.root, prefix: prefix, after: after, limit: limit}
	start := prefix[:strings.LastIndexByte(prefix, '/')+1]
	if start != "" && !clean(strings.TrimSuffix(start, "/")) {
		return nil, false, nil // no key begins like that
	}
	if err := l.walk(start); err != nil && !errors.Is(err, errFull) {
		return nil, false, s.fail(object.OpList, prefix, err)
	}
	return l.infos, l.more, nil
}

var errFull = errors.New("the page is full")

type lister struct {
	ctx                 context.Context
	root, prefix, after string
	limit               int

	infos []object.Info
	more  bool
}

// walk visits the directory at (empty or ending in a slash), relative to root.
func (l *lister) walk(at string) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	names, err := l.names(at)
	if err != nil {
		return err
	}
	for _, name := range names {
		key := at + name
		if strings.HasSuffix(name, "/") {
			err = l.walk(key)
		} else {
			err = l.add(key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// names gives the entries of a directory that matter, in order, directories with a slash.
func (l *lister) names(at string) ([]string, error) {
	entries, err := os.ReadDir(l.root + at)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil // removed meanwhile, or the prefix names nothing
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		name := e.Name()
		isDir := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 { // an admin may have moved a part of the store to another disk
			if st, err := os.Stat(l.root + at + name); err == nil {
				isDir = st.IsDir()
			}
		}
		if isDir {
			name += "/"
		}
		if l.wanted(at+name, isDir) && !leftover(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (l *lister) wanted(key string, isDir bool) bool {
	if !isDir {
		return strings.HasPrefix(key, l.prefix) && key > l.after
	}
	return (strings.HasPrefix(key, l.prefix) || strings.HasPrefix(l.prefix, key)) &&
		(key > l.after || strings.HasPrefix(l.after, key))
}

func (l *lister) add(key string) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	info, err := describe(l.root+key, key)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) {
		return nil // deleted since the directory was read, or no regular file
	}
	if err != nil {
		return err
	}
	if len(l.infos) == l.limit {
		l.more = true
		return errFull
	}
	l.infos = append(l.infos, info)
	return nil
}
