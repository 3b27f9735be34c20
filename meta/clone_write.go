package meta

// cloneWrite is the transaction that clones some inodes.
type cloneWrite struct {
	c     *cloner
	tx    Tx
	into  Ino
	now   Time
	stats map[Ino]DirStat    // of the directories among the sources
	refs  map[SliceRef]int64 // references to add
}

func (w *cloneWrite) readStats(entries []Dirent) (err error) {
	var dirs []Ino
	for _, e := range entries {
		if e.Type == TypeDirectory {
			dirs = append(dirs, e.Ino)
		}
	}
	if len(dirs) > 0 && w.c.v.format.Load().DirStats {
		w.stats, err = w.tx.DirStats(dirs)
	}
	return err
}

// node clones one inode without its entry; ok is false if the source is no longer what the entry says.
func (w *cloneWrite) node(e Dirent, ino Ino) (n cloned, ok bool, err error) {
	c, tx := w.c, w.tx
	a, ok, err := tx.Attr(e.Ino)
	if err != nil || !ok || a.Type != e.Type {
		return n, false, err
	}
	mask := MayRead // whoever gets a copy gets what is in it
	if a.Type == TypeDirectory {
		mask |= MayExec
	}
	if err := access(tx, c.who, &a, mask); err != nil {
		return n, false, err
	}
	a.Parent = w.into
	if a.Type != TypeDirectory {
		a.Nlink = 1
	}
	if !c.opt.Preserve {
		a.UID, a.GID = c.who.UID, c.who.GID
		a.Mode &^= c.opt.Umask
		a.Atime, a.Mtime, a.Ctime = w.now, w.now, w.now
	}
	n = cloned{src: e.Ino, ino: ino, attr: a}
	tx.SetAttr(ino, &a)
	if err := w.xattrs(e.Ino, ino); err != nil {
		return n, false, err
	}
	switch a.Type {
	case TypeDirectory:
		if c.v.format.Load().DirStats {
			n.stat = w.stats[e.Ino]
			tx.SetDirStat(ino, n.stat)
		}
	case TypeSymlink:
		target, _, err := tx.Symlink(e.Ino)
		if err != nil {
			return n, false, err
		}
		tx.SetSymlink(ino, target)
	case TypeFile:
		if err := w.chunks(e.Ino, ino, a.Length); err != nil {
			return n, false, err
		}
	}
	return n, true, nil
}

func (w *cloneWrite) xattrs(src, dst Ino) error {
	names, err := w.tx.Xattrs(src)
	if err != nil {
		return err
	}
	for _, name := range names {
		value, ok, err := w.tx.Xattr(src, name)
		if err != nil {
			return err
		}
		if ok {
			w.tx.SetXattr(dst, name, value)
		}
	}
	return nil
}

// chunks copies the lists of a file. They are read in the transaction, so it only commits while nobody has replaced
// and released the slices. What lies behind the end of the file is zeros and is left out.
func (w *cloneWrite) chunks(src, dst Ino, length uint64) error {
	n := chunkCount(length)
	if n <= fewChunks {
		for i := range n {
			if err := w.chunk(src, dst, uint32(i)); err != nil {
				return err
			}
		}
		return nil
	}
	indexes, err := w.tx.Chunks(src, length)
	if err != nil {
		return err
	}
	for _, i := range indexes {
		if uint64(i) >= n {
			break
		}
		if err := w.chunk(src, dst, i); err != nil {
			return err
		}
	}
	return nil
}

func (w *cloneWrite) chunk(src, dst Ino, index uint32) error {
	records, err := w.tx.Chunk(src, index)
	if err != nil || len(records) == 0 {
		return err
	}
	for _, s := range records {
		if s.ID != 0 {
			w.refs[SliceRef{s.ID, s.Size}]++
		}
	}
	w.tx.AppendSlices(dst, index, records)
	return nil
}

// finish checks that there is room and writes what concerns all of the batch.
func (w *cloneWrite) finish(made []cloned) error {
	v := w.c.v
	var d use
	for _, n := range made {
		if err := v.checkOwner(&n.attr, charge(&n.attr)); err != nil {
			return err
		}
		d = d.plus(charge(&n.attr))
	}
	if err := v.checkRoom(d.space, d.inodes); err != nil {
		return err
	}
	for ref, n := range w.refs {
		w.tx.AddRef(ref.ID, ref.Size, n)
	}
	if d != (use{}) {
		w.tx.AddUsage(d.space, d.inodes)
	}
	return nil
}
