package sql

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"jfs/meta"
)

// locking gives the texts with locks for reads that are promises.
func locking(d *dialect, prefix string) *[numStmts]statement {
	all := *statements(d, prefix)
	for _, q := range [...]stmt{qSetting, qNode, qNodeOf, qEntry, qChunk, qRefs, qXattr, qCounter, qSession, qHasDelayed} {
		all[q].text += d.server.lock
	}
	return &all
}

// remoteSession is a connection while one caller has it.
type remoteSession struct {
	e       *Remote
	c       *pooledLink
	locking bool   // reads are promises
	pending []call // go with the next round trip, before everything else

	// A session of a View begins no transaction for its first round trip, which is a snapshot by itself. If there is
	// a second one, it begins one and repeats the first there: with the same answers both are of one snapshot.
	lazy  bool
	first []*repeatable
}

var _ session = (*remoteSession)(nil)

// begin lets a transaction begin with the next round trip.
func (s *remoteSession) begin(texts []string) {
	for _, text := range texts {
		s.pending = append(s.pending, call{name: "begin", text: text})
	}
}

// rollback ends a transaction that was begun and not committed. It does not depend on the caller's context. A
// connection on which it fails is given up, which has the same effect.
func (s *remoteSession) rollback() {
	if !s.c.inTx || !s.c.usable() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	if _, err := s.c.trip(ctx, []call{{text: "ROLLBACK"}}); err == nil {
		s.c.inTx = false
	}
}

func (s *remoteSession) space() *scratch { return &s.c.scratch }

func (s *remoteSession) call(q stmt, args []any, row func() error, dest ...any) call {
	texts := s.e.plain
	if s.locking {
		texts = s.e.locks
	}
	return call{name: texts[q].name, text: texts[q].text, args: args, dest: dest, row: row}
}

// run sends the calls in one round trip, behind what is pending.
func (s *remoteSession) run(ctx context.Context, calls ...call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.lazy {
		return s.runLazy(ctx, calls)
	}
	return s.send(ctx, calls)
}

func (s *remoteSession) send(ctx context.Context, calls []call) error {
	if len(s.pending) > 0 {
		calls = append(s.pending, calls...)
		s.pending = nil
		s.c.inTx = true
	}
	ctx, cancel := context.WithTimeout(ctx, s.e.timeout)
	defer cancel()
	done, err := s.c.trip(ctx, calls)
	return s.e.failed(calls, done, err)
}

// failed names the call that failed.
func (e *Remote) failed(calls []call, done int, err error) error {
	if err == nil {
		return nil
	}
	c := &calls[min(done, len(calls)-1)]
	if c.untrue != nil && e.d.classify(err) == faultGuard {
		return fmt.Errorf("%s: %w", c.name, c.untrue)
	}
	return fmt.Errorf("%s: %w", c.name, e.d.explain(err))
}

func (s *remoteSession) one(ctx context.Context, q stmt, args []any, dest ...any) (ok bool, err error) {
	err = s.run(ctx, s.call(q, args, func() error {
		ok = true
		return nil
	}, dest...))
	return ok && err == nil, err
}

func (s *remoteSession) each(ctx context.Context, q stmt, args []any, fn func() error, dest ...any) error {
	return s.run(ctx, s.call(q, args, fn, dest...))
}

// many sends everything at once; outside of a transaction in one, so that it is a snapshot.
func (s *remoteSession) many(ctx context.Context, q stmt, list [][]any, fn func(i int, ok bool) error, dest ...any) error {
	there := make([]bool, len(list))
	calls := make([]call, 0, len(list)+1)
	for _, i := range ascending(list) {
		calls = append(calls, s.call(q, list[i], func() error {
			there[i] = true
			return fn(i, true)
		}, dest...))
	}
	own := s.lazy && s.first == nil
	if own {
		s.begin(s.e.d.server.beginRead)
		calls = append(calls, call{name: "commit", text: "COMMIT"})
	}
	if err := s.run(ctx, calls...); err != nil {
		return err
	}
	if own {
		s.c.inTx = false
	}
	for i, ok := range there {
		if !ok {
			if err := fn(i, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// ascending gives the order in which rows are locked, the same in all clients: by the first argument.
func ascending(list [][]any) []int {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, _ := list[a][0].(int64)
		y, _ := list[b][0].(int64)
		return cmp.Compare(x, y)
	})
	return order
}

// loadView reads what is wanted in one round trip and one snapshot.
func (s *remoteSession) loadView(r *reader, want *meta.Want) error {
	var calls []call
	s.begin(s.e.d.server.beginRead)
	r.ahead = newAhead()
	for _, n := range want.Entries {
		calls = append(calls, s.entryCall(r, n, false))
	}
	for _, n := range want.Nodes {
		calls = append(calls, s.entryCall(r, n, true))
	}
	for _, list := range [...][]meta.Ino{want.Attrs, want.Perms} {
		for _, ino := range list {
			r.nodes[ino] = node{}
			calls = append(calls, s.nodeCall(r, ino))
		}
	}
	for _, id := range want.Chunks {
		calls = append(calls, s.chunkCall(r, id))
	}
	calls = append(calls, call{name: "commit", text: "COMMIT"})
	err := s.run(r.ctx, calls...)
	if err == nil {
		s.c.inTx = false
	}
	return err
}

// entryCall reads an entry, and with both its inode.
func (s *remoteSession) entryCall(r *reader, n meta.Name, both bool) call {
	var ino, typ, found number
	args := []any{int64(n.Dir), []byte(n.Name)}
	r.ahead.entries[n] = aheadEntry{}
	note := func() error {
		r.ahead.entries[n] = aheadEntry{ok: true, ino: ino, typ: typ}
		return nil
	}
	if !both {
		return s.call(qEntry, args, note, &ino, &typ)
	}
	return s.call(qEntryNode, args, func() error {
		if _, known := r.nodes[meta.Ino(ino)]; !known {
			_, _, _ = r.remember(meta.Ino(ino), found != 0) // a bad row is not remembered, and read again
		}
		return note()
	}, r.joined(&ino, &typ, &found)...)
}

// nodeCall reads an inode, which is taken for missing before.
func (s *remoteSession) nodeCall(r *reader, ino meta.Ino) call {
	return s.call(qNode, []any{int64(ino)}, func() error {
		if _, _, err := r.remember(ino, true); err != nil {
			delete(r.nodes, ino) // whoever asks for it meets the error
		}
		return nil
	}, r.joined()...)
}

func (s *remoteSession) chunkCall(r *reader, id meta.ChunkID) call {
	var b []byte
	r.ahead.chunks[id] = nil
	return s.call(qChunk, []any{int64(id.Ino), int64(id.Index)}, func() error {
		r.ahead.chunks[id] = b
		return nil
	}, &b)
}
