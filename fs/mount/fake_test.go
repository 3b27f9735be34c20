package mount

import (
	"context"
	"sync"
	"testing"

	"jfs/fs"
	"jfs/internal/posix"
	"jfs/meta"
)

// fake is a backend with one file "f" in its root, whose operations do what the test says.
type fake struct {
	backend // nil: what is not overridden must not be called

	root meta.Ino

	read    func(ctx context.Context, off uint64, dst []byte) (int, error)
	write   func(ctx context.Context, off uint64, src []byte) (int, error)
	flush   func(ctx context.Context) error
	getattr func(ctx context.Context, ino meta.Ino) (meta.Attr, error)

	mu       sync.Mutex // guards the rest
	released int
	closed   int
}

const fakeFile meta.Ino = 77

func newFake() *fake {
	return &fake{
		root: 5,
		read: func(context.Context, uint64, []byte) (int, error) { return 0, nil },
		write: func(_ context.Context, _ uint64, src []byte) (int, error) {
			return len(src), nil
		},
		flush: func(context.Context) error { return nil },
	}
}

func (f *fake) Root() meta.Ino { return f.root }

func (f *fake) attr(ino meta.Ino) meta.Attr {
	if ino == fakeFile {
		return meta.Attr{Type: meta.TypeFile, Mode: 0644, Nlink: 1, Length: 1000}
	}
	return meta.Attr{Type: meta.TypeDirectory, Mode: 0755, Nlink: 2, Length: 4096}
}

func (f *fake) Lookup(_ context.Context, _ meta.Cred, _ meta.Ino, name string) (fs.Inode, error) {
	if name != "f" {
		return fs.Inode{}, posix.ENOENT
	}
	return fs.Inode{Ino: fakeFile, Attr: f.attr(fakeFile)}, nil
}

func (f *fake) GetAttr(ctx context.Context, ino meta.Ino) (meta.Attr, error) {
	if f.getattr != nil {
		return f.getattr(ctx, ino)
	}
	return f.attr(ino), nil
}

func (f *fake) ReleaseLocks(context.Context, meta.Ino, uint64) error { return nil }

func (f *fake) StatFS(context.Context) meta.Space {
	return meta.Space{TotalBytes: 1 << 30, FreeBytes: 1 << 29}
}

func (f *fake) Open(context.Context, meta.Cred, meta.Ino, int) (handle, bool, error) {
	return fakeHandle{f}, false, nil
}

func (f *fake) OpenDir(context.Context, meta.Cred, meta.Ino) (directory, error) {
	return fakeDir{f}, nil
}

type fakeHandle struct{ *fake }

func (h fakeHandle) Read(ctx context.Context, off uint64, dst []byte) (int, error) {
	return h.read(ctx, off, dst)
}

func (h fakeHandle) Write(ctx context.Context, off uint64, src []byte) (int, error) {
	return h.write(ctx, off, src)
}

func (h fakeHandle) Fallocate(context.Context, uint32, uint64, uint64) error { return posix.ENOTSUP }

func (h fakeHandle) Seek(context.Context, uint64, uint32) (uint64, error) { return 0, posix.ENXIO }

func (h fakeHandle) Flush(ctx context.Context) error { return h.flush(ctx) }
func (h fakeHandle) Fsync(ctx context.Context) error { return h.flush(ctx) }

func (h fakeHandle) Release(context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.released++
}

type fakeDir struct{ *fake }

func (d fakeDir) Read(_ context.Context, off uint64, _ bool, emit func(fs.DirEntry) bool) error {
	a := d.attr(fakeFile)
	all := []fs.DirEntry{
		{Dirent: meta.Dirent{Name: ".", Entry: meta.Entry{Type: meta.TypeDirectory, Ino: d.root}}, Off: 1},
		{Dirent: meta.Dirent{Name: "..", Entry: meta.Entry{Type: meta.TypeDirectory, Ino: d.root}}, Off: 2},
		{Dirent: meta.Dirent{Name: "f", Entry: meta.Entry{Type: meta.TypeFile, Ino: fakeFile}, Attr: &a}, Off: 3},
	}
	for off < uint64(len(all)) && emit(all[off]) {
		off++
	}
	return nil
}

func (d fakeDir) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed++
}

// counts gives how many files and directories were closed.
func (f *fake) counts() (released, closed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.released, f.closed
}

// stuck is a backend that does not answer before the request ends. begun tells of each request.
func stuck(begun chan<- struct{}) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
}

func testAdapter(t *testing.T, b backend, opt Options) *adapter {
	t.Helper()
	opt.MountPoint, opt.Volume = "/mnt", "test"
	opt, err := opt.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	a := newAdapter(b, opt)
	a.reqs.start()
	t.Cleanup(a.reqs.close)
	return a
}
