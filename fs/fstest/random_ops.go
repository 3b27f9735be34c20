package fstest

import (
	"errors"
	"math/bits"
	"syscall"

	"golang.org/x/sys/unix"
)

// randomOps are the operations with their weights.
var randomOps = []struct {
	weight int
	do     func(h *history)
}{
	{14, (*history).write}, {6, (*history).append}, {6, (*history).writeDirect}, {3, (*history).scatter}, {3, (*history).writeStream},
	{12, (*history).read}, {4, (*history).readDirect}, {4, (*history).readStream}, {2, (*history).readAll}, {2, (*history).seekHoles},
	{5, (*history).truncate}, {2, (*history).truncateName}, {1, (*history).openTruncate},
	{8, (*history).fallocate}, {8, (*history).copyRange},
	{3, (*history).mapFile}, {8, (*history).useMap}, {2, (*history).dropMap},
	{4, (*history).sync}, {8, (*history).closeOne}, {3, (*history).dropPages},
	{2, (*history).create}, {1, (*history).link}, {2, (*history).rename}, {1, (*history).unlink}, {3, (*history).handOverOne},
}

// pick draws an operation. Some find nothing to do.
func (h *history) pick() func(h *history) {
	all := 0
	for _, o := range randomOps {
		all += o.weight
	}
	n := h.rnd.IntN(all)
	for _, o := range randomOps {
		if n -= o.weight; n < 0 {
			return o.do
		}
	}
	return nil
}

// size draws a number of bytes: each order of magnitude is as likely.
func (h *history) size(most int) int {
	n := 1 << h.rnd.IntN(bits.Len(uint(most)))
	n += h.rnd.IntN(n)
	switch h.rnd.IntN(6) {
	case 0:
		n = n &^ (pageSize - 1)
	case 1:
		n = n &^ (1<<16 - 1)
	}
	return max(1, min(n, most))
}

// place draws a range in the window of a file.
func (h *history) place(f *modelFile) (off int64, n int) {
	n = h.size(h.o.Window)
	off = f.base + h.rnd.Int64N(int64(h.o.Window-n+1))
	switch h.rnd.IntN(8) {
	case 0, 1:
		off &^= pageSize - 1
	case 2:
		off &^= 1<<16 - 1
	case 3, 4: // around the end
		off = f.size + int64(h.rnd.IntN(2*pageSize)) - pageSize
	case 5: // at the end
		off = f.size
	}
	off = max(f.base, min(off, f.base+int64(h.o.Window)-1))
	return off, int(min(int64(n), f.base+int64(h.o.Window)-off))
}

// placeDirect is place for O_DIRECT.
func (h *history) placeDirect(f *modelFile) (off int64, n int) {
	off, n = h.place(f)
	if h.o.FreeDirect && h.rnd.IntN(2) == 0 {
		return off, n
	}
	return off &^ (pageSize - 1), max(n&^(pageSize-1), pageSize)
}

// any draws a descriptor that will do, or opens one with these flags.
func (h *history) any(will func(d *modelFD) bool, flags ...int) *modelFD {
	h.Helper()
	var fit []*modelFD
	for _, d := range h.fds {
		if will(d) {
			fit = append(fit, d)
		}
	}
	if len(fit) > 0 && h.rnd.IntN(5) > 0 {
		return fit[h.rnd.IntN(len(fit))]
	}
	all := h.named()
	if len(all) == 0 {
		h.create()
		all = h.named()
	}
	return h.openFile(all[h.rnd.IntN(len(all))], flags[h.rnd.IntN(len(flags))])
}

// Descriptors to draw from.
func writing(d *modelFD) bool { return d.writable() && !d.appends() && !d.direct() }
func reading(d *modelFD) bool { return d.readable() && !d.direct() }

func (h *history) toWrite() *modelFD {
	return h.any(writing, unix.O_RDWR, unix.O_RDWR, unix.O_WRONLY, unix.O_RDWR|unix.O_DSYNC)
}

func (h *history) toRead() *modelFD {
	return h.any(reading, unix.O_RDONLY, unix.O_RDWR)
}

// mostFDs is how many descriptors are open at a time.
const mostFDs = 8

func (h *history) openFile(f *modelFile, flags int) *modelFD {
	h.Helper()
	if len(h.fds) >= mostFDs {
		h.close(h.fds[h.rnd.IntN(len(h.fds))])
	}
	n := f.names[h.rnd.IntN(len(f.names))]
	h.note(f, "open %s with %#x", n.path, flags)
	return h.open(f, h.path(n), flags)
}

