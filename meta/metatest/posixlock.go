package metatest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

var lockTests = []posixTest{
	{"Flock", lockFlock},
	{"FlockUpgrade", lockFlockUpgrade},
	{"Plock", lockPlock},
	{"PlockQuery", lockQuery},
	{"LockWait", lockWait},
	{"LockInterrupted", lockInterrupted},
	{"LockLeftOver", lockLeftOver},
	{"LockSession", lockSession},
	{"LockExcludes", lockExcludes},
}

func lockFlock(t *testing.T, a, b *client) {
	f := a.file(meta.RootIno, "f")
	try := func(c *client, owner uint64, typ meta.FlockType) error { return c.Flock(c.ctx, f, owner, typ, false) }
	a.want("shared", try(a, 1, meta.FlockShared), nil)
	a.want("shared again", try(a, 1, meta.FlockShared), nil)
	a.want("shared of another", try(b, 1, meta.FlockShared), nil) // the same number in another session
	a.want("exclusive", try(b, 2, meta.FlockExclusive), posix.EAGAIN)
	a.want("upgrade under a shared one", try(a, 1, meta.FlockExclusive), posix.EAGAIN)
	a.want("unlock", try(b, 1, meta.FlockNone), nil)
	a.want("unlock of nothing", try(b, 9, meta.FlockNone), nil)
	a.want("upgrade", try(a, 1, meta.FlockExclusive), nil)
	a.want("shared under an exclusive one", try(a, 2, meta.FlockShared), posix.EAGAIN)
	a.want("shared under an exclusive one of another client", try(b, 2, meta.FlockShared), posix.EAGAIN)
	a.want("other file", b.Flock(b.ctx, f+1, 2, meta.FlockExclusive, false), nil)
	locks := read(t, b.eng, func(r meta.Reader) (map[meta.LockOwner]meta.FlockType, error) { return r.Flocks(f) })
	equal(t, "locks", locks, map[meta.LockOwner]meta.FlockType{{Sid: a.Sid(), Owner: 1}: meta.FlockExclusive})
	a.noErr("unlink", a.Unlink(a.ctx, meta.Root, meta.RootIno, "f"))
	a.want("after unlink", try(b, 2, meta.FlockShared), posix.EAGAIN)
	a.want("downgrade", try(a, 1, meta.FlockShared), nil)
	a.want("shared", try(b, 2, meta.FlockShared), nil)
}

// lockFlockUpgrade: of two who hold a shared lock and wait for the exclusive one, both get it in turn.
func lockFlockUpgrade(t *testing.T, a, b *client) {
	f := a.file(meta.RootIno, "f")
	a.noErr("shared", a.Flock(a.ctx, f, 1, meta.FlockShared, false))
	b.noErr("shared", b.Flock(b.ctx, f, 1, meta.FlockShared, false))
	together(t, 2, func(ctx context.Context, i int) error {
		c := []*client{a, b}[i]
		if err := c.Flock(ctx, f, 1, meta.FlockExclusive, true); err != nil {
			return err
		}
		return c.Flock(ctx, f, 1, meta.FlockNone, false)
	})
}

func wr(start, end uint64) meta.Plock {
	return meta.Plock{Type: meta.PlockWrite, PID: 2941, Start: start, End: end}
}

func rd(start, end uint64) meta.Plock {
	return meta.Plock{Type: meta.PlockRead, PID: 2941, Start: start, End: end}
}

func un(start, end uint64) meta.Plock {
	return meta.Plock{Type: meta.PlockUnlock, PID: 2941, Start: start, End: end}
}

func (c *client) plocks(ino meta.Ino) map[meta.LockOwner][]meta.Plock {
	return read(c.t, c.eng, func(r meta.Reader) (map[meta.LockOwner][]meta.Plock, error) { return r.Plocks(ino) })
}

