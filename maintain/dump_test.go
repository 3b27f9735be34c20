package maintain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/meta/metatest"
	"jfs/meta/redis"
	"jfs/meta/sql"
	"jfs/meta/tkv"
	tkvmem "jfs/meta/tkv/mem"
)

// engines opens an empty database of each kind; db is a database of the Redis server that was not used before.
func engines(t *testing.T, server *testenv.Server, db int) map[string]meta.Engine {
	t.Helper()
	r, err := redis.Open(t.Context(), fmt.Sprintf("redis://%s/%d", server.Addr, db), redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := sql.Open(t.Context(), "sqlite3://"+filepath.Join(t.TempDir(), "meta.db"), sql.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]meta.Engine{"redis": r, "sqlite": s, "mem": tkvmem.NewEngine(tkv.Options{})}
	for name, e := range all {
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Errorf("close %s: %v", name, err)
			}
		})
	}
	return all
}

func open(t *testing.T, e meta.Engine) *meta.Volume {
	t.Helper()
	v, err := meta.Open(context.WithoutCancel(t.Context()), e, meta.Options{MaxDeletes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return v
}

func dumped(t *testing.T, v *meta.Volume, o DumpOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Dump(t.Context(), v, &b, o); err != nil {
		t.Fatal(err)
	}
	if !json.Valid(b.Bytes()) {
		t.Fatalf("no JSON: %.2000s", b.Bytes())
	}
	return b.Bytes()
}

// canonical sorts a dump, and leaves out what a load does not keep.
func canonical(t *testing.T, dump []byte) map[string]any {
	t.Helper()
	var all map[string]any
	d := json.NewDecoder(bytes.NewReader(dump))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		t.Fatal(err)
	}
	delete(all["Counters"].(map[string]any), "nextSession")
	delete(all, "Sustained")
	return all
}

var parent = regexp.MustCompile(` Parent:\d+`)

// TestDumpLoad: a random volume comes out of a dump equal on every engine, and so does its second dump.
func TestDumpLoad(t *testing.T) {
	server := testenv.StartRedis(t)
	for seed := range uint64(2) {
		source := tkvmem.NewEngine(tkv.Options{})
		t.Cleanup(func() { source.Close() })
		metatest.History(t, source, seed, 500)
		v := open(t, source)
		extra(t, v)
		first := dumped(t, v, DumpOptions{})
		tree := withinLength(t, metatest.Tree(t, v))
		var trees []string
		for name, e := range engines(t, server, int(seed)) {
			if err := Load(t.Context(), e, bytes.NewReader(first), LoadOptions{Threads: 3}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			loaded := open(t, e)
			second := dumped(t, loaded, DumpOptions{})
			if a, b := canonical(t, first), canonical(t, second); !reflect.DeepEqual(a, b) {
				t.Errorf("seed %d: the dump of %s is not the one that was loaded:\n%s", seed, name, firstDifference("", a, b))
			}
			// A file with several names has no parent of its own. It keeps that when it is down to one; a dump
			// does not say so.
			got := metatest.Tree(t, loaded)
			if parent.ReplaceAllString(got, "") != parent.ReplaceAllString(tree, "") {
				t.Errorf("seed %d: %s holds another tree:\n%s", seed, name, lineDifference(tree, got))
			}
			trees = append(trees, got)
			if r, err := CheckTree(t.Context(), loaded, meta.RootIno, TreeOptions{Recursive: true, SyncDirStat: true, Repair: true}); err != nil || r.Broken > 0 || r.Space != 0 || r.Inodes != 0 {
				t.Errorf("seed %d: check of %s: %+v, %v", seed, name, r, err)
			}
			if name == "mem" {
				metatest.Check(t, loaded)
			}
		}
		for _, other := range trees[1:] {
			if other != trees[0] {
				t.Errorf("seed %d: two engines hold different trees", seed)
			}
		}
	}
}

// dying is an engine of a client that is killed after some changes: neither it nor a clean-up changes anything from then on.
type dying struct {
	meta.Engine
	left atomic.Int64
}

var errKilled = errors.New("killed")

func (e *dying) Update(ctx context.Context, want meta.Want, fn func(meta.Tx) error) error {
	if e.left.Add(-1) < 0 {
		return errKilled
	}
	return e.Engine.Update(ctx, want, fn)
}

func (e *dying) Reserve(ctx context.Context, seq meta.Sequence, n uint64) (uint64, error) {
	if e.left.Add(-1) < 0 {
		return 0, errKilled
	}
	return e.Engine.Reserve(ctx, seq, n)
}

func (e *dying) Erase(context.Context) error { return errKilled }

// TestLoadAfterKilled: what a load leaves that was killed is not in the way of another one, nor in what that makes.
func TestLoadAfterKilled(t *testing.T) {
	large, small := tkvmem.NewEngine(tkv.Options{}), tkvmem.NewEngine(tkv.Options{})
	dumps := map[meta.Engine][]byte{}
	for e, steps := range map[meta.Engine]int{large: 300, small: 20} {
		t.Cleanup(func() { e.Close() })
		metatest.History(t, e, 1, steps)
		v := open(t, e)
		if e == large {
			extra(t, v)
		}
		dumps[e] = dumped(t, v, DumpOptions{})
	}
	for name, e := range engines(t, testenv.StartRedis(t), 0) {
		for n := int64(0); ; n++ {
			d := &dying{Engine: e}
			d.left.Store(n)
			err := Load(t.Context(), d, bytes.NewReader(dumps[large]), LoadOptions{Threads: 1})
			if err != nil {
				if !errors.Is(err, errKilled) {
					t.Fatalf("%s: %v", name, err)
				}
				if err := Load(t.Context(), e, bytes.NewReader(dumps[small]), LoadOptions{}); err != nil {
					t.Fatalf("%s: load after one that was killed after %d changes: %v", name, n, err)
				}
				got := dumped(t, open(t, e), DumpOptions{})
				if a, b := canonical(t, dumps[small]), canonical(t, got); !reflect.DeepEqual(a, b) {
					t.Errorf("%s: after one that was killed after %d changes:\n%s", name, n, firstDifference("", a, b))
				}
			}
			if err := e.Erase(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err == nil {
				if n < 5 {
					t.Errorf("%s: a load takes %d changes: too few to be cut short", name, n)
				}
				break
			}
		}
	}
}

// extra adds what the histories do not have.
func extra(t *testing.T, v *meta.Volume) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	mk := func(dir meta.Ino, name string, n meta.New) meta.Ino {
		t.Helper()
		ino, _, err := v.Mknod(ctx, meta.Root, dir, name, n)
		must(err)
		return ino
	}
	for seq, n := range map[meta.Sequence]uint64{meta.SeqSlice: 2_000_000, meta.SeqInode: 1_000_000} { // numbers that are used below, or by a history
		_, err := v.Engine().Reserve(ctx, seq, n)
		must(err)
	}
	d := mk(meta.RootIno, "extra", meta.New{Type: meta.TypeDirectory, Mode: 01777})
	odd := mk(d, "odd %\"\\ \n\xff\xfe é <&>\u2028", meta.New{Type: meta.TypeFile, Mode: 04755})
	must(v.SetXattr(ctx, meta.Root, odd, "user.bin", []byte{0, 1, 255, '%', '4', '1'}, 0))
	must(v.SetXattr(ctx, meta.Root, odd, "user.empty", nil, 0))
	mk(d, "link", meta.New{Type: meta.TypeSymlink, Target: "../a b/%41"})
	mk(d, "dev", meta.New{Type: meta.TypeCharDev, Mode: 0600, Rdev: 0x103})
	many := mk(d, "many", meta.New{Type: meta.TypeDirectory, Mode: 0755})
	for i := range 1100 {
		mk(many, fmt.Sprint("f", i), meta.New{Type: meta.TypeFile, Mode: 0644})
	}
	large := mk(d, "large", meta.New{Type: meta.TypeFile, Mode: 0644})
	for _, index := range []uint32{0, 17, 40} {
		id, err := v.NewSlice(ctx)
		must(err)
		s := meta.Slice{Pos: 5, ID: id, Size: 100, Len: 100}
		_, _, err = v.Write(ctx, large, meta.Commit{Slices: []meta.Written{{Index: index, Slice: s}}, Mtime: meta.Time{Sec: 1795429376, Nsec: 7}})
		must(err)
	}
	rule := func(perm byte) []byte {
		return []byte{0, 6, 0, 4, 0, perm, 0, 4, 0, 0, 0, 1, 0, 0, 3, 232, 0, 7, 0, 0, 0, 1, 0, 0, 7, 208, 0, 5}
	}
	must(v.Engine().Update(ctx, meta.Want{Attrs: []meta.Ino{d, odd}}, func(tx meta.Tx) error {
		da, _, err := tx.Attr(d)
		if err != nil {
			return err
		}
		fa, _, err := tx.Attr(odd)
		if err != nil {
			return err
		}
		if fa.AccessACL, err = tx.AddACL(rule(5)); err != nil {
			return err
		}
		if da.DefaultACL, err = tx.AddACL(rule(7)); err != nil {
			return err
		}
		da.AccessACL = fa.AccessACL
		fa.Tier, fa.Flags, fa.Length = 2, meta.FlagAppend, 50
		tx.SetAttr(d, &da)
		tx.SetAttr(odd, &fa)
		// A slice that two files share, and a record of it with a part.
		tx.AppendSlices(odd, 0, []meta.Slice{{ID: 1_000_000, Size: 50, Len: 50}})
		tx.NewRef(1_000_000, 50)
		tx.SetDelFile(meta.DelFile{Ino: 900_000, Length: 5, Removed: 1795429376})
		tx.SetQuota(meta.QuotaKey{Kind: meta.QuotaDir, ID: uint64(d)}, meta.Quota{MaxSpace: 1 << 30, MaxInodes: -1})
		return nil
	}))
	must(v.Engine().Update(ctx, meta.Want{}, func(tx meta.Tx) error {
		tx.AppendSlices(large, 0, []meta.Slice{{Pos: 1000, ID: 1_000_000, Size: 50, Off: 10, Len: 5}})
		tx.AddRef(1_000_000, 50, 1)
		return nil
	}))
}

func firstDifference(at string, a, b any) string {
	if reflect.DeepEqual(a, b) {
		return ""
	}
	am, aok := a.(map[string]any)
	bm, bok := b.(map[string]any)
	if !aok || !bok {
		return fmt.Sprintf("%s: %.300v != %.300v", at, a, b)
	}
	for k := range am {
		if s := firstDifference(at+"/"+k, am[k], bm[k]); s != "" {
			return s
		}
	}
	return fmt.Sprintf("%s: more members: %d != %d", at, len(am), len(bm))
}

var (
	fileLength = regexp.MustCompile(`^".* Length:(\d+) `)
	chunkLine  = regexp.MustCompile(`^  (\d+): \{`)
)

// withinLength leaves out the lists of chunks beyond the ends of files, which a dump does not have.
func withinLength(t *testing.T, tree string) string {
	t.Helper()
	var kept []string
	length := 0
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, line := range strings.Split(tree, "\n") {
		if m := fileLength.FindStringSubmatch(line); m != nil {
			length = number(m[1])
		} else if m := chunkLine.FindStringSubmatch(line); m != nil && number(m[1])*meta.ChunkSize >= length {
			continue
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "\n")
}

func lineDifference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if parent.ReplaceAllString(as[i], "") != parent.ReplaceAllString(bs[i], "") {
			return fmt.Sprintf("line %d\n- %s\n- %s\n+ %s", i, as[max(i-1, 0)], as[i], bs[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(as), len(bs))
}

func TestLoadCountsReferences(t *testing.T) {
	source := tkvmem.NewEngine(tkv.Options{})
	t.Cleanup(func() { source.Close() })
	metatest.History(t, source, 9, 10)
	v := open(t, source)
	extra(t, v)
	dump := dumped(t, v, DumpOptions{})
	for name, e := range engines(t, testenv.StartRedis(t), 0) {
		if err := Load(t.Context(), e, bytes.NewReader(dump), LoadOptions{}); err != nil {
			t.Fatal(err)
		}
		err := e.View(t.Context(), meta.Want{}, func(r meta.Reader) error {
			refs, err := r.Refs([]meta.SliceRef{{ID: 1_000_000, Size: 50}})
			if err == nil && refs[0] != 2 {
				t.Errorf("%s: %d references", name, refs[0])
			}
			if err != nil {
				return err
			}
			files, err := r.DelFiles(1<<40, 10)
			if err == nil && len(files) != 1 {
				t.Errorf("%s: removed files %v", name, files)
			}
			if err != nil {
				return err
			}
			quotas, err := r.Quotas()
			for _, q := range quotas {
				if q != (meta.Quota{MaxSpace: 1 << 30, MaxInodes: -1, UsedSpace: 5*4096 - 4096 + 1100*4096 + 40<<26 + 4096, UsedInodes: 1105}) {
					t.Errorf("%s: quota %+v", name, q)
				}
			}
			if len(quotas) != 1 {
				t.Errorf("%s: %d quotas", name, len(quotas))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		next, err := e.Reserve(t.Context(), meta.SeqSlice, 0)
		if err != nil || next <= 1_000_000 {
			t.Errorf("%s: the next slice is %d, %v", name, next, err)
		}
		if err := Load(t.Context(), e, bytes.NewReader(dump), LoadOptions{}); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("%s: load over a volume: %v", name, err)
		}
	}
}

func TestDumpSubdirAndTrash(t *testing.T) {
	w := newWorld(t, func(f *meta.Format) { f.TrashDays, f.SecretKey = 1, "secret" })
	d := w.dir(meta.RootIno, "d")
	f := w.file(d, "f")
	_, err := w.v.Link(w.ctx, meta.Root, f, meta.RootIno, "outside")
	w.noErr(err)
	w.file(d, "gone")
	w.noErr(w.v.Unlink(w.ctx, meta.Root, d, "gone"))

	all := string(dumped(t, w.v, DumpOptions{}))
	for _, want := range []string{`"Trash"`, `-gone"`, `"removed"`, `"nextTrash":1`} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in the dump:\n%s", want, all)
		}
	}
	if s := string(dumped(t, w.v, DumpOptions{SkipTrash: true, KeepSecrets: true})); strings.Contains(s, `"Trash"`) || strings.Contains(s, `"removed"`) {
		t.Errorf("trash or no secret in the dump:\n%s", s)
	}
	e := tkvmem.NewEngine(tkv.Options{})
	defer e.Close()
	w.noErr(Load(w.ctx, e, strings.NewReader(all), LoadOptions{}))
	_, err = meta.Load(w.ctx, e)
	if !errors.Is(err, meta.ErrSecretRemoved) {
		t.Errorf("a volume without its secret: %v", err)
	}

	sub := dumped(t, w.v, DumpOptions{Top: d, KeepSecrets: true})
	part := tkvmem.NewEngine(tkv.Options{})
	defer part.Close()
	w.noErr(Load(w.ctx, part, bytes.NewReader(sub), LoadOptions{}))
	v := open(t, part)
	ino, a, err := v.Lookup(w.ctx, meta.Root, meta.RootIno, "f")
	w.noErr(err)
	if ino != f || a.Nlink != 1 || a.Parent != meta.RootIno {
		t.Errorf("inode %d %+v", ino, a)
	}
	metatest.Check(t, v)
	if err := Dump(w.ctx, w.v, &bytes.Buffer{}, DumpOptions{Top: f}); err == nil {
		t.Error("a file was dumped as a tree")
	}
}

func TestLoadRefuses(t *testing.T) {
	w := newWorld(t, nil)
	w.file(w.dir(meta.RootIno, "d"), "f")
	good := string(dumped(t, w.v, DumpOptions{}))
	for name, c := range map[string]struct{ text, want string }{
		"nothing":          {"", "cut short"},
		"cut":              {good[:len(good)/2], "cut short"},
		"no dump":          {`{"a": 1}`, "no FSTree"},
		"no object":        {`[1]`, "byte"},
		"syntax":           {strings.Replace(good, `"FSTree": {`, `"FSTree": {{`, 1), "byte"},
		"tree first":       {`{"FSTree": {}}`, "before Setting"},
		"no name":          {`{"Setting": {}}`, "no name or UUID"},
		"entries first":    {strings.Replace(good, `"FSTree": {`, `"FSTree": {"entries": {}, `, 1), "before the attribute"},
		"type":             {strings.Replace(good, `"type":"regular"`, `"type":"tape"`, 1), "tape"},
		"root twice":       {strings.Replace(good, `"inode":3`, `"inode":1`, 1), "below the top"},
		"directory twice":  {strings.Replace(strings.Replace(good, `"type":"regular"`, `"type":"directory"`, 1), `"inode":3`, `"inode":2`, 1), "two entries"},
		"empty name":       {strings.Replace(good, `"f"`, `""`, 1), "1 to 255"},
		"record too large": {strings.Replace(good, `"chunks": []`, `"chunks": [{"index":0,"slices":[{"id":1,"size":5,"len":6}]}]`, 1), "slice record"},
	} {
		e := tkvmem.NewEngine(tkv.Options{})
		if err := Load(w.ctx, e, strings.NewReader(c.text), LoadOptions{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err := Load(w.ctx, e, strings.NewReader(good), LoadOptions{}); err != nil {
			t.Errorf("%s, and then a good one: %v", name, err)
		}
		w.noErr(e.Close())
	}
}

func TestEscape(t *testing.T) {
	for _, c := range [][2]string{
		{"plain", "plain"}, {"", ""}, {"a b", "a%20b"}, {"%41", "%2541"}, {`q"b\`, "q%22b%5C"}, {"\xff\xc3", "%FF%C3"}, {"é世", "é世"}, {"\x7f", "\x7f"}, {"\u2028<", "\u2028<"},
	} {
		if got := escape(c[0]); got != c[1] {
			t.Errorf("escape %q: %q, want %q", c[0], got, c[1])
		}
		if got := unescape(c[1]); got != c[0] {
			t.Errorf("unescape %q: %q, want %q", c[1], got, c[0])
		}
	}
	for in, want := range map[string]string{"%": "%", "%4": "%4", "%zz": "%zz", "%e9": "\xe9", "100%": "100%"} {
		if got := unescape(in); got != want {
			t.Errorf("unescape %q: %q, want %q", in, got, want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("a\x00%\xff")
	f.Fuzz(func(t *testing.T, s string) {
		if got := unescape(escape(s)); got != s {
			t.Errorf("%q became %q", s, got)
		}
		var back string
		if err := json.Unmarshal(quoted(s), &back); err != nil || unescape(back) != s {
			t.Errorf("%q as JSON: %q, %v", s, back, err)
		}
	})
}

func TestCompressed(t *testing.T) {
	text := bytes.Repeat([]byte("hello world "), 1000)
	for name, small := range map[string]bool{"d.json": false, "d.json.gz": true, "d.json.zstd": true, "d.zst": true} {
		var b bytes.Buffer
		w, err := Compressed(name, &b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if small != (b.Len() < len(text)/2) {
			t.Errorf("%s: %d bytes", name, b.Len())
		}
		r, err := Decompressed(name, &b)
		if err != nil {
			t.Fatal(err)
		}
		var back bytes.Buffer
		if _, err := back.ReadFrom(r); err != nil || !bytes.Equal(back.Bytes(), text) {
			t.Errorf("%s: %d bytes came back, %v", name, back.Len(), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
