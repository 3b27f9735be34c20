package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"jfs/meta"
	"jfs/meta/internal/usage"
)

// errAgain ends a run that read more than the one record for which no transaction was begun.
var errAgain = errors.New("transaction needs a snapshot")

// node is an inode as a transaction knows it.
type node struct {
	attr   meta.Attr // as read
	ok     bool
	now    meta.Attr // with the writes of this transaction
	exists bool
}

// reader reads on one connection. It remembers inodes, because entries are read together with theirs and
// because writing an attribute needs to know which columns differ.
type reader struct {
	ctx   context.Context
	c     session // nil: there is no database
	nodes map[meta.Ino]node
	// want holds the names whose inodes are going to be read.
	want []meta.Name
	// single says that no transaction is open, so that only one statement may run; ran that it did, and
	// again that another was asked for.
	single, ran, again bool
	broken             error // a failure of the database, which may have ended the transaction

	ahead *ahead        // nil: nothing
	usage *usage.Buffer // changes of the usage that are not stored yet; nil: there are none
	// narrow: columns of narrow integers take numbers below 2^31 only.
	narrow bool
}

var _ meta.Reader = (*reader)(nil)

func (r *reader) reset(ctx context.Context, c session, want *meta.Want) {
	if r.nodes == nil {
		r.nodes = make(map[meta.Ino]node, 4)
	}
	clear(r.nodes)
	r.ctx, r.c, r.want = ctx, c, want.Nodes
	r.single, r.ran, r.again, r.broken = false, false, false, nil
	r.ahead, r.usage, r.narrow = nil, nil, false
}

// ready is asked before each statement.
func (r *reader) ready() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.c == nil {
		return meta.ErrNotFormatted
	}
	if r.single && r.ran {
		r.again = true
		return errAgain
	}
	r.ran = true
	return nil
}

func (r *reader) one(q stmt, args []any, dest ...any) (bool, error) {
	if err := r.ready(); err != nil {
		return false, err
	}
	ok, err := r.c.one(r.ctx, q, args, dest...)
	if err != nil {
		r.broken = err
	}
	return ok, err
}

func (r *reader) each(q stmt, args []any, fn func() error, dest ...any) error {
	if err := r.ready(); err != nil {
		return err
	}
	err := r.c.each(r.ctx, q, args, fn, dest...)
	if err != nil {
		r.broken = err
	}
	return err
}

func (r *reader) many(q stmt, list [][]any, fn func(i int, ok bool) error, dest ...any) error {
	if len(list) == 0 {
		return nil
	}
	if err := r.ready(); err != nil {
		return err
	}
	err := r.c.many(r.ctx, q, list, fn, dest...)
	if err != nil {
		r.broken = err
	}
	return err
}

func (r *reader) Setting() ([]byte, error) {
	var json []byte
	_, err := r.one(qSetting, nil, &json)
	if errors.Is(err, meta.ErrNotFormatted) {
		return nil, nil
	}
	return json, err
}

func (r *reader) Attr(ino meta.Ino) (meta.Attr, bool, error) {
	if n, known := r.nodes[ino]; known {
		return n.attr, n.ok, r.ctx.Err()
	}
	ok, err := r.one(qNode, []any{int64(ino)}, r.joined()...)
	if err != nil {
		return meta.Attr{}, false, fmt.Errorf("inode %d: %w", ino, err)
	}
	return r.remember(ino, ok)
}

// remember keeps the inode in the connection's scratch row.
func (r *reader) remember(ino meta.Ino, ok bool) (a meta.Attr, _ bool, err error) {
	if ok {
		if a, err = decodeNode(ino, &r.c.space().row); err != nil {
			return meta.Attr{}, false, err
		}
	}
	r.nodes[ino] = node{attr: a, ok: ok, now: a, exists: ok}
	return a, ok, nil
}

