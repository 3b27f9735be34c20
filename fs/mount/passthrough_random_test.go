package mount

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// passModel does by chance what can happen to a file that is read by passthrough, and to a copy of it in memory.
type passModel struct {
	*passMount
	other   *passMount
	r       *rand.Rand
	data    []byte
	readers []*os.File
	writers []*os.File
	maps    [][]byte // for reading, of the length that the file had
	log     []string
	passed  int // opens by passthrough
	joined  int // writers that were let in
}

func (p *passModel) fill() []byte { return noise(1+p.r.IntN(9000), p.r.Uint64()) }

func (p *passModel) note(format string, args ...any) {
	p.log = append(p.log, fmt.Sprintf(format, args...))
}

func (p *passModel) unmap() {
	for _, m := range p.maps {
		p.must(syscall.Munmap(m))
	}
	p.maps = nil
}

// put is a write of the model.
func (p *passModel) put(at int, b []byte) {
	if end := at + len(b); end > len(p.data) {
		p.unmap() // they are of the old length
		p.data = append(p.data, make([]byte, end-len(p.data))...)
	}
	copy(p.data[at:], b)
}

func (p *passModel) resize(n int) {
	p.unmap()
	if n < len(p.data) {
		p.data = p.data[:n]
	} else {
		p.data = append(p.data, make([]byte, n-len(p.data))...)
	}
}

