package sql

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
	"jfs/meta/internal/record"
)

// remoteTx locks what it reads in the statement that reads it, and sends its writes together with the COMMIT.
//
// A directory that is read with Perm is not locked: everybody who makes an entry in it would stand in line for as long
// as a client thinks. That it still allows the change is checked with the writes, last, so that its row is locked
// for a moment only.
type remoteTx struct {
	tx
	s *remoteSession

	locked  map[meta.Ino]bool      // read with a lock, or made here
	perms   map[meta.Ino]meta.Attr // read without one
	touches map[meta.Ino]*dirTouch // of directories in perms
	empty   []meta.Ino             // that must be
	absent  map[string]bool        // counters and xattrs that were read as missing
	missing map[meta.Name]bool     // entries that were, see lockEntry
	guessed bool                   // some of perms, and perhaps of missing
	spared  map[meta.Ino]int64     // see spare
	stale   bool                   // what was read does not fit together
	wrote   bool                   // something was written at once
}

// dirTouch is the sum of what Touch wants of a directory.
type dirTouch struct {
	now   meta.Time
	nlink int64
}

var _ meta.Tx = (*remoteTx)(nil)

// begin begins anew.
func (t *remoteTx) begin(ctx context.Context, s *remoteSession, want *meta.Want) {
	t.tx.reset(ctx, nil, want)
	t.c, t.usage, t.ahead = s, s.e.usage, newAhead()
	t.s = s
	t.locked, t.perms, t.touches, t.absent = map[meta.Ino]bool{}, map[meta.Ino]meta.Attr{}, map[meta.Ino]*dirTouch{}, map[string]bool{}
	t.missing = map[meta.Name]bool{}
	t.empty, t.stale, t.wrote, t.narrow = nil, false, false, true
	t.guessed, t.spared = false, nil
	s.begin(s.e.d.server.begin)
}

// load reads and locks what is wanted in one round trip, in an order that all clients share: entries by name, then
// inodes and chunks in ascending order.
func (t *remoteTx) load(want *meta.Want) error {
	var calls []call
	var after []func()
	names := append(slices.Clone(want.Entries), want.Nodes...)
	slices.SortFunc(names, func(a, b meta.Name) int {
		return cmp.Or(cmp.Compare(a.Dir, b.Dir), cmp.Compare(a.Name, b.Name))
	})
	for _, n := range slices.Compact(names) {
		more, then := t.lockEntry(n, slices.Contains(want.Nodes, n))
		calls, after = append(calls, more...), append(after, then)
	}
	attrs := slices.Clone(want.Attrs)
	slices.Sort(attrs)
	for _, ino := range slices.Compact(attrs) {
		calls = append(calls, t.lockNode(ino))
	}
	chunks := slices.Clone(want.Chunks)
	slices.SortFunc(chunks, func(a, b meta.ChunkID) int {
		return cmp.Or(cmp.Compare(a.Ino, b.Ino), cmp.Compare(a.Index, b.Index))
	})
	for _, id := range slices.Compact(chunks) {
		calls = append(calls, t.s.chunkCall(&t.reader, id))
	}
	for _, ino := range want.Perms {
		if !slices.Contains(attrs, ino) {
			calls = append(calls, t.readPerm(ino))
		}
	}
	if len(calls) == 0 {
		return nil
	}
	if err := t.s.run(t.ctx, calls...); err != nil {
		return err
	}
	for _, then := range after {
		then()
	}
	if t.stale {
		return errStale
	}
	return nil
}

// lockEntry reads an entry, and with both its inode, which is locked too. A statement that has waited for a lock may miss a
// row that was put in the place of the one that was removed. So that an entry is missing needs a proof: with both it is the
// second statement, else the insertion of the entry, or prove.
func (t *remoteTx) lockEntry(n meta.Name, both bool) ([]call, func()) {
	args := []any{int64(n.Dir), []byte(n.Name)}
	first := t.s.entryCall(&t.reader, n, false)
	if !both {
		return []call{first}, func() {
			if !t.ahead.entries[n].ok {
				t.missing[n] = true
			}
		}
	}
	var proof number
	seen := false
	second := t.s.call(qNodeOf, args, func() error {
		seen = true
		ino := meta.Ino(proof)
		t.locked[ino] = true
		delete(t.perms, ino)
		if _, _, err := t.remember(ino, true); err != nil {
			delete(t.nodes, ino) // whoever asks for it meets the error
		}
		return nil
	}, t.joined(&proof)...)
	return []call{first, second}, func() {
		e := t.ahead.entries[n]
		t.stale = t.stale || seen && (!e.ok || proof != e.ino)
		if e.ok && !seen {
			t.nodes[meta.Ino(e.ino)] = node{}
			t.locked[meta.Ino(e.ino)] = true
		}
	}
}

