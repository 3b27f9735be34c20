package fs

import (
	"errors"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

const page = 4096

// full mounts a volume after its settings were changed.
func full(t *testing.T, edit func(*meta.Format)) *FS {
	t.Helper()
	r := newRig(t, nil)
	f := r.mount(0)
	format := f.vol.Format()
	edit(&format)
	if err := meta.Store(t.Context(), f.vol.Engine(), format, meta.Time{Sec: 1}); err != nil {
		t.Fatal(err)
	}
	return r.mount(0)
}

func refusedWrite(t *testing.T, h *Handle, off int, n int, want posix.Error) {
	t.Helper()
	if n, err := h.Write(t.Context(), uint64(off), make([]byte, n)); n != 0 || !errors.Is(err, want) {
		t.Errorf("write beyond the limit: %d, %v, want %v", n, err, want)
	}
}

// TestWriteBeyondCapacity: write(2) tells that the volume is full, and nothing that it has taken is refused later.
func TestWriteBeyondCapacity(t *testing.T) {
	f := full(t, func(o *meta.Format) { o.Capacity = 100 * page })
	a, b := create(t, f, "a"), create(t, f, "b")
	defer a.Release(t.Context())
	defer b.Release(t.Context())
	write(t, a, 0, make([]byte, 60*page))
	write(t, b, 0, make([]byte, 40*page-1))
	write(t, b, 40*page-1, []byte("x")) // the end of the page
	refusedWrite(t, b, 40*page, 1, posix.ENOSPC)
	refusedWrite(t, a, 60*page-10, 11, posix.ENOSPC)
	write(t, a, 5, []byte("inside"))
	flushed(t, a)
	refusedWrite(t, a, 60*page, 1, posix.ENOSPC)
	refusedWrite(t, b, 40*page, 1, posix.ENOSPC)
	flushed(t, b)
	refusedWrite(t, b, 40*page, 1, posix.ENOSPC)
	if _, err := b.Truncate(t.Context(), meta.Root, 41*page); !errors.Is(err, posix.ENOSPC) {
		t.Errorf("truncate: %v", err)
	}
	if err := b.Fallocate(t.Context(), 0, 0, 41*page); !errors.Is(err, posix.ENOSPC) {
		t.Errorf("fallocate: %v", err)
	}
	if _, err := f.Mknod(t.Context(), meta.Root, meta.RootIno, "c", meta.New{Type: meta.TypeFile}); !errors.Is(err, posix.ENOSPC) {
		t.Errorf("create: %v", err)
	}
	if _, err := a.Truncate(t.Context(), meta.Root, 50*page); err != nil {
		t.Fatal(err)
	}
	write(t, b, 45*page, make([]byte, 5*page)) // a hole counts
	refusedWrite(t, a, 50*page, 1, posix.ENOSPC)
	if err := f.Unlink(t.Context(), meta.Root, meta.RootIno, "a"); err != nil {
		t.Fatal(err)
	}
	flushed(t, b)
	if held := f.vol.Promised(); held != 0 {
		t.Errorf("%d bytes stay promised", held)
	}
}

// TestPromiseOfLostWrites: what could not be committed holds no room.
func TestPromiseOfLostWrites(t *testing.T) {
	f := full(t, func(o *meta.Format) { o.Capacity = 100 * page })
	h := create(t, f, "f")
	defer h.Release(t.Context())
	write(t, h, 0, make([]byte, 60*page))
	root := meta.QuotaKey{Kind: meta.QuotaDir, ID: uint64(meta.RootIno)}
	if _, err := f.vol.SetQuota(t.Context(), root, meta.Limits{Space: 10 * page, Inodes: -1}); err != nil {
		t.Fatal(err)
	}
	if err := h.Flush(t.Context()); !errors.Is(err, posix.EDQUOT) {
		t.Errorf("flush: %v", err)
	}
	if held := f.vol.Promised(); held != 0 {
		t.Errorf("%d bytes stay promised", held)
	}
	write(t, h, 0, make([]byte, 10*page))
	refusedWrite(t, h, 10*page, 1, posix.EDQUOT)
	flushed(t, h)
}

// TestWriteBeyondQuota: the same for the quotas of directories, also above a file with links in several, and of users.
func TestWriteBeyondQuota(t *testing.T) {
	f := full(t, func(o *meta.Format) { o.UserGroupQuota = true })
	ctx := t.Context()
	dir, err := f.Mknod(ctx, meta.Root, meta.RootIno, "d", meta.New{Type: meta.TypeDirectory, Mode: 0777})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.vol.SetQuota(ctx, meta.QuotaKey{Kind: meta.QuotaDir, ID: uint64(dir.Ino)}, meta.Limits{Space: 20 * page, Inodes: -1}); err != nil {
		t.Fatal(err)
	}
	_, in, err := f.Create(ctx, meta.Root, dir.Ino, "in", meta.New{Mode: 0644}, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Release(ctx)
	write(t, in, 0, make([]byte, 20*page))
	refusedWrite(t, in, 20*page, 1, posix.EDQUOT)
	if _, err := in.Truncate(ctx, meta.Root, 2*page); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Link(ctx, meta.Root, in.Ino(), dir.Ino, "twice"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.GetAttr(ctx, in.Ino()); err != nil {
		t.Fatal(err)
	}
	write(t, in, 0, make([]byte, 10*page))
	refusedWrite(t, in, 10*page, 1, posix.EDQUOT)
	flushed(t, in)

	out := create(t, f, "out")
	defer out.Release(ctx)
	write(t, out, 0, make([]byte, 50*page))
	flushed(t, out)
	uid := uint32(1000)
	if _, err := f.SetAttr(ctx, meta.Root, out.Ino(), SetAttr{Change: meta.Change{UID: &uid}}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.vol.SetQuota(ctx, meta.QuotaKey{Kind: meta.QuotaUser, ID: 1000}, meta.Limits{Space: 60 * page, Inodes: -1}); err != nil {
		t.Fatal(err)
	}
	write(t, out, 50*page, make([]byte, 10*page))
	refusedWrite(t, out, 60*page, 1, posix.EDQUOT)
	uid = 1001
	if _, err := f.SetAttr(ctx, meta.Root, out.Ino(), SetAttr{Change: meta.Change{UID: &uid}}, nil); err != nil {
		t.Fatal(err)
	}
	write(t, out, 60*page, make([]byte, 10*page)) // another one pays
	flushed(t, out)
	if held := f.vol.Promised(); held != 0 {
		t.Errorf("%d bytes stay promised", held)
	}
}