// Perm reads the row as Attr does: the one writer has no conflicts to avoid.
func (r *reader) Perm(ino meta.Ino) (meta.Attr, bool, error) { return r.Attr(ino) }

func (r *reader) Entry(dir meta.Ino, name string) (e meta.Entry, ok bool, err error) {
	if a, known := r.ahead.entry(meta.Name{Dir: dir, Name: name}); known {
		if err = r.ctx.Err(); err == nil && a.ok {
			e, err = decodeEntry(dir, []byte(name), a.ino, a.typ)
		}
		if err != nil {
			return meta.Entry{}, false, fmt.Errorf("entry %d/%q: %w", dir, name, err)
		}
		return e, a.ok, nil
	}
	var ino, typ, found number
	args := []any{int64(dir), []byte(name)}
	both := slices.Contains(r.want, meta.Name{Dir: dir, Name: name})
	if both {
		ok, err = r.one(qEntryNode, args, r.joined(&ino, &typ, &found)...)
	} else {
		ok, err = r.one(qEntry, args, &ino, &typ)
	}
	if err == nil && ok {
		e, err = decodeEntry(dir, args[1].([]byte), ino, typ)
	}
	if err != nil {
		return meta.Entry{}, false, fmt.Errorf("entry %d/%q: %w", dir, name, err)
	}
	if _, known := r.nodes[e.Ino]; both && ok && !known {
		// A row that breaks the format is not remembered: whoever asks for the inode reads it again.
		_, _, _ = r.remember(e.Ino, found != 0)
	}
	return e, ok, nil
}

// joined is the destinations of a row that ends with the columns of an inode, all NULL (0) if there is none.
func (r *reader) joined(dest ...any) []any {
	if r.c == nil {
		return nil // nothing will be read
	}
	if len(dest) == 0 {
		return r.c.space().dest[:]
	}
	return append(dest, r.c.space().dest[:]...)
}

func (r *reader) Entries(dir meta.Ino, cursor string, limit int, plus bool) (page []meta.Dirent, next string, err error) {
	limit = max(limit, 1)
	var name []byte
	var ino, typ, found number
	q, dest := qEntries, []any{&name, &ino, &typ}
	if plus {
		q, dest = qEntriesPlus, r.joined(&name, &ino, &typ, &found)
	}
	err = r.each(q, []any{int64(dir), []byte(cursor), limit}, func() error {
		d := meta.Dirent{Name: string(name)}
		var err error
		if d.Entry, err = decodeEntry(dir, name, ino, typ); err != nil {
			return err
		}
		if plus && found != 0 {
			a, err := decodeNode(d.Ino, &r.c.space().row)
			if err != nil {
				return err
			}
			d.Attr = &a
		}
		page = append(page, d)
		return nil
	}, dest...)
	if err != nil {
		return nil, "", fmt.Errorf("directory %d: %w", dir, err)
	}
	if len(page) == limit {
		next = page[limit-1].Name
	}
	return page, next, nil
}

func (r *reader) Parents(ino meta.Ino) (map[meta.Ino]int64, error) {
	parents := map[meta.Ino]int64{}
	var dir, n number
	err := r.each(qParents, []any{int64(ino)}, func() error {
		parents[meta.Ino(dir)] = int64(n)
		return nil
	}, &dir, &n)
	return parents, err
}

func (r *reader) Symlink(ino meta.Ino) (string, bool, error) {
	var target []byte
	ok, err := r.one(qSymlink, []any{int64(ino)}, &target)
	return string(target), ok, err
}

func (r *reader) Xattr(ino meta.Ino, name string) ([]byte, bool, error) {
	var value []byte
	ok, err := r.one(qXattr, []any{int64(ino), name}, &value)
	return value, ok, err
}

func (r *reader) Xattrs(ino meta.Ino) (names []string, err error) {
	var name string
	err = r.each(qXattrs, []any{int64(ino)}, func() error {
		names = append(names, name)
		return nil
	}, &name)
	return names, err
}
