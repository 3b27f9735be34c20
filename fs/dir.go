package fs

import (
	"context"
	"slices"
	"strings"
	"sync"

	"jfs/internal/posix"
	"jfs/meta"
)

// dirPage is how many entries are asked for at a time: enough that the round trip does not count, and small enough
// that the first ones of a huge directory come at once.
const dirPage = 1000

// dirKept is how many entries are remembered at least. The kernel comes back to the place of the first entry of an answer
// that did not fit into its caller's buffer, and the answer may have had 1 MiB, which is 32,768 entries. What it comes
// back for must be what it was, however many entries have come and gone: read anew, others would stand in the places.
const dirKept = 33_000

// Dir is an open directory. It gives the entries that were there when they were read; an offset stays good until
// the directory is read from its beginning again. An offset far back, which only seekdir(3) asks for, is counted anew.
type Dir struct {
	fs  *FS
	ino meta.Ino
	who meta.Cred

	mu     sync.Mutex // guards the rest
	start  uint64     // number of all[0] among the stored entries
	all    []meta.Dirent
	plus   uint64 // number of the first entry that was read with attributes, as all behind it were
	cursor string
	end    bool
	seen   map[string]struct{} // names given so far, once there is more than one page
	stamp  uint64              // of the file system when the listing was begun
}

// DirEntry is an entry of a listing. Off is the offset at which the next entry is read. "." and ".." have no
// attribute.
type DirEntry struct {
	meta.Dirent
	Off uint64
}

// OpenDir opens a directory.
func (f *FS) OpenDir(ctx context.Context, who meta.Cred, ino meta.Ino) (*Dir, error) {
	if !who.Checked {
		if err := f.vol.Access(ctx, who, ino, meta.MayRead); err != nil {
			return nil, err
		}
	}
	return &Dir{fs: f, ino: ino, who: who}, nil
}

// Close ends the listing.
func (d *Dir) Close() {}

// dots is the number of entries before the stored ones.
const dots = 2

// Read gives the entries from off on until emit says that there is no more room. With plus they have attributes.
func (d *Dir) Read(ctx context.Context, off uint64, plus bool, emit func(DirEntry) bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off == 0 {
		d.fs.accessed(ctx, d.ino)
	}
	if off == 0 || off < d.start+dots {
		d.rewind()
	}
	for ; off < dots; off++ {
		e, err := d.dot(ctx, off)
		if err != nil {
			return err
		}
		if !emit(DirEntry{e, off + 1}) {
			return nil
		}
	}
	for {
		for off-dots >= d.start+uint64(len(d.all)) {
			if d.end {
				return nil
			}
			if err := d.next(ctx, plus); err != nil {
				return err
			}
		}
		e := d.all[off-dots-d.start]
		if plus && off-dots < d.plus && e.Attr == nil {
			if a, err := d.fs.vol.GetAttr(ctx, e.Ino); err == nil {
				e.Attr = &a
			}
		}
		if e.Attr != nil {
			a := d.fs.local(e.Ino, *e.Attr, d.stamp)
			e.Attr = &a
		}
		if !emit(DirEntry{e, off + 1}) {
			return nil
		}
		off++
	}
}

func (d *Dir) rewind() {
	d.stamp = d.fs.stamp()
	d.start, d.all, d.plus, d.cursor, d.end, d.seen = 0, nil, 0, "", false, nil
}

func (d *Dir) dot(ctx context.Context, off uint64) (meta.Dirent, error) {
	e := meta.Dirent{Name: ".", Entry: meta.Entry{Type: meta.TypeDirectory, Ino: d.ino}}
	if off == 0 {
		return e, nil
	}
	e.Name = ".."
	if d.ino == d.fs.opt.Root {
		return e, nil
	}
	if parent, ok := d.fs.parents.get(d.ino); ok {
		e.Ino = parent
		return e, nil
	}
	a, err := d.fs.vol.GetAttr(ctx, d.ino)
	if err != nil {
		return e, err
	}
	if a.Type != meta.TypeDirectory {
		return e, posix.ENOTDIR
	}
	if a.Parent != 0 {
		e.Ino = a.Parent
	}
	return e, nil
}

// next reads a page and lets go of what is far behind. To be sorted, all pages are read.
func (d *Dir) next(ctx context.Context, plus bool) error {
	if err := d.nextPage(ctx, plus); err != nil || !d.fs.opt.SortDir {
		return err
	}
	for !d.end {
		if err := d.nextPage(ctx, plus); err != nil {
			d.rewind()
			return err
		}
	}
	slices.SortFunc(d.all, func(a, b meta.Dirent) int { return strings.Compare(a.Name, b.Name) })
	d.seen = nil
	return nil
}

func (d *Dir) nextPage(ctx context.Context, plus bool) error {
	page, cursor, err := d.fs.vol.Readdir(ctx, d.ino, d.cursor, dirPage, plus)
	if err != nil {
		return err
	}
	first := d.cursor == ""
	d.cursor, d.end = cursor, cursor == ""
	if !first || !d.end {
		page = d.fresh(page)
	}
	if first {
		page = append(page, d.fs.listed(d.ino)...)
	}
	if !plus {
		d.plus = d.start + uint64(len(d.all)+len(page))
	}
	if old := len(d.all) - dirKept; old > dirKept && !d.fs.opt.SortDir { // seldom, as it copies
		d.all = slices.Clone(d.all[old:])
		d.start += uint64(old)
	}
	d.all = append(d.all, page...)
	return nil
}

// fresh leaves out the names that an earlier page has given.
func (d *Dir) fresh(page []meta.Dirent) []meta.Dirent {
	if d.seen == nil {
		d.seen = map[string]struct{}{}
	}
	kept := page[:0]
	for _, e := range page {
		if _, twice := d.seen[e.Name]; !twice {
			d.seen[e.Name] = struct{}{}
			kept = append(kept, e)
		}
	}
	return kept
}