func lockPlock(t *testing.T, a, b *client) {
	f := a.file(meta.RootIno, "f")
	set := func(c *client, owner uint64, l meta.Plock) error { return c.Setlk(c.ctx, f, owner, l, false) }
	a.want("write", set(a, 1, wr(5, 14)), nil)
	a.want("overlap", set(b, 1, rd(14, 20)), posix.EAGAIN)
	a.want("neighbour", set(b, 1, wr(15, 20)), nil)
	a.want("own overlap", set(a, 1, rd(10, 14)), nil)
	a.want("read over read", set(b, 2, rd(10, 14)), nil)
	a.want("write over read", set(b, 3, wr(12, 12)), posix.EAGAIN)
	equal(t, "locks", b.plocks(f), map[meta.LockOwner][]meta.Plock{
		{Sid: a.Sid(), Owner: 1}: {wr(5, 9), rd(10, 14)},
		{Sid: b.Sid(), Owner: 1}: {wr(15, 20)},
		{Sid: b.Sid(), Owner: 2}: {rd(10, 14)},
	})
	a.want("split", set(b, 1, un(17, 17)), nil)
	a.want("in the gap", set(a, 2, wr(17, 17)), nil)
	a.want("unlock of nothing", set(a, 77, un(0, meta.PlockEOF)), nil)
	a.want("bad range", set(a, 1, wr(3, 2)), posix.EINVAL)
	a.want("bad type", set(a, 1, meta.Plock{Type: 3, End: 5}), posix.EINVAL)
	a.want("to the end", set(b, 4, wr(100, meta.PlockEOF)), nil)
	a.want("far behind", set(a, 1, rd(1<<40, 1<<40)), posix.EAGAIN)
	b.noErr("release", b.ReleaseLocks(b.ctx, f, 4))
	b.noErr("release again", b.ReleaseLocks(b.ctx, f, 4))
	b.noErr("release", b.ReleaseLocks(b.ctx, f, 1))
	equal(t, "locks after release", a.plocks(f), map[meta.LockOwner][]meta.Plock{
		{Sid: a.Sid(), Owner: 1}: {wr(5, 9), rd(10, 14)},
		{Sid: a.Sid(), Owner: 2}: {wr(17, 17)},
		{Sid: b.Sid(), Owner: 2}: {rd(10, 14)},
	})
}

func lockQuery(t *testing.T, a, b *client) {
	f := a.file(meta.RootIno, "f")
	get := func(c *client, owner uint64, probe, want meta.Plock) {
		t.Helper()
		got, err := c.Getlk(c.ctx, f, owner, probe)
		c.noErr("query", err)
		if got != want {
			t.Errorf("query %+v gives %+v, want %+v", probe, got, want)
		}
	}
	free := meta.Plock{Type: meta.PlockUnlock}
	get(a, 1, wr(0, meta.PlockEOF), free)
	a.noErr("lock", a.Setlk(a.ctx, f, 1, wr(50, 59), false))
	b.noErr("lock", b.Setlk(b.ctx, f, 1, rd(20, 29), false))
	get(a, 1, wr(50, 59), free) // its own
	get(a, 2, rd(0, meta.PlockEOF), wr(50, 59))
	get(a, 2, rd(20, 49), free)
	anon := rd(20, 29)
	anon.PID = 0
	get(a, 1, wr(0, meta.PlockEOF), anon)
	get(b, 2, wr(0, meta.PlockEOF), rd(20, 29))
	_, err := a.Getlk(a.ctx, f, 1, un(0, 1))
	a.want("query for nothing", err, posix.EINVAL)
}

