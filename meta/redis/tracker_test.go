package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// listener keeps what an engine tells.
type listener struct {
	t     testing.TB
	heard chan meta.Notice
}

func listen(t testing.TB, e *Engine) *listener {
	l := &listener{t: t, heard: make(chan meta.Notice, 10_000)}
	e.OnChange(func(n meta.Notice) { l.heard <- n })
	return l
}

// wait takes what was told up to a notice.
func (l *listener) wait(want meta.Notice) {
	l.t.Helper()
	late := time.After(10 * time.Second)
	for {
		select {
		case got := <-l.heard:
			if got == want {
				return
			}
		case <-late:
			l.t.Fatalf("not told of %+v", want)
		}
	}
}

// drain takes what was told so far.
func (l *listener) drain() {
	for len(l.heard) > 0 {
		<-l.heard
	}
}

// none checks that nothing was told until the server has answered a question on the same connection.
func (l *listener) none(e *Engine) {
	l.t.Helper()
	if _, err := e.tracker.get().do(context.Background(), nil, []string{"PING"}); err != nil {
		l.t.Fatal(err)
	}
	select {
	case got := <-l.heard:
		l.t.Errorf("told of %+v", got)
	default:
	}
}

// coherent waits until the server tells of changes.
func coherent(t testing.TB, e *Engine) {
	t.Helper()
	for late := time.Now().Add(10 * time.Second); !e.Coherent(); time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("the server does not tell of changes again")
		}
	}
}

func setLength(t testing.TB, e *Engine, ino meta.Ino, n uint64) {
	t.Helper()
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		a, _, err := tx.Attr(ino)
		a.Type, a.Length = meta.TypeFile, n
		tx.SetAttr(ino, &a)
		return err
	})
}

// found says which inode a name stands for, 0 for none.
func found(t testing.TB, e *Engine, dir meta.Ino, name string) meta.Ino {
	t.Helper()
	var ino meta.Ino
	view(t, e, meta.Want{Entries: []meta.Name{{Dir: dir, Name: name}}}, func(r meta.Reader) error {
		x, ok, err := r.Entry(dir, name)
		if ino = x.Ino; !ok {
			ino = 0
		}
		return err
	})
	return ino
}

func makeFile(t testing.TB, e *Engine, dir meta.Ino, name string, ino meta.Ino) {
	t.Helper()
	update(t, e, createWant(dir, name), func(tx meta.Tx) error { return create(tx, dir, name, ino) })
}

func removeFile(t testing.TB, e *Engine, dir meta.Ino, name string, ino meta.Ino) {
	t.Helper()
	update(t, e, createWant(dir, name), func(tx meta.Tx) error {
		_, ok, err := tx.Entry(dir, name)
		if err != nil || !ok {
			return errors.Join(err, posix.ENOENT)
		}
		tx.DropEntry(dir, name)
		tx.DropNode(ino)
		return nil
	})
}

