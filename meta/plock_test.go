package meta

import (
	"slices"
	"testing"
)

// paintLock is setPlock on one cell per byte: 0 is no lock, else 1 + 2·pid + type.
func paintLock(cells []byte, l Plock) []byte {
	out := slices.Clone(cells)
	v := byte(0)
	if l.Type != PlockUnlock {
		v = byte(1 + 2*l.PID + l.Type)
	}
	for i := l.Start; i <= l.End; i++ {
		out[i] = v
	}
	return out
}

// locksOf gives the shortest ordered list that says the same as the cells.
func locksOf(cells []byte) []Plock {
	var out []Plock
	for i, c := range cells {
		if c == 0 {
			continue
		}
		if i > 0 && cells[i-1] == c {
			out[len(out)-1].End++
			continue
		}
		out = append(out, Plock{Type: uint32(c-1) % 2, PID: uint32(c-1) / 2, Start: uint64(i), End: uint64(i)})
	}
	return out
}

// TestSetPlock goes through every request on every state of six bytes.
func TestSetPlock(t *testing.T) {
	const size, states = 6, 4 // no lock; read and write by one process; read by another
	cells := make([]byte, size)
	count := 0
	var each func(i int)
	each = func(i int) {
		if i < size {
			for c := range byte(states) {
				cells[i] = c
				each(i + 1)
			}
			return
		}
		before := locksOf(cells)
		for start := range uint64(size) {
			for end := start; end < size; end++ {
				for _, l := range []Plock{{Type: PlockUnlock}, {Type: PlockRead}, {Type: PlockWrite}, {Type: PlockRead, PID: 1}} {
					l.Start, l.End = start, end
					kept := slices.Clone(before)
					got, want := setPlock(before, l), locksOf(paintLock(cells, l))
					if !slices.Equal(got, want) {
						t.Fatalf("%+v and then %+v:\n got %+v\nwant %+v", before, l, got, want)
					}
					if !slices.Equal(before, kept) {
						t.Fatalf("%+v on %+v changed its input", l, kept)
					}
					count++
				}
			}
		}
	}
	each(0)
	if want := 4096 * 21 * 4; count != want {
		t.Errorf("%d cases, want %d", count, want)
	}
}

func TestSetPlockEnds(t *testing.T) {
	all := Plock{Type: PlockWrite, PID: 7, End: PlockEOF}
	if got := setPlock(nil, all); !slices.Equal(got, []Plock{all}) {
		t.Errorf("whole file: %+v", got)
	}
	got := setPlock([]Plock{all}, Plock{Type: PlockUnlock, Start: 10, End: PlockEOF})
	if want := []Plock{{Type: PlockWrite, PID: 7, End: 9}}; !slices.Equal(got, want) {
		t.Errorf("unlock to the end: %+v, want %+v", got, want)
	}
	got = setPlock([]Plock{all}, Plock{Type: PlockRead, PID: 7, Start: PlockEOF, End: PlockEOF})
	if want := []Plock{{Type: PlockWrite, PID: 7, End: PlockEOF - 1}, {Type: PlockRead, PID: 7, Start: PlockEOF, End: PlockEOF}}; !slices.Equal(got, want) {
		t.Errorf("last byte: %+v, want %+v", got, want)
	}
	if l, err := (Plock{Type: PlockWrite, Start: 5, End: 1<<64 - 1}).checked(); err != nil || l.End != PlockEOF {
		t.Errorf("beyond the last byte: %+v, %v", l, err)
	}
	for _, l := range []Plock{{Type: 3, End: 1}, {Start: 2, End: 1}, {Start: PlockEOF + 1, End: 1<<64 - 1}} {
		if _, err := l.checked(); err == nil {
			t.Errorf("%+v is accepted", l)
		}
	}
}
