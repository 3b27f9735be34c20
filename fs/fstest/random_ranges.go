package fstest

import (
	"errors"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// farChunk is an offset at which file systems may begin something new, a chunk of a volume for example. Windows lie on
// both sides of it.
const farChunk = 64 << 20

// create makes a file under a name that is free, with or without something in it.
func (h *history) create() {
	var free []*modelName
	for _, n := range h.names {
		if n.file == nil {
			free = append(free, n)
		}
	}
	if len(free) == 0 {
		return
	}
	n := free[h.rnd.IntN(len(free))]
	h.made++
	f := &modelFile{id: h.made, names: []*modelName{n}, view: n.view}
	if h.rnd.IntN(3) == 0 {
		f.base = farChunk - int64(h.o.Window/2)&^(pageSize-1)
	}
	flags := unix.O_CREAT | unix.O_EXCL | []int{unix.O_RDWR, unix.O_RDWR, unix.O_WRONLY | unix.O_APPEND}[h.rnd.IntN(3)]
	h.note(f, "create %s with %#x", n.path, flags)
	n.file = f
	h.files = append(h.files, f)
	d := h.open(f, h.path(n), flags)
	d.flags &^= unix.O_CREAT | unix.O_EXCL
	if f.base > 0 {
		h.setSize(d, f.base)
	}
	if h.rnd.IntN(3) > 0 {
		h.put(d, f.base, h.size(h.o.Window))
	}
}

// setSize is ftruncate.
func (h *history) setSize(d *modelFD, size int64) {
	h.Helper()
	op := h.note(d.file, "ftruncate to %d", size)
	h.check(d.file, "ftruncate", again(func() error { return unix.Ftruncate(d.fd, size) }))
	d.file.resize(size, op)
}

// anySize draws a length for a file.
func (h *history) anySize(f *modelFile) int64 {
	switch h.rnd.IntN(8) {
	case 0:
		return 0
	case 1:
		return f.size
	case 2, 3:
		return max(0, min(f.size+int64(h.rnd.IntN(2*pageSize))-pageSize, f.base+int64(h.o.Window)))
	case 4:
		return (f.base + h.rnd.Int64N(int64(h.o.Window))) &^ (pageSize - 1)
	}
	return f.base + h.rnd.Int64N(int64(h.o.Window)+1)
}

func (h *history) truncate() {
	d := h.any(func(d *modelFD) bool { return d.writable() }, unix.O_RDWR)
	h.setSize(d, h.anySize(d.file))
	h.sizes(d.file)
}

// drawNamed draws a file that has a name; nil if there is none.
func (h *history) drawNamed() *modelFile {
	if all := h.named(); len(all) > 0 {
		return all[h.rnd.IntN(len(all))]
	}
	return nil
}

func (h *history) truncateName() {
	f := h.drawNamed()
	if f == nil {
		return
	}
	n, size := f.names[h.rnd.IntN(len(f.names))], h.anySize(f)
	op := h.note(f, "truncate %s to %d", n.path, size)
	h.check(f, "truncate", again(func() error { return unix.Truncate(h.path(n), size) }))
	f.resize(size, op)
	h.sizes(f)
}

func (h *history) openTruncate() {
	f := h.drawNamed()
	if f == nil {
		return
	}
	d := h.openFile(f, unix.O_RDWR|unix.O_TRUNC)
	d.flags &^= unix.O_TRUNC
	f.resize(0, h.op)
	h.sizes(f)
}

var allocModesDrawn = []uint32{
	0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE,
	unix.FALLOC_FL_ZERO_RANGE, unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_COLLAPSE_RANGE, unix.FALLOC_FL_INSERT_RANGE,
}

func (h *history) fallocate() {
	d := h.any(func(d *modelFD) bool { return d.writable() && !d.direct() }, unix.O_RDWR, unix.O_WRONLY)
	f := d.file
	mode := allocModesDrawn[h.rnd.IntN(len(allocModesDrawn))]
	off, length := h.place(f)
	n := int64(length)
	shifts := mode == unix.FALLOC_FL_COLLAPSE_RANGE || mode == unix.FALLOC_FL_INSERT_RANGE
	if shifts {
		off, n = off&^(pageSize-1), (n+pageSize-1)&^(pageSize-1)
	}
	want := syscall.Errno(0)
	switch {
	case shifts && h.o.NoShift:
		want = syscall.EOPNOTSUPP
	case mode == unix.FALLOC_FL_COLLAPSE_RANGE && off+n >= f.size, mode == unix.FALLOC_FL_INSERT_RANGE && off >= f.size:
		want = syscall.EINVAL
	case mode == unix.FALLOC_FL_INSERT_RANGE && f.size+n > f.base+int64(h.o.Window):
		return
	}
	if shifts && want == 0 {
		// Whether a mapping sees what was shifted is nobody's promise.
		for _, m := range slices.Clone(h.maps) {
			if m.file == f {
				h.unmap(m)
			}
		}
	}
	op := h.note(f, "fallocate %#x of %d at %d", mode, n, off)
	err := again(func() error { return unix.Fallocate(d.fd, mode, off, n) })
	if want != 0 {
		if !errors.Is(err, want) {
			h.fail(f, "fallocate: %v, want %v", err, want)
		}
		return
	}
	h.check(f, "fallocate", err)
	switch mode {
	case unix.FALLOC_FL_COLLAPSE_RANGE:
		f.collapse(off, n)
	case unix.FALLOC_FL_INSERT_RANGE:
		f.insert(off, n, op)
	default:
		if mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) != 0 {
			f.zero(off, off+n, op)
		}
		if mode&unix.FALLOC_FL_KEEP_SIZE == 0 && off+n > f.size {
			f.resize(off+n, op)
		}
	}
	h.sizes(f)
}

