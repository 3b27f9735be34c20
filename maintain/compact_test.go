package maintain

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"jfs/block"
	"jfs/internal/bytepool"
	"jfs/meta"
	"jfs/object"
)

func (w *world) compactor(o CompactOptions) *Compactor {
	return NewCompactor(w.v, w.blocks, w.blocks, o)
}

func TestCompactKeepsTheBytes(t *testing.T) {
	w := newWorld(t, nil)
	rnd := rand.New(rand.NewPCG(3, 3))
	for round := range 20 {
		ino := w.file(meta.RootIno, name("f", round))
		for range 2 + rnd.IntN(12) {
			w.write(ino, uint64(rnd.IntN(5*testBlock)), random(rnd, 1+rnd.IntN(2*testBlock)))
			if rnd.IntN(4) == 0 {
				_, err := w.v.Truncate(w.ctx, meta.Root, ino, uint64(rnd.IntN(6*testBlock)), true)
				w.noErr(err)
			}
		}
		before := w.bytesOf(ino)
		records, err := w.v.Chunk(w.ctx, ino, 0)
		w.noErr(err)
		left, err := w.compactor(CompactOptions{}).Chunk(w.ctx, ino, 0)
		w.noErr(err)
		after, err := w.v.Chunk(w.ctx, ino, 0)
		w.noErr(err)
		if left != len(after) || len(after) >= len(records) {
			t.Errorf("%d records became %d, said %d", len(records), len(after), left)
		}
		if !bytes.Equal(before, w.bytesOf(ino)) {
			t.Fatalf("round %d: the bytes have changed", round)
		}
	}
	// Nothing is left of what was replaced.
	var want int
	w.noErr(scanChunks(w.ctx, w.v, func(c meta.ChunkRecord) error {
		for _, s := range c.Slices {
			if s.ID != 0 {
				want += int(block.Count(s.Size, testBlock))
			}
		}
		return nil
	}))
	equal(t, "objects", len(w.objects()), want)
}

func TestCompactUsesBoundedMemory(t *testing.T) {
	w := newWorld(t, nil)
	ino := w.file(meta.RootIno, "f")
	var told []uint32
	for i := range 20 {
		w.write(ino, uint64(i*testBlock), make([]byte, testBlock))
	}
	pool := bytepool.New(2 * testBlock)
	var most int64
	var mu sync.Mutex
	sink := watched{w.blocks, func() {
		mu.Lock()
		defer mu.Unlock()
		most = max(most, pool.Used())
	}}
	c := NewCompactor(w.v, w.blocks, sink, CompactOptions{Pool: pool, OnCompact: func(n uint32) { told = append(told, n) }})
	w.store.puts.Store(0)
	left, err := c.Chunk(w.ctx, ino, 0)
	w.noErr(err)
	equal(t, "records", left, 1)
	equal(t, "objects written", w.store.puts.Load(), 20)
	if len(told) != 1 || told[0] != 20*testBlock {
		t.Errorf("told of compactions of %v bytes", told)
	}
	if most > 2*testBlock || pool.Used() != 0 {
		t.Errorf("%d bytes in use at most, %d at the end", most, pool.Used())
	}
}

// watched calls see before each Put.
type watched struct {
	block.Sink
	see func()
}

func (w watched) Put(ctx context.Context, key block.Key, data []byte) error {
	w.see()
	return w.Sink.Put(ctx, key, data)
}

func TestCompactMissingObject(t *testing.T) {
	w := newWorld(t, nil)
	ino := w.file(meta.RootIno, "f")
	a := w.write(ino, 0, make([]byte, 3*testBlock))
	w.write(ino, 100, make([]byte, 10))
	w.noErr(w.blocks.Delete(w.ctx, block.KeyAt(a.ID, a.Size, 2, testBlock)))
	objects := len(w.objects())
	left, err := w.compactor(CompactOptions{}).Chunk(w.ctx, ino, 0)
	w.noErr(err)
	equal(t, "records", left, 2)
	equal(t, "objects", len(w.objects()), objects)
}

