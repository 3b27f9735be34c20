package sql

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// What a round trip carries at most; more goes in several before the last one.
const (
	maxCalls = 1000
	maxBytes = 2 << 20 // servers take packets of 16 MiB by default, and MySQL's text may be twice as long
)

// commit writes and commits in one round trip.
func (t *remoteTx) commit() error {
	if t.err != nil {
		return t.err
	}
	if err := t.ctx.Err(); err != nil {
		return err
	}
	if len(t.ops) == 0 && len(t.empty) == 0 && len(t.touches) == 0 && !t.wrote {
		if t.guessed {
			return errGuessed
		}
		return nil // rolled back, if anything was begun
	}
	calls := t.calls()
	for {
		n := portion(calls)
		if n == len(calls) {
			break
		}
		if err := t.s.run(t.ctx, calls[:n]...); err != nil {
			return err
		}
		calls = calls[n:]
	}
	return t.tooLong(t.s.commit(t.ctx, calls))
}

// tooLong tells what does not fit its column.
func (t *remoteTx) tooLong(err error) error {
	if err == nil || t.s.e.d.classify(err) != faultRange {
		return err
	}
	for i := range t.ops {
		switch t.ops[i].q {
		case qAppend, qReplace:
			return fmt.Errorf("%w: %w", meta.ErrChunkFull, err)
		case qSetXattr, qNewXattr:
			return fmt.Errorf("%w: %w", posix.ENOSPC, err)
		}
	}
	return err
}

// portion says how many calls go in one round trip.
func portion(calls []call) int {
	size := 0
	for i := range calls {
		for _, a := range calls[i].args {
			if b, ok := a.([]byte); ok {
				size += len(b)
			}
		}
		size += len(calls[i].text)
		if i > 0 && (i >= maxCalls || size > maxBytes) {
			return i
		}
	}
	return len(calls)
}

// commit sends calls and a COMMIT behind them. The caller's context ends it only after a while.
func (s *remoteSession) commit(ctx context.Context, calls []call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	calls = append(append(s.pending, calls...), call{name: "commit", text: "COMMIT"})
	s.pending = nil
	s.c.inTx = true
	own, cancel := outlive(ctx, s.e.timeout)
	defer cancel()
	before := s.c.sent()
	done, err := s.c.trip(own, calls)
	if err == nil {
		s.c.inTx = false
		return nil
	}
	definite := s.c.sent() == before || s.e.d.server.definite(err, done < len(calls)-1)
	if err = s.e.failed(calls, done, err); definite {
		return err
	}
	return fmt.Errorf("%w: %w", meta.ErrUnknown, err)
}

// calls gives the writes in the order in which rows are locked: the transaction's own ones, then what many change, by
// table and key, and last the directories whose permission is checked.
func (t *remoteTx) calls() []call {
	calls := make([]call, 0, len(t.ops)+2*len(t.perms)+2)
	e := t.s.e
	for _, dir := range t.empty {
		calls = append(calls, call{
			name: "require an empty directory", text: e.text(e.d.server.guardNone("FROM @edge WHERE parent = ?")),
			args: []any{int64(dir)}, dest: []any{new(number)}, untrue: posix.ENOTEMPTY,
		})
	}
	var hot []op
	for i := range t.ops {
		o := &t.ops[i]
		if heat(o.q) > 0 {
			hot = append(hot, *o)
			continue
		}
		calls = e.write(calls, o, t.sure(o))
	}
	slices.SortStableFunc(hot, func(a, b op) int {
		return cmp.Or(cmp.Compare(heat(a.q), heat(b.q)), cmp.Compare(hotKey(&a), hotKey(&b)))
	})
	for i := range hot {
		calls = e.write(calls, &hot[i], false)
	}
	for _, dir := range slices.Sorted(maps.Keys(t.perms)) {
		calls = e.allowed(calls, dir, t.perms[dir], t.touches[dir], t.spared[dir])
	}
	return calls
}

// heat orders the tables of records that many clients change at once and that are changed by adding only; 0 is not
// one of these changes. Deleting and writing such a record are in the same class as adding to it, so that their
// order stays.
func heat(q stmt) int {
	switch q {
	case qSetQuotaDir, qDropQuotaDir, qAddQuotaDir:
		return 1
	case qSetQuotaOwner, qDropQuotaOwner, qAddQuotaOwner:
		return 2
	case qAddDirStat, qSetDirStat, qDropDirStat:
		return 3
	}
	return 0
}