func TestTrackedRoundTrips(t *testing.T) {
	url := start(t).empty()
	other := open(t, url, Options{})
	withDir(t, other, 1)
	makeFile(t, other, 1, "theirs", 50)
	var count trips
	e := open(t, url, count.options())
	told := listen(t, e)
	see := func(dir meta.Ino, name string, want meta.Ino) func() {
		return func() {
			t.Helper()
			if got := found(t, e, dir, name); got != want {
				t.Errorf("%d/%s is inode %d, want %d", dir, name, got, want)
			}
		}
	}
	stat := func(ino meta.Ino) func() {
		return func() { attrOf(t, e, ino) }
	}
	list := func() {
		view(t, e, meta.Want{}, func(r meta.Reader) error {
			_, next, err := r.Entries(1, "", 1000, true)
			if next != "" {
				t.Error("a small directory comes in parts")
			}
			return err
		})
	}
	for _, step := range []struct {
		name string
		do   func()
		want int64
	}{
		{"look up", see(1, "theirs", 50), 1},
		{"look up again", see(1, "theirs", 50), 0},
		{"look up of a missing name", see(1, "a", 0), 1},
		{"the same again", see(1, "a", 0), 0},
		{"create", func() { makeFile(t, e, 1, "a", 60) }, 2},
		{"look up what we made", see(1, "a", 60), 0},
		{"stat of what we made", stat(60), 0},
		{"stat of its directory", stat(1), 0},
		{"change", func() { setLength(t, e, 60, 9) }, 1},
		{"stat after our change", stat(60), 0},
		{"another missing name, in a directory of two that are both known", see(1, "b", 0), 0},
		{"somebody else removes and creates", func() {
			removeFile(t, other, 1, "theirs", 50)
			makeFile(t, other, 1, "z", 51)
			told.wait(meta.Notice{Dir: 1})
		}, 0},
		{"a missing name after that", see(1, "b", 0), 1},
		{"another missing name", see(1, "c", 0), 1},
		{"listing", list, 2},
		{"a missing name, the directory being known", see(1, "c", 0), 0},
		{"create, the directory being known", func() { makeFile(t, e, 1, "c", 61) }, 1},
		{"a missing name in a directory that we have changed", see(1, "d", 0), 0},
		{"unlink", func() { removeFile(t, e, 1, "c", 61) }, 1},
		{"look up what we have removed", see(1, "c", 0), 0},
		{"and another", see(1, "d", 0), 0},
		{"mkdir", func() { withDir(t, e, 2) }, 1},
		{"a missing name in the new directory", see(2, "x", 0), 0},
		{"stat of the new directory", stat(2), 0},
		{"create in the new directory", func() { makeFile(t, e, 2, "x", 62) }, 1},
		{"create again", func() { makeFile(t, e, 2, "y", 63) }, 1},
		{"a missing name in it", see(2, "z", 0), 0},
		{"somebody else creates", func() {
			makeFile(t, other, 2, "z", 64)
			told.wait(meta.Notice{Dir: 2})
		}, 0},
		{"look it up", see(2, "z", 64), 1},
		{"look up what was there", see(2, "x", 62), 1},
		{"and again", see(2, "x", 62), 0},
		{"somebody else writes", func() {
			setLength(t, other, 60, 10)
			told.wait(meta.Notice{Ino: 60})
		}, 0},
		{"stat of what they wrote", stat(60), 1},
		{"stat again", stat(60), 0},
	} {
		if got := count.during(step.do); got != step.want {
			t.Errorf("%s: %d round trips, want %d", step.name, got, step.want)
		}
	}
}

// TestWhoIsTold: changes of others, and own ones that were not asked for.
func TestWhoIsTold(t *testing.T) {
	url := start(t).empty()
	e, other := open(t, url, Options{}), open(t, url, Options{})
	told := listen(t, e)
	asked := meta.WithRequest(t.Context())
	err := e.Update(asked, meta.Want{}, func(tx meta.Tx) error { tx.SetAttr(1, &dirAttr); return nil })
	if err != nil {
		t.Fatal(err)
	}
	told.wait(meta.Notice{Ino: 1, By: true})
	told.none(e)
	ended, end := context.WithCancel(asked)
	err = e.Update(ended, meta.Want{}, func(tx meta.Tx) error { tx.SetAttr(2, &dirAttr); end(); return nil })
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	told.none(e)
	withDir(t, e, 1)
	told.wait(meta.Notice{Ino: 1})
	makeFile(t, e, 1, "a", 5)
	told.wait(meta.Notice{Dir: 1, Name: "a"})
	told.wait(meta.Notice{Ino: 5})
	told.wait(meta.Notice{Ino: 1})
	told.none(e)
	setLength(t, other, 5, 1)
	told.wait(meta.Notice{Ino: 5})
	setLength(t, other, 5, 2) // nobody has read it since
	told.none(e)
	attrOf(t, e, 5)
	setLength(t, other, 5, 3)
	told.wait(meta.Notice{Ino: 5})
	raw(t, other, "FLUSHDB")
	told.wait(meta.Notice{All: true})
}

// TestWriteWithoutRecord: an own write that the memory has no record of must not leave an old one.
func TestWriteWithoutRecord(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	setLength(t, e, 5, 1)
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.(txDoer).do("SET", e.keys.attr(5), string(meta.EncodeAttr(&dirAttr)))
		return nil
	})
	if got, _ := attrOf(t, e, 5); got != dirAttr {
		t.Errorf("remembers %+v", got)
	}
}

type txDoer interface {
	do(command, key string, args ...string)
}

// TestFlush: a database that was emptied has nothing, whatever was remembered.
func TestFlush(t *testing.T) {
	url := start(t).empty()
	e, other := open(t, url, Options{}), open(t, url, Options{})
	told := listen(t, e)
	setLength(t, e, 5, 1)
	withDir(t, e, 1)
	makeFile(t, e, 1, "a", 6)
	raw(t, other, "FLUSHDB")
	told.wait(meta.Notice{All: true})
	if _, ok := attrOf(t, e, 5); ok {
		t.Error("an inode is remembered")
	}
	if ino := found(t, e, 1, "a"); ino != 0 {
		t.Errorf("entry of inode %d is remembered", ino)
	}
}

