package etcd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/meta/tkv"
)

// TestTrips counts the requests of the main operations. Reads that belong together are one, a commit is one. The proxy counts
// on the wire, independently of the client: each request is a round trip, for none is sent before the answer to the last.
func TestTrips(t *testing.T) {
	var c calls
	var w wire
	proxy := testenv.StartProxy(t, start(t).Addr)
	proxy.Judge(w.see)
	s := store(t, "etcd://"+proxy.Addr+"/v1", Options{OnCall: c.on})
	e := tkv.New(tkv.WithPrefix(s, "/v"+separator), tkv.Options{FlushUsage: time.Hour}) // no writing in between
	ctx := t.Context()
	f := meta.NewFormat("test-volume", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	f.TrashDays, f.DirStats = 0, false
	if err := e.Init(ctx); err != nil {
		t.Fatal(err)
	}
	if err := meta.Create(ctx, e, f, meta.Time{Sec: 1}); err != nil {
		t.Fatal(err)
	}
	v, err := meta.Open(ctx, e, meta.Options{NoBGJob: true, Heartbeat: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	var dir, file meta.Ino
	make := func(name string, typ meta.Type) func() error {
		return func() error {
			parent := dir
			if dir == 0 {
				parent = meta.RootIno
			}
			ino, _, err := v.Mknod(ctx, meta.Root, parent, name, meta.New{Type: typ, Mode: 0o755})
			if typ == meta.TypeDirectory && dir == 0 {
				dir = ino
			}
			file = ino
			return err
		}
	}
	if err := make("d", meta.TypeDirectory)(); err != nil { // takes the first numbers
		t.Fatal(err)
	}
	mode := uint16(0o600)
	slice, err := v.NewSlice(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []struct {
		name string
		do   func() error
		want string
	}{
		{"create", make("f", meta.TypeFile), "Txn Txn"},
		{"write", func() error {
			_, _, err := v.Write(ctx, file, meta.Commit{Slices: []meta.Written{{Slice: meta.Slice{ID: slice, Size: 9, Len: 9}}}, Mtime: meta.Time{Sec: 5}})
			return err
		}, "Range Range Txn"},
		{"stat", func() error { _, err := v.GetAttr(ctx, file); return err }, "Range"},
		{"chmod", func() error { _, _, err := v.SetAttr(ctx, meta.Root, file, meta.Change{Mode: &mode}); return err }, "Range Txn"},
		{"look-up", func() error { _, _, err := v.Lookup(ctx, meta.Root, dir, "f"); return err }, "Txn"},
		{"look-up of nothing", func() error { _, _, _ = v.Lookup(ctx, meta.Root, dir, "none"); return nil }, "Range"},
		{"read", func() error { _, err := v.Chunk(ctx, file, 0); return err }, "Range"},
		{"list", func() error { _, _, err := v.Readdir(ctx, dir, "", 100, true); return err }, "Range Range"},
		{"rename", func() error {
			return v.Rename(ctx, meta.Root, meta.Name{Dir: dir, Name: "f"}, meta.Name{Dir: dir, Name: "g"}, 0)
		}, "Txn Txn"},
		{"unlink", func() error { return v.Unlink(ctx, meta.Root, dir, "g") }, "Txn Range Txn"},
		{"mkdir", make("sub", meta.TypeDirectory), "Txn Txn"},
		{"rmdir", func() error { return v.Rmdir(ctx, meta.Root, dir, "sub") }, "Txn Range Range Txn"},
		{"usage", func() error {
			return e.View(ctx, meta.Want{}, func(r meta.Reader) error { _, _, err := r.Usage(); return err })
		}, "Txn"},
		{"numbers", func() error { _, err := e.Reserve(ctx, meta.SeqInode, 1024); return err }, "Range Txn"},
	} {
		before := w.count()
		sent := c.during(func() {
			if err := op.do(); err != nil {
				t.Errorf("%s: %v", op.name, err)
			}
		})
		if got := strings.Join(sent, " "); got != op.want {
			t.Errorf("%s sends %q, want %q", op.name, got, op.want)
		}
		if n := w.count() - before; n != len(sent) {
			t.Errorf("%s sends %q, which are %d requests on the wire", op.name, sent, n)
		}
	}
}

// TestGolden: the keys of a volume in the database. What follows the prefix is the same in all key spaces.
func TestGolden(t *testing.T) {
	s := start(t)
	raw := store(t, s.empty(), Options{}).client
	for path, prefix := range map[string]string{"/jfs": "/jfs\xfd", "": "\xfd", "/a/b%20c": "/a/b c\xfd"} {
		e, err := Open(t.Context(), "etcd://"+s.Addr+path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Init(t.Context()); err != nil {
			t.Fatal(err)
		}
		err = e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error {
			tx.SetSetting([]byte("{}"))
			tx.SetEntry(1, "f", meta.Entry{Type: meta.TypeFile, Ino: 3})
			tx.SetXattr(3, "user.empty", nil)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := raw.Get(t.Context(), prefix, clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, kv := range resp.Kvs {
			got = append(got, fmt.Sprintf("%q=%x", strings.TrimPrefix(string(kv.Key), prefix), kv.Value))
		}
		want := []string{
			`"A\x01\x00\x00\x00\x00\x00\x00\x00Df"=010000000000000003`,
			`"A\x03\x00\x00\x00\x00\x00\x00\x00Xuser.empty"=`,
			`"CnextChunk"=0100000000000000`,
			`"CnextInode"=0200000000000000`,
			`"setting"=7b7d`,
		}
		if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
			t.Errorf("%s:\n%s\nwant\n%s", path, g, w)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}
