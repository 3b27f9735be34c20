package fstest

import (
	"slices"

	"golang.org/x/sys/unix"
)

// modelMap is a mapping of a part of a file that is shared.
type modelMap struct {
	file     *modelFile
	off      int64
	b        []byte
	writable bool
}

const mostMaps = 4

// mapFile maps a part of a file: privately for a moment, or shared for some operations.
func (h *history) mapFile() {
	d := h.any(func(d *modelFD) bool { return d.readable() && (h.o.FreeDirect || !d.direct()) }, unix.O_RDWR, unix.O_RDONLY)
	f := d.file
	off := f.base
	if f.size > f.base {
		off += h.rnd.Int64N(f.size-f.base) &^ (pageSize - 1)
	}
	n := int(min(f.size-off, int64(h.size(h.o.Window))))
	if n <= 0 || len(h.maps) >= mostMaps {
		return
	}
	private := h.rnd.IntN(3) == 0
	kind, prot := unix.MAP_SHARED, unix.PROT_READ
	if d.writable() || private {
		prot |= unix.PROT_WRITE
	}
	if private {
		kind = unix.MAP_PRIVATE
	}
	op := h.note(f, "map %d at %d, kind %d", n, off, kind)
	m := &modelMap{file: f, off: off, writable: prot&unix.PROT_WRITE != 0}
	h.check(f, "map", again(func() (err error) { m.b, err = unix.Mmap(d.fd, off, n, prot, kind); return err }))
	f.users++
	h.maps = append(h.maps, m)
	h.expect(f, "a new mapping", off, m.b, n)
	if private { // what is written to it is nobody else's
		fill(m.b, op, off)
		h.get(h.reader(f), off, n)
		h.unmap(m)
	}
}

// reader gives a descriptor for reading of a file that is open or has a name.
func (h *history) reader(f *modelFile) *modelFD {
	for _, d := range h.fds {
		if d.file == f && reading(d) {
			return d
		}
	}
	for _, d := range h.fds {
		if d.file == f && d.readable() {
			return d
		}
	}
	return h.openFile(f, unix.O_RDONLY)
}

// useMap reads or writes in a mapping, as far as the file reaches now.
func (h *history) useMap() {
	if len(h.maps) == 0 {
		h.mapFile()
		return
	}
	m := h.maps[h.rnd.IntN(len(h.maps))]
	f := m.file
	within := int(max(0, min(int64(len(m.b)), f.size-m.off)))
	if within == 0 {
		return
	}
	at := h.rnd.IntN(within)
	n := h.size(within - at)
	if !m.writable || h.rnd.IntN(2) == 0 {
		h.note(f, "look at %d at %d of a mapping", n, m.off+int64(at))
		h.expect(f, "look at a mapping", m.off+int64(at), m.b[at:at+n], n)
		return
	}
	op := h.note(f, "write %d at %d of a mapping", n, m.off+int64(at))
	fill(m.b[at:at+n], op, m.off+int64(at))
	f.write(m.off+int64(at), m.b[at:at+n], op)
	if h.rnd.IntN(3) == 0 {
		h.msync(m)
	}
}

func (h *history) msync(m *modelMap) {
	h.Helper()
	h.note(m.file, "msync")
	h.check(m.file, "msync", again(func() error { return unix.Msync(m.b, unix.MS_SYNC) }))
}

func (h *history) dropMap() {
	if len(h.maps) > 0 {
		h.unmap(h.maps[h.rnd.IntN(len(h.maps))])
	}
}

// unmap ends a mapping.
func (h *history) unmap(m *modelMap) {
	h.Helper()
	if m.writable {
		h.msync(m)
	}
	h.note(m.file, "unmap")
	h.maps = slices.DeleteFunc(h.maps, func(x *modelMap) bool { return x == m })
	h.check(m.file, "munmap", unix.Munmap(m.b))
	m.file.users--
	h.forget(m.file)
}
