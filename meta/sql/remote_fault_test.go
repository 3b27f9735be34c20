package sql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/internal/testenv"
	"jfs/meta"
)

// visible is a parameter with which statements go over the wire as text.
func (p *place) visible(url string) string {
	if p.name == "postgres" {
		return withParam(url, "default_query_exec_mode=exec")
	}
	return url
}

func newVolume(t *testing.T, e meta.Engine) *meta.Volume {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	f := meta.NewFormat("vol", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	f.TrashDays = 0
	if err := meta.Create(ctx, e, f, meta.TimeOf(time.Now())); err != nil {
		t.Fatal(err)
	}
	v, err := meta.Open(ctx, e, meta.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(ctx); err != nil {
			t.Errorf("close volume: %v", err)
		}
	})
	return v
}

func setAttr(ctx context.Context, e meta.Engine, ino meta.Ino, length uint64) error {
	return e.Update(ctx, meta.Want{Attrs: []meta.Ino{ino}}, func(tx meta.Tx) error {
		a, ok, err := tx.Attr(ino)
		if err != nil {
			return err
		}
		if !ok {
			a = meta.Attr{Type: meta.TypeFile, Nlink: 1, Parent: 1}
		}
		a.Length = length
		tx.SetAttr(ino, &a)
		return nil
	})
}