// copyRange copies within a file or between two.
func (h *history) copyRange() {
	in := h.toRead()
	out := h.any(func(d *modelFD) bool { return writing(d) && (d.file == in.file || h.rnd.IntN(2) == 0) }, unix.O_RDWR)
	if in.fd == out.fd && !in.readable() || !slices.Contains(h.fds, in) { // closed to make room for the other
		return
	}
	offIn, n := h.place(in.file)
	if in.file.base > 0 && h.rnd.IntN(10) == 0 {
		offIn = h.rnd.Int64N(in.file.base)
	}
	offOut, room := h.place(out.file)
	if h.rnd.IntN(3) == 0 { // blocks lie alike
		offOut = out.file.base + (offIn-in.file.base)&^(pageSize-1)
		if offOut < out.file.base || offOut >= out.file.base+int64(h.o.Window) {
			return
		}
		room = int(out.file.base + int64(h.o.Window) - offOut)
	}
	n = min(n, room, int(max(0, in.file.size-offIn)))
	if n == 0 || in.file == out.file && offIn < offOut+int64(n) && offOut < offIn+int64(n) {
		return
	}
	for done := 0; done < n; {
		left := n - done
		from, to := offIn+int64(done), offOut+int64(done)
		op := h.note(out.file, "copy %d from %d of file %d to %d", left, from, in.file.id, to)
		in.file.note(out.file.last[len(out.file.last)-1])
		got := 0
		err := again(func() (err error) { got, err = unix.CopyFileRange(in.fd, &from, out.fd, &to, left, 0); return err })
		if err != nil || got <= 0 || got > left {
			h.fail(out.file, "copy of %d bytes: %d, %v", left, got, err)
		}
		out.file.write(offOut+int64(done), slices.Clone(in.file.read(offIn+int64(done), got)), op)
		done += got
	}
	h.sizes(out.file)
}

func (h *history) link() {
	f := h.drawNamed()
	if f == nil {
		return
	}
	from, to := f.names[0], h.names[h.rnd.IntN(len(h.names))]
	if to.file != nil || to.view != f.view {
		return
	}
	h.note(f, "link %s to %s", from.path, to.path)
	h.check(f, "link", again(func() error { return unix.Link(h.path(from), h.path(to)) }))
	to.file = f
	f.names = append(f.names, to)
}

// unname takes a name from its file.
func (h *history) unname(n *modelName) {
	f := n.file
	n.file = nil
	f.names = slices.DeleteFunc(f.names, func(x *modelName) bool { return x == n })
	h.forget(f)
}

func (h *history) unlink() {
	f := h.drawNamed()
	if f == nil {
		return
	}
	n := f.names[h.rnd.IntN(len(f.names))]
	h.note(f, "unlink %s", n.path)
	h.check(f, "unlink", again(func() error { return unix.Unlink(h.path(n)) }))
	h.unname(n)
}

// rename gives a file a free name or that of another.
func (h *history) rename() {
	f := h.drawNamed()
	if f == nil {
		return
	}
	from, to := f.names[h.rnd.IntN(len(f.names))], h.names[h.rnd.IntN(len(h.names))]
	if to.view != f.view || to == from {
		return
	}
	h.note(f, "rename %s to %s", from.path, to.path)
	if to.file != nil {
		to.file.note(f.last[len(f.last)-1])
	}
	h.check(f, "rename", again(func() error { return unix.Rename(h.path(from), h.path(to)) }))
	if to.file == f { // two names of one file stay
		return
	}
	if to.file != nil {
		h.unname(to)
	}
	from.file, to.file = nil, f
	f.names[slices.Index(f.names, from)] = to
	h.sizes(f)
}

// handOverOne lets a file be worked on in another view from now on.
func (h *history) handOverOne() {
	if f := h.drawNamed(); f != nil && len(h.o.Views) > 1 {
		h.handOver(f, (f.view+1+h.rnd.IntN(len(h.o.Views)-1))%len(h.o.Views))
	}
}

func (h *history) handOver(f *modelFile, view int) {
	h.Helper()
	for _, m := range slices.Clone(h.maps) {
		if m.file == f {
			h.unmap(m)
		}
	}
	for _, d := range slices.Clone(h.fds) {
		if d.file == f {
			h.close(d)
		}
	}
	if h.o.Late {
		h.note(f, "give up a lock")
		d := h.open(f, h.path(f.names[0]), unix.O_RDWR)
		for _, how := range []int{unix.LOCK_EX, unix.LOCK_UN} {
			h.check(f, "flock", again(func() error { return unix.Flock(d.fd, how) }))
		}
		h.close(d)
	}
	h.note(f, "hand over from %s to %s", filepath.Base(h.o.Views[f.view]), filepath.Base(h.o.Views[view]))
	f.view = view
	for _, n := range f.names {
		n.view = view
	}
	// The names are opened first: what a view knows of them without that may be old.
	d := h.openFile(f, []int{unix.O_RDONLY, unix.O_RDWR}[h.rnd.IntN(2)])
	var st unix.Stat_t
	h.check(f, "fstat", again(func() error { return unix.Fstat(d.fd, &st) }))
	if st.Size != f.size {
		h.fail(f, "fstat after the handover tells %d bytes, want %d", st.Size, f.size)
	}
	h.readWhole(d)
	if h.rnd.IntN(2) == 0 {
		h.close(d)
	}
}