func (h *history) open(f *modelFile, path string, flags int) *modelFD {
	h.Helper()
	d := &modelFD{file: f, flags: flags}
	h.check(f, "open", again(func() (err error) { d.fd, err = unix.Open(path, flags|unix.O_CLOEXEC, 0666); return err }))
	h.fds = append(h.fds, d)
	f.users++
	return d
}

func (h *history) close(d *modelFD) {
	h.Helper()
	h.note(d.file, "close a descriptor of %#x", d.flags)
	for i := range h.fds {
		if h.fds[i] == d {
			h.fds = append(h.fds[:i], h.fds[i+1:]...)
			break
		}
	}
	h.check(d.file, "close", unix.Close(d.fd))
	d.file.users--
	h.forget(d.file)
}

func (h *history) closeOne() {
	if len(h.fds) > 0 {
		h.close(h.fds[h.rnd.IntN(len(h.fds))])
	}
}

// put writes n bytes. With O_APPEND off does not count.
func (h *history) put(d *modelFD, off int64, n int) {
	h.Helper()
	f := d.file
	if d.appends() {
		off = f.size
	}
	op := h.note(f, "write %d at %d with %#x", n, off, d.flags)
	b := h.buffer[:n]
	if d.direct() && h.o.FreeDirect && h.rnd.IntN(2) == 0 {
		b = h.buffer[1:][:n]
	}
	fill(b, op, off)
	got := 0
	err := again(func() (err error) { got, err = unix.Pwrite(d.fd, b, off); return err })
	if err != nil || got != n {
		h.fail(f, "write of %d bytes at %d: %d, %v", n, off, got, err)
	}
	f.write(off, b, op)
}

func (h *history) write() {
	d := h.toWrite()
	off, n := h.place(d.file)
	h.put(d, off, n)
	if h.rnd.IntN(4) == 0 {
		h.sizes(d.file)
	}
}

func (h *history) append() {
	d := h.any(func(d *modelFD) bool { return d.writable() && d.appends() }, unix.O_RDWR|unix.O_APPEND, unix.O_WRONLY|unix.O_APPEND)
	for range 1 + h.rnd.IntN(4) {
		room := d.file.base + int64(h.o.Window) - d.file.size
		if d.file.size < d.file.base || room <= 0 {
			h.setSize(d, d.file.base+h.rnd.Int64N(int64(h.o.Window)))
			return
		}
		h.put(d, 0, min(h.size(h.o.Window/8), int(room)))
		if h.rnd.IntN(3) == 0 {
			h.fsync(d)
		}
	}
}

func (h *history) writeDirect() {
	d := h.any(func(d *modelFD) bool { return d.writable() && d.direct() }, unix.O_RDWR|unix.O_DIRECT)
	off, n := h.placeDirect(d.file)
	h.put(d, off, n)
}

// scatter makes many small changes, as a database does.
func (h *history) scatter() {
	d := h.toWrite()
	for range 5 + h.rnd.IntN(40) {
		n := 1 + h.rnd.IntN(2*pageSize)
		off := h.rnd.Int64N(int64(h.o.Window - n))
		if h.rnd.IntN(2) == 0 {
			off &^= pageSize - 1
		}
		h.put(d, d.file.base+off, n)
	}
	if h.rnd.IntN(2) == 0 {
		h.fsync(d)
	}
}

// writeStream writes piece after piece.
func (h *history) writeStream() {
	d := h.toWrite()
	off, _ := h.place(d.file)
	piece := 1 + h.rnd.IntN(h.o.Window/16)
	for range 1 + h.rnd.IntN(16) {
		n := int(min(int64(piece), d.file.base+int64(h.o.Window)-off))
		if n <= 0 {
			return
		}
		h.put(d, off, n)
		off += int64(n)
	}
}

// get reads and compares n bytes.
func (h *history) get(d *modelFD, off int64, n int) {
	h.Helper()
	h.note(d.file, "read %d at %d with %#x", n, off, d.flags)
	b := h.buffer[:n]
	if d.direct() && h.o.FreeDirect && h.rnd.IntN(2) == 0 {
		b = h.buffer[3:][:n]
	}
	got := 0
	for got < n { // a signal may cut a read short
		k := 0
		h.check(d.file, "read", again(func() (err error) { k, err = unix.Pread(d.fd, b[got:], off+int64(got)); return err }))
		if k == 0 || d.direct() {
			got += k
			break
		}
		got += k
	}
	h.expect(d.file, "read", off, b[:got], n)
}

