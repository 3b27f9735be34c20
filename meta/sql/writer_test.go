package sql

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/mattn/go-sqlite3"

	"jfs/internal/posix"
	"jfs/meta"
)

// hold keeps the writer inside a transaction, so that what is queued meanwhile becomes the next group. The
// function that it gives lets the writer go and waits for the transaction.
func hold(t *testing.T, e *Engine) (release func()) {
	t.Helper()
	inside, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		// alone: nothing joins its group while it waits.
		r := &request{ctx: context.Background(), want: &meta.Want{}, alone: true, fn: func(*tx) error {
			close(inside)
			<-leave
			return nil
		}}
		if err := e.writer.do(r); err != nil {
			t.Error(err)
		}
	})
	<-inside
	return sync.OnceFunc(func() {
		close(leave)
		wg.Wait()
	})
}

// enqueue starts updates and returns when all are in the queue; wait gives their errors.
func enqueue(ctx context.Context, t *testing.T, e *Engine, fns ...func(meta.Tx) error) (wait func() []error) {
	t.Helper()
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	before := queued(e)
	for i, fn := range fns {
		wg.Go(func() { errs[i] = e.Update(ctx, meta.Want{}, fn) })
		for queued(e) != before+i+1 {
			runtime.Gosched()
		}
	}
	return func() []error {
		wg.Wait()
		return errs
	}
}

func queued(e *Engine) int {
	e.writer.mu.Lock()
	defer e.writer.mu.Unlock()
	return len(e.writer.list)
}

func counter(name string, value int64) func(meta.Tx) error {
	return func(tx meta.Tx) error {
		tx.SetCounter(name, value)
		tx.AddUsage(4096, 1)
		return nil
	}
}

func counters(t *testing.T, e *Engine) string {
	t.Helper()
	return rows(t, e, "SELECT name, value FROM jfs_counter WHERE name IN ('a', 'b', 'c', 'usedSpace') ORDER BY name")
}

// TestGroupCommit: what waits shares one commit, and a function that fails is no part of it.
func TestGroupCommit(t *testing.T) {
	e := ready(t, "")
	release := hold(t, e)
	defer release()
	refused := errors.New("refused")
	var seen int64
	wait := enqueue(t.Context(), t, e, counter("a", 1), counter("b", 2),
		func(tx meta.Tx) error {
			tx.SetCounter("a", 99)
			return refused
		},
		func(tx meta.Tx) (err error) {
			seen, err = tx.Counter("b") // what the group has written is true for its later members
			tx.SetCounter("c", seen+1)
			return err
		})
	before := e.Stats()
	release()
	errs := wait()
	if errs[0] != nil || errs[1] != nil || !errors.Is(errs[2], refused) || errs[3] != nil {
		t.Errorf("errors %v", errs)
	}
	s := e.Stats()
	if commits, updates := s.Commits-before.Commits, s.Updates-before.Updates; commits != 2 || updates != 4 { // one each for the holder
		t.Errorf("%d commits for %d updates, want 2 for 4", commits, updates)
	}
	if got := counters(t, e); got != "\"a\" | 1\n\"b\" | 2\n\"c\" | 3\n\"usedSpace\" | 8192\n" {
		t.Errorf("counters\n%s", got)
	}
}

// TestGroupMemberFails: a member whose writes cannot be carried out does not harm the others.
func TestGroupMemberFails(t *testing.T) {
	e := ready(t, "")
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.NewRef(5, 10)
		return nil
	})
	release := hold(t, e)
	defer release()
	runs := 0
	wait := enqueue(t.Context(), t, e, counter("a", 1),
		func(tx meta.Tx) error {
			runs++
			tx.SetCounter("b", 99)
			tx.AddUsage(1<<40, 1)
			tx.NewRef(5, 10)
			return nil
		},
		func(tx meta.Tx) error {
			tx.SetCounter("b", 99)
			tx.AddRef(6, 10, 1)
			return nil
		},
		counter("c", 3))
	release()
	errs := wait()
	if errs[0] != nil || errs[3] != nil {
		t.Errorf("errors of the others: %v", errs)
	}
	if !errors.Is(errs[1], meta.ErrCorrupt) || !errors.Is(errs[2], meta.ErrCorrupt) {
		t.Errorf("doubled reference: %v; reference to nothing: %v", errs[1], errs[2])
	}
	if runs != 2 {
		t.Errorf("%d runs, want one in the group and one alone", runs)
	}
	if got := counters(t, e); got != "\"a\" | 1\n\"c\" | 3\n\"usedSpace\" | 8192\n" {
		t.Errorf("counters\n%s", got)
	}
}

