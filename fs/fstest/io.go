package fstest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

var ioCases = cases{
	{"descriptors", ioDescriptors}, {"huge", ioHuge}, {"sparse-1t", ioSparse}, {"shift", ioShift}, {"modes", ioModes},
	{"zero-range", ioZeroRange}, {"pipes", ioPipes}, {"preadv2", ioPreadv2}, {"append", ioAppend}, {"sync-flags", ioSync},
	{"direct", ioDirect}, {"open-flags", ioOpenFlags}, {"unlinked", ioUnlinked}, {"tmpfile", ioTmpfile}, {"wrong-types", ioWrongTypes},
	{"advice", ioAdvice}, {"replaced", ioReplaced}, {"offsets", ioOffsets},
}

// ioDescriptors: many descriptors of one file see one file.
func ioDescriptors(b bed) {
	var all []*os.File
	for i := range 20 {
		flags := os.O_RDWR | os.O_CREATE
		if i%3 == 1 {
			flags = os.O_RDWR
		}
		all = append(all, open(b.T, b.at("f"), flags))
	}
	want := make([]byte, 0, 20*1000)
	for i, f := range all {
		data := pattern(1000, uint64(i))
		writeAt(b.T, f, int64(len(want)), data)
		want = append(want, data...)
		for _, g := range all {
			if got := readAt(b.T, g, 0, 30_000); !bytes.Equal(got, want) {
				b.Fatalf("a descriptor reads %d bytes that are not the %d written", len(got), len(want))
			}
		}
		equal(b.T, "length", lstat(b.T, b.at("f")).Size, int64(len(want)))
	}
	must(b.T, all[0].Truncate(500))
	equal(b.T, "bytes after a truncation elsewhere", len(readAt(b.T, all[7], 0, 30_000)), 500)
}

// ioHuge: sizes and offsets up to the largest, and not beyond.
func ioHuge(b bed) {
	f := open(b.T, b.at("f"), os.O_RDWR|os.O_CREATE)
	top := b.opt.MaxFile
	truncate := func(n int64) error { return again(func() error { return unix.Ftruncate(int(f.Fd()), n) }) }
	must(b.T, truncate(top))
	equal(b.T, "largest size", lstat(b.T, b.at("f")).Size, top)
	wantErr(b.T, "truncate over the largest", truncate(top+1), syscall.EFBIG)
	wantErr(b.T, "truncate far over the largest", truncate(1<<62), syscall.EFBIG)
	equal(b.T, "read at the end", zeros(readAt(b.T, f, top-100, 200)), true)
	equal(b.T, "bytes read at the end", len(readAt(b.T, f, top-100, 200)), 100)
	must(b.T, truncate(0))
	writeAt(b.T, f, top-5, []byte("12345"))
	equal(b.T, "size", fstat(b.T, f).Size, top)
	equal(b.T, "last bytes", string(readAt(b.T, f, top-6, 10)), "\x0012345")
	if b.opt.LateErrors {
		_, err := unix.Pwrite(int(f.Fd()), []byte("x"), top)
		wantErr(b.T, "write at the largest offset", errors.Join(err, f.Sync()), syscall.EFBIG)
		return
	}
	_, err := unix.Pwrite(int(f.Fd()), []byte("x"), top)
	wantErr(b.T, "write at the largest offset", err, syscall.EFBIG)
	_, err = unix.Pwrite(int(f.Fd()), []byte("x"), 1<<62)
	wantErr(b.T, "write far over it", err, syscall.EFBIG)
	wantErr(b.T, "fallocate over it", fallocate(f, 0, top-10, 20), syscall.EFBIG)
	wantErr(b.T, "fallocate over all numbers", fallocate(f, 0, 1<<62, 1<<62), syscall.EFBIG)
	_, err = unix.Pwrite(int(f.Fd()), []byte("x"), -1)
	wantErr(b.T, "write before the start", err, syscall.EINVAL)
	equal(b.T, "size in the end", fstat(b.T, f).Size, top)
	must(b.T, f.Sync())
}

