package meta

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestPlanCompaction(t *testing.T) {
	const mib = 1 << 20
	id := ChunkID{5, 1}
	for _, c := range []struct {
		name    string
		records []Slice
		skip    int
		view    []Slice // nil: nothing to do
	}{
		{"nothing", nil, 0, nil},
		{"one", []Slice{{0, 1, 10, 0, 10}}, 0, nil},
		{"two that follow", []Slice{{0, 1, 10, 0, 10}, {10, 2, 5, 0, 5}}, 0,
			[]Slice{{0, 1, 10, 0, 10}, {10, 2, 5, 0, 5}}},
		{"overlap", []Slice{{0, 1, 10, 0, 10}, {3, 2, 4, 0, 4}}, 0,
			[]Slice{{0, 1, 10, 0, 3}, {3, 2, 4, 0, 4}, {7, 1, 10, 7, 3}}},
		{"zeros at both ends", []Slice{{0, 0, 0, 0, 100}, {10, 1, 5, 0, 5}, {50, 0, 0, 0, 9}}, 0,
			[]Slice{{10, 1, 5, 0, 5}}},
		{"a gap inside", []Slice{{20, 2, 5, 0, 5}, {0, 1, 5, 0, 5}}, 0,
			[]Slice{{0, 1, 5, 0, 5}, {5, 0, 0, 0, 15}, {20, 2, 5, 0, 5}}},
		{"zeros only", []Slice{{100, 0, 0, 0, 50}, {120, 0, 0, 0, 50}}, 0, []Slice{{120, 0, 0, 0, 1}}},
		{"records without bytes", []Slice{{0, 1, 5, 0, 0}, {0, 2, 5, 0, 0}}, 0, nil},
		{"a large one in front stays", []Slice{{0, 1, mib, 0, mib}, {mib, 2, 9, 0, 9}, {mib, 3, 9, 0, 9}}, 1,
			[]Slice{{mib, 3, 9, 0, 9}}},
		{"two large ones in front stay", []Slice{{0, 1, mib, 0, mib}, {mib, 2, mib, 0, mib}, {2 * mib, 3, 1, 0, 1}, {2 * mib, 4, 1, 0, 1}}, 2,
			[]Slice{{2 * mib, 4, 1, 0, 1}}},
		{"large and alone with another", []Slice{{0, 1, mib, 0, mib}, {mib, 2, 9, 0, 9}}, 1, nil},
		{"large and behind zeros", []Slice{{mib, 1, mib, 0, mib}, {0, 0, 0, 0, mib}, {2 * mib, 3, 9, 0, 9}}, 1, []Slice{{2 * mib, 3, 9, 0, 9}}},
		{"a byte too small", []Slice{{0, 1, mib, 0, mib - 1}, {mib, 2, 9, 0, 9}}, 0,
			[]Slice{{0, 1, mib, 0, mib - 1}, {mib - 1, 0, 0, 0, 1}, {mib, 2, 9, 0, 9}}},
		{"less than a fifth", []Slice{{0, 1, mib, 0, mib}, {mib, 2, 4*mib + 1, 0, 4*mib + 1}}, 0,
			[]Slice{{0, 1, mib, 0, mib}, {mib, 2, 4*mib + 1, 0, 4*mib + 1}}},
		{"just a fifth, and the other too", []Slice{{0, 1, mib, 0, mib}, {mib, 2, 4 * mib, 0, 4 * mib}}, 2, nil},
		{"overwritten in its last byte", []Slice{{0, 1, mib, 0, mib}, {mib - 1, 2, 1, 0, 1}}, 0,
			[]Slice{{0, 1, mib, 0, mib - 1}, {mib - 1, 2, 1, 0, 1}}},
		{"not the first seen", []Slice{{10, 1, mib, 0, mib}, {0, 2, 1, 0, 1}}, 0,
			[]Slice{{0, 2, 1, 0, 1}, {1, 0, 0, 0, 9}, {10, 1, mib, 0, mib}}},
		{"repeated later", []Slice{{0, 1, mib, 0, mib}, {0, 1, mib, 0, mib}, {mib, 2, 9, 0, 9}}, 0,
			[]Slice{{0, 1, mib, 0, mib}, {mib, 2, 9, 0, 9}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := PlanCompaction(id, c.records)
			if ok != (c.view != nil) {
				t.Fatalf("ok = %v: %+v", ok, got)
			}
			if !ok {
				return
			}
			if got.Skip != c.skip || !slices.Equal(got.View, c.view) || got.Pos != c.view[0].Pos || got.ChunkID != id {
				t.Errorf("got %+v, want skip %d and view %+v", got, c.skip, c.view)
			}
		})
	}
}

