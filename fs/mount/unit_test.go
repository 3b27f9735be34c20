package mount

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/fs"
	"jfs/internal/posix"
	"jfs/meta"
	"jfs/object"
)

func TestErrno(t *testing.T) {
	for _, c := range []struct {
		err    error
		want   syscall.Errno
		logged bool
	}{
		{nil, 0, false},
		{posix.ENOENT, syscall.ENOENT, false},
		{fmt.Errorf("rename: %w", posix.EXDEV), syscall.EXDEV, false},
		{posix.ENOSYS, syscall.EOPNOTSUPP, false},
		{context.Canceled, syscall.EINTR, false},
		{fmt.Errorf("read: %w", context.Canceled), syscall.EINTR, false},
		{context.DeadlineExceeded, syscall.EIO, true},
		{fmt.Errorf("x: %w", meta.ErrCorrupt), syscall.EIO, true},
		{object.ErrNotFound, syscall.EIO, true},
		{meta.ErrUnknown, syscall.EIO, true},
		// An errno that is no posix.Error comes from a file or socket of our own.
		{syscall.ENOENT, syscall.EIO, true},
		{&os.PathError{Op: "open", Path: "cache", Err: syscall.ENOSPC}, syscall.EIO, true},
	} {
		if got, logged := errno(c.err); got != c.want || logged != c.logged {
			t.Errorf("%v: got %v, logged %v; want %v, %v", c.err, got, logged, c.want, c.logged)
		}
	}
}

func TestAttr(t *testing.T) {
	a := testAdapter(t, newFake(), Options{})
	in := meta.Attr{
		Type: meta.TypeFile, Mode: 04755, UID: 1, GID: 2, Nlink: 3, Length: 1025, Rdev: 9,
		Atime: meta.Time{Sec: -5, Nsec: 7}, Mtime: meta.Time{Sec: 1 << 33, Nsec: 999_999_999}, Ctime: meta.Time{Sec: 1},
	}
	var out fuse.Attr
	a.fill(77, &in, &out)
	want := fuse.Attr{
		Ino: 77, Size: 1025, Blocks: 3, Blksize: 65536, Mode: syscall.S_IFREG | 04755, Nlink: 3,
		Owner: fuse.Owner{Uid: 1, Gid: 2},
		Atime: ^uint64(4), Atimensec: 7, Mtime: 1 << 33, Mtimensec: 999_999_999, Ctime: 1,
	}
	if out != want {
		t.Errorf("got  %+v\nwant %+v", out, want)
	}
	for _, c := range []struct {
		in           meta.Attr
		size, blocks uint64
		rdev         uint32
		mode         uint32
	}{
		{meta.Attr{Type: meta.TypeDirectory, Length: 4096}, 4096, 8, 0, syscall.S_IFDIR},
		{meta.Attr{Type: meta.TypeSymlink, Length: 5}, 5, 1, 0, syscall.S_IFLNK},
		{meta.Attr{Type: meta.TypeFile}, 0, 0, 0, syscall.S_IFREG},
		{meta.Attr{Type: meta.TypeFile, Length: 1<<63 - 1}, 1<<63 - 1, 1 << 54, 0, syscall.S_IFREG},
		{meta.Attr{Type: meta.TypeCharDev, Rdev: 0x103, Length: 9}, 0, 0, 0x103, syscall.S_IFCHR},
		{meta.Attr{Type: meta.TypeBlockDev, Rdev: 8}, 0, 0, 8, syscall.S_IFBLK},
		{meta.Attr{Type: meta.TypeFIFO, Rdev: 8}, 0, 0, 0, syscall.S_IFIFO},
		{meta.Attr{Type: meta.TypeSocket}, 0, 0, 0, syscall.S_IFSOCK},
	} {
		a.fill(9, &c.in, &out)
		if out.Size != c.size || out.Blocks != c.blocks || out.Rdev != c.rdev || out.Mode != c.mode {
			t.Errorf("%+v: got size %d, blocks %d, rdev %d, mode %o", c.in, out.Size, out.Blocks, out.Rdev, out.Mode)
		}
		if got := typeOf(out.Mode); got != c.in.Type {
			t.Errorf("type %d comes back as %d", c.in.Type, got)
		}
	}
}

