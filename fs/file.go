package fs

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"jfs/meta"
)

// file is what this mount knows of an inode: its attribute and chunk lists as last seen, and what was written to
// it and is not published yet.
type file struct {
	fs  *FS
	ino meta.Ino

	refs int           // guarded by fs.mu
	idle *list.Element // guarded by fs.mu

	looking atomic.Bool // the view of a chunk is being loaded ahead of its reader

	mu sync.RWMutex // guards the rest; fs.mu may be taken before it, never after it

	known   bool                    // attr is set
	attr    meta.Attr               // as published
	checked time.Time               // when attr was last read or written
	commits uint64                  // number, in the mount, of the last own change of attr; what was read before it may be old
	gen     uint64                  // grows whenever views are dropped
	views   map[uint32][]meta.Slice // what is seen of published chunks, true for attr
	fresh   bool                    // made by this mount: chunks that are not in views are empty
	pages   version                 // state that the pages in the kernel's cache belong to
	shown   version                 // state that the shadow belongs to

	pending []*slice          // slices that are not published, in the order in which they were begun
	byID    map[uint64]*slice // the same by number
	end     uint64            // largest end of a pending slice
	written meta.Time         // of the last write
	writes  uint64            // number of writes so far
	flushes *flush            // the flush under way
	stages  []*staged         // flushes that are in the stage and not published, in their order
	staged  int               // slices of pending that belong to them; the others come behind
	lost    error             // writes that were refused since the last flush that somebody waited for
	promise meta.Promise      // room for what is pending
	shadow  shadow            // has a mutex of its own
	unsure  bool              // the last commit failed in a way that may have published it
}

// version tells states of a file's data apart.
type version struct {
	mtime, ctime meta.Time
	length       uint64
}

func versionOf(a *meta.Attr) version { return version{a.Mtime, a.Ctime, a.Length} }

func newFile(f *FS, ino meta.Ino) *file {
	return &file{fs: f, ino: ino, views: map[uint32][]meta.Slice{}, byID: map[uint64]*slice{}}
}

// stamp is FS.stamp, and changes only with this file.
func (f *file) stamp() uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.commits
}

// observe takes over an attribute that was read from the database since the stamp, and drops the views if another
// client has changed the file. It gives the attribute with the pending writes in it.
func (f *file) observe(a meta.Attr, stamp uint64) meta.Attr {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.commits <= stamp {
		if f.known && versionOf(&a) != versionOf(&f.attr) {
			f.dropViews()
		}
		f.attr, f.known, f.checked = a, true, f.fs.now()
	}
	return f.overlay(f.newer(a, stamp))
}

// newer gives the newer of an attribute that was read from the database since the stamp, and the one that a change of
// this mount has left meanwhile: nothing is pending any more of what that change has published, so with the older one
// the file would seem to be without it. f.mu is held.
func (f *file) newer(a meta.Attr, stamp uint64) meta.Attr {
	if f.known && f.commits > stamp && a.Ctime.Sub(f.attr.Ctime) <= 0 {
		return f.attr
	}
	return a
}

// recent gives the attribute if it is new enough for an open.
func (f *file) recent() (a meta.Attr, ok bool) {
	if f.fs.opt.OpenCache <= 0 {
		return a, false
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.attr, f.known && f.fs.now().Sub(f.checked) < f.fs.opt.OpenCache
}

// overlay adds to an attribute what this mount has written and not published. f.mu is held.
func (f *file) overlay(a meta.Attr) meta.Attr {
	if len(f.pending) == 0 {
		return a
	}
	a.Length = max(a.Length, f.end)
	a.Mtime = f.mtimeAfter(a.Mtime)
	if len(f.pending) > f.staged {
		a.Mtime = f.written
	}
	if f.written.Sub(a.Ctime) > 0 {
		a.Ctime = f.written
	}
	return a
}

// dropViews forgets the chunk lists. f.mu is held.
func (f *file) dropViews() {
	f.gen++
	f.fresh = false
	clear(f.views)
}

// changed takes over the attribute after an own change, which was from old to a. It keeps the views only if old is
// the state that they belong to.
func (f *file) changed(old, a *meta.Attr) {
	f.commits = f.fs.changes.Add(1)
	if !f.known || versionOf(old) != versionOf(&f.attr) {
		f.dropViews()
	}
	if versionOf(old) == f.pages {
		f.pages = versionOf(a) // the kernel has the same change in its pages
	}
	if versionOf(old) == f.shown {
		f.shown = versionOf(a) // so has the shadow
	}
	f.attr, f.known, f.checked = *a, true, f.fs.now()
}

// length is the end of the file with the pending writes. f.mu is held.
func (f *file) length() uint64 {
	if len(f.pending) > 0 {
		return max(f.attr.Length, f.end)
	}
	return f.attr.Length
}

// opened says whether the kernel's pages are still good for an open that found this attribute.
func (f *file) opened(a *meta.Attr) (keep bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := versionOf(a)
	keep = f.pages == v || len(f.pending) > 0 && f.pages == versionOf(&f.attr)
	f.pages = v
	return keep
}

// made takes over the attribute of an inode that this mount has just made.
func (f *file) made(a *meta.Attr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attr, f.known, f.fresh, f.pages, f.checked = *a, true, true, versionOf(a), f.fs.now()
}

// truncate sets the length.
func (f *file) truncate(ctx context.Context, who meta.Cred, length uint64, opened bool) (a meta.Attr, err error) {
	err = f.alter(ctx, func() (from, to uint64, err error) {
		a, err = f.truncateNow(ctx, who, length, opened)
		return 0, 0, err
	})
	return a, err
}

func (f *file) truncateNow(ctx context.Context, who meta.Cred, length uint64, opened bool) (meta.Attr, error) {
	if err := f.flushOut(ctx); err != nil {
		return meta.Attr{}, err
	}
	old, a, err := f.fs.vol.Resize(ctx, who, f.ino, length, opened)
	if err != nil {
		return a, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// and not what another client has made of the file since
	same, shown := f.pages == versionOf(&old), f.shown == versionOf(&old)
	f.commits = f.fs.changes.Add(1)
	f.dropViews()
	if len(f.pending) == 0 {
		f.fs.vol.Forget(&f.promise)
	}
	f.attr, f.known, f.checked = a, true, f.fs.now()
	if same {
		f.pages = versionOf(&a) // the kernel cuts its pages itself
	}
	if shown {
		f.shown = versionOf(&a)
	}
	return f.overlay(a), nil
}
