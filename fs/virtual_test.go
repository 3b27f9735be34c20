package fs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"syscall"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

// echo answers with its payload, after a report, and waits for the end of the asker on command 7.
type echo struct{ ended chan error }

func (e echo) Serve(ctx context.Context, who meta.Cred, command uint32, payload []byte, report func(a, b uint64)) []byte {
	if command == 7 {
		<-ctx.Done()
		e.ended <- ctx.Err()
		return []byte{byte(posix.EINTR)}
	}
	report(uint64(command), uint64(who.UID))
	return payload
}

func request(command uint32, payload string) []byte {
	b := binary.BigEndian.AppendUint32(nil, command)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(b, payload...)
}

func virtualFS(t *testing.T, v *Virtual, change func(*Options)) *FS {
	t.Helper()
	f := newRig(t, nil).mount(64 << 20)
	o := f.opt
	o.Virtual = v
	if change != nil {
		change(&o)
	}
	g := New(f.vol, o)
	t.Cleanup(func() {
		if err := g.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return g
}

// readAll reads until n bytes have come.
func readAll(t *testing.T, h *VirtualFile, n, each int) []byte {
	t.Helper()
	var all []byte
	for len(all) < n {
		buf := make([]byte, each)
		m, err := h.Read(t.Context(), 0, buf)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, buf[:m]...)
	}
	return all
}

func TestControl(t *testing.T) {
	e := echo{make(chan error, 1)}
	f := virtualFS(t, &Virtual{Control: e}, nil)
	h, err := f.OpenVirtual(meta.Cred{UID: 5}, ControlIno, syscall.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := h.Read(t.Context(), 0, make([]byte, 100)); n != 0 || err != nil {
		t.Errorf("read without a request: %d, %v", n, err)
	}
	payload := strings.Repeat("0123456789", 10)
	q := request(3, payload)
	for i := range q { // piece by piece
		if n, err := h.Write(t.Context(), 0, q[i:i+1]); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	want := append([]byte{0xFE}, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 3), 5)...)
	want = append(want, payload...)
	if got := readAll(t, h, len(want), 40); !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
	if _, err := h.Write(t.Context(), 0, request(3, "x")); err != nil { // another one on the same file
		t.Error(err)
	}
	if got := readAll(t, h, 18, 4096); got[17] != 'x' {
		t.Errorf("second answer: % x", got)
	}
	for _, bad := range [][]byte{append(request(3, "x"), 'y'), binary.BigEndian.AppendUint32(make([]byte, 4), requestMost+1)} {
		if _, err := h.Write(t.Context(), 0, bad); !errors.Is(err, posix.EINVAL) {
			t.Errorf("bad request: %v", err)
		}
	}
	if _, err := h.Write(t.Context(), 0, request(7, "")); err != nil {
		t.Error(err)
	}
	if _, err := h.Write(t.Context(), 0, request(3, "")); !errors.Is(err, posix.EBUSY) {
		t.Errorf("a request during another: %v", err)
	}
	h.Release(t.Context())
	if err := <-e.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the work of a file that is closed: %v", err)
	}
}

func TestControlWithoutController(t *testing.T) {
	f := virtualFS(t, &Virtual{}, nil)
	h, err := f.OpenVirtual(meta.Root, ControlIno, syscall.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release(t.Context())
	if _, err := h.Write(t.Context(), 0, request(3, "")); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, h, 1, 100); got[0] != byte(posix.ENOTSUP) {
		t.Errorf("answer % x", got)
	}
}

