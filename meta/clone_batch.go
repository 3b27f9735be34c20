package meta

import (
	"context"
	"fmt"
	"sync"
)

// cloner makes one clone.
type cloner struct {
	v    *Volume
	who  Cred
	opt  CloneOptions
	crew *crew

	mu  sync.Mutex // guards all
	all use        // what has been cloned
}

// cloned is an inode that has been made.
type cloned struct {
	src  Ino
	ino  Ino
	attr Attr
	stat DirStat // as recorded, of a directory
}

func (c *cloner) total() use {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

// fill clones what is in a directory into its clone.
func (c *cloner) fill(ctx context.Context, into cloned) error {
	var stat DirStat
	var subdirs uint32
	t := team{crew: c.crew}
	err := c.v.eachPage(ctx, into.src, true, func(page []Dirent) error {
		var below []cloned // the page itself is not kept while they are filled
		for len(page) > 0 {
			n := batchSize(page)
			made, err := c.batch(ctx, into.ino, page[:n], nil)
			if err != nil {
				return err
			}
			page = page[n:]
			for _, m := range made {
				stat = stat.plus(statOf(&m.attr))
				if m.attr.Type == TypeDirectory {
					below = append(below, m)
				}
			}
		}
		subdirs += uint32(len(below))
		for _, m := range below {
			t.do(func() error { return c.fill(ctx, m) })
		}
		return nil
	})
	if err := t.wait(err); err != nil {
		return err
	}
	return c.correct(ctx, into, 2+subdirs, stat)
}

// batchSize is how many entries are cloned in one transaction.
func batchSize(page []Dirent) int {
	chunks := uint64(0)
	for i, e := range page {
		if e.Attr != nil && e.Type == TypeFile {
			chunks += e.Attr.Length>>ChunkBits + 1
		}
		if i == cloneBatch || i > 0 && chunks > cloneChunks {
			return i
		}
	}
	return len(page)
}

// correct writes links and statistics of a cloned directory where the source's are not what has been cloned: the
// source may have changed meanwhile.
func (c *cloner) correct(ctx context.Context, dir cloned, nlink uint32, stat DirStat) error {
	v := c.v
	restat := v.format.Load().DirStats && dir.stat != stat
	if nlink == dir.attr.Nlink && !restat {
		return nil
	}
	what := func() string { return fmt.Sprintf("complete clone of directory %d", dir.src) }
	return v.update(ctx, what, Want{Attrs: []Ino{dir.ino}}, func(tx Tx) error {
		a, err := existing(tx, dir.ino)
		if err != nil {
			return err
		}
		if a.Nlink != nlink {
			a.Nlink = nlink
			tx.SetAttr(dir.ino, &a)
		}
		if restat {
			tx.SetDirStat(dir.ino, stat)
		}
		return nil
	})
}

// batch clones inodes into a directory in one transaction. Those that have vanished are left out. enter makes the
// entry; with nil each gets its own name in the directory, which nobody else can see yet.
func (c *cloner) batch(ctx context.Context, into Ino, entries []Dirent, enter func(Tx, cloned) error) ([]cloned, error) {
	v := c.v
	inos := make([]Ino, len(entries))
	for i := range inos {
		id, err := v.inodes.take(ctx)
		if err != nil {
			return nil, err
		}
		inos[i] = Ino(id)
	}
	want, err := c.want(ctx, entries)
	if err != nil {
		return nil, err
	}
	if enter != nil {
		want.Perms = []Ino{into}
	}
	var made []cloned
	what := func() string { return fmt.Sprintf("clone %d inodes into directory %d", len(entries), into) }
	err = v.update(ctx, what, want, func(tx Tx) error {
		made = made[:0]
		w := cloneWrite{c: c, tx: tx, into: into, now: v.time(), refs: map[SliceRef]int64{}}
		if err := w.readStats(entries); err != nil {
			return err
		}
		for i, e := range entries {
			n, ok, err := w.node(e, inos[i])
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if enter == nil {
				tx.SetEntry(into, e.Name, Entry{Type: e.Type, Ino: n.ino})
			} else if err := enter(tx, n); err != nil {
				return err
			}
			made = append(made, n)
		}
		return w.finish(made)
	})
	if err != nil {
		return nil, err
	}
	c.count(made)
	return made, nil
}

// want names what a batch is going to read.
func (c *cloner) want(ctx context.Context, entries []Dirent) (Want, error) {
	var want Want
	for _, e := range entries {
		want.Attrs = append(want.Attrs, e.Ino)
		if e.Type != TypeFile || e.Attr == nil {
			continue
		}
		if n := chunkCount(e.Attr.Length); n <= fewChunks {
			for i := range n {
				want.Chunks = append(want.Chunks, ChunkID{e.Ino, uint32(i)})
			}
			continue
		}
		what := func() string { return fmt.Sprintf("chunks of inode %d", e.Ino) }
		err := c.v.view(ctx, what, Want{}, func(r Reader) error {
			n := len(want.Chunks)
			indexes, err := r.Chunks(e.Ino, e.Attr.Length)
			want.Chunks = want.Chunks[:n]
			for _, i := range indexes {
				want.Chunks = append(want.Chunks, ChunkID{e.Ino, i})
			}
			return err
		})
		if err != nil {
			return want, err
		}
	}
	return want, nil
}

func chunkCount(length uint64) uint64 { return (length + ChunkSize - 1) >> ChunkBits }

// count does what follows the commit of a batch.
func (c *cloner) count(made []cloned) {
	var d use
	for _, n := range made {
		d = d.plus(charge(&n.attr))
		c.v.chargeOwner(&n.attr, charge(&n.attr))
	}
	c.v.usage.add(d.space, d.inodes)
	c.mu.Lock()
	c.all = c.all.plus(d)
	c.mu.Unlock()
	if c.opt.Progress != nil && len(made) > 0 {
		c.opt.Progress(len(made))
	}
}
