package redis

import (
	"fmt"
	"strconv"

	"github.com/redis/rueidis"

	"jfs/internal/posix"
	"jfs/meta"
)

// Answers of the commit script.
const (
	answerDone     = 0
	answerChanged  = 1
	answerNotEmpty = 2
)

// commit proves what was read and applies the writes. When a record was not as it was read, nothing is written.
func (t *tx) commit() (outcome, error) {
	if err := t.releaseLocks(); err != nil {
		return final, err
	}
	args := t.checks()
	if len(t.writes) == 0 && len(t.require) == 0 && (len(args) == 0 || !t.hinted && t.loads <= 1) {
		return final, nil // nothing to do, and what was read was of one moment
	}
	args = append(append(args, t.require...), t.writes...)
	args = t.watchAgain(args)
	answer, err := t.e.change(t.ctx, t.tell, t.e.committer, t.keys, args)
	if err != nil {
		t.forget()
		return failed, commitError(err)
	}
	if answer.kind != replyList || len(answer.list) == 0 || answer.list[0].kind != replyInt {
		return final, fmt.Errorf("commit: %w", answer.wrong())
	}
	switch n := answer.list[0].n; n {
	case answerChanged:
		t.forget()
		return changed, nil
	case answerNotEmpty: // the checks before it have passed
		return final, posix.ENOTEMPTY
	case answerDone:
		return final, nil
	default:
		return final, fmt.Errorf("commit: unexpected answer %d", n)
	}
}

func commitError(err error) error {
	if code(err) == "OOM" {
		return fmt.Errorf("commit: the memory of the redis server is full, raise maxmemory: %w: %w", posix.ENOSPC, err)
	}
	return fmt.Errorf("commit: %w", err)
}

// checks lists the proofs for all that the function has looked at.
func (t *tx) checks() []string {
	args := make([]string, 0, 5*len(t.order)+len(t.require)+len(t.writes))
	for _, r := range t.order {
		if r.promise != promiseNothing {
			args = t.check(args, r)
		}
	}
	return args
}

func (t *tx) check(args []string, r *read) []string {
	key := t.index(r.key)
	switch r.kind {
	case kindField:
		if r.ok {
			return append(args, "f", key, r.field, r.raw)
		}
		return append(args, "F", key, r.field)
	case kindList:
		return append(args, "l", key, r.raw)
	case kindNames:
		return append(append(args, "k", key, strconv.Itoa(len(r.list))), r.list...)
	case kindHash:
		return append(append(args, "h", key, strconv.Itoa(len(r.list)/2)), r.list...)
	case kindScore:
		return append(args, "z", key, r.field, r.raw)
	}
	switch {
	case !r.ok:
		return append(args, "-", key)
	case r.promise == promisePerm:
		return append(args, "~", key, r.raw[:meta.AttrTimes], r.raw[meta.AttrParent:])
	}
	return append(args, "=", key, r.raw)
}

// releaseLocks adds the removal of all locks of the dropped sessions to the writes. The session is over, so
// the set of its locks does not grow any more, except by this transaction.
func (t *tx) releaseLocks() error {
	for _, sid := range t.dropped {
		key := t.e.keys.locked(sid)
		r, err := t.e.client.query1(t.ctx, func(b rueidis.Builder) rueidis.Completed {
			return b.Smembers().Key(key).Build()
		})
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		locks, err := r.AsStrSlice()
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		for lock := range t.locks {
			locks = append(locks, lock)
		}
		for _, lock := range locks { // whole names of the hashes
			t.writes = append(t.writes, "u", t.index(lock), strconv.FormatUint(sid, 10)+"_")
			t.do("SREM", key, lock)
		}
	}
	return nil
}
