package fs

import (
	"context"
	"errors"
	"sync"

	"jfs/internal/posix"
	"jfs/meta"
)

// Inode is what a name stands for.
type Inode struct {
	Ino  meta.Ino
	Attr meta.Attr
}

// Lookup finds a name in a directory.
func (f *FS) Lookup(ctx context.Context, who meta.Cred, dir meta.Ino, name string) (Inode, error) {
	switch {
	case name == "." || name == ".." && dir == f.opt.Root:
		return f.inode(ctx, dir)
	case name == "..":
		a, err := f.vol.GetAttr(ctx, dir)
		if err != nil {
			return Inode{}, err
		}
		return f.inode(ctx, a.Parent)
	}
	if ino, ok := f.special(dir, name); ok {
		return f.inode(ctx, ino)
	}
	stamp := f.stamp()
	ino, a, err := f.vol.Lookup(ctx, who, dir, name)
	if err != nil {
		return Inode{}, err
	}
	if a.Type == meta.TypeDirectory {
		f.parents.learn(ino, dir)
	}
	return Inode{ino, f.local(ino, a, stamp)}, nil
}

// parents remembers in which directories directories were found, for the number that listings show for "..": the
// kernel finds the way up by itself, so it does no harm that a number may be old or missing.
type parents struct {
	mu sync.Mutex // guards of
	of map[meta.Ino]meta.Ino
}

const parentsMost = 10_000

func (p *parents) learn(dir, parent meta.Ino) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil || len(p.of) >= parentsMost {
		p.of = map[meta.Ino]meta.Ino{}
	}
	p.of[dir] = parent
}

func (p *parents) get(dir meta.Ino) (meta.Ino, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	parent, ok := p.of[dir]
	return parent, ok
}

func (f *FS) inode(ctx context.Context, ino meta.Ino) (Inode, error) {
	a, err := f.GetAttr(ctx, ino)
	return Inode{ino, a}, err
}

// local adds to an attribute, which was read since the stamp, what this mount has written and not published.
func (f *FS) local(ino meta.Ino, a meta.Attr, stamp uint64) meta.Attr {
	fl := f.peek(ino)
	if fl == nil || a.Type != meta.TypeFile {
		return a
	}
	fl.mu.RLock()
	defer fl.mu.RUnlock()
	return fl.overlay(fl.newer(a, stamp))
}

// GetAttr gives the attribute of an inode, with what this mount has written to it. Of one that this mount has removed
// it gives the last for a while, as whoever has it open expects.
func (f *FS) GetAttr(ctx context.Context, ino meta.Ino) (meta.Attr, error) {
	if IsVirtual(ino) {
		return f.virtualAttr(ino), nil
	}
	fl := f.peek(ino)
	var stamp uint64
	if fl != nil {
		stamp = fl.stamp()
	}
	a, err := f.vol.GetAttr(ctx, ino)
	if errors.Is(err, posix.ENOENT) {
		if last, ok := f.vol.Departed(ino); ok { // somebody has it still
			return last, nil
		}
	}
	if err != nil || fl == nil {
		return a, err
	}
	return fl.observe(a, stamp), nil
}

// SetAttr is a change of attributes and, with Size, of the length.
type SetAttr struct {
	meta.Change
	Size *uint64
}

