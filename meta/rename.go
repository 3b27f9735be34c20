package meta

import (
	"context"
	"errors"
	"fmt"

	"jfs/internal/posix"
)

// Flags of Rename, with the numbers of renameat2(2).
const (
	RenameNoReplace uint32 = 1
	RenameExchange  uint32 = 2

	renameWhiteout uint32 = 4
)

// Rename moves an entry, over another one if there is one.
func (v *Volume) Rename(ctx context.Context, who Cred, from, to Name, flags uint32) error {
	defer v.timed("Rename", v.began())
	switch {
	case flags == renameWhiteout, flags == renameWhiteout|RenameNoReplace:
		return posix.ENOTSUP
	case flags > RenameExchange:
		return posix.EINVAL
	case to.Dir.IsTrash(), from.Dir.IsTrash() && who.UID != 0, from.Dir == TrashIno:
		return posix.EPERM
	}
	if err := checkName(to.Name); err != nil {
		return err
	}
	trash, err := v.trashFor(ctx, to.Dir)
	if err != nil {
		return err
	}
	return v.move(ctx, move{who: who, from: from, to: to, exchange: flags == RenameExchange, noReplace: flags == RenameNoReplace, trash: trash})
}

func (v *Volume) move(ctx context.Context, m move) error {
	m.v = v
	m.rm = removals{v: v}
	defer m.rm.end()
	from, to := m.from, m.to
	want := Want{Perms: []Ino{from.Dir, to.Dir}, Nodes: []Name{from, to}}
	if from.Dir == to.Dir {
		want.Perms = want.Perms[:1]
	}
	what := func() string { return fmt.Sprintf("rename %d/%q to %d/%q", from.Dir, from.Name, to.Dir, to.Name) }
	for {
		err := v.update(ctx, what, want, m.run)
		if errors.Is(err, errWeigh) {
			if err := m.learnTotals(ctx); err != nil {
				return describe(what, err)
			}
			continue
		}
		if err != nil || m.nothing {
			return err
		}
		m.after(ctx)
		return nil
	}
}

// move is one rename. run sets the results anew on each run.
type move struct {
	v                   *Volume
	who                 Cred
	from, to            Name
	exchange, noReplace bool
	restore             bool // into a directory that itself is in the trash
	trash               Ino

	totals map[Ino]use // of directories that move from one quota to another
	weigh  Ino         // the run has ended because it needs the totals of this directory
	bill   bill        // what moves from one quota to another

	nothing bool    // both names are the same inode
	src     Entry   // what moves
	srcStat DirStat // of it
	dst     Entry   // what it replaces or is exchanged with
	dstStat DirStat // of it
	over    bool    // an entry was replaced: r
	overDir bool
	r       removal
	rm      removals
}

