package fstest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// modelFile is what a file of a random history must hold. Where it works on a window far from the beginning, what lies
// before is a hole.
type modelFile struct {
	id   int
	base int64 // of the window
	size int64
	data []byte  // from base up to the size
	from []int32 // for each byte the operation that it is from

	names []*modelName
	users int // descriptors and mappings
	view  int // where it is worked on
	last  []string
}

// modelName is a name that a file may have.
type modelName struct {
	path string // below a view
	view int    // the one that may use it
	file *modelFile
}

func (f *modelFile) String() string {
	var names []string
	for _, n := range f.names {
		names = append(names, n.path)
	}
	return fmt.Sprintf("file %d (%s)", f.id, strings.Join(names, ", "))
}

// resize sets the size. What is new are zeros.
func (f *modelFile) resize(size int64, op int) {
	f.size = size
	n := int(max(size-f.base, 0))
	if n <= len(f.data) {
		f.data, f.from = f.data[:n], f.from[:n]
		return
	}
	old := len(f.data)
	f.data = append(f.data, make([]byte, n-old)...)
	for range n - old {
		f.from = append(f.from, int32(op))
	}
}

// write puts bytes at an offset inside the window or at its end.
func (f *modelFile) write(off int64, b []byte, op int) {
	if len(b) == 0 {
		return
	}
	if end := off + int64(len(b)); end > f.size {
		f.resize(end, op)
	}
	at := int(off - f.base)
	copy(f.data[at:], b)
	for i := range b {
		f.from[at+i] = int32(op)
	}
}

// zero clears what the file has of [off, end).
func (f *modelFile) zero(off, end int64, op int) {
	off, end = max(off, f.base), min(end, f.size)
	for i := off; i < end; i++ {
		f.data[i-f.base], f.from[i-f.base] = 0, int32(op)
	}
}

// collapse removes n bytes at off.
func (f *modelFile) collapse(off, n int64) {
	at := int(off - f.base)
	f.data, f.from = slices.Delete(f.data, at, at+int(n)), slices.Delete(f.from, at, at+int(n))
	f.size -= n
}

// insert shifts what begins at off by n bytes of zeros.
func (f *modelFile) insert(off, n int64, op int) {
	at := int(off - f.base)
	f.data = slices.Insert(f.data, at, make([]byte, n)...)
	f.from = slices.Insert(f.from, at, slices.Repeat([]int32{int32(op)}, int(n))...)
	f.size += n
}

// read gives what a read of n bytes at off must give.
func (f *modelFile) read(off int64, n int) []byte {
	if off >= f.size {
		return nil
	}
	n = int(min(int64(n), f.size-off))
	if off >= f.base {
		return f.data[off-f.base:][:n]
	}
	b := make([]byte, n)
	if end := off + int64(n); end > f.base {
		copy(b[f.base-off:], f.data[:end-f.base])
	}
	return b
}

// fill makes the bytes that operation op writes at off, so that a byte tells whose it is. Some operations write what can
// be compressed.
func fill(b []byte, op int, off int64) {
	var word [8]byte
	for len(b) > 0 {
		binary.LittleEndian.PutUint64(word[:], contentWord(uint64(op), uint64(off)/8))
		n := copy(b, word[off%8:])
		b, off = b[n:], off+int64(n)
	}
}

func contentWord(op, at uint64) uint64 {
	switch op % 4 {
	case 0:
		at &= 15 // text that repeats
	case 1:
		at >>= 7 // long runs
	}
	x := op*0x9e3779b97f4a7c15 ^ (at+1)*0xbf58476d1ce4e5b9
	x = (x ^ x>>31) * 0x94d049bb133111eb
	return x ^ x>>29
}

// traced is how many bytes are enough to know an operation by, and how far back it is looked for.
const (
	traced     = 16
	tracedBack = 20_000
)

// origin says what bytes are that were read at off instead of others.
func origin(got []byte, off int64, now int) string {
	if zeros(got) {
		return "zeros"
	}
	if len(got) > traced {
		got = got[:traced]
	}
	want := make([]byte, len(got))
	for op := now; op >= max(0, now-tracedBack); op-- {
		if fill(want, op, off); string(want) == string(got) {
			return fmt.Sprintf("what operation %d wrote there", op)
		}
	}
	return fmt.Sprintf("%x", got)
}

// runs tells from which operations the bytes around an offset are.
func (f *modelFile) runs(around int64) string {
	const most = 6
	var all []string
	i := int(max(around-f.base, 0))
	for i > 0 && i < len(f.from) && f.from[i-1] == f.from[i] {
		i--
	}
	for i < len(f.from) && len(all) < most {
		from := i
		for i < len(f.from) && f.from[i] == f.from[from] {
			i++
		}
		all = append(all, fmt.Sprintf("[%d, %d) of operation %d", f.base+int64(from), f.base+int64(i), f.from[from]))
	}
	return strings.Join(all, ", ")
}

// keptNotes is how many of the last operations on a file are told.
const keptNotes = 25

func (f *modelFile) note(text string) {
	if f.last = append(f.last, text); len(f.last) > 2*keptNotes {
		f.last = slices.Clone(f.last[keptNotes:])
	}
}