// lockWait: who waits gets the lock when it is free, within a client and between two.
func lockWait(t *testing.T, a, b *client) {
	f := a.file(meta.RootIno, "f")
	for _, c := range []*client{a, b} {
		a.noErr("lock", a.Flock(a.ctx, f, 1, meta.FlockExclusive, false))
		a.noErr("lock", a.Setlk(a.ctx, f, 1, wr(0, 9), false))
		got := make(chan error, 2)
		go func() { got <- c.Flock(c.ctx, f, 2, meta.FlockShared, true) }()
		go func() { got <- c.Setlk(c.ctx, f, 2, rd(9, 9), true) }()
		a.noErr("unlock", a.Flock(a.ctx, f, 1, meta.FlockNone, false))
		a.noErr("unlock", a.Setlk(a.ctx, f, 1, un(5, 9), false))
		for range cap(got) {
			a.noErr("lock that was waited for", <-got)
		}
		a.noErr("unlock", a.ReleaseLocks(a.ctx, f, 1))
		a.noErr("unlock", c.Flock(c.ctx, f, 2, meta.FlockNone, false))
		a.noErr("unlock", c.ReleaseLocks(c.ctx, f, 2))
	}
	equal(t, "locks left", len(a.plocks(f)), 0)
}

// lockInterrupted: who gives up waiting has no lock.
func lockInterrupted(t *testing.T, a, b *client) {
	f := a.file(meta.RootIno, "f")
	a.noErr("lock", a.Flock(a.ctx, f, 1, meta.FlockExclusive, false))
	a.noErr("lock", a.Setlk(a.ctx, f, 1, wr(0, 9), false))
	ctx, cancel := context.WithCancel(b.ctx)
	got := make(chan error, 2)
	go func() { got <- b.Flock(ctx, f, 2, meta.FlockShared, true) }()
	go func() { got <- b.Setlk(ctx, f, 2, wr(0, 0), true) }()
	cancel()
	for range cap(got) {
		b.want("interrupted lock", <-got, context.Canceled)
	}
	equal(t, "owners of record locks", len(a.plocks(f)), 1)
	a.noErr("unlock", a.Flock(a.ctx, f, 1, meta.FlockNone, false))
	a.want("free", a.Flock(a.ctx, f, 3, meta.FlockExclusive, false), nil)
}

// lockLeftOver: locks of sessions that have no record, or one that has run out, stand in nobody's way.
func lockLeftOver(t *testing.T, a, b *client) {
	f := a.file(meta.RootIno, "f")
	const gone, expired, alive = 900, 901, 902
	now := meta.TimeOf(time.Now())
	update(t, a.eng, meta.Want{}, func(tx meta.Tx) error {
		if _, err := tx.Flocks(f); err != nil {
			return err
		}
		if _, err := tx.Plocks(f); err != nil {
			return err
		}
		for _, sid := range []uint64{gone, expired} {
			tx.SetFlock(f, meta.LockOwner{Sid: sid, Owner: 1}, meta.FlockShared)
			tx.SetPlocks(f, meta.LockOwner{Sid: sid, Owner: 1}, []meta.Plock{wr(0, 9)})
		}
		tx.SetSession(meta.SessionRecord{Sid: expired, Expire: now.Sec - 1, Info: []byte("{}")})
		tx.SetSession(meta.SessionRecord{Sid: alive, Expire: now.Sec + 1000, Info: []byte("{}")})
		return nil
	})
	free, err := b.Getlk(b.ctx, f, 5, wr(0, meta.PlockEOF))
	b.noErr("query", err)
	equal(t, "lock in the way", free, meta.Plock{Type: meta.PlockUnlock})
	b.want("flock", b.Flock(b.ctx, f, 5, meta.FlockExclusive, false), nil)
	b.want("lock", b.Setlk(b.ctx, f, 5, wr(3, 4), false), nil)
	equal(t, "owners left", len(a.plocks(f)), 1)

	g := a.file(meta.RootIno, "g")
	update(t, a.eng, meta.Want{}, func(tx meta.Tx) error {
		if _, err := tx.Flocks(g); err != nil {
			return err
		}
		tx.SetFlock(g, meta.LockOwner{Sid: gone, Owner: 1}, meta.FlockShared)
		tx.SetFlock(g, meta.LockOwner{Sid: alive, Owner: 1}, meta.FlockShared)
		return nil
	})
	b.want("flock against one who lives", b.Flock(b.ctx, g, 5, meta.FlockExclusive, false), posix.EAGAIN)
	b.want("shared", b.Flock(b.ctx, g, 5, meta.FlockShared, false), nil)
}

