package control

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"syscall"
	"testing"

	"jfs/meta"
	"jfs/meta/tkv"
	memkv "jfs/meta/tkv/mem"
)

// bench is a volume in memory with a server.
type bench struct {
	t   *testing.T
	v   *meta.Volume
	s   *Server
	o   Options
	who meta.Cred
}

func newBench(t *testing.T) *bench {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	eng := tkv.New(memkv.New(), tkv.Options{})
	f := meta.NewFormat("vol", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	f.BlockSize, f.TrashDays = 64, 0
	if err := meta.Create(ctx, eng, f, meta.Time{Sec: 1}); err != nil {
		t.Fatal(err)
	}
	v, err := meta.Open(ctx, eng, meta.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(v.Close(ctx), eng.Close()); err != nil {
			t.Error(err)
		}
	})
	b := &bench{t: t, v: v, o: Options{Volume: v}, who: meta.Root}
	b.s = NewServer(b.o)
	return b
}

func (b *bench) mkdir(dir meta.Ino, name string, mode uint16) meta.Ino {
	b.t.Helper()
	ino, _, err := b.v.Mknod(b.t.Context(), meta.Root, dir, name, meta.New{Type: meta.TypeDirectory, Mode: mode})
	if err != nil {
		b.t.Fatal(err)
	}
	return ino
}

func (b *bench) file(dir meta.Ino, name string) meta.Ino {
	b.t.Helper()
	ino, _, err := b.v.Mknod(b.t.Context(), meta.Root, dir, name, meta.New{Type: meta.TypeFile, Mode: 0600})
	if err != nil {
		b.t.Fatal(err)
	}
	return ino
}

// ask gives the errno, or what is read from the JSON into to, and the last number of the progress.
func (b *bench) ask(q Request, to any) (errno syscall.Errno, told uint64) {
	b.t.Helper()
	answer := b.s.Serve(b.t.Context(), b.who, uint32(q.command()), q.encode(), func(n, _ uint64) { told = max(told, n) })
	switch {
	case len(answer) == 1:
		return syscall.Errno(answer[0]), told
	case len(answer) < 5 || answer[0] != markData || int(binary.BigEndian.Uint32(answer[1:])) != len(answer)-5 || to == nil:
		b.t.Fatalf("answer % x", answer)
	}
	if err := json.Unmarshal(answer[5:], to); err != nil {
		b.t.Fatal(err)
	}
	return 0, told
}