func TestCompactBrokenSink(t *testing.T) {
	w := newWorld(t, nil)
	ino := w.file(meta.RootIno, "f")
	w.write(ino, 0, make([]byte, 3*testBlock))
	w.write(ino, 100, make([]byte, 10))
	objects := len(w.objects())
	broken := errors.New("no space")
	n := 0
	c := NewCompactor(w.v, w.blocks, failing{w.blocks, func() error {
		if n++; n == 2 {
			return broken
		}
		return nil
	}}, CompactOptions{Pool: bytepool.New(testBlock)})
	if _, err := c.Chunk(w.ctx, ino, 0); !errors.Is(err, broken) {
		t.Errorf("compaction with a broken store: %v", err)
	}
	equal(t, "objects", len(w.objects()), objects)
	records, err := w.v.Chunk(w.ctx, ino, 0)
	w.noErr(err)
	equal(t, "records", len(records), 2)
}

type failing struct {
	block.Sink
	fail func() error
}

func (f failing) Put(ctx context.Context, key block.Key, data []byte) error {
	if err := f.fail(); err != nil {
		return err
	}
	return f.Sink.Put(ctx, key, data)
}

// TestCompactLosesTheRace: the chunk changes while the data is being copied.
func TestCompactLosesTheRace(t *testing.T) {
	w := newWorld(t, nil)
	ino := w.file(meta.RootIno, "f")
	w.write(ino, 0, bytes.Repeat([]byte{1}, testBlock))
	w.write(ino, 100, bytes.Repeat([]byte{2}, 10))
	first := w.compactor(CompactOptions{})
	done := false
	second := NewCompactor(w.v, w.blocks, watched{w.blocks, func() {
		if !done {
			done = true
			_, err := first.Chunk(w.ctx, ino, 0)
			w.noErr(err)
		}
	}}, CompactOptions{})
	_, err := second.Chunk(w.ctx, ino, 0)
	w.noErr(err)
	equal(t, "objects", len(w.objects()), 1)
	data := w.bytesOf(ino)
	if data[99] != 1 || data[100] != 2 || data[109] != 2 || data[110] != 1 {
		t.Error("the bytes have changed")
	}
}

func TestCompactTree(t *testing.T) {
	w := newWorld(t, nil)
	d := w.dir(w.dir(meta.RootIno, "a"), "b")
	for i := range 30 {
		ino := w.file(d, name("f", i))
		for range 1 + i%3 {
			w.write(ino, 0, make([]byte, 10))
			w.write(ino, meta.ChunkSize, make([]byte, 10))
		}
	}
	apart := w.file(meta.RootIno, "apart")
	w.write(apart, 0, make([]byte, 10))
	w.write(apart, 0, make([]byte, 10))
	top, _, err := w.v.Lookup(w.ctx, meta.Root, meta.RootIno, "a")
	w.noErr(err)
	r, err := w.compactor(CompactOptions{}).Tree(w.ctx, top)
	w.noErr(err)
	equal(t, "tree", r, CompactResult{Chunks: 40, Compacted: 40})
	equal(t, "objects", len(w.objects()), 30*2+2)
	r, err = w.compactor(CompactOptions{}).All(w.ctx)
	w.noErr(err)
	equal(t, "all", r, CompactResult{Chunks: 1, Compacted: 1})
	r, err = w.compactor(CompactOptions{}).Tree(w.ctx, apart)
	w.noErr(err)
	equal(t, "a file", r, CompactResult{})
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	if _, err := w.compactor(CompactOptions{}).Tree(ctx, top); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestCompactInBackground: a mount compacts what it reads, and the result is the same bytes.
func TestCompactInBackground(t *testing.T) {
	w := newWorld(t, nil)
	ino := w.file(meta.RootIno, "f")
	for i := range 6 {
		w.write(ino, uint64(i*5), bytes.Repeat([]byte{byte(i + 1)}, 10))
	}
	want := w.bytesOf(ino)
	var c *Compactor
	ended := make(chan int, 10)
	v, err := meta.Open(w.ctx, w.eng, meta.Options{Compact: func(ctx context.Context, ino meta.Ino, index uint32) (int, error) {
		left, err := c.Chunk(ctx, ino, index)
		ended <- left
		return left, err
	}})
	w.noErr(err)
	c = NewCompactor(v, w.blocks, w.blocks, CompactOptions{})
	_, err = v.Chunk(w.ctx, ino, 0)
	w.noErr(err)
	equal(t, "records", <-ended, 1)
	w.noErr(v.Close(w.ctx))
	if !bytes.Equal(w.bytesOf(ino), want) {
		t.Error("the bytes have changed")
	}
	if _, err := w.blocks.Load(w.ctx, block.Key{Slice: 1, Size: 10}); err != nil && !errors.Is(err, object.ErrNotFound) {
		t.Error(err)
	}
}
