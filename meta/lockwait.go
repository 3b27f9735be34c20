package meta

import (
	"context"
	"errors"
	"sync"
	"time"

	"jfs/internal/posix"
)

// Pauses between two tries of a lock that another client holds: the database does not tell when it is free.
const (
	lockPause     = time.Millisecond
	lockPauseMost = 100 * time.Millisecond
)

// lockTable is what this client knows of locks without asking the database.
type lockTable struct {
	mu      sync.Mutex // guards the rest
	held    map[Ino]map[uint64]int
	waiting map[Ino]*bell
	alive   map[uint64]int64 // until when sessions that were seen count as alive, unix seconds
}

// bell rings when this client gives up a lock of an inode.
type bell struct {
	rung    chan struct{}
	waiters int
}

// note counts a lock that the owner may have from now on. It stays noted until nothing is left of it for sure, as
// a lock that was asked for in vain costs no more than one look at its close.
func (t *lockTable) note(ino Ino, owner uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == nil {
		t.held = map[Ino]map[uint64]int{}
	}
	if t.held[ino] == nil {
		t.held[ino] = map[uint64]int{}
	}
	t.held[ino][owner]++
}

// noted says how often a lock of the owner was noted.
func (t *lockTable) noted(ino Ino, owner uint64) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held[ino][owner]
}

// clear forgets the owner unless another lock was noted since noted gave n.
func (t *lockTable) clear(ino Ino, owner uint64, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held[ino][owner] != n {
		return
	}
	delete(t.held[ino], owner)
	if len(t.held[ino]) == 0 {
		delete(t.held, ino)
	}
}

// freed wakes those of this client who wait for a lock of the inode.
func (t *lockTable) freed(ino Ino) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b := t.waiting[ino]; b != nil {
		close(b.rung)
		delete(t.waiting, ino)
	}
}

// listen gives what freed rings, until leave. It is to be asked for before the lock is tried.
func (t *lockTable) listen(ino Ino) *bell {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.waiting[ino]
	if b == nil {
		if t.waiting == nil {
			t.waiting = map[Ino]*bell{}
		}
		b = &bell{rung: make(chan struct{})}
		t.waiting[ino] = b
	}
	b.waiters++
	return b
}

func (t *lockTable) leave(ino Ino, b *bell) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b.waiters--; b.waiters == 0 && t.waiting[ino] == b {
		delete(t.waiting, ino)
	}
}

// aliveFor is how long a session that was seen counts as alive without another look, in seconds, unless its record
// says less.
const aliveFor = 60

// exists says whether a session that holds a lock still exists. A session is recorded before its first lock and its
// record is kept up, so without one, or with one that has run out, its locks are left over.
func (t *lockTable) exists(r Reader, sid uint64, now int64) (bool, error) {
	t.mu.Lock()
	until := t.alive[sid]
	t.mu.Unlock()
	if until >= now {
		return true, nil
	}
	rec, ok, err := r.Session(sid)
	if err != nil || !ok || rec.Expire < now {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.alive == nil || len(t.alive) > 10_000 {
		t.alive = map[uint64]int64{}
	}
	t.alive[sid] = min(rec.Expire, now+aliveFor)
	return true, nil
}

// lock tries until it gets an answer other than EAGAIN, with block; else once. try must come to the same when it is
// made twice.
func (v *Volume) lock(ctx context.Context, ino Ino, block bool, try func(context.Context) error) error {
	if !block {
		return surely(ctx, try)
	}
	for pause := lockPause; ; pause = min(2*pause, lockPauseMost) {
		again, err := v.waitForLock(ctx, ino, pause, try)
		if !again {
			return err
		}
	}
}

// waitForLock tries once, and on EAGAIN waits until another try may be worth it.
func (v *Volume) waitForLock(ctx context.Context, ino Ino, pause time.Duration, try func(context.Context) error) (again bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	b := v.locks.listen(ino)
	defer v.locks.leave(ino, b)
	if err := surely(ctx, try); !errors.Is(err, posix.EAGAIN) {
		return false, err
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.rung:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return true, nil
}

// lockGrace is how long a try goes on after its caller has given up.
const lockGrace = 2 * time.Second

// surely makes sure, as far as the database answers at all, that the outcome of a change is known: a lock that was
// taken for a caller who was told that it was not would never be given back. So the change goes on for a while when
// ctx ends or has ended, and is repeated when its outcome is not known.
func surely(ctx context.Context, change func(context.Context) error) error {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(lockGrace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-own.Done():
		}
	})
	defer stop()
	for n := 1; ; n++ {
		err := change(own)
		if !errors.Is(err, ErrUnknown) || n == commitTries {
			return err
		}
	}
}

// locker is who takes a lock; ENOLCK without a session, whose end would end the lock.
func (v *Volume) locker(owner uint64) (LockOwner, error) {
	sid := v.Sid()
	if sid == 0 {
		return LockOwner{}, posix.ENOLCK
	}
	return LockOwner{sid, owner}, nil
}