func TestPanicGoesToItsCaller(t *testing.T) {
	e := ready(t, "")
	func() {
		defer func() {
			if p, ok := recover().(string); !ok || !strings.HasPrefix(p, "boom") || !strings.Contains(p, "writer_test.go") {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error {
			tx.SetCounter("a", 1)
			panic("boom")
		})
	}()
	if got := counters(t, e); got != "\"usedSpace\" | 0\n" {
		t.Errorf("counters\n%s", got)
	}
}

func TestGoexitHurtsNobodyElse(t *testing.T) {
	e := ready(t, "")
	release := hold(t, e)
	defer release()
	wait := enqueue(t.Context(), t, e, counter("a", 1), func(tx meta.Tx) error {
		tx.SetCounter("b", 1)
		runtime.Goexit()
		return nil
	}, counter("c", 3))
	release()
	errs := wait()
	if errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("errors %v", errs)
	}
	if got := counters(t, e); got != "\"a\" | 1\n\"c\" | 3\n\"usedSpace\" | 8192\n" {
		t.Errorf("counters\n%s", got)
	}
}

// TestCancelWhileQueued: what nobody waits for any more is not run.
func TestCancelWhileQueued(t *testing.T) {
	e := ready(t, "")
	release := hold(t, e)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	wait := enqueue(ctx, t, e, counter("a", 1))
	cancel()
	if errs := wait(); !errors.Is(errs[0], context.Canceled) {
		t.Errorf("error %v", errs[0])
	}
	wait = enqueue(t.Context(), t, e, counter("b", 2))
	release()
	if errs := wait(); errs[0] != nil {
		t.Error(errs[0])
	}
	if got := counters(t, e); got != "\"b\" | 2\n\"usedSpace\" | 4096\n" {
		t.Errorf("counters\n%s", got)
	}
}

// TestLockedByAnother: a lock of another process is waited for; whoever waits may give up.
func TestLockedByAnother(t *testing.T) {
	e := ready(t, "?_busy_timeout=0")
	lock := openAt(t, sqliteScheme+e.t.path)
	c, err := lock.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if _, err := c.exec(qBeginWrite); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { gone <- e.Update(ctx, meta.Want{}, counter("a", 1)) }()
	for e.Stats().Retries == 0 {
		runtime.Gosched()
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- e.Update(t.Context(), meta.Want{}, counter("b", 2)) }()
	for n := e.Stats().Retries; e.Stats().Retries == n; {
		runtime.Gosched()
	}
	if _, err := c.exec(qRollback); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := counters(t, e); got != "\"b\" | 2\n\"usedSpace\" | 4096\n" {
		t.Errorf("counters\n%s", got)
	}
}

