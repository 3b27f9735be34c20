package mount

import (
	"context"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/fs"
	"jfs/internal/posix"
)

func (a *adapter) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return a.do("opendir", cancel, &in.InHeader, func(ctx context.Context) error {
		ino := a.ino(in.NodeId)
		d, err := a.fs.OpenDir(ctx, a.who(&in.InHeader), ino)
		if err != nil {
			return stale(err)
		}
		if a.opt.CacheDirs {
			attr, err := a.fs.GetAttr(ctx, ino)
			if err != nil {
				d.Close()
				return stale(err)
			}
			out.OpenFlags |= fuse.FOPEN_CACHE_DIR
			if a.lists.open(in.NodeId, attr.Mtime) {
				out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
			}
		}
		out.Fh = a.dirs.add(&openDir{directory: d})
		return nil
	})
}

func (a *adapter) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return a.list("readdir", cancel, in, out, false, func(e fs.DirEntry) bool {
		return out.AddDirEntry(a.dirent(&e))
	})
}

func (a *adapter) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	dir := a.ino(in.NodeId)
	t := a.since(in)
	return a.list("readdirplus", cancel, in, out, true, func(e fs.DirEntry) bool {
		entry := out.AddDirLookupEntry(a.dirent(&e))
		if entry == nil {
			return false
		}
		// Without attributes the entry's node stays 0, and the kernel asks when it wants to know more. It wants
		// no attributes with "." and "..".
		if e.Attr != nil && e.Name != "." && e.Name != ".." {
			a.fillEntry(t, dir, e.Name, &fs.Inode{Ino: e.Ino, Attr: *e.Attr}, false, entry)
		}
		return true
	})
}

// openDir is an open directory. What it gives may have been read since it was begun.
type openDir struct {
	directory
	mu    sync.Mutex // guards begun
	begun ticket
}

// since gives the ticket that holds for what a request for entries is answered with.
func (a *adapter) since(in *fuse.ReadIn) ticket {
	d, ok := a.dirs.get(in.Fh)
	if !ok {
		return ticket{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if in.Offset == 0 {
		d.begun = a.leases.ticket()
	}
	return d.begun
}

// list reads on in a directory and adds entries until one does not fit.
func (a *adapter) list(op string, cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList, plus bool, add func(fs.DirEntry) bool) fuse.Status {
	return a.run(op, cancel, a.reqs.interruptDelay, in.NodeId, func(ctx context.Context) error {
		d, ok := a.dirs.get(in.Fh)
		if !ok {
			return posix.EBADF
		}
		err := d.Read(ctx, in.Offset, plus, add)
		if len(out.Bytes()) > 0 {
			return nil // what is there is right, and an error that lasts comes back with the next request
		}
		return err
	})
}

func (a *adapter) dirent(e *fs.DirEntry) fuse.DirEntry {
	return fuse.DirEntry{Name: e.Name, Ino: a.node(e.Ino), Mode: typeBits(e.Type), Off: e.Off}
}

func (a *adapter) ReleaseDir(in *fuse.ReleaseIn) {
	if d, ok := a.dirs.take(in.Fh); ok {
		d.Close()
	}
}

// FsyncDir has nothing to do: changes of the name space are stored when they are answered.
func (a *adapter) FsyncDir(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return fuse.OK }
