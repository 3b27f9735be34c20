package maintain

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jfs/meta"
	"jfs/meta/metatest"
	"jfs/meta/tkv"
	tkvmem "jfs/meta/tkv/mem"
	"jfs/object"
)

func TestOutdated(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	const day = 24 * time.Hour
	for _, c := range []struct {
		name      string
		made, old []time.Time
	}{
		{"none", nil, nil},
		{"young", []time.Time{ago(0), ago(time.Hour), ago(2*day - 1)}, nil},
		{"ahead", []time.Time{ago(-day)}, nil},
		{"a day", []time.Time{ago(5 * day), ago(5*day + time.Hour), ago(6 * day)}, []time.Time{ago(5 * day)}},
		{"a week", []time.Time{ago(28 * day), ago(29 * day), ago(35 * day)}, []time.Time{ago(29 * day)}}, // Mon 26, Sun 25, Mon 19
		{"a month", []time.Time{ago(100 * day), ago(101 * day), ago(140 * day)}, []time.Time{ago(100 * day)}},
		{"too old", []time.Time{ago(731 * day), ago(800 * day)}, []time.Time{ago(800 * day), ago(731 * day)}},
	} {
		if got := Outdated(c.made, now); !slices.EqualFunc(got, c.old, time.Time.Equal) {
			t.Errorf("%s: %v, want %v", c.name, got, c.old)
		}
	}
}

// TestRotation: hourly backups for three years leave what the rule promises at every moment.
func TestRotation(t *testing.T) {
	now := time.Date(2024, 1, 1, 0, 30, 0, 0, time.UTC)
	var kept []time.Time
	for hour := range 3 * 365 * 24 {
		now = now.Add(time.Hour)
		kept = append(kept, now)
		old := Outdated(kept, now)
		kept = slices.DeleteFunc(kept, func(t time.Time) bool { return slices.Contains(old, t) })
		if len(old) > 3 {
			t.Fatalf("hour %d: %d backups are deleted at once", hour, len(old))
		}
		if hour > 24*365*2 && (len(kept) < 48+11+6+21 || len(kept) > 49+13+10+25) {
			t.Fatalf("hour %d: %d backups are left", hour, len(kept))
		}
	}
	for i, u := range kept[1:] {
		age := now.Sub(u)
		gap := u.Sub(kept[i])
		if limit := map[bool]time.Duration{true: 36 * 24 * time.Hour, false: 8 * 24 * time.Hour}[age > 55*24*time.Hour]; gap > limit {
			t.Errorf("no backup for %v before %v", gap, u)
		}
	}
	if now.Sub(kept[0]) < 700*24*time.Hour {
		t.Errorf("the oldest backup is of %v", kept[0])
	}
}

func TestBackup(t *testing.T) {
	w := newWorld(t, nil)
	w.file(w.dir(meta.RootIno, "d"), "f")
	w.put("meta/dump-2001-01-01-000000.json.gz", 1)
	w.put("meta/dump-of-somebody", 1)
	b := StartBackup(w.v, w.store, BackupOptions{Now: w.now, Dir: t.TempDir()})
	defer b.Close()
	made, err := b.Run(w.ctx)
	w.noErr(err)
	equal(t, "made", made, true)
	key := "meta/dump-" + w.now().UTC().Format("2006-01-02-150405") + ".json.gz"
	if got, want := w.objects(), []string{key, "meta/dump-of-somebody"}; !slices.Equal(got, want) {
		t.Errorf("objects %q, want %q", got, want)
	}
	equal(t, "last", b.Stats().Last, w.now())

	other := StartBackup(w.v, w.store, BackupOptions{Now: w.now})
	defer other.Close()
	w.pass(59 * time.Minute)
	made, err = other.Run(w.ctx)
	w.noErr(err)
	equal(t, "made by another one within the hour", made, false)
	w.pass(2 * time.Minute)
	made, err = other.Run(w.ctx)
	w.noErr(err)
	equal(t, "made an hour later", made, true)

	body, err := w.store.Get(w.ctx, key, 0, -1)
	w.noErr(err)
	defer body.Close()
	text, err := Decompressed(key, body)
	w.noErr(err)
	e := tkvmem.NewEngine(tkv.Options{})
	defer e.Close()
	w.noErr(Load(w.ctx, e, text, LoadOptions{}))
	if v := open(t, e); metatest.Tree(t, v) != metatest.Tree(t, w.v) {
		t.Error("the backup holds another tree")
	}
}