// ioSparse: a file of 1 TiB with a few bytes in it.
func ioSparse(b bed) {
	f := open(b.T, b.at("f"), os.O_RDWR|os.O_CREATE)
	const size = 1 << 40
	must(b.T, f.Truncate(size))
	spots := []int64{0, 64<<20 - 3, 1<<32 - 3, 500_000_000_000, size - 10}
	for i, off := range spots {
		writeAt(b.T, f, off, fmt.Appendf(nil, "spot %d", i))
	}
	must(b.T, f.Sync())
	must(b.T, f.Close())
	f = open(b.T, b.at("f"), os.O_RDWR)
	for i, off := range spots {
		equal(b.T, fmt.Sprint("at ", off), string(readAt(b.T, f, off, 6)), fmt.Sprint("spot ", i))
	}
	equal(b.T, "far from all", zeros(readAt(b.T, f, 1<<36, 1<<20)), true)
	equal(b.T, "size", fstat(b.T, f).Size, size)
	must(b.T, f.Truncate(1<<33))
	must(b.T, f.Truncate(size))
	equal(b.T, "what was cut off", zeros(readAt(b.T, f, 500_000_000_000, 6)), true)
	equal(b.T, "what was not", string(readAt(b.T, f, 1<<32-3, 6)), "spot 2")
}

// ioShift: taking ranges out of a file and putting them in.
func ioShift(b bed) {
	const unit = 64 << 10
	f := open(b.T, b.at("f"), os.O_RDWR|os.O_CREATE)
	data := pattern(4*unit, 1)
	writeAt(b.T, f, 0, data)
	for _, mode := range []uint32{unix.FALLOC_FL_COLLAPSE_RANGE, unix.FALLOC_FL_INSERT_RANGE} {
		err := fallocate(f, mode, unit, unit)
		if b.opt.NoShift {
			wantErr(b.T, "shift", err, syscall.EOPNOTSUPP)
		} else {
			must(b.T, err)
		}
	}
	if !b.opt.NoShift {
		clear(data[unit : 2*unit])
	}
	equal(b.T, "contents", bytes.Equal(readAt(b.T, f, 0, 5*unit), data), true)
}

// ioAdvice: hints are taken.
func ioAdvice(b bed) {
	f := open(b.T, b.file("f", "text", 0644), os.O_RDWR)
	for advice := range 6 {
		must(b.T, unix.Fadvise(int(f.Fd()), 0, 100, advice))
	}
	must(b.T, unix.SyncFileRange(int(f.Fd()), 0, 4, unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER))
	_, _, no := unix.Syscall(unix.SYS_READAHEAD, f.Fd(), 0, 100)
	equal(b.T, "readahead", no, 0)
	holds(b.T, b.at("f"), "text")
}

func ioOffsets(b bed) {
	f := open(b.T, b.file("f", "0123456789", 0644), os.O_RDWR)
	fd := int(f.Fd())
	for _, c := range []struct {
		off    int64
		whence int
		want   int64
		errno  syscall.Errno
	}{
		{4, unix.SEEK_SET, 4, 0}, {3, unix.SEEK_CUR, 7, 0}, {-2, unix.SEEK_CUR, 5, 0}, {-3, unix.SEEK_END, 7, 0},
		{100, unix.SEEK_END, 110, 0}, {-8, unix.SEEK_CUR, 102, 0}, {-11, unix.SEEK_END, 0, syscall.EINVAL},
		{-1, unix.SEEK_SET, 0, syscall.EINVAL}, {0, 99, 0, syscall.EINVAL}, {0, unix.SEEK_CUR, 102, 0},
		{10, unix.SEEK_DATA, 0, syscall.ENXIO}, {10, unix.SEEK_HOLE, 0, syscall.ENXIO}, {9, unix.SEEK_HOLE, 10, 0}, {9, unix.SEEK_DATA, 9, 0},
	} {
		at, err := unix.Seek(fd, c.off, c.whence)
		b.no(fmt.Sprintf("seek %d from %d", c.off, c.whence), err, c.errno)
		if c.errno == 0 {
			equal(b.T, "place", at, c.want)
		}
	}
	_, err := unix.Seek(fd, 2, unix.SEEK_SET)
	must(b.T, err)
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	must(b.T, err)
	defer unix.Close(dup) //nolint:errcheck // a copy
	buf := make([]byte, 3)
	_, err = unix.Read(dup, buf)
	must(b.T, err)
	at, err := unix.Seek(fd, 0, unix.SEEK_CUR)
	must(b.T, err)
	equal(b.T, "place shared with a copy of the descriptor", at, 5)
	_, err = unix.Pread(fd, buf, 8)
	must(b.T, err)
	at, err = unix.Seek(fd, 0, unix.SEEK_CUR)
	must(b.T, err)
	equal(b.T, "place after pread", at, 5)
}