func (m *move) run(tx Tx) error {
	m.nothing, m.over, m.overDir, m.r = false, false, false, removal{}
	m.weigh, m.bill = 0, nil
	v, from, to := m.v, m.from, m.to
	across := from.Dir != to.Dir

	sp, ok, err := tx.Perm(from.Dir)
	if err != nil {
		return err
	}
	e, found, err := tx.Entry(from.Dir, from.Name)
	switch {
	case err != nil:
		return err
	case !ok || !found:
		return posix.ENOENT
	case sp.Type != TypeDirectory:
		return posix.ENOTDIR
	case from == to:
		m.nothing = true
		return nil
	}
	writable := writableDir
	if m.restore {
		writable = trashedDir
	}
	dp, err := writable(tx, m.who, to.Dir)
	if err != nil {
		return err
	}
	te, over, err := tx.Entry(to.Dir, to.Name)
	switch {
	case err != nil:
		return err
	case over && m.noReplace:
		return posix.EEXIST
	case over && te.Ino == e.Ino:
		m.nothing = true
		return nil
	case !over && m.exchange:
		return posix.ENOENT
	case over && !m.exchange && e.Type == TypeDirectory && te.Type != TypeDirectory:
		return posix.ENOTDIR
	case over && !m.exchange && e.Type != TypeDirectory && te.Type == TypeDirectory:
		return posix.EISDIR
	}
	if err := access(tx, m.who, &sp, MayWrite|MayExec); err != nil {
		return err
	}
	a, err := existing(tx, e.Ino)
	if err != nil {
		return err
	}
	const fixed = FlagAppend | FlagImmutable
	if sp.Flags&fixed != 0 || dp.Flags&FlagImmutable != 0 || a.Flags&fixed != 0 {
		return posix.EPERM
	}
	if err := sticky(m.who, &sp, a.UID); err != nil {
		return err
	}
	if across && m.who.UID != 0 && sp.Mode&ModeSticky != 0 && m.who.UID != a.UID && (m.who.UID != sp.UID || e.Type == TypeDirectory) {
		return posix.EACCES
	}
	if across && e.Type == TypeDirectory {
		if err := notBelow(tx, to.Dir, e.Ino); err != nil {
			return err
		}
	}
	var ta Attr
	if over {
		if ta, ok, err = tx.Attr(te.Ino); err != nil {
			return err
		}
		if !ok && m.exchange {
			return posix.ENOENT
		}
		if ta.Flags&fixed != 0 {
			return posix.EPERM
		}
		if ok {
			if err := sticky(m.who, &dp, ta.UID); err != nil {
				return err
			}
		}
		if m.exchange && across && te.Type == TypeDirectory {
			if err := notBelow(tx, from.Dir, te.Ino); err != nil {
				return err
			}
		}
	}

	m.src, m.dst = e, te
	if err := m.quotas(&a, &ta); err != nil {
		return err
	}
	now := v.time()
	var srcLinks, dstLinks int32
	m.srcStat = statOf(&a)
	switch {
	case m.exchange:
		m.dstStat = statOf(&ta)
		tx.SetEntry(from.Dir, from.Name, te)
		ta.Ctime = now
		if across {
			if reparent(tx, te, &ta, to.Dir, from.Dir) {
				dstLinks--
				srcLinks++
			}
		}
		tx.SetAttr(te.Ino, &ta)
	default:
		tx.DropEntry(from.Dir, from.Name)
		if over {
			m.over, m.overDir = true, te.Type == TypeDirectory
			if m.overDir {
				dstLinks--
			}
			if !ok { // a dangling entry: nothing but the name to replace
				m.r = removal{stat: DirStat{Space: pageSize, Inodes: 1}}
			} else if m.overDir {
				m.r, err = v.dropDir(tx, to.Dir, to.Name, te, ta, m.trash, now)
			} else {
				m.r, err = v.dropLink(tx, &m.rm, to.Dir, to.Name, te, ta, m.trash, now)
			}
			if err != nil {
				return err
			}
		}
	}
	tx.SetEntry(to.Dir, to.Name, e)
	a.Ctime = now
	if across && reparent(tx, e, &a, from.Dir, to.Dir) {
		srcLinks--
		dstLinks++
	}
	tx.SetAttr(e.Ino, &a)
	if !across {
		tx.Touch(to.Dir, now, srcLinks+dstLinks, v.opt.SkipDirMtime)
		return nil
	}
	if !from.Dir.IsTrash() {
		tx.Touch(from.Dir, now, srcLinks, v.opt.SkipDirMtime)
	}
	tx.Touch(to.Dir, now, dstLinks, v.opt.SkipDirMtime)
	return nil
}

// reparent records that an inode has moved from one directory to another and says whether it is a directory.
func reparent(tx Tx, e Entry, a *Attr, from, to Ino) bool {
	switch {
	case e.Type == TypeDirectory || a.Parent != 0:
		a.Parent = to
	default:
		tx.AddParent(e.Ino, to, 1)
		tx.AddParent(e.Ino, from, -1)
	}
	return e.Type == TypeDirectory
}

// notBelow fails if dir is the directory top or lies below it. The promise that goes with Perm covers the
// parent, so two renames that together would make a cycle cannot both commit.
func notBelow(r Reader, dir, top Ino) error {
	for at := dir; ; {
		if at == top {
			if at == dir {
				return posix.EPERM
			}
			return posix.EINVAL
		}
		if at == RootIno || at == 0 || at.IsTrash() {
			return nil
		}
		p, ok, err := r.Perm(at)
		if err != nil {
			return err
		}
		if !ok {
			return posix.ENOENT
		}
		at = p.Parent
	}
}

func (m *move) after(ctx context.Context) {
	v, across := m.v, m.from.Dir != m.to.Dir
	if across {
		v.addDirStat(m.from.Dir, m.srcStat.negate())
		v.addDirStat(m.to.Dir, m.srcStat)
		if m.src.Type == TypeDirectory {
			v.ancestors.moved(m.src.Ino)
		}
		if m.exchange {
			v.addDirStat(m.to.Dir, m.dstStat.negate())
			v.addDirStat(m.from.Dir, m.dstStat)
			if m.dst.Type == TypeDirectory {
				v.ancestors.moved(m.dst.Ino)
			}
		}
		for dir, d := range m.bill {
			v.quotas.add(QuotaKey{QuotaDir, uint64(dir)}, d)
		}
	}
	if m.over {
		if m.overDir {
			v.removedDir(m.r.ino)
		}
		v.removed(ctx, m.to.Dir, m.r)
	}
}
