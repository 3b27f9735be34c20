package meta

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The bytes of the tables in this file were written by the official client.

func TestAttrBytes(t *testing.T) {
	at := Time{Sec: 0x6b041400}
	dev := Time{Sec: 0x6b0414ad, Nsec: 0x0220c4da}

	for name, c := range map[string]struct {
		hex  string
		attr Attr
	}{
		"root after format": {
			"0021ff 00000000 00000000 000000006b041400 00000000 000000006b041400 00000000 000000006b041400 00000000 00000002 0000000000001000 00000000 0000000000000001 00",
			Attr{Type: TypeDirectory, Mode: 0777, Atime: at, Mtime: at, Ctime: at, Nlink: 2, Length: 4096, Parent: 1},
		},
		"character device 1:3": {
			"0061a4 00000000 00000000 000000006b0414ad 0220c4da 000000006b0414ad 0220c4da 000000006b0414ad 0220c4da 00000001 0000000000000000 00000103 0000000000000002 00",
			Attr{Type: TypeCharDev, Mode: 0644, Atime: dev, Mtime: dev, Ctime: dev, Nlink: 1, Rdev: 0x103, Parent: 2},
		},
	} {
		b := unhex(t, c.hex)
		if got := EncodeAttr(&c.attr); !bytes.Equal(got, b) {
			t.Errorf("%s: encoded\n%x, want\n%x", name, got, b)
		}
		if got, err := DecodeAttr(b); err != nil || got != c.attr {
			t.Errorf("%s: decoded %+v, %v", name, got, err)
		}
	}
	for tail, a := range map[string]Attr{
		"0000000000000000 00000001 00000000 00":    {AccessACL: 1},
		"0000000000000002 01 00":                   {Parent: 2, Tier: 1},
		"0000000000000000 00000001 00000000 01 00": {AccessACL: 1, Tier: 1},
	} {
		a.Type = TypeFile
		b := EncodeAttr(&a)
		if got := b[AttrParent:]; !bytes.Equal(got, unhex(t, tail)) {
			t.Errorf("tail of %+v: %x, want %s", a, got, tail)
		}
		if got, err := DecodeAttr(b); err != nil || got != a {
			t.Errorf("decoded %+v, %v; want %+v", got, err, a)
		}
	}
}