// TestLostLink kills the connection on which changes are told, in the way of CLIENT KILL.
func TestLostLink(t *testing.T) {
	url := start(t).empty()
	var count trips
	e, other := open(t, url, count.options()), open(t, url, Options{})
	told := listen(t, e)
	for round := range 5 {
		setLength(t, e, 5, 1)
		withDir(t, e, 1)
		kill(t, e, other)
		told.wait(meta.Notice{All: true})
		n := uint64(100 + round)
		setLength(t, other, 5, n)
		makeFile(t, other, 1, fmt.Sprint("f", round), meta.Ino(10+round))
		if got, _ := attrOf(t, e, 5); got.Length != n {
			t.Errorf("round %d: length %d of another client is not seen: %d", round, n, got.Length)
		}
		if found(t, e, 1, fmt.Sprint("f", round)) == 0 {
			t.Errorf("round %d: the file of another client is not seen", round)
		}
		setLength(t, e, 5, n+1) // with the link or without
		if got, _ := attrOf(t, e, 5); got.Length != n+1 {
			t.Errorf("round %d: own change is not seen", round)
		}
		coherent(t, e)
		attrOf(t, e, 5)
		if n := count.during(func() { attrOf(t, e, 5) }); n != 0 {
			t.Errorf("round %d: %d trips for what was just read on the new link", round, n)
		}
		told.drain()
		setLength(t, other, 5, n+2)
		told.wait(meta.Notice{Ino: 5})
		if got, _ := attrOf(t, e, 5); got.Length != n+2 {
			t.Errorf("round %d: the new link does not tell", round)
		}
	}
}

// kill ends the link of e from another connection.
func kill(t testing.TB, e, other *Engine) {
	t.Helper()
	answers, err := e.tracker.get().do(context.Background(), nil, []string{"CLIENT", "ID"})
	if err != nil {
		t.Fatal(err)
	}
	raw(t, other, "CLIENT", "KILL", "ID", strconv.FormatInt(answers[0].n, 10))
}

// TestServerForgets: a server that remembers few keys does not tell of all that it gives up.
func TestServerForgets(t *testing.T) {
	s := start(t, "--tracking-table-max-keys", "10")
	url := s.empty()
	e, other := open(t, url, Options{}), open(t, url, Options{})
	if e.Coherent() {
		t.Error("relies on a server that forgets keys")
	}
	for i := range meta.Ino(100) {
		setLength(t, other, i, 1)
		attrOf(t, e, i)
		setLength(t, other, i, 2)
		if got, _ := attrOf(t, e, i); got.Length != 2 {
			t.Fatalf("inode %d: length %d", i, got.Length)
		}
	}
	raw(t, e, "CONFIG", "SET", "tracking-table-max-keys", "0")
	e = open(t, url, Options{})
	if !e.Coherent() {
		t.Error("does not rely on a server that remembers all keys")
	}
	told := listen(t, e)
	raw(t, e, "CONFIG", "SET", "tracking-table-max-keys", "100000")
	told.wait(meta.Notice{All: true})
	if e.Coherent() {
		t.Error("relies on a server that may forget keys soon")
	}
}

// TestNoTracking: servers and users that cannot track are used without.
func TestNoTracking(t *testing.T) {
	s := start(t)
	url := s.empty()
	admin := open(t, url, Options{})
	check := func(what, url string) {
		t.Helper()
		e := open(t, url, Options{})
		if e.Coherent() {
			t.Errorf("%s: coherent without being told", what)
		}
		setLength(t, e, 5, 1)
		setLength(t, admin, 5, 2)
		if got, _ := attrOf(t, e, 5); got.Length != 2 {
			t.Errorf("%s: length %d", what, got.Length)
		}
	}
	for _, forbidden := range []string{"client|tracking", "config", "info"} {
		raw(t, admin, "ACL", "SETUSER", "plain", "reset", "on", ">secret", "~*", "&*", "+@all", "-"+forbidden)
		check("without "+forbidden, strings.Replace(url, "redis://", "redis://plain:secret@", 1))
	}
	raw(t, admin, "ACL", "SETUSER", "full", "on", ">secret", "~*", "&*", "+@all")
	if e := open(t, strings.Replace(url, "redis://", "redis://full:secret@", 1), Options{}); !e.Coherent() {
		t.Error("not coherent with a user and a password")
	}
	old := start(t, "--rename-command", "HELLO", "").empty()
	admin = open(t, old, Options{})
	check("on a server that does not know HELLO", old)
}

