package maintain

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"jfs/block"
)

func TestSliceSet(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var s sliceSet
	type key struct {
		id   uint64
		size uint32
	}
	want := map[key]use{}
	for range 60_000 {
		k := key{rnd.Uint64N(20_000), 1 + rnd.Uint32N(2)}
		u := use(rnd.IntN(3))
		if old, ok := want[k]; !ok || u < old {
			want[k] = u
		}
		s.add(k.id, k.size, u)
	}
	s.settle()
	if s.len() != len(want) {
		t.Fatalf("%d slices, want %d", s.len(), len(want))
	}
	for id := range uint64(20_001) {
		found := s.find(id)
		n := 0
		for size := uint32(1); size <= 2; size++ {
			if _, ok := want[key{id, size}]; ok {
				n++
			}
		}
		if len(found) != n {
			t.Fatalf("slice %d is there %d times, want %d", id, len(found), n)
		}
		for _, f := range found {
			if u := want[key{f.id, f.size}]; u != f.use {
				t.Fatalf("slice %d of %d: use %d, want %d", f.id, f.size, f.use, u)
			}
		}
	}
	if n := unsafe.Sizeof(sliceUse{}); n != 16 {
		t.Errorf("a slice takes %d bytes", n)
	}
}

func TestParseName(t *testing.T) {
	for _, hash := range []bool{false, true} {
		for _, k := range []block.Key{{Slice: 1, Index: 0, Size: 1}, {Slice: 3_000_017, Index: 1023, Size: 65536}, {Slice: 1<<63 + 5, Index: 15, Size: 4 << 20}} {
			if got, ok := parseName(k.Name(hash), hash); !ok || got != k {
				t.Errorf("%s: %+v %v", k.Name(hash), got, ok)
			}
			if _, ok := parseName(k.Name(hash), !hash); ok {
				t.Errorf("%s is no name of the other layout", k.Name(hash))
			}
		}
	}
	for _, name := range []string{"", "chunks/", "chunks/0/0/1_0", "chunks/0/0/1_0_", "chunks/0/0/01_0_5", "chunks/0/0/1_0_5_", "chunks/0/0/1_-1_5",
		"chunks/0/1/1_0_5", "chunks/0/0/.jfs.1_0_5.tmp.77", "meta/0/0/1_0_5", "chunks/0/0/99999999999999999999_0_5", "chunks/0/0/1_0_4294967296"} {
		if k, ok := parseName(name, false); ok {
			t.Errorf("%q is taken for block %+v", name, k)
		}
	}
}

func TestFits(t *testing.T) {
	const bs = 100
	for _, c := range []struct {
		index, size, slice uint32
		want               bool
	}{{0, 100, 250, true}, {1, 100, 250, true}, {2, 50, 250, true}, {2, 100, 250, false}, {0, 50, 250, false}, {3, 100, 250, false},
		{0, 30, 30, true}, {0, 100, 100, true}, {1, 100, 100, false}, {0, 0, 0, false}, {1 << 31, 100, 250, false}} {
		if got := fits(block.Key{Index: c.index, Size: c.size}, c.slice, bs); got != c.want {
			t.Errorf("block %d of %d bytes in a slice of %d: %v", c.index, c.size, c.slice, got)
		}
	}
}