func TestRemove(t *testing.T) {
	b := newBench(t)
	var gone []meta.Name
	b.o.Forget = func(dir meta.Ino, name string) { gone = append(gone, meta.Name{Dir: dir, Name: name}) }
	sub := b.mkdir(meta.RootIno, "sub", 0755)
	b.o.Root = sub
	b.s = NewServer(b.o)
	d := b.mkdir(sub, "d", 0755)
	b.file(d, "a")
	b.file(d, "b")
	b.who = meta.Cred{UID: 1000, GID: 1000}
	if errno, _ := b.ask(RemoveRequest{Dir: 1, Name: "d"}, nil); errno != syscall.EACCES {
		t.Errorf("as somebody else: %v", errno)
	}
	b.who = meta.Root
	if errno, told := b.ask(RemoveRequest{Dir: 1, Name: "d"}, nil); errno != 0 || told != 3 {
		t.Errorf("%v, progress %d", errno, told)
	}
	if !slices.Equal(gone, []meta.Name{{Dir: sub, Name: "d"}}) {
		t.Errorf("forgotten: %v", gone)
	}
	if errno, _ := b.ask(RemoveRequest{Dir: 1, Name: "d"}, nil); errno != syscall.ENOENT {
		t.Errorf("again: %v", errno)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.mkdir(sub, "e", 0755)
	if answer := b.s.Serve(ctx, meta.Root, uint32(CommandRemove), RemoveRequest{Dir: 1, Name: "e"}.encode(), func(_, _ uint64) {}); len(answer) != 1 || answer[0] != byte(syscall.EINTR) {
		t.Errorf("after the end of the asker: % x", answer)
	}
}

// TestCloneOrders: the source is found whichever of the two inodes comes first.
func TestCloneOrders(t *testing.T) {
	b := newBench(t)
	d := b.mkdir(meta.RootIno, "d", 0755)
	sub, file := b.mkdir(d, "sub", 0755), b.file(d, "file")
	for i, tt := range []struct {
		a, b meta.Ino
		want meta.Type
	}{
		{file, d, meta.TypeFile}, {d, file, meta.TypeFile}, {file, file, meta.TypeFile}, {file, 0, meta.TypeFile},
		{sub, d, meta.TypeDirectory}, {d, sub, meta.TypeDirectory}, {sub, sub, meta.TypeDirectory}, {sub, 0, meta.TypeDirectory},
	} {
		name := string(rune('p' + i))
		if errno, _ := b.ask(CloneRequest{Src: tt.a, SrcDir: tt.b, Dir: 1, Name: name}, nil); errno != 0 {
			t.Fatalf("%+v: %v", tt, errno)
		}
		ino, attr, err := b.v.Lookup(t.Context(), meta.Root, 1, name)
		if err != nil || attr.Type != tt.want {
			t.Errorf("%+v: type %d, %v", tt, attr.Type, err)
		}
		if page, _, err := b.v.Readdir(t.Context(), ino, "", 10, false); attr.Type == meta.TypeDirectory && (err != nil || len(page) != 0) {
			t.Errorf("%+v: the directory above was cloned: %v, %v", tt, page, err)
		}
	}
	if errno, _ := b.ask(CloneRequest{Src: file, SrcDir: d, Dir: 1, Name: "p"}, nil); errno != syscall.EEXIST {
		t.Errorf("name that is taken: %v", errno)
	}
}

func TestInfo(t *testing.T) {
	b := newBench(t)
	d := b.mkdir(meta.RootIno, "d", 0755)
	file := b.file(d, "file")
	// 100 KiB of a slice from its middle on, behind a hole.
	commit := meta.Commit{Slices: []meta.Written{{Index: 1, Slice: meta.Slice{Pos: 4096, ID: 7, Size: 200 << 10, Off: 50 << 10, Len: 100 << 10}}}}
	if _, _, err := b.v.Write(t.Context(), file, commit); err != nil {
		t.Fatal(err)
	}
	var r InfoResponse
	if errno, _ := b.ask(InfoRequest{Ino: file}, &r); errno != 0 || r.Failed {
		t.Fatalf("%v, %+v", errno, r)
	}
	want := []Object{
		{ChunkIndex: 1, Size: 4096, Len: 4096},
		{ChunkIndex: 1, Key: "vol/chunks/0/0/7_0_65536", Size: 64 << 10, Off: 50 << 10, Len: 14 << 10, Pos: 4096},
		{ChunkIndex: 1, Key: "vol/chunks/0/0/7_1_65536", Size: 64 << 10, Len: 64 << 10, Pos: 4096 + 14<<10},
		{ChunkIndex: 1, Key: "vol/chunks/0/0/7_2_65536", Size: 64 << 10, Len: 22 << 10, Pos: 4096 + 78<<10},
	}
	if !slices.Equal(r.Objects, want) || !slices.Equal(r.Paths, []string{"/d/file"}) || r.Summary.Files != 1 || r.Chunks != nil {
		t.Errorf("%+v", r)
	}
	r = InfoResponse{}
	if b.ask(InfoRequest{Ino: file, Raw: true}, &r); len(r.Objects) != 0 || !slices.Equal(r.Chunks, []Slice{
		{ChunkIndex: 1, Len: 4096}, {ChunkIndex: 1, Pos: 4096, Id: 7, Size: 200 << 10, Off: 50 << 10, Len: 100 << 10},
	}) {
		t.Errorf("raw: %+v", r)
	}
	for _, tt := range []struct {
		ino    meta.Ino
		who    meta.Cred
		reason string
	}{{99, meta.Root, "no such file or directory"}, {file, meta.Cred{UID: 1000}, "permission denied"}} {
		b.who, r = tt.who, InfoResponse{}
		if b.ask(InfoRequest{Ino: tt.ino}, &r); !r.Failed || r.Reason != tt.reason || len(r.Paths)+len(r.Objects) > 0 {
			t.Errorf("%d: %+v", tt.ino, r)
		}
	}
	b.who = meta.Root

	var s SummaryResponse
	if b.ask(SummaryRequest{Ino: 1, Depth: 2, Strict: true}, &s); s.Errno != 0 || s.Tree.Dirs != 2 || len(s.Tree.Children) != 1 ||
		s.Tree.Children[0].Path != "d" || len(s.Tree.Children[0].Children) != 1 || s.Tree.Children[0].Children[0].Path != "d/file" {
		t.Errorf("summary: %+v", s)
	}
	if b.ask(SummaryRequest{Ino: 99}, &s); s.Errno != syscall.ENOENT {
		t.Errorf("summary of nothing: %+v", s)
	}
}

func TestCompact(t *testing.T) {
	b := newBench(t)
	if errno, _ := b.ask(CompactRequest{Ino: 1}, nil); errno != syscall.ENOTSUP {
		t.Errorf("without a compactor: %v", errno)
	}
	var got []int
	b.o.Compact = func(_ context.Context, ino meta.Ino, threads int, progress func(int)) error {
		got = []int{int(ino), threads}
		progress(3)
		progress(4)
		return errors.New("the store is gone")
	}
	b.s = NewServer(b.o)
	if errno, told := b.ask(CompactRequest{Ino: 1, Threads: 9}, nil); errno != syscall.EIO || told != 7 || !slices.Equal(got, []int{1, 9}) {
		t.Errorf("%v, progress %d, called with %v", errno, told, got)
	}
	b.who = meta.Cred{UID: 1000}
	if errno, _ := b.ask(CompactRequest{Ino: b.mkdir(1, "d", 0755)}, nil); errno != syscall.EACCES {
		t.Errorf("as somebody else: %v", errno)
	}
}
