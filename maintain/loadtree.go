package maintain

import (
	"errors"
	"fmt"

	"jfs/meta"
)

// branch is an inode of the tree as it is being read.
type branch struct {
	ino   meta.Ino
	dir   meta.Ino // that holds the entry
	have  bool     // the attribute was read
	first bool     // the inode was not seen before
	attr  meta.Attr

	subdirs uint32
	stat    meta.DirStat
	below   totals // everything in the directory, hard links at each place
}

// top reads the root of the tree or of the trash.
func (l *loader) top(want meta.Ino) error {
	b, err := l.read(want, want)
	if err != nil {
		return err
	}
	if b.attr.Type != meta.TypeDirectory {
		return fmt.Errorf("inode %d is the top of a tree and no directory", want)
	}
	return nil
}

// read reads an inode of the dump with all that is below it. top is its number if it is the top of a tree.
func (l *loader) read(dir, top meta.Ino) (*branch, error) {
	if l.out.failed() {
		if err := l.out.wait(); err != nil {
			return nil, err
		}
	}
	if err := l.ctx.Err(); err != nil {
		return nil, err
	}
	b := &branch{dir: dir}
	err := l.object(func(name string) error {
		if name == "attr" {
			return l.readAttr(b, top)
		}
		if !b.have {
			return fmt.Errorf("%q comes before the attribute of its inode", name)
		}
		switch name {
		case "symlink":
			return l.readSymlink(b)
		case "xattrs":
			return l.readXattrs(b)
		case "posix_acl_access":
			return l.readACL(&b.attr.AccessACL)
		case "posix_acl_default":
			return l.readACL(&b.attr.DefaultACL)
		case "chunks":
			return l.readChunks(b)
		case "entries":
			return l.readEntries(b)
		}
		return l.skip()
	})
	if err == nil && !b.have {
		err = errors.New("an inode without attribute")
	}
	if err != nil {
		return b, err
	}
	return b, l.finishInode(b, top != 0)
}

func (l *loader) readAttr(b *branch, top meta.Ino) error {
	var d dumpAttr
	if err := l.decode(&d); err != nil {
		return err
	}
	a, err := d.attr()
	if err != nil {
		return err
	}
	switch {
	case top != 0:
		d.Inode = top
	case d.Inode <= meta.RootIno || d.Inode == meta.TrashIno:
		return fmt.Errorf("inode %d is below the top of a tree", d.Inode)
	}
	b.ino, b.have, b.attr, b.attr.Parent = d.Inode, true, a, b.dir
	if b.first = l.inodes.add(uint64(d.Inode)); !b.first && a.Type == meta.TypeDirectory {
		return fmt.Errorf("directory %d has two entries", d.Inode)
	}
	if b.ino.IsTrash() {
		l.lastTrash = max(l.lastTrash, uint64(b.ino-meta.TrashIno))
	} else {
		l.lastInode = max(l.lastInode, uint64(b.ino))
	}
	return nil
}

func (l *loader) readSymlink(b *branch) error {
	var s string
	if err := l.decode(&s); err != nil {
		return err
	}
	target := unescape(s)
	if b.attr.Type == meta.TypeSymlink {
		b.attr.Length = uint64(len(target))
	}
	if ino := b.ino; b.first {
		l.out.put(func(tx meta.Tx) error {
			tx.SetSymlink(ino, target)
			return nil
		})
	}
	return nil
}

func (l *loader) readXattrs(b *branch) error {
	var list []dumpXattr
	if err := l.decode(&list); err != nil {
		return err
	}
	if !b.first {
		return nil
	}
	ino := b.ino
	for _, x := range list {
		name, value := unescape(x.Name), []byte(unescape(x.Value))
		l.out.put(func(tx meta.Tx) error {
			tx.SetXattr(ino, name, value)
			return nil
		})
	}
	return nil
}

// readACL reads a rule and gives it a number; equal rules share one.
func (l *loader) readACL(id *uint32) error {
	var d *dumpACL
	if err := l.decode(&d); err != nil || d == nil {
		return err
	}
	rule := d.rule()
	if known := l.rules[string(rule)]; known != 0 {
		*id = known
		return nil
	}
	var added uint32
	err := l.eng.Update(l.ctx, meta.Want{}, func(tx meta.Tx) (err error) {
		added, err = tx.AddACL(rule)
		return err
	})
	*id, l.rules[string(rule)] = added, added
	return err
}

// readChunks reads the lists of a file, one chunk at a time.
func (l *loader) readChunks(b *branch) error {
	if !b.first {
		return l.skip()
	}
	t, err := l.token()
	if err != nil {
		return err
	}
	if t == nil { // null
		return nil
	}
	for l.in.More() {
		var c dumpChunk
		if err := l.decode(&c); err != nil {
			return err
		}
		records, err := c.records()
		if err != nil {
			return fmt.Errorf("chunk %d of inode %d: %w", c.Index, b.ino, err)
		}
		if len(records) == 0 {
			continue
		}
		l.references(records)
		ino := b.ino
		l.out.put(func(tx meta.Tx) error {
			tx.AppendSlices(ino, c.Index, records)
			return nil
		})
	}
	_, err = l.token()
	return err
}