func TestBackupOfManyInodes(t *testing.T) {
	w := newWorld(t, nil)
	w.noErr(w.v.CorrectUsage(w.ctx, 0, backupInodes+1))
	b := StartBackup(w.v, w.store, BackupOptions{Now: w.now})
	defer b.Close()
	made, err := b.Run(w.ctx)
	w.noErr(err)
	equal(t, "made hourly", made, false)
	seldom := StartBackup(w.v, w.store, BackupOptions{Now: w.now, Interval: 2 * time.Hour})
	defer seldom.Close()
	made, err = seldom.Run(w.ctx)
	w.noErr(err)
	equal(t, "made each two hours", made, true)
	w.noErr(w.v.CorrectUsage(w.ctx, 0, -backupInodes-1))
}

// refusing does not delete some objects.
type refusing struct {
	object.Store
	part string
}

func (r refusing) Delete(ctx context.Context, key string) error {
	if strings.Contains(key, r.part) {
		return object.ErrDenied
	}
	return r.Store.Delete(ctx, key)
}

func TestDestroy(t *testing.T) {
	w := newWorld(t, nil)
	w.write(w.file(meta.RootIno, "f"), 0, make([]byte, 3*testBlock))
	w.put("juicefs_uuid", 36)
	w.noErr(w.v.StartSession(w.ctx, meta.SessionInfo{Version: meta.CompatVersion}))
	o := DestroyOptions{Now: w.now}
	if _, err := Destroy(w.ctx, w.v, w.store, o); !errors.Is(err, ErrInUse) {
		t.Errorf("destroy of a volume in use: %v", err)
	}
	w.pass(2 * time.Minute) // the session expires
	if r, err := Destroy(w.ctx, w.v, refusing{w.store, "_1_"}, o); err == nil || r.N != 3 {
		t.Errorf("with an object that stays: %+v, %v", r, err)
	}
	equal(t, "objects", len(w.objects()), 1)
	if _, err := meta.Load(w.ctx, w.eng); err != nil {
		t.Errorf("the metadata: %v", err)
	}
	r, err := Destroy(w.ctx, w.v, w.store, o)
	w.noErr(err)
	equal(t, "removed", r, Count{1, testBlock})
	if _, err := meta.Load(w.ctx, w.eng); !errors.Is(err, meta.ErrNotFormatted) {
		t.Errorf("the metadata: %v", err)
	}
	equal(t, "objects", len(w.objects()), 0)
}

// paged counts the pages of directories that were read.
type paged struct {
	meta.Engine
	pages atomic.Int64
}

func (p *paged) View(ctx context.Context, want meta.Want, fn func(meta.Reader) error) error {
	return p.Engine.View(ctx, want, func(r meta.Reader) error { return fn(pagedReader{r, p}) })
}

type pagedReader struct {
	meta.Reader
	p *paged
}

func (r pagedReader) Entries(dir meta.Ino, cursor string, limit int, plus bool) ([]meta.Dirent, string, error) {
	r.p.pages.Add(1)
	return r.Reader.Entries(dir, cursor, limit, plus)
}

// TestDumpStreams: the text of a directory is written while most of it is not read yet.
func TestDumpStreams(t *testing.T) {
	e := &paged{Engine: tkvmem.NewEngine(tkv.Options{})}
	w := worldOn(t, e, nil)
	const files = 12_000
	for i := range files {
		w.file(meta.RootIno, name("a-file-with-a-name-", i))
	}
	w.settled() // or the statistics of the root would be counted meanwhile
	e.pages.Store(0)
	var all bytes.Buffer
	var first int64
	w.noErr(Dump(w.ctx, w.v, writerFunc(func(b []byte) (int, error) {
		if first == 0 {
			first = e.pages.Load()
		}
		return all.Write(b)
	}), DumpOptions{}))
	equal(t, "pages", e.pages.Load(), files/pageSize)
	if first > files/pageSize/2 {
		t.Errorf("%d pages were read before anything was written", first)
	}
	equal(t, "files", strings.Count(all.String(), `"regular"`), files)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