func (h *history) read() {
	d := h.toRead()
	off, n := h.place(d.file)
	if d.file.base > 0 && h.rnd.IntN(10) == 0 {
		off = h.rnd.Int64N(d.file.base)
	}
	h.get(d, off, n)
}

func (h *history) readDirect() {
	d := h.any(func(d *modelFD) bool { return d.readable() && d.direct() }, unix.O_RDONLY|unix.O_DIRECT, unix.O_RDWR|unix.O_DIRECT)
	off, n := h.placeDirect(d.file)
	h.get(d, off, n)
}

// readStream reads forwards, backwards, or regular pieces.
func (h *history) readStream() {
	d := h.toRead()
	f := d.file
	piece := int64(1 + h.rnd.IntN(h.o.Window/16))
	step := piece
	switch h.rnd.IntN(4) {
	case 0:
		step = -piece
	case 1:
		step = 3 * piece
	}
	off := f.base
	if length := f.size - f.base; length > 0 {
		off += h.rnd.Int64N(length)
	}
	for range 1 + h.rnd.IntN(16) {
		if off < f.base || off > f.size {
			return
		}
		h.get(d, off, int(piece))
		off += step
	}
}

func (h *history) readAll() { h.readWhole(h.toRead()) }

// readWhole reads a file from before its window to its end.
func (h *history) readWhole(d *modelFD) {
	h.Helper()
	f := d.file
	off := max(0, min(f.base, f.size)-100_000)
	for piece := h.o.Window/2 + 1; ; off += int64(piece) {
		h.get(d, off, piece)
		if off+int64(piece) > f.size {
			return
		}
	}
}

// seekHoles asks for data and holes: what is called a hole must be zeros.
func (h *history) seekHoles() {
	d := h.toRead()
	f := d.file
	off, _ := h.place(f)
	for _, m := range h.maps { // what is only in a mapping need not be in the file yet
		if m.file == f && m.writable {
			h.msync(m)
		}
	}
	h.note(f, "look for data and holes from %d", off)
	var at int64
	err := again(func() (err error) { at, err = unix.Seek(d.fd, off, unix.SEEK_DATA); return err })
	switch {
	case errors.Is(err, syscall.ENXIO):
		at = max(off, f.size)
	case err != nil || at < off || at >= f.size:
		h.fail(f, "data from %d on: %d, %v", off, at, err)
	}
	h.expect(f, "hole", off, make([]byte, max(0, min(at, f.size)-off)), int(at-off))
	err = again(func() (err error) { at, err = unix.Seek(d.fd, off, unix.SEEK_HOLE); return err })
	if off >= f.size && !errors.Is(err, syscall.ENXIO) || off < f.size && (err != nil || at < off || at > f.size) {
		h.fail(f, "hole from %d on: %d, %v", off, at, err)
	}
}

// sizes asks for the size of a file by its names and descriptors.
func (h *history) sizes(f *modelFile) {
	h.Helper()
	for _, d := range h.fds {
		if d.file == f {
			var st unix.Stat_t
			h.check(f, "fstat", again(func() error { return unix.Fstat(d.fd, &st) }))
			if st.Size != f.size {
				h.fail(f, "fstat tells %d bytes, want %d", st.Size, f.size)
			}
		}
	}
	for _, n := range f.names {
		var st unix.Stat_t
		h.check(f, "stat", again(func() error { return unix.Stat(h.path(n), &st) }))
		if st.Size != f.size {
			h.fail(f, "stat tells %d bytes, want %d", st.Size, f.size)
		}
	}
}

func (h *history) fsync(d *modelFD) {
	h.Helper()
	h.note(d.file, "fsync")
	h.check(d.file, "fsync", again(func() error { return unix.Fsync(d.fd) }))
}

func (h *history) sync() {
	if len(h.fds) == 0 {
		return
	}
	d := h.fds[h.rnd.IntN(len(h.fds))]
	switch h.rnd.IntN(3) {
	case 0:
		h.note(d.file, "fdatasync")
		h.check(d.file, "fdatasync", again(func() error { return unix.Fdatasync(d.fd) }))
	default:
		h.fsync(d)
	}
}

// dropPages lets the kernel forget what it has of a file.
func (h *history) dropPages() {
	if len(h.fds) == 0 {
		return
	}
	d := h.fds[h.rnd.IntN(len(h.fds))]
	if h.rnd.IntN(2) == 0 {
		h.fsync(d)
	}
	h.note(d.file, "drop pages")
	h.check(d.file, "fadvise", again(func() error { return unix.Fadvise(d.fd, 0, 0, unix.FADV_DONTNEED) }))
}
