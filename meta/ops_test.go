package meta

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"jfs/internal/posix"
)

func TestAtimeDue(t *testing.T) {
	at := func(d time.Duration) Time { return TimeOf(time.Unix(1_000_000_000, 0).Add(d)) }
	for _, c := range []struct {
		name                string
		mtime, ctime, now   time.Duration
		relatime, strictime bool
	}{
		{"just made", 0, 0, 0, false, false},
		{"read soon after", 0, 0, time.Second, false, false},
		{"read later", 0, 0, 2 * time.Second, false, true},
		{"written since", time.Nanosecond, 0, time.Millisecond, true, true},
		{"changed since", 0, time.Nanosecond, time.Millisecond, true, true},
		{"a day later", 0, 0, 24 * time.Hour, false, true},
		{"more than a day later", 0, 0, 24*time.Hour + 1, true, true},
	} {
		a := Attr{Atime: at(0), Mtime: at(c.mtime), Ctime: at(c.ctime)}
		if got := RelAtime.due(&a, at(c.now)); got != c.relatime {
			t.Errorf("%s: relatime %v", c.name, got)
		}
		if got := StrictAtime.due(&a, at(c.now)); got != c.strictime {
			t.Errorf("%s: strictatime %v", c.name, got)
		}
		if NoAtime.due(&a, at(c.now)) {
			t.Errorf("%s: noatime", c.name)
		}
	}
	for name, want := range map[string]AtimeMode{"": NoAtime, "noatime": NoAtime, "relatime": RelAtime, "strictatime": StrictAtime} {
		if got, err := ParseAtimeMode(name); err != nil || got != want {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	if _, err := ParseAtimeMode("atime"); err == nil {
		t.Error("an unknown mode is taken")
	}
}

func TestFlagsOfIoctl(t *testing.T) {
	for shown, stored := range map[uint32]uint8{
		0: 0, 0x10: FlagImmutable, 0x20: FlagAppend, 0x01: FlagSkipTrash, 0x31: FlagImmutable | FlagAppend | FlagSkipTrash,
	} {
		if got := ShownFlags(stored | FlagWindowsHidden); got != shown {
			t.Errorf("stored %#x is shown as %#x, want %#x", stored, got, shown)
		}
		for _, old := range []uint8{0, FlagImmutable | FlagAppend | FlagSkipTrash} {
			got, err := StoredFlags(old|FlagWindowsArchive, shown)
			if err != nil || got != stored|FlagWindowsArchive {
				t.Errorf("%#x over %#x is stored as %#x, %v", shown, old, got, err)
			}
		}
	}
	if _, err := StoredFlags(0, 0x40|0x10); !errors.Is(err, posix.ENOTSUP) {
		t.Errorf("a flag that is not known: %v", err)
	}
}

func TestFallocModes(t *testing.T) {
	for _, c := range []struct {
		mode      uint32
		off, size uint64
		want      error
	}{
		{0, 0, 1, nil}, {1, 0, 1, nil}, {3, 5, 1, nil}, {0x10, 0, 1, nil}, {0x11, 0, 1, nil},
		{0, 0, 0, posix.EINVAL}, {2, 0, 1, posix.EINVAL},
		{8, 0, 1, posix.ENOTSUP}, {0x20, 0, 1, posix.ENOTSUP}, {9, 0, 1, posix.EINVAL}, {0x21, 0, 1, posix.EINVAL},
		{0x40, 0, 1, posix.ENOTSUP}, {0x13, 0, 1, posix.ENOTSUP},
		{0, MaxFileSize, 1, posix.EFBIG}, {0, 1, MaxFileSize - 1, posix.EFBIG}, {0, 0, 1 << 63, posix.EFBIG},
		{0, 0, MaxFileSize - 1, nil},
	} {
		if err := checkFalloc(c.mode, c.off, c.size); !errors.Is(err, c.want) {
			t.Errorf("mode %#x, %d+%d: %v, want %v", c.mode, c.off, c.size, err, c.want)
		}
	}
}

// TestRangeCopy compares what a copy shows with what its source shows, byte class by byte class.
func TestRangeCopy(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		// A file of two chunks, seen as the slice and the offset in it at each border.
		var records [2][]Slice
		for i := range records {
			for n := range rnd.IntN(6) {
				s := Slice{Pos: rnd.Uint32N(ChunkSize), ID: uint64(rnd.IntN(3)) * uint64(10*i+n+1)}
				s.Len = 1 + rnd.Uint32N(ChunkSize-s.Pos)
				if s.ID != 0 {
					s.Off = rnd.Uint32N(1000)
					s.Size = s.Off + s.Len
				}
				records[i] = append(records[i], s)
			}
		}
		from, to := rnd.Uint64N(2*ChunkSize), rnd.Uint64N(2*ChunkSize)
		from, to = min(from, to), max(from, to)+1
		dst := rnd.Uint64N(3 * ChunkSize)
		c := rangeCopy{to: dst}
		for i := range records {
			first := uint64(i) * ChunkSize
			left, right := max(from, first), min(to, first+ChunkSize)
			if left < right {
				c.chunk(View(records[i]), uint32(left-first), uint32(right-first))
			}
		}
		if c.to-dst != to-from {
			t.Fatalf("round %d: copied %d bytes of %d", round, c.to-dst, to-from)
		}
		var refs int64
		copied := map[uint32][]Slice{}
		for _, l := range c.lists {
			copied[l.index] = append(copied[l.index], l.records...)
			for _, s := range l.records {
				if uint64(s.Pos)+uint64(s.Len) > ChunkSize || s.Len == 0 {
					t.Fatalf("round %d: record %+v", round, s)
				}
				if s.ID != 0 {
					refs++
				}
			}
		}
		for _, n := range c.refs {
			refs -= n
		}
		if refs != 0 {
			t.Fatalf("round %d: references are off by %d", round, refs)
		}
		probe := func(at uint64) {
			src, got := seenAt(records[at>>ChunkBits], at), seenAt(copied[uint32((at-from+dst)>>ChunkBits)], at-from+dst)
			if src != got {
				t.Fatalf("round %d: byte %d is %+v, its copy %+v", round, at, src, got)
			}
		}
		probe(from)
		probe(to - 1)
		for range 50 {
			probe(from + rnd.Uint64N(to-from))
		}
	}
}

// seenAt gives the slice and the offset in it that hold a byte.
func seenAt(records []Slice, at uint64) (r struct {
	ref SliceRef
	off uint32
}) {
	pos := uint32(at % ChunkSize)
	for _, s := range records {
		if s.Pos <= pos && pos-s.Pos < s.Len {
			r.ref, r.off = SliceRef{s.ID, s.Size}, 0
			if s.ID != 0 {
				r.off = s.Off + pos - s.Pos
			}
		}
	}
	return r
}
