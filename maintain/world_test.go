package maintain

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jfs/block"
	"jfs/meta"
	"jfs/meta/tkv"
	tkvmem "jfs/meta/tkv/mem"
	"jfs/object"
	"jfs/object/mem"
)

const testBlock = 64 << 10 // the smallest block of the format

// counted counts the requests that reach a store.
type counted struct {
	object.Store
	gets, puts, heads, lists, deletes atomic.Int64
}

func (c *counted) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	c.gets.Add(1)
	return c.Store.Get(ctx, key, off, n)
}

func (c *counted) Put(ctx context.Context, key string, body io.ReadSeeker) error {
	c.puts.Add(1)
	return c.Store.Put(ctx, key, body)
}

func (c *counted) Head(ctx context.Context, key string) (object.Info, error) {
	c.heads.Add(1)
	return c.Store.Head(ctx, key)
}

func (c *counted) Delete(ctx context.Context, key string) error {
	c.deletes.Add(1)
	return c.Store.Delete(ctx, key)
}

func (c *counted) BulkLimit() int {
	return object.BulkLimit(c.Store)
}

func (c *counted) DeleteBulk(ctx context.Context, keys []string) []error {
	c.deletes.Add(1)
	return object.DeleteBulk(ctx, c.Store, keys)
}

func (c *counted) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, bool, error) {
	c.lists.Add(1)
	return c.Store.List(ctx, prefix, after, limit)
}

// world is a volume with its data.
type world struct {
	t      *testing.T
	ctx    context.Context
	eng    meta.Engine
	v      *meta.Volume
	store  *counted
	blocks *block.Store

	mu    sync.Mutex // guards clock
	clock time.Time
}

func newWorld(t *testing.T, edit func(*meta.Format)) *world {
	return worldOn(t, tkvmem.NewEngine(tkv.Options{}), edit)
}

func worldOn(t *testing.T, eng meta.Engine, edit func(*meta.Format)) *world {
	t.Helper()
	f := meta.NewFormat("test-volume", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	f.TrashDays, f.BlockSize = 0, testBlock>>10
	if edit != nil {
		edit(&f)
	}
	w := &world{t: t, ctx: context.WithoutCancel(t.Context()), eng: eng, store: &counted{Store: mem.New()}, clock: time.Now()}
	w.blocks = block.New(w.store, block.Options{BlockSize: int(f.BlockBytes()), HashPrefix: f.HashPrefix})
	w.noErr(meta.Create(w.ctx, eng, f, meta.TimeOf(w.now())))
	w.open()
	t.Cleanup(func() {
		w.noErr(w.v.Close(w.ctx))
		w.noErr(w.blocks.Close())
		w.noErr(eng.Close())
	})
	return w
}

func (w *world) open() {
	w.t.Helper()
	v, err := meta.Open(w.ctx, w.eng, meta.Options{Now: w.now, SkipDirMtime: -1, FreeSlices: FreeSlices(w.blockSize(), w.blocks.DeleteEach)})
	w.noErr(err)
	w.v = v
}

func (w *world) blockSize() uint32 { return testBlock }

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

func (w *world) noErr(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) make(dir meta.Ino, name string, typ meta.Type) meta.Ino {
	w.t.Helper()
	n := meta.New{Type: typ, Mode: 0755, Target: "to/" + name}
	ino, _, err := w.v.Mknod(w.ctx, meta.Root, dir, name, n)
	w.noErr(err)
	return ino
}

func (w *world) dir(dir meta.Ino, name string) meta.Ino  { return w.make(dir, name, meta.TypeDirectory) }
func (w *world) file(dir meta.Ino, name string) meta.Ino { return w.make(dir, name, meta.TypeFile) }

// write stores data as one slice of a file, inside one chunk.
func (w *world) write(ino meta.Ino, off uint64, data []byte) meta.Slice {
	w.t.Helper()
	id, err := w.v.NewSlice(w.ctx)
	w.noErr(err)
	size := uint32(len(data))
	for _, k := range SliceKeys(id, size, w.blockSize()) {
		at := k.Index * w.blockSize()
		w.noErr(w.blocks.Put(w.ctx, k, data[at:at+k.Size]))
	}
	s := meta.Slice{Pos: uint32(off % meta.ChunkSize), ID: id, Size: size, Len: size}
	ws := []meta.Written{{Index: uint32(off >> meta.ChunkBits), Slice: s}}
	_, _, err = w.v.Write(w.ctx, ino, meta.Commit{Slices: ws, Mtime: meta.TimeOf(w.now())})
	w.noErr(err)
	return s
}

// bytesOf is the contents of a file.
func (w *world) bytesOf(ino meta.Ino) []byte {
	w.t.Helper()
	a, err := w.v.GetAttr(w.ctx, ino)
	w.noErr(err)
	data := make([]byte, a.Length)
	for index := uint64(0); index<<meta.ChunkBits < a.Length; index++ {
		records, err := w.v.Chunk(w.ctx, ino, uint32(index))
		w.noErr(err)
		part := data[index<<meta.ChunkBits:]
		for _, s := range meta.View(records) {
			if s.ID == 0 {
				continue
			}
			for i := uint32(0); i < s.Len && int(s.Pos+i) < len(part); {
				in := s.Off + i
				key := block.KeyAt(s.ID, s.Size, in/w.blockSize(), w.blockSize())
				at := in % w.blockSize()
				n := min(key.Size-at, s.Len-i, uint32(len(part))-s.Pos-i)
				w.noErr(w.blocks.ReadAt(w.ctx, key, part[s.Pos+i:s.Pos+i+n], int(at)))
				i += n
			}
		}
	}
	return data
}

func random(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// objects lists the keys that are stored.
func (w *world) objects() []string {
	w.t.Helper()
	infos, more, err := w.store.Store.List(w.ctx, "", "", 1_000_000)
	w.noErr(err)
	if more {
		w.t.Fatal("too many objects")
	}
	keys := make([]string, len(infos))
	for i, info := range infos {
		keys[i] = info.Key
	}
	return keys
}

func (w *world) put(key string, n int) {
	w.t.Helper()
	w.noErr(w.store.Put(w.ctx, key, bytes.NewReader(make([]byte, n))))
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

func name(prefix string, n int) string { return fmt.Sprintf("%s%d", prefix, n) }