func TestAttrOldAndBroken(t *testing.T) {
	a := Attr{Type: TypeFile, Mode: 0644, Nlink: 1, Length: 5, Parent: 9, Atime: Time{Sec: -1, Nsec: 5}}
	b := EncodeAttr(&a)
	if got, err := DecodeAttr(b[:71]); err != nil || got != a {
		t.Errorf("71 bytes: %+v, %v", got, err)
	}
	a.Parent = 0
	if got, err := DecodeAttr(b[:63]); err != nil || got != a {
		t.Errorf("63 bytes: %+v, %v", got, err)
	}
	for n := range 63 {
		if _, err := DecodeAttr(b[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for at, with := range map[int]byte{1: 0xf0, AttrTimes + 8: 0xff} {
		broken := bytes.Clone(b)
		broken[at] = with
		if _, err := DecodeAttr(broken); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d = %x: %v", at, with, err)
		}
	}
}

func TestEntryBytes(t *testing.T) {
	for text, e := range map[string]Entry{
		"01 0000000000000003": {TypeFile, 3},
		"02 7fffffff10000001": {TypeDirectory, TrashIno + 1},
	} {
		if got := e.Encode(); !bytes.Equal(got, unhex(t, text)) {
			t.Errorf("%+v: %x, want %s", e, got, text)
		}
		if got, err := DecodeEntry(unhex(t, text)); err != nil || got != e {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, b := range [][]byte{nil, make([]byte, 8), make([]byte, 9), make([]byte, 10), {8, 0, 0, 0, 0, 0, 0, 0, 1}} {
		if _, err := DecodeEntry(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("% x: %v", b, err)
		}
	}
	if got := trashName(2, 1031, "sus"); got != "2-1031-sus" {
		t.Errorf("name in the trash: %q", got)
	}
	if got := trashName(2, 1031, strings.Repeat("x", 255)); len(got) != MaxName {
		t.Errorf("long name in the trash has %d bytes", len(got))
	}
}

func TestSliceBytes(t *testing.T) {
	for text, s := range map[string]Slice{
		"00000000 0000000000000003 00a00000 00000000 00a00000": {ID: 3, Size: 10 << 20, Len: 10 << 20},
		"00001388 0000000000000000 00000000 00000000 03ffec78": {Pos: 5000, Len: ChunkSize - 5000},
		"00000000 0000000000000003 00a00000 00100000 00500000": {ID: 3, Size: 10 << 20, Off: 1 << 20, Len: 5 << 20},
	} {
		b := unhex(t, text)
		if got := EncodeSlices([]Slice{s}); !bytes.Equal(got, b) {
			t.Errorf("%+v: %x", s, got)
		}
		if got, err := DecodeSlices(b); err != nil || len(got) != 1 || got[0] != s {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"00", "04000000 0000000000000001 00000001 00000000 00000001", // beyond the chunk
		"00000000 0000000000000001 00000001 00000001 00000001", // beyond the slice
	} {
		if _, err := DecodeSlices(unhex(t, text)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// paintBytes is View done in a way too simple to be wrong: for each byte the record that gives it.
func paintBytes(records []Slice, n int) []Slice {
	cells := make([]Slice, n)
	last := 0
	for _, r := range records {
		for i := range r.Len {
			c := Slice{ID: r.ID, Size: r.Size}
			if r.ID != 0 {
				c.Off = r.Off + i
			}
			cells[r.Pos+i] = c
			last = max(last, int(r.Pos+i)+1)
		}
	}
	return cells[:last]
}

func TestView(t *testing.T) {
	const space = 300
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		var records []Slice
		for i := range rnd.IntN(30) {
			n := 1 + rnd.Uint32N(80)
			r := Slice{Pos: rnd.Uint32N(space - n), Len: n}
			if rnd.IntN(4) > 0 {
				r.ID = uint64(i + 1)
				r.Off = rnd.Uint32N(20)
				r.Size = r.Off + n + rnd.Uint32N(20)
			}
			records = append(records, r)
		}
		cells := paintBytes(records, space)
		view := View(records)
		at := uint32(0)
		for _, s := range view {
			if s.Pos != at || s.Len == 0 {
				t.Fatalf("seed %d: view %+v has a gap or an empty item at %d", seed, view, at)
			}
			for i := range s.Len {
				want := Slice{ID: s.ID, Size: s.Size}
				if s.ID != 0 {
					want.Off = s.Off + i
				}
				if cells[at+i] != want {
					t.Fatalf("seed %d: byte %d comes from %+v, want %+v\nrecords %+v\nview %+v", seed, at+i, want, cells[at+i], records, view)
				}
			}
			at += s.Len
		}
		if int(at) != len(cells) {
			t.Fatalf("seed %d: view ends at %d, want %d", seed, at, len(cells))
		}
		if again := View(view); !reflect.DeepEqual(again, view) {
			t.Fatalf("seed %d: the view of a view is %+v, want %+v", seed, again, view)
		}
	}
}

func BenchmarkViewSequential(b *testing.B) {
	var records []Slice
	for i := range uint32(1000) {
		records = append(records, Slice{Pos: i * 4096, ID: uint64(i + 1), Size: 4096, Len: 4096})
	}
	for b.Loop() {
		View(records)
	}
}

// scattered are records of a program that writes at random places of a chunk.
func scattered(n int) []Slice {
	rnd := rand.New(rand.NewPCG(1, 2))
	records := make([]Slice, n)
	for i := range records {
		records[i] = Slice{Pos: rnd.Uint32N(ChunkSize/4096) * 4096, ID: uint64(i + 1), Size: 4096, Len: 4096}
	}
	return records
}

// TestViewAllocations: a view costs a list and one with the gaps, however many records there are; where each makes two more
// of another, the list grows.
func TestViewAllocations(t *testing.T) {
	whole := append([]Slice{{ID: 9, Size: ChunkSize, Len: ChunkSize}}, scattered(300)...)
	for name, one := range map[string]struct {
		records []Slice
		want    float64
	}{"with gaps": {scattered(2000), 2}, "without": {scattered(1), 2}, "over one": {whole, 5}, "none": {nil, 0}} {
		if got := testing.AllocsPerRun(10, func() { View(one.records) }); got > one.want {
			t.Errorf("%s: %v allocations, want %v", name, got, one.want)
		}
	}
}

func BenchmarkViewScattered(b *testing.B) {
	records := scattered(2000)
	for b.Loop() {
		View(records)
	}
}

func TestAlign4K(t *testing.T) {
	for n, want := range map[uint64]int64{0: 4096, 1: 4096, 4096: 4096, 4097: 8192, 1 << 50: 1 << 50} {
		if got := Align4K(n); got != want {
			t.Errorf("%d bytes are charged %d, want %d", n, got, want)
		}
	}
}
