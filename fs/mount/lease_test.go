package mount

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/internal/posix"
	"jfs/meta"
)

// teller is a backend with somebody who tells of changes; what names stand for is set by the test.
type teller struct {
	*fake
	tell func(meta.Notice)

	mu  sync.Mutex // guards now
	now map[meta.Name]meta.Ino
}

func newTeller() *teller { return &teller{fake: newFake(), now: map[meta.Name]meta.Ino{}} }

func (w *teller) Watch() meta.Coherent             { return w }
func (w *teller) Published(meta.Ino) bool          { return true }
func (w *teller) Coherent() bool                   { return true }
func (w *teller) OnChange(tell func(meta.Notice))  { w.tell = tell }
func (w *teller) Settle(ctx context.Context) error { return ctx.Err() }

func (w *teller) Resolve(_ context.Context, dir meta.Ino, names []string) ([]meta.Ino, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	inodes := make([]meta.Ino, len(names))
	for i, name := range names {
		inodes[i] = w.now[meta.Name{Dir: dir, Name: name}]
	}
	return inodes, nil
}

func (w *teller) set(dir meta.Ino, name string, ino meta.Ino) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now[meta.Name{Dir: dir, Name: name}] = ino
}

var someFile = meta.Attr{Type: meta.TypeFile, Nlink: 1, Parent: 1, Ctime: meta.Time{Sec: 1}}

func TestGrants(t *testing.T) {
	l := newLeases(newTeller(), time.Minute)
	look := func(what string, t0 ticket, ino meta.Ino, made bool, entry, attr grant) {
		t.Helper()
		if e, a := l.lookedUp(t0, 1, what, ino, &someFile, made); e != entry || a != attr {
			t.Errorf("%s: name %d and attribute %d, want %d and %d", what, e, a, entry, attr)
		}
	}
	look("quiet", l.ticket(), 10, false, grantLease, grantLease)
	look("new", l.ticket(), 11, true, grantLease, grantLease)
	// The kernel takes the attribute of an inode that it knows from such an answer, even if it has been told later
	// that this one has changed.
	look("a second name of an inode that the kernel knows", l.ticket(), 11, true, grantLease, grantTimeout)
	before := l.ticket()
	l.heard(meta.Notice{Ino: 10})
	look("changed meanwhile", before, 10, false, grantLease, grantNothing)
	look("changed before", l.ticket(), 10, false, grantLease, grantLease)
	before = l.ticket()
	l.heard(meta.Notice{Dir: 1, Name: "x", By: true})
	look("beside an own change", before, 12, false, grantNothing, grantLease)
	before = l.ticket()
	l.heard(meta.Notice{All: true})
	look("after a loss", before, 13, false, grantNothing, grantNothing)
	look("with nobody to tell", ticket{}, 13, false, grantTimeout, grantTimeout)
	for _, g := range []struct {
		grant
		lease, want time.Duration
	}{{grantLease, 9, 9}, {grantLease, 0, 3}, {grantTimeout, 9, 3}, {grantNothing, 9, 0}, {grantNothing, 0, 3}} {
		if got := g.lasts(3, g.lease); got != g.want {
			t.Errorf("grant %d with a lease of %v: %v", g.grant, g.lease, got)
		}
	}
}

// TestOwnChanges: what a request has changed itself does not make its answer old, what others have changed does.
func TestOwnChanges(t *testing.T) {
	for _, c := range []struct {
		what string
		news func(me *request) []meta.Notice
		want grant
	}{
		{"an own change", func(me *request) []meta.Notice { return []meta.Notice{{Ino: 10, By: me}} }, grantLease},
		{"two own changes", func(me *request) []meta.Notice { return []meta.Notice{{Ino: 10, By: me}, {Ino: 10, By: me}} }, grantLease},
		{"one of another request", func(*request) []meta.Notice { return []meta.Notice{{Ino: 10, By: &request{}}} }, grantNothing},
		{"one of another before", func(me *request) []meta.Notice { return []meta.Notice{{Ino: 10}, {Ino: 10, By: me}} }, grantNothing},
		{"one of another after", func(me *request) []meta.Notice { return []meta.Notice{{Ino: 10, By: me}, {Ino: 10}} }, grantNothing},
		{"one of another between", func(me *request) []meta.Notice {
			return []meta.Notice{{Ino: 10, By: me}, {Ino: 10}, {Ino: 10, By: me}}
		}, grantNothing},
		{"one of others with the same mark", func(me *request) []meta.Notice {
			return []meta.Notice{{Ino: 10 + marks}, {Ino: 10, By: me}}
		}, grantNothing},
		{"a loss", func(me *request) []meta.Notice { return []meta.Notice{{Ino: 10, By: me}, {All: true}} }, grantNothing},
	} {
		l, me := newLeases(newTeller(), time.Minute), newRequests(limits{}).begin(nil, 0)
		l.heard(meta.Notice{Ino: 10}) // before the ticket
		begun := l.ticket().of(me)
		for _, n := range c.news(me) {
			l.heard(n)
		}
		if got := l.check(begun, 10); got != c.want {
			t.Errorf("%s: grant %d, want %d", c.what, got, c.want)
		}
	}
}