// TestHammer lets two engines change the same records. Whoever looks never sees an older state after a newer one,
// and sees every change soon.
func TestHammer(t *testing.T) {
	url := start(t).empty()
	engines := []*Engine{open(t, url, Options{}), open(t, url, Options{Hints: 16})}
	withDir(t, engines[0], 1)
	const inodes, changes = 8, 150
	var done [inodes]atomic.Uint64 // acknowledged versions
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	ctx := context.Background()
	for w, e := range engines {
		writers.Go(func() {
			for i := range changes {
				k := (i + w) % inodes
				ino := meta.Ino(100 + k)
				var version uint64
				err := e.Update(ctx, meta.Want{Attrs: []meta.Ino{ino}}, func(tx meta.Tx) error {
					a, _, err := tx.Attr(ino)
					a.Type, version = meta.TypeFile, a.Length+1
					a.Length = version
					tx.SetAttr(ino, &a)
					tx.SetEntry(1, strconv.FormatUint(version, 10), meta.Entry{Type: meta.TypeFile, Ino: ino})
					return err
				})
				if err != nil {
					t.Error(err)
				}
				for old := done[k].Load(); old < version && !done[k].CompareAndSwap(old, version); old = done[k].Load() {
				}
			}
		})
	}
	for _, e := range engines {
		for range 2 {
			readers.Go(func() {
				var seen [inodes]uint64
				for i := 0; ; i++ {
					k := i % inodes
					a, _ := attrIn(t, e, meta.Ino(100+k))
					if a.Length < seen[k] {
						t.Errorf("inode %d: version %d after %d", k, a.Length, seen[k])
					}
					seen[k] = a.Length
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	for _, e := range engines {
		for k := range inodes {
			want := done[k].Load()
			for late := time.Now().Add(10 * time.Second); ; {
				if a, _ := attrIn(t, e, meta.Ino(100+k)); a.Length == want {
					break
				} else if time.Now().After(late) {
					t.Fatalf("inode %d: version %d, want %d", k, a.Length, want)
				}
			}
		}
	}
}

func attrIn(t testing.TB, e *Engine, ino meta.Ino) (a meta.Attr, ok bool) {
	err := e.View(context.Background(), meta.Want{Attrs: []meta.Ino{ino}}, func(r meta.Reader) (err error) {
		a, ok, err = r.Attr(ino)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return a, ok
}

// TestHammerWithLosses is the same while links are killed: what counts is what remains.
func TestHammerWithLosses(t *testing.T) {
	url := start(t).empty()
	engines := []*Engine{open(t, url, Options{}), open(t, url, Options{})}
	admin := open(t, url, Options{NoTracking: true})
	withDir(t, engines[0], 1)
	const each = 100
	var writers sync.WaitGroup
	for w, e := range engines {
		writers.Go(func() {
			for i := range each {
				ino := meta.Ino(100 + i)
				name := fmt.Sprintf("%d-%d", w, i)
				err := e.Update(context.Background(), createWant(1, name), func(tx meta.Tx) error {
					return create(tx, 1, name, ino+meta.Ino(w)*1000)
				})
				// An unknown outcome may be that of a change that was made; the second attempt finds it.
				if err != nil && !errors.Is(err, meta.ErrUnknown) && !errors.Is(err, posix.EEXIST) {
					t.Error(err)
				}
				a, _ := attrIn(t, e, ino)
				_ = a
				if err == nil && found(t, e, 1, name) == 0 {
					t.Errorf("%s is not there after it was made", name)
				}
			}
		})
	}
	kills := make(chan struct{})
	go func() {
		defer close(kills)
		for i := range 10 {
			if l := engines[i%2].tracker.get(); l != nil {
				if answers, err := l.do(context.Background(), nil, []string{"CLIENT", "ID"}); err == nil {
					raw(t, admin, "CLIENT", "KILL", "ID", strconv.FormatInt(answers[0].n, 10))
				}
			}
			time.Sleep(5 * time.Millisecond) // paces the kills; nothing depends on it
		}
	}()
	writers.Wait()
	<-kills
	for _, e := range engines {
		coherent(t, e)
		listed := map[string]meta.Ino{}
		view(t, e, meta.Want{}, func(r meta.Reader) error {
			page, _, err := r.Entries(1, "", 10_000, false)
			for _, d := range page {
				listed[d.Name] = d.Ino
			}
			return err
		})
		for w := range engines {
			for i := range each {
				name := fmt.Sprintf("%d-%d", w, i)
				if got := found(t, e, 1, name); got != listed[name] {
					t.Errorf("%s: inode %d, listed %d", name, got, listed[name])
				}
			}
		}
	}
}