func lengthOf(t *testing.T, e meta.Engine, ino meta.Ino) (n uint64) {
	t.Helper()
	err := e.View(context.WithoutCancel(t.Context()), meta.Want{Attrs: []meta.Ino{ino}}, func(r meta.Reader) error {
		a, _, err := r.Attr(ino)
		n = a.Length
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestBrokenCommits breaks connections in the moment of a commit, before the server gets it and after. What is
// published is neither lost nor doubled.
func TestBrokenCommits(t *testing.T) {
	forServers(t, func(t *testing.T, p *place) {
		ctx := context.WithoutCancel(t.Context())
		proxy := testenv.StartProxy(t, p.Addr)
		e := openRemote(t, p.visible(p.url(t, proxy.Addr)), Options{FlushUsage: time.Hour})
		if err := e.Init(ctx); err != nil {
			t.Fatal(err)
		}
		once := func(mark string, verdict testenv.Verdict) {
			var done atomic.Bool
			proxy.Judge(func(b []byte) testenv.Verdict {
				if bytes.Contains(b, []byte(mark)) && !done.Swap(true) {
					return verdict
				}
				return testenv.Pass
			})
		}
		for _, c := range []struct {
			verdict testenv.Verdict
			length  uint64
		}{{testenv.Lose, 1}, {testenv.Mute, 2}} {
			if err := setAttr(ctx, e, 50, 1); err != nil {
				t.Fatal(err)
			}
			once("COMMIT", c.verdict)
			if err := setAttr(ctx, e, 50, 2); !errors.Is(err, meta.ErrUnknown) {
				t.Errorf("broken commit: %v", err)
			}
			if n := lengthOf(t, e, 50); n != c.length {
				t.Errorf("verdict %d: length %d, want %d", c.verdict, n, c.length)
			}
		}
		// A connection that breaks before is not even noticed.
		begin := map[string]string{"postgres": "BEGIN", "mysql": "START TRANSACTION"}[p.name]
		for i, verdict := range []testenv.Verdict{testenv.Lose, testenv.Mute} {
			once(begin, verdict)
			if err := setAttr(ctx, e, 50, uint64(10+i)); err != nil {
				t.Errorf("broken begin: %v", err)
			}
			if n := lengthOf(t, e, 50); n != uint64(10+i) {
				t.Errorf("length %d, want %d", n, 10+i)
			}
		}
		proxy.Judge(nil)

		v := newVolume(t, e)
		ino, _, err := v.Mknod(ctx, meta.Root, meta.RootIno, "f", meta.New{Type: meta.TypeFile, Mode: 0o644})
		if err != nil {
			t.Fatal(err)
		}
		var want []meta.Slice
		for i := range uint32(12) {
			id, err := v.NewSlice(ctx)
			if err != nil {
				t.Fatal(err)
			}
			s := meta.Slice{Pos: i * 10, ID: id, Size: 10, Len: 10}
			want = append(want, s)
			once("COMMIT", []testenv.Verdict{testenv.Pass, testenv.Lose, testenv.Mute}[i%3])
			if _, _, err := v.Write(ctx, ino, meta.Commit{Slices: []meta.Written{{Slice: s}}, Mtime: meta.Time{Sec: 1}}); err != nil {
				t.Errorf("write %d: %v", i, err)
			}
		}
		proxy.Judge(nil)
		if got, err := v.Chunk(ctx, ino, 0); err != nil || !slices.Equal(got, want) {
			t.Errorf("slices %v %v, want %v", got, err, want)
		}
	})
}

// TestRestart stops the server under load and starts it again: calls wait for it, and nothing is lost or doubled.
func TestRestart(t *testing.T) {
	forServers(t, func(t *testing.T, p *place) {
		ctx := context.WithoutCancel(t.Context())
		e := openRemote(t, p.url(t, p.Addr), Options{Patience: 2 * time.Minute})
		v := newVolume(t, e)
		const workers = 4
		var done, unknown atomic.Int64
		stop, progress := make(chan struct{}), make(chan struct{}, 1)
		made := make([]map[string]bool, workers)
		var wg sync.WaitGroup
		for w := range workers {
			made[w] = map[string]bool{}
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					name := fmt.Sprintf("f-%d-%d", w, i)
					_, _, err := v.Mknod(ctx, meta.Root, meta.RootIno, name, meta.New{Type: meta.TypeFile})
					switch {
					case err == nil:
						made[w][name] = true
						done.Add(1)
					case errors.Is(err, meta.ErrUnknown):
						made[w][name] = false // may be there
						unknown.Add(1)
					default:
						t.Errorf("create: %v", err)
						return
					}
					select {
					case progress <- struct{}{}:
					default:
					}
				}
			})
		}
		more := func() {
			for until := done.Load() + 50; done.Load() < until && !t.Failed(); {
				<-progress
			}
		}
		for _, end := range []func(){p.Stop, p.Kill} {
			more()
			end()
			p.Start()
		}
		more()
		close(stop)
		wg.Wait()
		there := map[string]bool{}
		for cursor := ""; ; {
			page, next, err := v.Readdir(ctx, meta.RootIno, cursor, 1000, false)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range page {
				there[d.Name] = true
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		lost := 0
		for _, names := range made {
			for name, sure := range names {
				if sure && !there[name] {
					lost++
				}
				delete(there, name)
			}
		}
		if lost > 0 || len(there) > 0 {
			t.Errorf("%d entries are lost and %d nobody has made", lost, len(there))
		}
		if unknown.Load() > 2*workers {
			t.Errorf("%d outcomes are unknown, want one for each worker and restart at most", unknown.Load())
		}
	})
}

// TestSilentServer: a server that says nothing ends calls in time, and the engine lives on when it speaks again.
func TestSilentServer(t *testing.T) {
	forServers(t, func(t *testing.T, p *place) {
		proxy := testenv.StartProxy(t, p.Addr)
		url := p.url(t, proxy.Addr)
		e := openRemote(t, url, Options{Timeout: 3 * time.Second, Patience: time.Millisecond, FlushUsage: time.Hour})
		if err := e.Init(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := setAttr(t.Context(), e, 5, 1); err != nil {
			t.Fatal(err)
		}
		proxy.Judge(func([]byte) testenv.Verdict { return testenv.Stall })
		if err := setAttr(t.Context(), e, 5, 2); err == nil || t.Context().Err() != nil {
			t.Errorf("change on a silent server: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := setAttr(ctx, e, 5, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("change with a deadline: %v", err)
		}
		if _, err := e.Reserve(t.Context(), meta.SeqInode, 1); err == nil {
			t.Error("numbers from a silent server")
		}
		proxy.Judge(nil)
		if err := setAttr(t.Context(), e, 5, 3); err != nil {
			t.Errorf("change afterwards: %v", err)
		}
		if n := lengthOf(t, e, 5); n != 3 {
			t.Errorf("length %d", n)
		}
	})
}

// TestOtherClients works with another client on the same rows, as the official one does: with its own locks.
func TestOtherClients(t *testing.T) {
	forServers(t, func(t *testing.T, p *place) {
		ctx := context.WithoutCancel(t.Context())
		url := p.url(t, p.Addr)
		e := openRemote(t, url, Options{})
		v := newVolume(t, e)
		dir, _, err := v.Mknod(ctx, meta.Root, meta.RootIno, "d", meta.New{Type: meta.TypeDirectory, Mode: 0o755})
		if err != nil {
			t.Fatal(err)
		}
		other := func(text string) { askAt(t, url, call{text: text}) }
		create := func(name string, meanwhile func()) (runs int, err error) {
			n := meta.Name{Dir: dir, Name: name}
			err = e.Update(ctx, meta.Want{Perms: []meta.Ino{dir}, Entries: []meta.Name{n}}, func(tx meta.Tx) error {
				runs++
				d, ok, err := tx.Perm(dir)
				if err != nil || !ok {
					return errors.Join(err, posix.ENOENT)
				}
				if d.Mode != 0o755 {
					return posix.EACCES
				}
				if _, taken, err := tx.Entry(dir, name); err != nil || taken {
					return errors.Join(err, posix.EEXIST)
				}
				if runs == 1 {
					meanwhile()
				}
				tx.SetEntry(dir, name, meta.Entry{Type: meta.TypeFile, Ino: 1000})
				tx.Touch(dir, meta.TimeOf(time.Now()), 0, 0)
				return nil
			})
			return runs, err
		}
		for _, c := range []struct {
			name, text string
			runs       int
			err        error
		}{
			{"times", "UPDATE jfs_node SET mtime = mtime + 1, nlink = nlink + 0 WHERE inode = %d", 1, nil},
			{"same", "INSERT INTO jfs_edge (parent, name, inode, type) VALUES (%d, 'same', 77, 1)", 2, posix.EEXIST},
			{"mode", "UPDATE jfs_node SET mode = 448 WHERE inode = %d", 2, posix.EACCES},
			{"gone", "DELETE FROM jfs_node WHERE inode = %d", 2, posix.ENOENT},
		} {
			runs, err := create(c.name, func() { other(fmt.Sprintf(c.text, dir)) })
			if runs != c.runs || !errors.Is(err, c.err) {
				t.Errorf("%s: %d runs and %v, want %d and %v", c.name, runs, err, c.runs, c.err)
			}
			other("UPDATE jfs_node SET mode = 493 WHERE mode = 448")
		}

		// What is read with Attr is locked: another's change comes after.
		if err := setAttr(ctx, e, 60, 1); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		err = e.Update(ctx, meta.Want{Attrs: []meta.Ino{60}}, func(tx meta.Tx) error {
			a, _, err := tx.Attr(60)
			if err != nil {
				return err
			}
			wg.Go(func() { other("UPDATE jfs_node SET length = length + 10 WHERE inode = 60") })
			a.Length++
			tx.SetAttr(60, &a)
			return nil
		})
		wg.Wait()
		if n := lengthOf(t, e, 60); err != nil || n != 12 {
			t.Errorf("length %d after both changes, want 12: %v", n, err)
		}
	})
}

// TestCancelWhileWaiting gives up while another transaction holds the lock. Neither the other nor the pool is harmed.
func TestCancelWhileWaiting(t *testing.T) {
	forServers(t, func(t *testing.T, p *place) {
		e := openRemote(t, withParam(p.url(t, p.Addr), "max_open_conns=2"), Options{})
		if err := e.Init(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := setAttr(t.Context(), e, 5, 1); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			err := e.Update(t.Context(), meta.Want{Attrs: []meta.Ino{5}}, func(tx meta.Tx) error {
				a, _, err := tx.Attr(5)
				if err != nil {
					return err
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
				defer cancel()
				// Not in the same transaction: as another caller would.
				result := make(chan error)
				go func() { result <- setAttr(ctx, e, 5, 100) }()
				if err := <-result; !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("change of a locked inode: %v", err)
				}
				a.Length++
				tx.SetAttr(5, &a)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		if n := lengthOf(t, e, 5); n != 4 {
			t.Errorf("length %d, want 4", n)
		}
	})
}