// TestRoomForNames: names that the kernel does not rely on any more make room, others do not.
func TestRoomForNames(t *testing.T) {
	l := newLeases(newTeller(), time.Minute)
	l.limit = 3
	names := []string{"a", "b", "c", "d"}
	note := func(name string, want grant) {
		t.Helper()
		if got, _ := l.lookedUp(l.ticket(), 1, name, 10, &someFile, false); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	for _, name := range names[:3] {
		note(name, grantLease)
	}
	note("d", grantTimeout)
	l.oldAt = l.oldAt.Add(-2 * time.Minute) // all may be young
	note("d", grantTimeout)
	note("a", grantLease)
	l.oldAt = l.oldAt.Add(-2 * time.Minute) // now b and c are old
	note("d", grantLease)
	note("e", grantLease)
	note("f", grantTimeout)
	if l.count != 3 || len(l.names[1]) != 3 {
		t.Errorf("%d names, counted as %d", len(l.names[1]), l.count)
	}
}

// TestNewest: an open by a name that stands for another file by now makes the kernel look it up again, but not for
// ever.
func TestNewest(t *testing.T) {
	w := newTeller()
	l := newLeases(w, time.Minute)
	w.set(1, "f", 10)
	l.lookedUp(l.ticket(), 1, "f", 10, &someFile, false)
	ctx := t.Context()
	if err := l.newest(ctx, 10, 5); err != nil {
		t.Error(err)
	}
	w.set(1, "f", 11)
	for _, thread := range []uint32{5, 6} {
		if err := l.newest(ctx, 10, thread); !errors.Is(err, posix.ESTALE) {
			t.Errorf("thread %d: %v", thread, err)
		}
	}
	if err := l.newest(ctx, 10, 6); err != nil { // not by the name, but by a descriptor
		t.Errorf("again: %v", err)
	}
	l.lookedUp(l.ticket(), 1, "f", 11, &someFile, false)
	if err := l.newest(ctx, 11, 6); err != nil {
		t.Errorf("the new file: %v", err)
	}
}

// TestNotifierDoesNotWait: a directory in which the kernel lets the notifier wait holds up neither attributes nor
// other directories, and an inode that the kernel does not know yet is told of again.
func TestNotifierDoesNotWait(t *testing.T) {
	w := newTeller()
	l := newLeases(w, time.Minute)
	l.lookedUp(l.ticket(), 1, "f", 10, &someFile, false)
	l.lookedUp(l.ticket(), 2, "g", 11, &someFile, false)
	inside, goOn := make(chan struct{}), make(chan struct{})
	attrs, entries := make(chan meta.Ino, 10), make(chan string, 10)
	var unknown atomic.Int64
	n := startNotifier(l, slog.New(slog.DiscardHandler), time.Minute, func(ino meta.Ino) fuse.Status {
		if unknown.Add(1) <= 3 {
			return fuse.ENOENT
		}
		attrs <- ino
		return fuse.OK
	}, func(dir meta.Ino, name string) fuse.Status {
		if dir == 1 {
			close(inside)
			<-goOn
		}
		entries <- name
		return fuse.OK
	})
	w.tell(meta.Notice{Dir: 1})
	<-inside
	w.tell(meta.Notice{Ino: 10})
	w.tell(meta.Notice{Dir: 2})
	if got := <-attrs; got != 10 {
		t.Errorf("attribute of %d", got)
	}
	if got := <-entries; got != "g" {
		t.Errorf("name %s", got)
	}
	close(goOn)
	if got := <-entries; got != "f" {
		t.Errorf("name %s", got)
	}
	n.close()
	if len(l.names) != 0 || l.count != 0 {
		t.Errorf("%d names are left", l.count)
	}
}

// TestPublishedIsNotTold: of what the kernel has written itself it is told only if it was given an attribute since.
func TestPublishedIsNotTold(t *testing.T) {
	mine := meta.Notice{Ino: 10, By: meta.Publishing{}}
	for _, c := range []struct {
		what string
		do   func(l *leases)
		told bool
	}{
		{"written and published", func(l *leases) { l.wrote(10); l.heard(mine) }, false},
		{"twice", func(l *leases) { l.wrote(10); l.heard(mine); l.wrote(10); l.heard(mine) }, false},
		{"published only", func(l *leases) { l.heard(mine) }, true},
		{"another's change after a write", func(l *leases) { l.wrote(10); l.heard(meta.Notice{Ino: 10}) }, true},
		{"one that is not known", func(l *leases) { l.forget(10, 1); l.wrote(10); l.heard(mine) }, true},
		{"forgotten after the write", func(l *leases) { l.wrote(10); l.forget(10, 1); l.heard(mine) }, true},
		{"asked between", func(l *leases) { l.wrote(10); l.seen(l.ticket(), 10, &someFile); l.heard(mine) }, true},
		{"looked up between", func(l *leases) {
			l.wrote(10)
			l.lookedUp(l.ticket(), 1, "f", 10, &someFile, false)
			l.heard(mine)
		}, true},
		{"asked between, but written again", func(l *leases) {
			l.wrote(10)
			l.seen(l.ticket(), 10, &someFile)
			l.wrote(10)
			l.heard(mine)
		}, false},
		{"asked afterwards", func(l *leases) { l.wrote(10); l.heard(mine); l.seen(l.ticket(), 10, &someFile) }, false},
		{"asked before, answered afterwards", func(l *leases) {
			before := l.ticket()
			l.wrote(10)
			l.heard(mine)
			if g := l.seen(before, 10, &someFile); g != grantNothing {
				t.Errorf("an old attribute was granted: %d", g)
			}
		}, true},
		{"answered afterwards without a ticket", func(l *leases) { l.wrote(10); l.heard(mine); l.seen(ticket{}, 10, &someFile) }, true},
		{"published again after the answer", func(l *leases) {
			l.wrote(10)
			l.heard(mine)
			l.seen(l.ticket(), 10, &someFile)
			l.heard(mine)
		}, true},
	} {
		l := newLeases(newTeller(), time.Minute)
		l.lookedUp(l.ticket(), 1, "f", 10, &someFile, true)
		c.do(l)
		if _, told := l.take().inodes[10]; told != c.told {
			t.Errorf("%s: told %v", c.what, told)
		}
	}
}

// TestUnpublishedIsAnswered: also an answer that gives no lease ends what a write has begun.
func TestUnpublishedIsAnswered(t *testing.T) {
	w := newTeller()
	l := newLeases(&unpublished{w}, time.Minute)
	l.lookedUp(l.ticket(), 1, "f", 10, &someFile, true)
	l.wrote(10)
	if g := l.seen(l.ticket(), 10, &someFile); g != grantTimeout {
		t.Errorf("an attribute that is not published was granted: %d", g)
	}
	l.heard(meta.Notice{Ino: 10, By: meta.Publishing{}})
	if _, told := l.take().inodes[10]; !told {
		t.Error("the kernel was not told")
	}
}

// unpublished is a teller with files that have more than the database.
type unpublished struct{ *teller }

func (*unpublished) Published(meta.Ino) bool { return false }

// TestGivesUp: only after an ordinary write the kernel gives the attribute up when it gets the answer.
func TestGivesUp(t *testing.T) {
	for _, c := range []struct {
		flags, write uint32
		back, want   bool
	}{
		{0, 0, false, true},
		{syscall.O_DIRECT, 0, false, false},
		{0, fuse.WRITE_CACHE, false, false},
		{0, 0, true, false},
	} {
		a := newAdapter(newTeller(), Options{WritebackCache: c.back})
		if got := a.givesUp(&fuse.WriteIn{Flags: c.flags, WriteFlags: c.write}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