// SetAttr changes attributes; h is the handle through which the change comes, nil if by name.
func (f *FS) SetAttr(ctx context.Context, who meta.Cred, ino meta.Ino, s SetAttr, h *Handle) (meta.Attr, error) {
	if IsVirtual(ino) {
		return f.setVirtual(ino, s)
	}
	var a meta.Attr
	var err error
	if s.Size != nil {
		fl := f.get(ino)
		defer f.put(fl)
		if h != nil && h.Writable() {
			a, err = fl.truncate(ctx, who, *s.Size, true)
		} else {
			a, err = fl.truncate(ctx, who, *s.Size, false)
		}
		if err != nil || s.Change == (meta.Change{}) {
			return a, err
		}
	}
	fl := f.peek(ino)
	if fl != nil && (s.Mtime != nil || s.MtimeNow) {
		// Pending writes carry a time of their own, which must not come after the one set here.
		if err := fl.beforeMtime(ctx, s.Mtime); err != nil {
			return a, err
		}
	}
	before, a, err := f.vol.SetAttr(ctx, who, ino, s.Change)
	if err != nil || fl == nil {
		return a, err
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.known {
		fl.changed(&before, &a)
	}
	return fl.overlay(a), nil
}

// Mknod makes an inode of any type.
func (f *FS) Mknod(ctx context.Context, who meta.Cred, dir meta.Ino, name string, n meta.New) (Inode, error) {
	if f.reserved(dir, name) {
		return Inode{}, posix.EEXIST
	}
	ino, a, err := f.vol.Mknod(ctx, who, dir, name, n)
	return Inode{ino, a}, err
}

// Link makes another name for an inode.
func (f *FS) Link(ctx context.Context, who meta.Cred, ino, dir meta.Ino, name string) (meta.Attr, error) {
	if f.reserved(dir, name) || IsVirtual(ino) {
		return meta.Attr{}, posix.EPERM
	}
	stamp := f.stamp()
	a, err := f.vol.Link(ctx, who, ino, dir, name)
	if err != nil {
		return a, err
	}
	return f.local(ino, a, stamp), nil
}

// Unlink removes a name that is no directory.
func (f *FS) Unlink(ctx context.Context, who meta.Cred, dir meta.Ino, name string) error {
	if f.reserved(dir, name) {
		return posix.EPERM
	}
	return f.vol.Unlink(ctx, who, dir, name)
}

// Rmdir removes an empty directory.
func (f *FS) Rmdir(ctx context.Context, who meta.Cred, dir meta.Ino, name string) error {
	if f.reserved(dir, name) {
		return posix.EPERM
	}
	return f.vol.Rmdir(ctx, who, dir, name)
}

// Rename moves a name; flags are those of renameat2(2).
func (f *FS) Rename(ctx context.Context, who meta.Cred, from, to meta.Name, flags uint32) error {
	if f.reserved(from.Dir, from.Name) || f.reserved(to.Dir, to.Name) {
		return posix.EPERM
	}
	if err := f.beforeReplace(ctx, who, from, to, flags); err != nil {
		return err
	}
	return f.vol.Rename(ctx, who, from, to, flags)
}

// Readlink gives the target of a symlink.
func (f *FS) Readlink(ctx context.Context, ino meta.Ino) (string, error) {
	target, err := f.vol.Readlink(ctx, ino)
	if err == nil {
		f.accessed(ctx, ino)
	}
	return target, err
}

// Access checks permission bits.
func (f *FS) Access(ctx context.Context, who meta.Cred, ino meta.Ino, mask uint16) error {
	if IsVirtual(ino) {
		return f.mayUse(who, ino, mask)
	}
	return f.vol.Access(ctx, who, ino, mask)
}

// StatFS gives the size and use of the volume.
func (f *FS) StatFS(ctx context.Context) meta.Space { return f.vol.StatFS(ctx, f.Root()) }

// GetXattr gives the value of an extended attribute.
func (f *FS) GetXattr(ctx context.Context, ino meta.Ino, name string) ([]byte, error) {
	if IsVirtual(ino) {
		return nil, posix.ENODATA
	}
	return f.vol.GetXattr(ctx, ino, name)
}

// SetXattr sets an extended attribute.
func (f *FS) SetXattr(ctx context.Context, who meta.Cred, ino meta.Ino, name string, value []byte, flags uint32) error {
	if IsVirtual(ino) {
		return posix.EPERM
	}
	return f.vol.SetXattr(ctx, who, ino, name, value, flags)
}

// ListXattr gives the names of the extended attributes.
func (f *FS) ListXattr(ctx context.Context, ino meta.Ino) ([]string, error) {
	if IsVirtual(ino) {
		return nil, nil
	}
	return f.vol.ListXattr(ctx, ino)
}

// RemoveXattr removes an extended attribute.
func (f *FS) RemoveXattr(ctx context.Context, who meta.Cred, ino meta.Ino, name string) error {
	if IsVirtual(ino) {
		return posix.EPERM
	}
	return f.vol.RemoveXattr(ctx, who, ino, name)
}
