package sql

import (
	"context"
	"fmt"
	"math/bits"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// op is a write that waits for the end of the transaction's function.
type op struct {
	q    stmt
	mask uint32 // columns of updateNode instead of q
	args []any
	// missing is the error when the write changes no row; nil: that is fine.
	missing error
}

// tx reads at once and collects its writes. They run after the function has succeeded, so one that fails has
// nothing to undo, and the transactions of a group need no savepoints.
type tx struct {
	reader
	conn    *conn
	ops     []op
	entries map[meta.Name]bool // names that were read: whether there is an entry
	space   int64              // sums of AddUsage
	inodes  int64
	acls    int64 // numbers of rules that were taken
	err     error // the first write that cannot be carried out
}

var _ meta.Tx = (*tx)(nil)

func (t *tx) reset(ctx context.Context, c *conn, want *meta.Want) {
	t.reader.reset(ctx, c, want)
	t.conn = c
	if t.entries == nil {
		t.entries = make(map[meta.Name]bool, 4)
	}
	clear(t.entries)
	clear(t.ops) // lets go of the arguments
	t.ops = t.ops[:0]
	t.space, t.inodes, t.acls, t.err = 0, 0, 0, nil
}

func (t *tx) add(q stmt, args ...any) { t.ops = append(t.ops, op{q: q, args: args}) }

// must is add for a write that has to find its row.
func (t *tx) must(missing error, q stmt, args ...any) {
	t.ops = append(t.ops, op{q: q, args: args, missing: missing})
}

// fail lets the transaction end with err unless its function or an earlier write has one.
func (t *tx) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

// flush carries out the writes.
func (t *tx) flush() error {
	if t.err != nil {
		return t.err
	}
	for i := range t.ops {
		if err := t.ops[i].run(t.conn); err != nil {
			return err
		}
	}
	return nil
}

func (o *op) run(c *conn) error {
	s, err := c.stmt(o.q)
	if o.mask != 0 {
		s, err = c.maskStmt(o.mask)
	}
	if err != nil {
		return c.wrap(o.q, err)
	}
	n, err := c.execStmt(o.q, s, o.args)
	if err != nil && c.d.classify(err) == faultDuplicate {
		// With one writer nobody came in between: the transaction takes something for new that is not.
		return fmt.Errorf("%w: %w", meta.ErrCorrupt, err)
	}
	if err == nil && n == 0 && o.missing != nil {
		return fmt.Errorf("%s: %w", c.texts[o.q].name, o.missing)
	}
	return err
}

func (t *tx) SetSetting(json []byte) { t.add(qSetSetting, "format", string(json)) }

func (t *tx) SetCounter(name string, value int64) { t.add(qSetCounter, name, value) }

// SetAttr writes only the columns that differ from what was read: an official client may have changed others
// that this version does not know by then, and fewer columns are fewer bytes in the log.
func (t *tx) SetAttr(ino meta.Ino, a *meta.Attr) {
	n := t.nodes[ino]
	row := encodeNode(a)
	if !n.exists {
		args := make([]any, 0, numNodeCols+1)
		args = append(args, int64(ino))
		for _, v := range row {
			args = append(args, int64(v))
		}
		t.add(qNewNode, args...)
	} else {
		old := encodeNode(&n.now)
		var mask uint32
		for i := range row {
			if row[i] != old[i] {
				mask |= 1 << i
			}
		}
		if mask == 0 {
			return
		}
		args := make([]any, 0, bits.OnesCount32(mask)+1)
		for i := range row {
			if mask&(1<<i) != 0 {
				args = append(args, int64(row[i]))
			}
		}
		t.ops = append(t.ops, op{q: qNewNode, mask: mask, args: append(args, int64(ino)), missing: posix.ENOENT})
	}
	n.now, n.exists = *a, true
	t.nodes[ino] = n
}

func (t *tx) DropNode(ino meta.Ino) {
	id := int64(ino)
	n, known := t.nodes[ino]
	t.add(qDropNode, id)
	if !known || !n.ok || n.attr.Type == meta.TypeSymlink {
		t.add(qDropSymlink, id)
	}
	t.add(qDropXattrs, id)
	n.exists = false
	t.nodes[ino] = n
}

func (t *tx) Entry(dir meta.Ino, name string) (meta.Entry, bool, error) {
	e, ok, err := t.reader.Entry(dir, name)
	if err == nil {
		t.entries[meta.Name{Dir: dir, Name: name}] = ok
	}
	return e, ok, err
}

// SetEntry inserts a name that was read as missing and updates one that was read as there, so that a writer
// in between shows as a duplicate or as a missing row.
func (t *tx) SetEntry(dir meta.Ino, name string, e meta.Entry) {
	at := meta.Name{Dir: dir, Name: name}
	there, read := t.entries[at]
	id, key, ino, typ := int64(dir), []byte(name), int64(e.Ino), int64(e.Type)
	switch {
	case !read:
		t.add(qSetEntry, id, key, ino, typ)
	case there:
		t.must(posix.ENOENT, qMoveEntry, ino, typ, id, key)
	default:
		t.add(qNewEntry, id, key, ino, typ)
	}
	t.entries[at] = true
}

func (t *tx) DropEntry(dir meta.Ino, name string) {
	t.add(qDropEntry, int64(dir), []byte(name))
	t.entries[meta.Name{Dir: dir, Name: name}] = false
}

func (t *tx) SetSymlink(ino meta.Ino, target string) { t.add(qSetSymlink, int64(ino), []byte(target)) }

func (t *tx) SetXattr(ino meta.Ino, name string, value []byte) {
	if value == nil {
		value = []byte{} // nil would be NULL
	}
	t.add(qSetXattr, int64(ino), name, value)
}

func (t *tx) DropXattr(ino meta.Ino, name string) { t.add(qDropXattr, int64(ino), name) }
func (t *tx) DropXattrs(ino meta.Ino)             { t.add(qDropXattrs, int64(ino)) }

// AddParent does nothing: the parents of an inode are found by its entries.
func (t *tx) AddParent(meta.Ino, meta.Ino, int64) {}

// DropParents does nothing, as AddParent.
func (t *tx) DropParents(meta.Ino) {}

// Touch compares with the row as it was read, which nobody else changes before the commit: a touch that is
// left out costs no statement.
func (t *tx) Touch(dir meta.Ino, now meta.Time, nlink int32, window time.Duration) {
	skips := nlink == 0 && window > 0
	n, known := t.nodes[dir]
	if skips && !known {
		if _, _, err := t.Attr(dir); err != nil {
			t.fail(err)
			return
		}
		n, known = t.nodes[dir]
	}
	if known && !n.exists {
		t.fail(fmt.Errorf("touch directory %d: %w", dir, posix.ENOENT))
		return
	}
	if skips && now.Sub(n.now.Mtime) < window {
		return
	}
	micros, nanos := splitTime(now)
	t.must(posix.ENOENT, qTouch, int64(nlink), int64(micros), int64(nanos), int64(micros), int64(nanos), int64(dir))
	if known {
		n.now.Mtime, n.now.Ctime, n.now.Nlink = now, now, n.now.Nlink+uint32(nlink)
		t.nodes[dir] = n
	}
}

// RequireEmpty looks at once: nobody adds an entry before the commit.
func (t *tx) RequireEmpty(dir meta.Ino) error {
	var one number
	some, err := t.one(qAnyEntry, []any{int64(dir)}, &one)
	if err == nil && some {
		err = posix.ENOTEMPTY
	}
	if err != nil {
		t.fail(err)
	}
	return err
}

func (t *tx) AddUsage(space, inodes int64) { t.space, t.inodes = t.space+space, t.inodes+inodes }

func (t *tx) AddDirStat(dir meta.Ino, d meta.DirStat) {
	t.add(qAddDirStat, d.Length, d.Space, d.Inodes, int64(dir))
}

func (t *tx) SetDirStat(dir meta.Ino, s meta.DirStat) {
	t.add(qSetDirStat, int64(dir), s.Length, s.Space, s.Inodes)
}

func (t *tx) DropDirStat(dir meta.Ino) { t.add(qDropDirStat, int64(dir)) }