// lockSession: locks need a session and go with it.
func lockSession(t *testing.T, a, b *client) {
	f := a.file(meta.RootIno, "f")
	none := openVolume(t, a.eng, meta.Options{})
	none.want("flock", none.Flock(none.ctx, f, 1, meta.FlockShared, true), posix.ENOLCK)
	none.want("lock", none.Setlk(none.ctx, f, 1, rd(0, 1), true), posix.ENOLCK)
	none.want("unlock", none.Flock(none.ctx, f, 1, meta.FlockNone, false), nil)
	none.want("unlock", none.Setlk(none.ctx, f, 1, un(0, 1), false), nil)
	b.noErr("flock", b.Flock(b.ctx, f, 1, meta.FlockExclusive, false))
	b.noErr("shared flock", b.Flock(b.ctx, f+1, 1, meta.FlockShared, false))
	b.noErr("lock", b.Setlk(b.ctx, f, 1, wr(0, 1), false))
	got, err := none.Getlk(none.ctx, f, 1, rd(1, 1))
	none.noErr("query", err)
	equal(t, "lock in the way", got, meta.Plock{Type: meta.PlockWrite, Start: 0, End: 1})
	a.want("held", a.Flock(a.ctx, f, 1, meta.FlockShared, false), posix.EAGAIN)
	waits := make(chan error, 1)
	go func() { waits <- a.Setlk(a.ctx, f, 1, wr(0, meta.PlockEOF), true) }()
	b.noErr("close", b.Volume.Close(b.ctx))
	a.noErr("lock that was waited for", <-waits)
	a.want("free", a.Flock(a.ctx, f, 1, meta.FlockExclusive, false), nil)
	a.want("free", a.Flock(a.ctx, f+1, 1, meta.FlockExclusive, false), nil)
}

// lockExcludes: under a lock a counter is read and written in two steps, and no count is lost.
func lockExcludes(t *testing.T, a, b *client) {
	const workers, rounds = 4, 6
	f := a.file(meta.RootIno, "f")
	for kind, lock := range map[string]func(c *client, owner uint64, on bool) error{
		"user.flock": func(c *client, owner uint64, on bool) error {
			if on {
				return c.Flock(c.ctx, f, owner, meta.FlockExclusive, true)
			}
			return c.Flock(c.ctx, f, owner, meta.FlockNone, false)
		},
		"user.plock": func(c *client, owner uint64, on bool) error {
			if on {
				return c.Setlk(c.ctx, f, owner, wr(7, 7), true)
			}
			return c.Setlk(c.ctx, f, owner, un(0, meta.PlockEOF), false)
		},
	} {
		var wg sync.WaitGroup
		for w := range workers {
			c := []*client{a, b}[w%2]
			wg.Go(func() {
				for range rounds {
					err := errors.Join(lock(c, uint64(w), true), count(c, f, kind), lock(c, uint64(w), false))
					if err != nil {
						t.Errorf("worker %d: %v", w, err)
						return
					}
				}
			})
		}
		wg.Wait()
		got, err := a.GetXattr(a.ctx, f, kind)
		a.noErr("read", err)
		if want := fmt.Sprint(workers * rounds); string(got) != want {
			t.Errorf("%s: counted to %s, want %s", kind, got, want)
		}
	}
	equal(t, "locks left", slices.Collect(maps.Keys(a.plocks(f))), nil)
}

func count(c *client, f meta.Ino, name string) error {
	b, err := c.GetXattr(c.ctx, f, name)
	n := 0
	switch {
	case err == nil:
		if n, err = strconv.Atoi(string(b)); err != nil {
			return err
		}
	case !errors.Is(err, posix.ENODATA):
		return err
	}
	return c.SetXattr(c.ctx, meta.Root, f, name, []byte(strconv.Itoa(n+1)), 0)
}