// hotKey is the inode, uid or gid of the record.
func hotKey(o *op) int64 {
	at := 0
	switch o.q {
	case qAddQuotaDir:
		at = 2
	case qAddDirStat:
		at = 3
	case qSetQuotaOwner, qDropQuotaOwner, qAddQuotaOwner:
		at = 1
	}
	key, _ := o.args[at].(int64)
	return key
}

// sure says that the row of a write is known to be there, because this transaction has locked it.
func (t *remoteTx) sure(o *op) bool {
	switch {
	case o.mask != 0, o.q == qTouch:
		ino, _ := o.args[len(o.args)-1].(int64)
		return t.locked[meta.Ino(ino)]
	case o.q == qMoveEntry:
		return true // Entry locks
	}
	return false
}

// write adds a write to calls, and if it has to find its row and might not, a check.
func (e *Remote) write(calls []call, o *op, sure bool) []call {
	name, text := e.plain[o.q].name, e.plain[o.q].text
	if o.mask != 0 {
		name, text = "change inode", e.nodeText(o.mask)
	}
	if o.missing == nil || sure {
		return append(calls, call{name: name, text: text, args: o.args})
	}
	parts := e.d.server.must(text)
	for i, p := range parts {
		c := call{name: name, text: p.text}
		if i == 0 {
			c.args = o.args
		}
		if i == len(parts)-1 {
			c.dest, c.untrue = []any{new(number)}, o.missing
		}
		calls = append(calls, c)
	}
	return calls
}

// permission is the condition under which a directory still allows what it allowed, as allows has it.
const permission = " WHERE inode = ? AND type = ? AND flags = ? AND mode = ? AND uid = ? AND gid = ? AND COALESCE(parent, 0) = ?" +
	" AND COALESCE(access_acl_id, 0) = ? AND COALESCE(default_acl_id, 0) = ? AND COALESCE(tier_id, 0) = ?"

// allowed adds the check of a directory that was read with Perm, together with its touch if there is one. Where that was
// left out because of a guess, spared is the time, in microseconds, since which the directory has to have been touched.
func (e *Remote) allowed(calls []call, dir meta.Ino, a meta.Attr, touch *dirTouch, spared int64) []call {
	r := encodeNode(&a)
	args := []any{int64(dir)}
	for _, col := range [...]int{colType, colFlags, colMode, colUID, colGID, colParent, colAccessACL, colDefaultACL, colTier} {
		args = append(args, int64(r[col]))
	}
	if touch == nil {
		from := "FROM @node" + permission
		if spared != 0 {
			from += " AND mtime > ?"
			args = append(args, spared)
		}
		text := e.text(e.d.server.guard(from, e.d.server.share))
		return append(calls, call{name: "check directory", text: text, args: args, dest: []any{new(number)}, untrue: errStale})
	}
	micros, nanos := splitTime(touch.now)
	const set = "UPDATE @node SET nlink = nlink + ?, mtime = ?, mtimensec = ?, ctime = ?, ctimensec = ?"
	args = append([]any{touch.nlink, int64(micros), int64(nanos), int64(micros), int64(nanos)}, args...)
	parts := e.d.server.must(e.text(set + permission))
	for i, p := range parts {
		c := call{name: "touch directory", text: p.text}
		if i == 0 {
			c.args = args
		}
		if i == len(parts)-1 {
			c.dest, c.untrue = []any{new(number)}, errStale
		}
		calls = append(calls, c)
	}
	return calls
}

// text gives the text of a statement that is written with ? and @table.
func (e *Remote) text(text string) string { return e.d.bind(e.d.withTables(text, e.t.prefix)) }

// nodeText is updateNode, remembered.
func (e *Remote) nodeText(mask uint32) string {
	if text, ok := e.masks.Load(mask); ok {
		return text.(string)
	}
	text := updateNode(e.d, e.t.prefix, mask)
	e.masks.Store(mask, text)
	return text
}

// outlive gives a context that ends commitGrace after ctx, and after limit.
func outlive(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(commitGrace)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-own.Done():
		}
	})
	return own, func() {
		stop()
		cancel()
	}
}