func TestAccessLog(t *testing.T) {
	log := &AccessLog{}
	f := virtualFS(t, &Virtual{AccessLog: log}, nil)
	if log.Active() {
		t.Error("active without readers")
	}
	open := func() *VirtualFile {
		h, err := f.OpenVirtual(meta.Root, AccessLogIno, syscall.O_RDONLY)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	a, b := open(), open()
	if !log.Active() {
		t.Error("not active")
	}
	log.Write([]byte("one\n"))
	log.Write([]byte("two\n"))
	buf := make([]byte, 7)
	if n, err := a.Read(t.Context(), 0, buf); err != nil || string(buf[:n]) != "one\n" { // whole lines
		t.Errorf("%q, %v", buf[:n], err)
	}
	if got := readAll(t, b, 8, 100); string(got) != "one\ntwo\n" {
		t.Errorf("the other reader: %q", got)
	}
	b.Release(t.Context())
	if !log.Active() {
		t.Error("not active with one reader left")
	}

	line := []byte(strings.Repeat("x", 1<<16-1) + "\n")
	for range 20 { // 16 fit, but for the line that waits
		log.Write(line)
	}
	got := readAll(t, a, 4+15<<16+5, 2<<20)
	if want := "two\n" + strings.Repeat(string(line), 15) + "# 5 lines were lost because they were read too slowly\n"; string(got) != want {
		t.Errorf("%d bytes, want %d: ...%q", len(got), len(want), got[max(0, len(got)-80):])
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Read(ctx, 0, buf); !errors.Is(err, context.Canceled) {
		t.Errorf("read after an interrupt: %v", err)
	}
	a.Release(t.Context())
	if log.Active() {
		t.Error("active after the last reader")
	}
}

func TestVirtualNames(t *testing.T) {
	ctx := t.Context()
	content := "first"
	v := &Virtual{Stats: func(context.Context) []byte { return []byte(content) }, Config: func() []byte { return []byte("{}") }}
	sub := func(o *Options) { o.PrefixInternal = true }
	plain, prefixed := virtualFS(t, v, nil), virtualFS(t, v, sub)
	for i, f := range []*FS{plain, prefixed} {
		prefix := []string{".", ".jfs."}[i]
		for name, want := range map[string]meta.Ino{"accesslog": AccessLogIno, "control": ControlIno, "stats": StatsIno, "config": ConfigIno} {
			in, err := f.Lookup(ctx, meta.Root, meta.RootIno, prefix+name)
			if err != nil || in.Ino != want || in.Attr.Type != meta.TypeFile || in.Attr.Nlink != 1 {
				t.Errorf("%s%s: %+v, %v", prefix, name, in, err)
			}
			if a, err := f.GetAttr(ctx, want); err != nil || a != in.Attr {
				t.Errorf("attributes of %s: %+v, %v", name, a, err)
			}
			at := meta.Name{Dir: meta.RootIno, Name: prefix + name}
			_, err = f.Mknod(ctx, meta.Root, at.Dir, at.Name, meta.New{Type: meta.TypeFile})
			if !errors.Is(err, posix.EEXIST) {
				t.Errorf("mknod %s: %v", name, err)
			}
			for op, err := range map[string]error{
				"unlink": f.Unlink(ctx, meta.Root, at.Dir, at.Name), "rmdir": f.Rmdir(ctx, meta.Root, at.Dir, at.Name),
				"rename": f.Rename(ctx, meta.Root, at, meta.Name{Dir: 1, Name: "x"}, 0), "rename to": f.Rename(ctx, meta.Root, meta.Name{Dir: 1, Name: "x"}, at, 0),
				"setxattr": f.SetXattr(ctx, meta.Root, want, "user.x", nil, 0),
			} {
				if !errors.Is(err, posix.EPERM) {
					t.Errorf("%s %s: %v", op, name, err)
				}
			}
			if _, err := f.Link(ctx, meta.Root, want, meta.RootIno, "x"); !errors.Is(err, posix.EPERM) {
				t.Errorf("link %s: %v", name, err)
			}
			other := []string{".jfs.", "."}[i]
			if _, err := f.Lookup(ctx, meta.Root, meta.RootIno, other+name); !errors.Is(err, posix.ENOENT) {
				t.Errorf("%s%s: %v", other, name, err)
			}
		}
	}

	mode := uint16(0644)
	if _, err := plain.SetAttr(ctx, meta.Root, StatsIno, SetAttr{Change: meta.Change{Mode: &mode}}, nil); !errors.Is(err, posix.EPERM) {
		t.Errorf("chmod: %v", err)
	}
	if _, err := plain.SetAttr(ctx, meta.Root, ControlIno, SetAttr{Size: new(uint64)}, nil); err != nil {
		t.Errorf("truncate: %v", err)
	}
	other := meta.Cred{UID: 1000, GID: 1000}
	for ino, flags := range map[meta.Ino]int{ConfigIno: syscall.O_RDONLY, AccessLogIno: syscall.O_RDONLY, StatsIno: syscall.O_WRONLY} {
		if _, err := plain.OpenVirtual(other, ino, flags); !errors.Is(err, posix.EACCES) {
			t.Errorf("open %d as somebody else: %v", ino, err)
		}
	}
	h, err := plain.OpenVirtual(other, StatsIno, syscall.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4)
	for _, tt := range []struct {
		off  uint64
		want string
	}{{0, "firs"}, {4, "t"}, {5, ""}, {0, "seco"}, {4, "nd"}} {
		n, err := h.Read(ctx, tt.off, buf)
		if err != nil || string(buf[:n]) != tt.want {
			t.Errorf("at %d: %q, %v", tt.off, buf[:n], err)
		}
		content = "second" // which is seen from the beginning only
	}
	if _, err := h.Write(ctx, 0, buf); !errors.Is(err, posix.EACCES) {
		t.Errorf("write: %v", err)
	}
}