func TestPlanCompactionTakesAThousand(t *testing.T) {
	var records []Slice
	for i := range uint32(1500) {
		records = append(records, Slice{Pos: i, ID: uint64(i) + 1, Size: 1, Len: 1})
	}
	c, ok := PlanCompaction(ChunkID{}, records)
	if !ok || len(c.Origin) != 1000 || c.Size != 1000 || len(c.replaced()) != 1000 {
		t.Errorf("%d records, size %d, ok %v", len(c.Origin), c.Size, ok)
	}
}

// TestCompactionModel: what a reader sees is the same before and after, whatever the records are, and however many
// come behind those that were compacted.
func TestCompactionModel(t *testing.T) {
	const mib = 1 << 20
	rnd := rand.New(rand.NewPCG(7, 7))
	skipped, planned := 0, 0
	for round := range 3000 {
		// Positions in units, so that large records, which may stay in front, meet often.
		unit := uint32(1)
		if round%2 == 0 {
			unit = mib / 2
		}
		var records []Slice
		for i := range rnd.IntN(8) {
			s := Slice{Pos: rnd.Uint32N(20) * unit, Len: (1 + rnd.Uint32N(8)) * unit}
			if rnd.IntN(4) != 0 {
				s.ID, s.Off = uint64(i)+1, rnd.Uint32N(3)*unit
				s.Size = s.Off + s.Len + rnd.Uint32N(2)*unit
			}
			if i < 3 && round%4 == 0 { // one behind the other, as a file is written
				if s.Pos = 0; i > 0 {
					s.Pos = records[i-1].Pos + records[i-1].Len
				}
			}
			if len(records) > 0 && rnd.IntN(6) == 0 {
				s = records[rnd.IntN(len(records))]
			}
			records = append(records, s)
		}
		c, ok := PlanCompaction(ChunkID{}, records)
		if !ok {
			continue
		}
		planned++
		skipped += c.Skip
		const fresh = 1000
		after := append(slices.Clone(c.Origin[:c.Skip]), Slice{Pos: c.Pos, ID: fresh, Size: c.Size, Len: c.Size})
		if len(after) >= len(records) {
			t.Fatalf("%d records became %d: %+v", len(records), len(after), records)
		}
		source := painted(c.View, unit, nil)
		before, now := painted(records, unit, nil), painted(after, unit, func(s Slice, unitOff uint32) cell {
			return source[s.Pos/unit+unitOff]
		})
		if !slices.Equal(before, now) {
			t.Fatalf("records %+v\nplan %+v\nbefore %v\nafter  %v", records, c, before, now)
		}
	}
	if planned < 500 || skipped < 50 {
		t.Errorf("%d plans with %d records left in front: the test shows too little", planned, skipped)
	}
}

// cell is which unit of which slice is seen somewhere; the zero cell is zeros.
type cell struct {
	id  uint64
	off uint32
}

// painted is too simple to be wrong: an array of units, painted in order. copied tells what the fresh slice holds.
func painted(records []Slice, unit uint32, copied func(s Slice, unitOff uint32) cell) []cell {
	out := make([]cell, 64)
	for _, s := range records {
		for i := range (s.Len + unit - 1) / unit {
			c := cell{s.ID, s.Off/unit + i}
			switch {
			case s.ID == 0:
				c = cell{}
			case s.ID == 1000 && copied != nil:
				c = copied(s, i)
			}
			out[s.Pos/unit+i] = c
		}
	}
	return out
}