// references counts one reference for each record.
func (l *loader) references(records []meta.Slice) {
	for _, s := range records {
		if s.ID == 0 {
			continue
		}
		l.lastSlice = max(l.lastSlice, s.ID)
		ref := meta.SliceRef{ID: s.ID, Size: s.Size}
		if l.slices.add(s.ID) {
			l.out.put(func(tx meta.Tx) error {
				tx.NewRef(ref.ID, ref.Size)
				return nil
			})
			continue
		}
		l.refs[ref]++
		l.later++
	}
}

func (l *loader) readEntries(b *branch) error {
	return l.object(func(escaped string) error {
		name := unescape(escaped)
		if name == "" || len(name) > meta.MaxName {
			return fmt.Errorf("entry %q of directory %d: a name has 1 to %d bytes", name, b.ino, meta.MaxName)
		}
		c, err := l.read(b.ino, 0)
		if err != nil {
			return err
		}
		l.out.put(func(tx meta.Tx) error {
			tx.SetEntry(b.ino, name, meta.Entry{Type: c.attr.Type, Ino: c.ino})
			return nil
		})
		space := c.attr.Space()
		b.stat.Space += space
		b.stat.Inodes++
		if c.attr.Type == meta.TypeFile {
			b.stat.Length += int64(c.attr.Length)
		}
		b.below.add(totals{space, 1})
		b.below.add(c.below)
		if c.attr.Type == meta.TypeDirectory {
			b.subdirs++
		}
		l.o.Progress.add(StepLoaded, 1)
		return nil
	})
}

// finishInode writes the attribute of an inode, when all that is below it is known.
func (l *loader) finishInode(b *branch, top bool) error {
	a, ino := b.attr, b.ino
	if !b.first {
		return l.link(b)
	}
	if l.later >= loadLater {
		if err := l.flushLater(); err != nil {
			return err
		}
	}
	a.Nlink = 1
	if a.Type == meta.TypeDirectory {
		a.Nlink = 2 + b.subdirs
		if ino.IsTrash() {
			a.Nlink = 2 // it never changes
		}
		if top {
			a.Parent = meta.RootIno
		}
		l.finishDir(b)
	}
	l.out.put(func(tx meta.Tx) error {
		if ino == meta.RootIno { // begin has made it
			if _, _, err := tx.Attr(ino); err != nil {
				return err
			}
		}
		tx.SetAttr(ino, &a)
		return nil
	})
	if !top {
		l.charge(&a)
	}
	return nil
}

// finishDir writes the usage of a directory.
func (l *loader) finishDir(b *branch) {
	ino := b.ino
	if l.format.DirStats && ino != meta.TrashIno {
		stat := b.stat
		l.out.put(func(tx meta.Tx) error {
			tx.SetDirStat(ino, stat)
			return nil
		})
	}
	key := meta.QuotaKey{Kind: meta.QuotaDir, ID: uint64(ino)}
	if q, ok := l.quotas[key]; ok {
		q.UsedSpace, q.UsedInodes = b.below.space, b.below.inodes
		l.out.put(func(tx meta.Tx) error {
			tx.SetQuota(key, q)
			return nil
		})
	}
}

// charge adds an inode to the usage of the volume, of its owner and of its group.
func (l *loader) charge(a *meta.Attr) {
	l.used.add(totals{a.Space(), 1})
	if !l.format.UserGroupQuota || a.Type != meta.TypeFile && a.Type != meta.TypeDirectory {
		return
	}
	for _, key := range [...]meta.QuotaKey{{Kind: meta.QuotaUser, ID: uint64(a.UID)}, {Kind: meta.QuotaGroup, ID: uint64(a.GID)}} {
		q, ok := l.quotas[key]
		if !ok {
			q.MaxSpace, q.MaxInodes = -1, -1
		}
		q.UsedSpace += a.Space()
		q.UsedInodes++
		l.quotas[key] = q
	}
}

// loadLater is how many additions to what is written already are collected before they are made.
const loadLater = 10_000

// link adds an entry to an inode that has one already.
func (l *loader) link(b *branch) error {
	l.links[b.ino] = append(l.links[b.ino], b.dir)
	l.later++
	if l.later < loadLater {
		return nil
	}
	return l.flushLater()
}

// flushLater makes the additions that were collected, when what they add to is there.
func (l *loader) flushLater() error {
	if err := l.out.wait(); err != nil {
		return err
	}
	for ref, n := range l.refs {
		l.out.put(func(tx meta.Tx) error {
			tx.AddRef(ref.ID, ref.Size, n)
			return nil
		})
	}
	for ino, dirs := range l.links {
		l.out.put(func(tx meta.Tx) error { return addLinks(tx, ino, dirs) })
	}
	l.later = 0
	l.refs, l.links = map[meta.SliceRef]int64{}, map[meta.Ino][]meta.Ino{}
	return l.out.wait()
}

func addLinks(tx meta.Tx, ino meta.Ino, dirs []meta.Ino) error {
	a, ok, err := tx.Attr(ino)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("inode %d: %w: it was just written and is gone", ino, meta.ErrCorrupt)
	}
	if a.Parent != 0 {
		tx.AddParent(ino, a.Parent, 1)
		a.Parent = 0
	}
	for _, dir := range dirs {
		tx.AddParent(ino, dir, 1)
		a.Nlink++
	}
	tx.SetAttr(ino, &a)
	return nil
}
