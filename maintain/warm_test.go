package maintain

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"jfs/block"
	"jfs/internal/posix"
	"jfs/meta"
	"jfs/object"
)

// shelf is a cache that keeps what it is given.
type shelf struct {
	source block.Source
	mu     sync.Mutex // guards has
	has    map[block.Key]bool
}

func (s *shelf) Warm(ctx context.Context, k block.Key) error {
	b, err := s.source.Load(ctx, k)
	if err != nil {
		return err
	}
	b.Release()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has[k] = true
	return nil
}

func (s *shelf) Warmed(k block.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has[k]
}

func (s *shelf) Remove(keys ...block.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		delete(s.has, k)
	}
}

func (s *shelf) Near(ctx context.Context, k block.Key) error { return s.Warm(ctx, k) }

func (s *shelf) RemoveNear(keys ...block.Key) { s.Remove(keys...) }

func TestWarm(t *testing.T) {
	w := newWorld(t, nil)
	rnd := rand.New(rand.NewPCG(1, 2))
	dir := w.dir(meta.RootIno, "dir")
	one, two := w.file(dir, "one"), w.file(w.dir(dir, "deeper"), "two")
	other := w.file(meta.RootIno, "other")
	w.write(one, 0, random(rnd, 3*testBlock))
	w.write(one, testBlock, random(rnd, testBlock)) // hides a block of the first
	w.write(two, meta.ChunkSize+5, random(rnd, 100))
	w.write(other, 0, random(rnd, 100))
	c := &shelf{source: w.blocks, has: map[block.Key]bool{}}
	warm := func(action WarmAction, tops ...meta.Ino) WarmResult {
		t.Helper()
		r, err := Warm(w.ctx, w.v, c, tops, WarmOptions{Action: action, Threads: 3})
		w.noErr(err)
		return r
	}

	all := int64(3*testBlock + 100)
	equal(t, "look before", warm(WarmCheck, dir), WarmResult{Files: 2, Slices: 3, Bytes: all, Missing: all})
	equal(t, "fill", warm(WarmFill, dir), WarmResult{Files: 2, Slices: 3, Bytes: all, Missing: all})
	equal(t, "requests", w.store.gets.Load(), 4)
	equal(t, "fill again", warm(WarmFill, one, two), WarmResult{Files: 2, Slices: 3, Bytes: all})
	equal(t, "requests for nothing new", w.store.gets.Load(), 4)
	equal(t, "look at another", warm(WarmCheck, other), WarmResult{Files: 1, Slices: 1, Bytes: 100, Missing: 100})
	equal(t, "evict", warm(WarmEvict, two), WarmResult{Files: 1, Slices: 1, Bytes: 100})
	equal(t, "look after", warm(WarmCheck, dir), WarmResult{Files: 2, Slices: 3, Bytes: all, Missing: 100})

	w.noErr(w.store.Delete(w.ctx, w.objects()[0]))
	c.has = map[block.Key]bool{}
	r := warm(WarmFill, meta.RootIno)
	equal(t, "blocks that are gone", r.Failed, 1)
	equal(t, "files with them", r.Files, 3)
	if _, err := Warm(w.ctx, w.v, c, []meta.Ino{999}, WarmOptions{}); !errors.Is(err, posix.ENOENT) {
		t.Errorf("an inode that is not there: %v", err)
	}
}

// replacing is a shelf under which a chunk changes while it is being filled.
type replacing struct {
	*shelf
	once   sync.Once
	change func()
}

func (r *replacing) Warm(ctx context.Context, k block.Key) error {
	r.once.Do(r.change)
	return r.shelf.Warm(ctx, k)
}

// TestWarmMeetsCompaction: blocks that are replaced while they are being loaded are no failure, and what has come in
// their place is loaded.
func TestWarmMeetsCompaction(t *testing.T) {
	w := newWorld(t, nil)
	rnd := rand.New(rand.NewPCG(3, 4))
	ino := w.file(meta.RootIno, "f")
	for i := range 3 {
		w.write(ino, uint64(i)*1000, random(rnd, 1000))
	}
	c := &replacing{shelf: &shelf{source: w.blocks, has: map[block.Key]bool{}}}
	c.change = func() {
		old := w.objects()
		if n, err := NewCompactor(w.v, w.blocks, w.blocks, CompactOptions{}).Chunk(w.ctx, ino, 0); err != nil || n != 1 {
			t.Errorf("compact: %d, %v", n, err)
		}
		for _, name := range old {
			if err := w.store.Delete(w.ctx, name); err != nil && !errors.Is(err, object.ErrNotFound) {
				t.Error(err)
			}
		}
	}
	r, err := Warm(w.ctx, w.v, c, []meta.Ino{ino}, WarmOptions{Threads: 1})
	w.noErr(err)
	equal(t, "failures", r.Failed, 0)
	c.change = func() {}
	r, err = Warm(w.ctx, w.v, c, []meta.Ino{ino}, WarmOptions{Action: WarmCheck})
	w.noErr(err)
	equal(t, "look after", r, WarmResult{Files: 1, Slices: 1, Bytes: 3000})
}