func (p *passModel) step() {
	writer := func() *os.File {
		if len(p.writers) == 0 {
			return nil
		}
		return p.writers[p.r.IntN(len(p.writers))]
	}
	at := p.r.IntN(len(p.data) + 5000)
	switch k := p.r.IntN(20); {
	case k < 4 && len(p.readers) < 4:
		p.note("open")
		f := p.open("f", os.O_RDONLY)
		if p.passing() > 0 {
			p.passed++
		}
		p.readers = append(p.readers, f)
	case k == 4 && len(p.readers) > 0:
		p.note("close a reader")
		p.must(p.readers[0].Close())
		p.readers = p.readers[1:]
	case k == 5 && len(p.writers) < 2:
		flags := []int{os.O_RDWR, os.O_WRONLY}[p.r.IntN(2)]
		p.note("open for writing %d", flags)
		if p.passing() > 0 {
			p.joined++
		}
		p.writers = append(p.writers, p.open("f", flags))
	case k == 6 && len(p.writers) > 0:
		p.note("close a writer")
		p.must(p.writers[0].Close())
		p.writers = p.writers[1:]
	case k < 10:
		if w := writer(); w != nil {
			b := p.fill()
			p.note("write %d at %d", len(b), at)
			_, err := w.WriteAt(b, int64(at))
			p.must(err)
			p.put(at, b)
		}
	case k == 10:
		n := p.r.IntN(200_000) + 1
		p.note("truncate to %d", n)
		p.unmap()
		p.must(os.Truncate(p.path("f"), int64(n)))
		p.resize(n)
	case k == 11:
		if w := writer(); w != nil {
			n := 1 + p.r.IntN(20_000)
			p.note("punch %d at %d", n, at)
			p.must(unix.Fallocate(int(w.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(at), int64(n)))
			if at < len(p.data) {
				clear(p.data[at:min(at+n, len(p.data))])
			}
		}
	case k == 12:
		if w := writer(); w != nil {
			from, to, n := int64(p.r.IntN(len(p.data))), int64(at), 1+p.r.IntN(20_000)
			src := p.open("f", os.O_RDONLY)
			want := slices.Clone(p.data[from:min(int(from)+n, len(p.data))])
			if max(from, to)-min(from, to) < int64(len(want)) { // no overlaps
				p.must(src.Close())
				return
			}
			p.note("copy %d from %d to %d", len(want), from, to)
			done, err := unix.CopyFileRange(int(src.Fd()), &from, int(w.Fd()), &to, n, 0)
			p.must(err)
			p.must(src.Close())
			p.put(at, want[:done])
		}
	case k < 15:
		if len(p.writers) > 0 && len(p.data) > 0 {
			p.store()
		}
	case k == 15 && len(p.readers) > 0 && len(p.maps) < 3:
		p.note("map")
		m, err := syscall.Mmap(int(p.readers[0].Fd()), 0, len(p.data), syscall.PROT_READ, syscall.MAP_SHARED)
		p.must(err)
		p.maps = append(p.maps, m)
	case k == 16:
		p.unmap()
	case k == 17:
		p.note("close all")
		p.closeAll()
		p.unmap() // else the backing file follows on
		p.pass("f").Close()
	case k == 18:
		p.elsewhere()
	}
}

// store changes the file by a mapping, and makes it the file's with fsync.
func (p *passModel) store() {
	w := p.writers[0]
	flags, err := unix.FcntlInt(w.Fd(), unix.F_GETFL, 0)
	p.must(err)
	if flags&unix.O_ACCMODE != unix.O_RDWR {
		return
	}
	m, err := syscall.Mmap(int(w.Fd()), 0, len(p.data), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	p.must(err)
	b := p.fill()
	at := p.r.IntN(len(p.data))
	n := copy(m[at:], b)
	p.note("store %d at %d", n, at)
	copy(p.data[at:], b)
	if p.r.IntN(2) == 0 { // near it, before anybody was told
		b := noise(50, p.r.Uint64())
		at := max(at-60, 0)
		p.note("and write %d at %d", len(b), at)
		_, err := w.WriteAt(b, int64(at))
		p.must(err)
		p.put(at, b)
	}
	p.must(unix.Msync(m, unix.MS_SYNC))
	p.must(w.Sync())
	p.must(syscall.Munmap(m))
}

func (p *passModel) closeAll() {
	for _, f := range slices.Concat(p.readers, p.writers) {
		p.must(f.Close())
	}
	p.readers, p.writers = nil, nil
}

// elsewhere changes the file by another mount, after everything is closed but readers, and opens it again.
func (p *passModel) elsewhere() {
	p.unmap()
	p.note("change elsewhere")
	for _, w := range p.writers {
		p.must(w.Close())
	}
	p.writers = nil
	if p.passing() == 0 { // whom the kernel serves from its pages may see it later
		p.closeAll()
	}
	f := p.other.open("f", os.O_RDWR)
	at, b := p.r.IntN(len(p.data)), p.fill()
	_, err := f.WriteAt(b, int64(at))
	p.must(err)
	p.must(f.Close())
	p.put(at, b)
	p.readers = append(p.readers, p.open("f", os.O_RDONLY))
}

func (p *passModel) check() {
	for i, f := range slices.Concat(p.readers, p.writers) {
		flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
		p.must(err)
		if flags&unix.O_ACCMODE == unix.O_WRONLY {
			continue
		}
		got := make([]byte, len(p.data)+10)
		n, _ := f.ReadAt(got, 0) //nolint:errcheck // the end of the file
		p.same(fmt.Sprint("handle ", i), got[:n])
	}
	for i, m := range p.maps {
		p.same(fmt.Sprint("mapping ", i), m)
	}
}

func (p *passModel) same(what string, got []byte) {
	if bytes.Equal(got, p.data) {
		return
	}
	at := 0
	for at < min(len(got), len(p.data)) && got[at] == p.data[at] {
		at++
	}
	p.t.Fatalf("%s: %d bytes, want %d; they differ from %d on, after %q", what, len(got), len(p.data), at, p.log[max(0, len(p.log)-25):])
}

// TestPassthroughRandom: a file that this mount reads by passthrough, writes, maps, and another changes.
func TestPassthroughRandom(t *testing.T) {
	all := newPassMounts(t, 2, nil)
	passed, joined := 0, 0
	for seed := range uint64(*passRounds) {
		p := &passModel{passMount: all[0], other: all[1], r: rand.New(rand.NewPCG(seed, 1))}
		p.data = noise(100_000, seed)
		p.write("f", p.data)
		p.pass("f").Close()
		for range 60 {
			p.step()
			p.check()
		}
		p.unmap()
		p.closeAll()
		p.closed()
		for _, m := range all {
			got, err := os.ReadFile(m.path("f"))
			p.must(err)
			p.same("afterwards", got)
		}
		passed, joined = passed+p.passed, joined+p.joined
	}
	if passed == 0 || joined == 0 {
		t.Errorf("%d opens by passthrough, %d writers beside", passed, joined)
	}
}

// passRounds is how many random histories there are.
var passRounds = flag.Int("passthrough-rounds", 15, "random histories of files that are read by passthrough")