// prove reads once more the entries that were missing and have not been inserted since.
func (t *remoteTx) prove() error {
	var calls []call
	found := false
	plain := t.s.e.plain[qEntry]
	for n := range t.missing {
		if !t.entries[n] {
			calls = append(calls, call{
				name: plain.name, text: plain.text, args: []any{int64(n.Dir), []byte(n.Name)}, dest: []any{new(number), new(number)},
				row: func() error {
					found = true
					return nil
				},
			})
		}
	}
	if len(calls) == 0 {
		return nil
	}
	if err := t.s.run(t.ctx, calls...); err != nil {
		return err
	}
	if found {
		return errStale
	}
	return nil
}

func (t *remoteTx) lockNode(ino meta.Ino) call {
	t.locked[ino] = true
	if _, known := t.nodes[ino]; !known {
		t.nodes[ino] = node{}
	}
	return t.s.nodeCall(&t.reader, ino)
}

func (t *remoteTx) readPerm(ino meta.Ino) call {
	plain := t.s.e.plain[qNode]
	if _, known := t.nodes[ino]; !known {
		t.nodes[ino] = node{}
	}
	return call{name: plain.name, text: plain.text, args: []any{int64(ino)}, dest: t.joined(), row: func() error {
		if t.locked[ino] {
			return nil // as the inode of an entry
		}
		a, _, err := t.remember(ino, true)
		if err != nil {
			delete(t.nodes, ino)
			return nil // whoever asks for it meets the error
		}
		t.perms[ino] = a
		return nil
	}}
}

// Attr locks. What was read without a lock before must still be so.
func (t *remoteTx) Attr(ino meta.Ino) (meta.Attr, bool, error) {
	before, perm := t.perms[ino]
	if _, known := t.nodes[ino]; known && (perm || !t.locked[ino]) {
		delete(t.nodes, ino)
		delete(t.perms, ino)
	}
	t.locked[ino] = true
	a, ok, err := t.tx.Attr(ino)
	if err == nil && perm && (!ok || allows(&a) != allows(&before)) {
		t.stale = true
		return a, ok, errStale
	}
	return a, ok, err
}

// Perm does not lock.
func (t *remoteTx) Perm(ino meta.Ino) (meta.Attr, bool, error) {
	if _, known := t.nodes[ino]; known {
		return t.reader.Attr(ino)
	}
	if err := t.ready(); err != nil {
		return meta.Attr{}, false, err
	}
	if err := t.s.run(t.ctx, t.readPerm(ino)); err != nil {
		t.broken = err
		return meta.Attr{}, false, fmt.Errorf("inode %d: %w", ino, err)
	}
	return t.reader.Attr(ino)
}

// allows is what of a directory decides whether a change in it is allowed, and what a new inode inherits: the columns
// that permission compares.
func allows(a *meta.Attr) meta.Attr {
	return meta.Attr{
		Type: a.Type, Flags: a.Flags, Mode: a.Mode, UID: a.UID, GID: a.GID, Parent: a.Parent,
		AccessACL: a.AccessACL, DefaultACL: a.DefaultACL, Tier: a.Tier,
	}
}

func (t *remoteTx) Entry(dir meta.Ino, name string) (meta.Entry, bool, error) {
	n := meta.Name{Dir: dir, Name: name}
	if _, known := t.ahead.entry(n); !known {
		if err := t.ready(); err != nil {
			return meta.Entry{}, false, err
		}
		calls, then := t.lockEntry(n, slices.Contains(t.want, n))
		if err := t.s.run(t.ctx, calls...); err != nil {
			t.broken = err
			return meta.Entry{}, false, fmt.Errorf("entry %d/%q: %w", dir, name, err)
		}
		if then(); t.stale {
			return meta.Entry{}, false, errStale
		}
	}
	return t.tx.Entry(dir, name)
}

// SetAttr refuses numbers for which the columns have no room.
func (t *remoteTx) SetAttr(ino meta.Ino, a *meta.Attr) {
	if a.UID > math.MaxInt32 || a.GID > math.MaxInt32 || a.Rdev > math.MaxInt32 {
		t.fail(fmt.Errorf("inode %d: %w: uid %d, gid %d or device %d cannot be stored in %s, which takes numbers below 2^31",
			ino, posix.EINVAL, a.UID, a.GID, a.Rdev, t.s.e.d.name))
		return
	}
	t.tx.SetAttr(ino, a)
}

// RequireEmpty is checked with the writes. The directory is locked, so that nobody makes an entry in it until then.
func (t *remoteTx) RequireEmpty(dir meta.Ino) error {
	if !t.locked[dir] {
		if _, _, err := t.Attr(dir); err != nil {
			t.fail(err)
			return err
		}
	}
	t.empty = append(t.empty, dir)
	return nil
}

