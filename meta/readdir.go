package meta

import (
	"context"
	"fmt"

	"jfs/internal/posix"
)

// Readdir gives a page of a directory: about limit entries after cursor, which is "" at first. next is "" at the
// end. "." and ".." are not stored and not given. plus adds the attributes.
func (v *Volume) Readdir(ctx context.Context, dir Ino, cursor string, limit int, plus bool) (page []Dirent, next string, err error) {
	if cursor == "" {
		defer v.timed("NewDirHandler", v.began())
	}
	what := func() string { return fmt.Sprintf("list directory %d", dir) }
	err = v.view(ctx, what, Want{}, func(r Reader) (err error) {
		page, next, err = r.Entries(dir, cursor, limit, plus)
		return err
	})
	return page, next, err
}

// Lookup finds a name in a directory. An entry whose inode is missing is given with its type alone.
func (v *Volume) Lookup(ctx context.Context, who Cred, dir Ino, name string) (Ino, Attr, error) {
	defer v.timed("Lookup", v.began())
	if len(name) > MaxName {
		return 0, Attr{}, posix.ENAMETOOLONG
	}
	var e Entry
	var a Attr
	want := Want{Nodes: []Name{{dir, name}}}
	if !who.Checked {
		want.Perms = []Ino{dir}
	}
	err := v.view(ctx, func() string { return fmt.Sprintf("look up %d/%q", dir, name) }, want, func(r Reader) error {
		if !who.Checked {
			p, ok, err := r.Perm(dir)
			switch {
			case err != nil:
				return err
			case !ok:
				return posix.ENOENT
			case p.Type != TypeDirectory:
				return posix.ENOTDIR
			}
			if err := access(r, who, &p, MayExec); err != nil {
				return err
			}
		}
		var ok bool
		var err error
		if e, ok, err = r.Entry(dir, name); err != nil {
			return err
		}
		if !ok {
			return posix.ENOENT
		}
		if a, ok, err = r.Attr(e.Ino); err == nil && !ok {
			a = Attr{Type: e.Type}
		}
		return err
	})
	return e.Ino, a, err
}