// TestReadLockedByAnother: a process that locks everybody out is waited for, also by who has no connection yet.
func TestReadLockedByAnother(t *testing.T) {
	const params = "?_busy_timeout=0&_journal_mode=DELETE" // with a log nobody is locked out for long
	e := ready(t, params)
	lock := openAt(t, sqliteScheme+e.t.path+params)
	c, err := lock.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for what, read := range map[string]func(context.Context) error{
		"open":     func(ctx context.Context) error { _, err := e.formatted(ctx); return err },
		"read":     func(ctx context.Context) error { return e.View(ctx, meta.Want{}, attrOfRoot) },
		"snapshot": func(ctx context.Context) error { return e.View(ctx, meta.Want{Attrs: []meta.Ino{1}}, attrOfRoot) },
	} {
		for range 2 * cap(e.readers.slots) { // some of them are open
			if _, err := c.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func(n int64) {
				for e.Stats().Retries == n && len(done) == 0 {
					runtime.Gosched()
				}
				_, err := c.exec(qRollback)
				done <- err
			}(e.Stats().Retries)
			if err := read(t.Context()); err != nil {
				t.Errorf("%s: %v", what, err)
				done <- nil
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if t.Failed() {
				return
			}
		}
	}
}

func attrOfRoot(r meta.Reader) error {
	_, _, err := r.Attr(meta.RootIno)
	return err
}

// TestTransient: what passes by itself is tried again, what needs somebody is not.
func TestTransient(t *testing.T) {
	for code, want := range map[sqlite3.ErrNoExtended]fault{
		sqlite3.ErrNoExtended(sqlite3.ErrBusy):     faultBusy,
		sqlite3.ErrBusyRecovery:                    faultBusy,
		sqlite3.ErrBusySnapshot:                    faultBusy,
		sqlite3.ErrNoExtended(sqlite3.ErrProtocol): faultBusy,
		sqlite3.ErrNoExtended(sqlite3.ErrIoErr):    faultIO,
		sqlite3.ErrIoErr.Extend(21):                faultIO,
		sqlite3.ErrCantOpenIsDir:                   faultOther,
		sqlite3.ErrReadonlyDbMoved:                 faultOther,
	} {
		err := fmt.Errorf("wrapped: %w", sqlite3.Error{Code: sqlite3.ErrNo(code & 0xff), ExtendedCode: code})
		if got := classifySQLite(err); got != want {
			t.Errorf("code %d is fault %d, want %d", code, got, want)
		}
	}
}

func TestDatabaseFull(t *testing.T) {
	e := ready(t, "")
	limit := func(pages string) {
		t.Helper()
		if err := e.writer.do(&request{ctx: t.Context(), want: &meta.Want{}, fn: func(t *tx) error {
			_, err := t.conn.ExecContext(context.Background(), "PRAGMA max_page_count = "+pages)
			return err
		}}); err != nil {
			t.Fatal(err)
		}
	}
	limit("1") // no more than there are
	big := func(tx meta.Tx) error {
		tx.SetCounter("a", 1)
		tx.SetXattr(1, "user.big", make([]byte, 60000))
		return nil
	}
	release := hold(t, e)
	defer release()
	wait := enqueue(t.Context(), t, e, big, counter("b", 2))
	release()
	errs := wait()
	if !errors.Is(errs[0], posix.ENOSPC) {
		t.Errorf("full database: %v", errs[0])
	}
	if errs[1] != nil {
		t.Errorf("change that has room: %v", errs[1])
	}
	limit("1000000")
	mustUpdate(t, e, meta.Want{}, big)
	if got := counters(t, e); got != "\"a\" | 1\n\"b\" | 2\n\"usedSpace\" | 4096\n" {
		t.Errorf("counters\n%s", got)
	}
}

// TestCommitFails: after a failure of the disk nobody can tell what happened, after another one nothing has. The
// engine goes on.
func TestCommitFails(t *testing.T) {
	for _, c := range []struct {
		fault   fault
		unknown bool
	}{{faultIO, true}, {faultOther, false}} {
		e := ready(t, "")
		classify := e.d.classify
		texts := *e.texts
		texts[qCommit].text = "COMMIT NONSENSE"
		err := e.writer.do(&request{ctx: t.Context(), want: &meta.Want{}, fn: func(t *tx) error {
			t.conn.texts, t.conn.stmts[qCommit] = &texts, nil
			t.conn.d.classify = func(err error) fault {
				if f := classify(err); f != faultStatement {
					return f
				}
				return c.fault
			}
			t.SetCounter("a", 1)
			return nil
		}})
		if err == nil || errors.Is(err, meta.ErrUnknown) != c.unknown {
			t.Errorf("commit with fault %d: %v", c.fault, err)
		}
		if got := counters(t, e); got != "\"usedSpace\" | 0\n" {
			t.Errorf("counters\n%s", got)
		}
		if c.unknown { // what failed was of that connection
			mustUpdate(t, e, meta.Want{}, counter("b", 2))
			if got := counters(t, e); got != "\"b\" | 2\n\"usedSpace\" | 4096\n" {
				t.Errorf("counters\n%s", got)
			}
		}
	}
}

func TestClosed(t *testing.T) {
	e := ready(t, "")
	for range 2 {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	err := e.View(t.Context(), meta.Want{}, func(meta.Reader) error { return nil })
	if !errors.Is(err, errClosed) {
		t.Errorf("view: %v", err)
	}
	if err := e.Update(t.Context(), meta.Want{}, counter("a", 1)); !errors.Is(err, errClosed) {
		t.Errorf("update: %v", err)
	}
}
