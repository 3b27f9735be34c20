package sql

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// TestGuess: what another client has changed since a directory was seen counts, as if it had been read.
func TestGuess(t *testing.T) {
	t.Parallel()
	forServers(t, func(t *testing.T, p *place) {
		ctx := context.WithoutCancel(t.Context())
		url := p.visible(p.url(t, p.Addr)) // no trips in which statements are prepared
		a := openRemote(t, url, Options{FlushUsage: time.Hour})
		f := meta.NewFormat("vol", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
		f.TrashDays, f.DirStats = 0, false
		if err := meta.Create(ctx, a, f, meta.TimeOf(time.Now())); err != nil {
			t.Fatal(err)
		}
		open := func(e *Remote) *meta.Volume {
			v, err := meta.Open(ctx, e, meta.Options{SkipDirMtime: time.Hour, NoBGJob: true, Heartbeat: -1})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := v.Close(ctx); err != nil {
					t.Error(err)
				}
			})
			return v
		}
		mine, theirs := open(a), open(openRemote(t, url, Options{FlushUsage: time.Hour}))
		who := meta.Cred{UID: 7, GID: 7}
		mknod := func(v *meta.Volume, dir meta.Ino, name string, kind meta.Type) (meta.Ino, error) {
			ino, _, err := v.Mknod(ctx, who, dir, name, meta.New{Type: kind, Mode: 0o755})
			return ino, err
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		dir, _, err := mine.Mknod(ctx, meta.Root, meta.RootIno, "d", meta.New{Type: meta.TypeDirectory, Mode: 0o777})
		must(err)
		n := 0
		// create makes a file, by a guess or after one.
		create := func(wrong bool) (meta.Ino, error) {
			t.Helper()
			n++
			trips, retries := a.Stats().Trips, a.Stats().Retries
			ino, err := mknod(mine, dir, fmt.Sprint("f", n), meta.TypeFile)
			trips, retries = a.Stats().Trips-trips, a.Stats().Retries-retries
			if !wrong && (trips != 1 || retries != 0) || wrong && retries != 1 {
				t.Errorf("file %d: %d trips and %d repetitions, wrong guess %t", n, trips, retries, wrong)
			}
			return ino, err
		}
		_, err = mknod(mine, dir, "first", meta.TypeFile) // numbers are reserved, statements met
		must(err)
		_, err = create(false)
		must(err)

		_, err = mknod(theirs, dir, fmt.Sprint("f", n+1), meta.TypeFile)
		must(err)
		if _, err = create(true); !errors.Is(err, posix.EEXIST) {
			t.Errorf("name that is taken: %v", err)
		}
		_, err = mknod(mine, dir, "again", meta.TypeFile)
		must(err)

		closed, open777 := uint16(0o755), uint16(0o777)
		_, _, err = theirs.SetAttr(ctx, meta.Root, dir, meta.Change{Mode: &closed})
		must(err)
		if _, err = create(true); !errors.Is(err, posix.EACCES) {
			t.Errorf("directory that was closed: %v", err)
		}
		if _, err = mknod(mine, dir, "closed", meta.TypeFile); !errors.Is(err, posix.EACCES) { // which is known now
			t.Errorf("directory that is closed: %v", err)
		}
		_, err = mine.GetAttr(ctx, dir)
		must(err)
		_, _, err = theirs.SetAttr(ctx, meta.Root, dir, meta.Change{Mode: &open777})
		must(err)
		_, err = create(true) // the guess refuses it, and that does not count
		must(err)

		// A touch is left out only where the directory was touched within the window.
		_, err = create(false)
		must(err)
		old := meta.TimeOf(time.Now().Add(-48 * time.Hour))
		_, _, err = theirs.SetAttr(ctx, meta.Root, dir, meta.Change{Mtime: &old})
		must(err)
		_, err = create(true)
		must(err)
		got, err := theirs.GetAttr(ctx, dir)
		must(err)
		if time.Since(got.Mtime.Time()) > time.Hour {
			t.Errorf("the directory was not touched: %v", got.Mtime.Time())
		}

		sub, err := mknod(mine, dir, "sub", meta.TypeDirectory)
		must(err)
		must(theirs.Rmdir(ctx, who, dir, "sub"))
		if _, err := mknod(mine, sub, "x", meta.TypeFile); !errors.Is(err, posix.ENOENT) {
			t.Errorf("directory that was removed: %v", err)
		}
		// What writes nothing has nothing with which a guess is checked.
		_, _, err = theirs.SetAttr(ctx, meta.Root, dir, meta.Change{Mode: &closed})
		must(err)
		var seen meta.Attr
		must(a.Update(ctx, meta.Want{Perms: []meta.Ino{dir}}, func(tx meta.Tx) (err error) {
			seen, _, err = tx.Perm(dir)
			return err
		}))
		if seen.Mode != closed {
			t.Errorf("mode %o", seen.Mode)
		}
		var many guesses
		for i := range meta.Ino(maxGuesses + 10) {
			many.learn(map[meta.Ino]node{i: {exists: true, now: meta.Attr{Type: meta.TypeDirectory}}})
		}
		if len(many.dirs) != maxGuesses {
			t.Errorf("%d directories are remembered", len(many.dirs))
		}
	})
}