// TestNodes: the root of the mount is node 1 whatever inode it is, in both directions.
func TestNodes(t *testing.T) {
	a := testAdapter(t, newFake(), Options{})
	for node, ino := range map[uint64]meta.Ino{1: 5, 77: 77, uint64(meta.TrashIno): meta.TrashIno} {
		if a.ino(node) != ino || a.node(ino) != node {
			t.Errorf("node %d is inode %d, inode %d is node %d", node, a.ino(node), ino, a.node(ino))
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestChangeOf(t *testing.T) {
	in := func(valid uint32) *fuse.SetAttrIn {
		i := &fuse.SetAttrIn{}
		i.Valid, i.Mode, i.Uid, i.Gid, i.Size = valid, syscall.S_IFREG|0640, 3, 4, 99
		i.Atime, i.Atimensec, i.Mtime, i.Mtimensec, i.Ctime = ^uint64(0), 5, 6, 7, 8
		return i
	}
	for name, c := range map[string]struct {
		valid uint32
		want  fs.SetAttr
	}{
		"nothing": {fuse.FATTR_CTIME | fuse.FATTR_LOCKOWNER | fuse.FATTR_KILL_SUIDGID | fuse.FATTR_FH, fs.SetAttr{}},
		"mode":    {fuse.FATTR_MODE, fs.SetAttr{Change: meta.Change{Mode: ptr(uint16(0640))}}},
		"owner":   {fuse.FATTR_UID | fuse.FATTR_GID, fs.SetAttr{Change: meta.Change{UID: ptr(uint32(3)), GID: ptr(uint32(4))}}},
		"size":    {fuse.FATTR_SIZE, fs.SetAttr{Size: ptr(uint64(99))}},
		"times": {fuse.FATTR_ATIME | fuse.FATTR_MTIME, fs.SetAttr{Change: meta.Change{
			Atime: &meta.Time{Sec: -1, Nsec: 5}, Mtime: &meta.Time{Sec: 6, Nsec: 7}}}},
		"now": {fuse.FATTR_ATIME | fuse.FATTR_ATIME_NOW | fuse.FATTR_MTIME | fuse.FATTR_MTIME_NOW,
			fs.SetAttr{Change: meta.Change{AtimeNow: true, MtimeNow: true}}},
	} {
		if got := changeOf(in(c.valid)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	var tab table[string]
	seen := map[uint64]bool{}
	for i := range 100 {
		n := tab.add(fmt.Sprint(i))
		if n == 0 || seen[n] {
			t.Fatalf("number %d is given a second time or is 0", n)
		}
		seen[n] = true
		if v, ok := tab.get(n); !ok || v != fmt.Sprint(i) {
			t.Fatalf("number %d gives %q, %v", n, v, ok)
		}
		if i%2 == 0 {
			if _, ok := tab.take(n); !ok {
				t.Fatalf("number %d cannot be taken", n)
			}
			if _, ok := tab.take(n); ok {
				t.Fatalf("number %d was taken twice", n)
			}
		}
	}
	if left := tab.takeAll(); len(left) != 50 || len(tab.takeAll()) != 0 {
		t.Errorf("%d were left, want 50, and then none", len(left))
	}
}

// TestClosedHandles: requests about what is not open give EBADF.
func TestClosedHandles(t *testing.T) {
	a := testAdapter(t, newFake(), Options{})
	h := fuse.InHeader{NodeId: 77}
	bad := fuse.Status(syscall.EBADF)
	if _, st := a.Read(nil, &fuse.ReadIn{InHeader: h, Fh: 9}, make([]byte, 4)); st != bad {
		t.Error("read:", st)
	}
	if _, st := a.Write(nil, &fuse.WriteIn{InHeader: h, Fh: 9}, []byte("x")); st != bad {
		t.Error("write:", st)
	}
	if st := a.Flush(nil, &fuse.FlushIn{InHeader: h, Fh: 9}); st != bad {
		t.Error("flush:", st)
	}
	if st := a.ReadDir(nil, &fuse.ReadIn{InHeader: h, Fh: 9}, fuse.NewDirEntryList(make([]byte, 100), 0)); st != bad {
		t.Error("readdir:", st)
	}
	in := &fuse.SetAttrIn{}
	in.Valid, in.Fh = fuse.FATTR_FH|fuse.FATTR_SIZE, 9
	if st := a.SetAttr(nil, in, &fuse.AttrOut{}); st != bad {
		t.Error("setattr:", st)
	}
	a.Release(nil, &fuse.ReleaseIn{Fh: 9})
	a.ReleaseDir(&fuse.ReleaseIn{Fh: 9})
}

func TestNegativeLookup(t *testing.T) {
	h := &fuse.InHeader{NodeId: 1}
	var out fuse.EntryOut
	if st := testAdapter(t, newFake(), Options{}).Lookup(nil, h, "none", &out); st != fuse.ENOENT {
		t.Error("without a time for missing names:", st)
	}
	a := testAdapter(t, newFake(), Options{NegativeTimeout: 1500 * time.Millisecond})
	if st := a.Lookup(nil, h, "none", &out); st != fuse.OK || out.NodeId != 0 || out.EntryTimeout() != 1500*time.Millisecond {
		t.Errorf("with a time: %v, node %d, %v", st, out.NodeId, out.EntryTimeout())
	}
}

func TestTimeouts(t *testing.T) {
	a := testAdapter(t, newFake(), Options{AttrTimeout: 2 * time.Second, EntryTimeout: 3 * time.Second, DirEntryTimeout: -1})
	var out fuse.EntryOut
	a.fillEntry(ticket{}, 1, "n", &fs.Inode{Ino: 77, Attr: meta.Attr{Type: meta.TypeFile}}, false, &out)
	if out.AttrTimeout() != 2*time.Second || out.EntryTimeout() != 3*time.Second {
		t.Errorf("file: %v, %v", out.AttrTimeout(), out.EntryTimeout())
	}
	a.fillEntry(ticket{}, 1, "n", &fs.Inode{Ino: 78, Attr: meta.Attr{Type: meta.TypeDirectory}}, false, &out)
	if out.EntryTimeout() != 0 {
		t.Errorf("directory: %v", out.EntryTimeout())
	}
	if d := testAdapter(t, newFake(), Options{}).opt; d.AttrTimeout != time.Second || d.EntryTimeout != time.Second ||
		d.DirEntryTimeout != time.Second || d.NegativeTimeout != 0 {
		t.Errorf("defaults: %+v", d)
	}
}

// TestRenameFlags: a plain rename has no flags, whatever stands in their place.
func TestRenameFlags(t *testing.T) {
	b := &renamer{fake: newFake()}
	a := testAdapter(t, b, Options{})
	in := &fuse.RenameIn{Newdir: 8, Flags: 0x6261}
	in.NodeId, in.Opcode = 1, opRename
	a.Rename(nil, in, "a", "b")
	in.Opcode, in.Flags = 45, 2
	a.Rename(nil, in, "a", "b")
	if !reflect.DeepEqual(b.flags, []uint32{0, 2}) || b.from != (meta.Name{Dir: 5, Name: "a"}) || b.to != (meta.Name{Dir: 8, Name: "b"}) {
		t.Errorf("flags %v, from %v to %v", b.flags, b.from, b.to)
	}
}

type renamer struct {
	*fake
	flags    []uint32
	from, to meta.Name
}

func (r *renamer) Rename(_ context.Context, _ meta.Cred, from, to meta.Name, flags uint32) error {
	r.flags, r.from, r.to = append(r.flags, flags), from, to
	return nil
}

func TestReadDirPlus(t *testing.T) {
	a := testAdapter(t, newFake(), Options{})
	var out fuse.OpenOut
	if st := a.OpenDir(nil, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: 1}}, &out); st != fuse.OK {
		t.Fatal(st)
	}
	var got []string
	for off := uint64(0); ; {
		list := fuse.NewDirEntryList(make([]byte, 170), off) // room for one entry
		if st := a.ReadDirPlus(nil, &fuse.ReadIn{Fh: out.Fh, Offset: off}, list); st != fuse.OK {
			t.Fatal(st)
		}
		entries, nodes, err := fuse.ParseDirLookupEntries(list.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		for i, e := range entries {
			got = append(got, fmt.Sprintf("%s %d %d %d", e.Name, e.Ino, nodes[i].NodeId, nodes[i].Attr.Size))
			off = e.Off
		}
	}
	if want := []string{". 1 0 0", ".. 1 0 0", "f 77 77 1000"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAllowRoot(t *testing.T) {
	a := testAdapter(t, newFake(), Options{AllowRoot: true})
	for uid, want := range map[uint32]fuse.Status{0: fuse.OK, 1234: fuse.EACCES} {
		in := &fuse.GetAttrIn{}
		in.NodeId, in.Uid = 1, uid
		if st := a.GetAttr(nil, in, &fuse.AttrOut{}); st != want {
			t.Errorf("user %d: %v, want %v", uid, st, want)
		}
	}
}

// TestObserveAndLog: every request is observed, and errors that say nothing to the caller are logged, but not
// without limit.
func TestObserveAndLog(t *testing.T) {
	var text bytes.Buffer
	counts := map[syscall.Errno]int{}
	b := newFake()
	a := testAdapter(t, b, Options{
		Log: slog.New(slog.NewTextHandler(&text, nil)),
		Observe: func(op string, _ time.Duration, no syscall.Errno) {
			if op != "getattr" {
				t.Error("observed", op)
			}
			counts[no]++
		},
	})
	in := &fuse.GetAttrIn{}
	in.NodeId = 77
	for _, err := range []error{nil, posix.ENOENT, context.Canceled} {
		b.getattr = func(context.Context, meta.Ino) (meta.Attr, error) { return meta.Attr{}, err }
		a.GetAttr(nil, in, &fuse.AttrOut{})
	}
	if text.Len() != 0 {
		t.Errorf("answers were logged: %s", text.String())
	}
	b.getattr = func(context.Context, meta.Ino) (meta.Attr, error) { return meta.Attr{}, errors.New("no route to host") }
	for range 1000 {
		a.GetAttr(nil, in, &fuse.AttrOut{})
	}
	if n := strings.Count(text.String(), "no route to host"); n < 1 || n > 2*logBurst {
		t.Errorf("%d lines for 1000 failures", n)
	}
	if !strings.Contains(text.String(), "op=getattr inode=77") {
		t.Errorf("the log does not say what failed: %s", text.String())
	}
	want := map[syscall.Errno]int{0: 1, syscall.ESTALE: 1, syscall.EINTR: 1, syscall.EIO: 1000}
	if !reflect.DeepEqual(counts, want) {
		t.Errorf("observed %v, want %v", counts, want)
	}
}

// TestDriverErrorOfInterrupt: whatever a driver makes of an interrupt, the caller gets EINTR.
func TestDriverErrorOfInterrupt(t *testing.T) {
	b := newFake()
	b.getattr = func(ctx context.Context, _ meta.Ino) (meta.Attr, error) {
		<-ctx.Done()
		return meta.Attr{}, errors.New("use of closed connection")
	}
	a := testAdapter(t, b, Options{InterruptDelay: -1})
	gone := make(chan struct{})
	close(gone)
	if st := a.GetAttr(gone, &fuse.GetAttrIn{}, &fuse.AttrOut{}); st != fuse.EINTR {
		t.Error(st)
	}
}

func TestGroups(t *testing.T) {
	want, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	got := groupsOf(uint32(os.Getpid()))
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != uint32(want[i]) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	if g := groupsOf(0); g != nil {
		t.Errorf("no process has groups %v", g)
	}
}

func BenchmarkRequest(b *testing.B) {
	a := newAdapter(newFake(), Options{Timeout: time.Hour})
	in, out := &fuse.GetAttrIn{}, &fuse.AttrOut{}
	in.NodeId = 77
	interrupt := make(chan struct{})
	b.ReportAllocs()
	for b.Loop() {
		a.GetAttr(interrupt, in, out)
	}
}