// Touch of a directory that is locked is a write as others. Another's is applied last.
func (t *remoteTx) Touch(dir meta.Ino, now meta.Time, nlink int32, window time.Duration) {
	n, known := t.nodes[dir]
	if !known {
		if _, _, err := t.Perm(dir); err != nil {
			t.fail(err)
			return
		}
		n = t.nodes[dir]
	}
	if t.locked[dir] || !n.exists {
		t.tx.Touch(dir, now, nlink, window)
		return
	}
	if nlink == 0 && window > 0 && now.Sub(n.now.Mtime) < window {
		if t.guessed && t.touches[dir] == nil {
			t.spare(dir, now, window)
		}
		return
	}
	d := t.touches[dir]
	if d == nil {
		d = &dirTouch{}
		t.touches[dir] = d
	}
	d.now, d.nlink = now, d.nlink+int64(nlink)
	n.now.Mtime, n.now.Ctime, n.now.Nlink = now, now, n.now.Nlink+uint32(nlink)
	t.nodes[dir] = n
}

func (t *remoteTx) Counter(name string) (int64, error) {
	var value number
	ok, err := t.one(qCounter, []any{name}, &value)
	t.absent[name] = !ok
	return int64(value), err
}

// SetCounter of a counter that was read as missing fails if somebody else was faster.
func (t *remoteTx) SetCounter(name string, value int64) {
	if t.absent[name] {
		t.absent[name] = false
		t.add(qNewCounter, name, value)
		return
	}
	t.tx.SetCounter(name, value)
}

func xattrKey(ino meta.Ino, name string) string { return ino.String() + "/" + name }

func (t *remoteTx) Xattr(ino meta.Ino, name string) ([]byte, bool, error) {
	value, ok, err := t.tx.Xattr(ino, name)
	t.absent[xattrKey(ino, name)] = err == nil && !ok
	return value, ok, err
}

// SetXattr is as SetCounter.
func (t *remoteTx) SetXattr(ino meta.Ino, name string, value []byte) {
	key := xattrKey(ino, name)
	if !t.absent[key] {
		t.tx.SetXattr(ino, name, value)
		return
	}
	t.absent[key] = false
	if value == nil {
		value = []byte{} // nil would be NULL
	}
	t.add(qNewXattr, int64(ino), name, value)
}

// lockFor makes the locks of an inode this transaction's to change. Their rows may not be there yet, so the inode's is
// locked; where there is none either, a row that is always there stands for it.
func (t *remoteTx) lockFor(ino meta.Ino) {
	d := t.s.e.d
	const inode = "SELECT inode FROM @node WHERE inode = ?"
	for _, text := range [...]string{
		inode + d.server.lock,
		"SELECT value FROM @counter WHERE name = 'nextSession' AND NOT EXISTS (" + inode + ")" + d.server.lock,
	} {
		t.s.pending = append(t.s.pending, call{name: "lock inode", text: t.s.e.text(text), args: []any{int64(ino)}, dest: []any{new(number)}})
	}
}

func (t *remoteTx) Flocks(ino meta.Ino) (map[meta.LockOwner]meta.FlockType, error) {
	t.lockFor(ino)
	return t.tx.Flocks(ino)
}

func (t *remoteTx) Plocks(ino meta.Ino) (map[meta.LockOwner][]meta.Plock, error) {
	t.lockFor(ino)
	return t.tx.Plocks(ino)
}

// AddACL inserts the row at once, because the database numbers it.
func (t *remoteTx) AddACL(rule []byte) (uint32, error) {
	id, err := t.addACL(rule)
	if err != nil {
		err = fmt.Errorf("add ACL: %w", err)
		t.fail(err)
	}
	return id, err
}

func (t *remoteTx) addACL(rule []byte) (uint32, error) {
	a, err := record.SplitACL(rule)
	if err != nil {
		return 0, err
	}
	if err := t.ready(); err != nil {
		return 0, err
	}
	e := t.s.e
	insert := "INSERT INTO @acl (owner, " + e.d.quote("group") + ", mask, other, named_users, named_groups) VALUES " + placeholders(6)
	var id number
	c := call{name: "insert ACL", text: e.d.server.newACL(e.text(insert)),
		args: []any{int64(a.Owner), int64(a.Group), int64(a.Mask), int64(a.Other), a.Users, a.Groups}}
	calls := []call{c}
	if e.d.server.lastID != "" {
		calls = append(calls, call{name: "read number", text: e.d.server.lastID})
	}
	calls[len(calls)-1].dest = []any{&id}
	t.wrote = true
	if err := t.s.run(t.ctx, calls...); err != nil {
		t.broken = err
		return 0, err
	}
	if id <= 0 || id > math.MaxUint32 {
		return 0, fmt.Errorf("%w: its number would be %d", meta.ErrCorrupt, id)
	}
	return uint32(id), nil
}
