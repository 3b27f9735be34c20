package fstest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
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

// ioModes: combinations of modes of fallocate, and ranges, that mean nothing.
func ioModes(b bed) {
	f := open(b.T, b.at("f"), os.O_RDWR|os.O_CREATE)
	writeAt(b.T, f, 0, []byte("text"))
	for _, c := range []struct {
		mode   uint32
		off, n int64
		want   syscall.Errno
	}{
		{unix.FALLOC_FL_PUNCH_HOLE, 0, 1, syscall.EOPNOTSUPP},
		{unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE, 0, 1, syscall.EOPNOTSUPP},
		{1 << 20, 0, 1, syscall.EOPNOTSUPP},
		{0, 0, 0, syscall.EINVAL},
		{0, 0, -1, syscall.EINVAL},
		{0, -1, 10, syscall.EINVAL},
		{unix.FALLOC_FL_KEEP_SIZE, 5, 0, syscall.EINVAL},
		{unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, 0, 0, syscall.EINVAL},
	} {
		wantErr(b.T, fmt.Sprintf("mode %#x, %d bytes at %d", c.mode, c.n, c.off), fallocate(f, c.mode, c.off, c.n), c.want)
	}
	holds(b.T, b.at("f"), "text")
	wantErr(b.T, "fallocate of a directory", fallocate(open(b.T, b.dir, os.O_RDONLY), 0, 0, 1), syscall.EBADF)
	r, w, err := os.Pipe()
	must(b.T, err)
	defer r.Close() //nolint:errcheck // a pipe
	defer w.Close() //nolint:errcheck // a pipe
	wantErr(b.T, "fallocate of a pipe", fallocate(w, 0, 0, 1), syscall.ESPIPE)
}

func ioZeroRange(b bed) {
	f := open(b.T, b.at("f"), os.O_RDWR|os.O_CREATE)
	data := pattern(200_000, 4)
	writeAt(b.T, f, 0, data)
	zero := func(mode uint32, off, n int64) {
		b.Helper()
		must(b.T, fallocate(f, unix.FALLOC_FL_ZERO_RANGE|mode, off, n))
		if end := off + n; mode == 0 && end > int64(len(data)) {
			data = append(data, make([]byte, end-int64(len(data)))...)
		}
		clear(data[min(off, int64(len(data))):min(off+n, int64(len(data)))])
		equal(b.T, "contents", bytes.Equal(readAt(b.T, f, 0, 400_000), data), true)
		equal(b.T, "length", fstat(b.T, f).Size, int64(len(data)))
	}
	zero(0, 100, 5000)
	zero(0, 65_536, 65_536)
	zero(unix.FALLOC_FL_KEEP_SIZE, 199_000, 100_000)
	zero(0, 198_000, 50_000)
	zero(unix.FALLOC_FL_KEEP_SIZE, 1<<30, 5)
	zero(0, 300_000, 5)
}

// ioPipes: sendfile and splice, out of a file and into one.
func ioPipes(b bed) {
	data := pattern(40_000, 8)
	must(b.T, os.WriteFile(b.at("in"), data, 0644))
	in, out := open(b.T, b.at("in"), os.O_RDONLY), open(b.T, b.at("out"), os.O_RDWR|os.O_CREATE)
	r, w, err := os.Pipe()
	must(b.T, err)
	defer r.Close() //nolint:errcheck // a pipe
	defer w.Close() //nolint:errcheck // a pipe
	var from, to int64
	for to < int64(len(data)) {
		n, err := unix.Splice(int(in.Fd()), &from, int(w.Fd()), nil, 16_384, 0)
		must(b.T, err)
		for n > 0 {
			m, err := unix.Splice(int(r.Fd()), nil, int(out.Fd()), &to, int(n), 0)
			must(b.T, err)
			n -= m
		}
	}
	equal(b.T, "spliced", bytes.Equal(readAt(b.T, out, 0, 50_000), data), true)
	off := int64(1000)
	for to := 0; to < 20_000; {
		n, err := unix.Sendfile(int(out.Fd()), int(in.Fd()), &off, 20_000-to)
		must(b.T, err)
		to += n
	}
	equal(b.T, "offset after sendfile", off, 21_000)
	equal(b.T, "sent", bytes.Equal(readAt(b.T, out, 0, 20_000), data[1000:21_000]), true)
	a := open(b.T, b.at("out"), os.O_WRONLY|os.O_APPEND)
	_, err = unix.Sendfile(int(a.Fd()), int(in.Fd()), &off, 10)
	wantErr(b.T, "sendfile to an appending descriptor", err, syscall.EINVAL)
}

func ioPreadv2(b bed) {
	f := open(b.T, b.at("f"), os.O_RDWR|os.O_CREATE)
	n, err := unix.Pwritev2(int(f.Fd()), [][]byte{[]byte("ab"), nil, []byte("cde")}, 1, unix.RWF_DSYNC)
	must(b.T, err)
	equal(b.T, "written", n, 5)
	n, err = unix.Pwritev2(int(f.Fd()), [][]byte{[]byte("fg")}, -1, 0) // at the place of the descriptor, which is 0
	must(b.T, err)
	equal(b.T, "written at the place", n, 2)
	n, err = unix.Pwritev2(int(f.Fd()), [][]byte{[]byte("end")}, 0, unix.RWF_APPEND)
	must(b.T, err)
	equal(b.T, "appended", n, 3)
	x, y := make([]byte, 3), make([]byte, 20)
	n, err = unix.Preadv2(int(f.Fd()), [][]byte{x, y}, 0, 0)
	must(b.T, err)
	equal(b.T, "read", string(x)+string(y[:n-3]), "fgbcdeend")
	_, err = unix.Preadv2(int(f.Fd()), [][]byte{x}, 0, 1<<30)
	wantErr(b.T, "unknown flags", err, syscall.EOPNOTSUPP)
	many := make([][]byte, 1025)
	for i := range many {
		many[i] = []byte("x")
	}
	_, err = unix.Pwritev(int(f.Fd()), many, 0)
	wantErr(b.T, "too many parts", err, syscall.EINVAL)
	m, err := unix.Pwritev(int(f.Fd()), many[:1024], 0)
	must(b.T, err)
	equal(b.T, "many parts", m, 1024)
}

// ioAppend: appends through several descriptors and processes' worth of goroutines all arrive once.
func ioAppend(b bed) {
	const writers, each = 4, 50
	errs := make(chan error, writers)
	for w := range writers {
		go func() {
			f, err := os.OpenFile(b.at("f"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0644)
			if err != nil {
				errs <- err
				return
			}
			for i := range each {
				if _, err = fmt.Fprintf(f, "%d:%02d\n", w, i); err != nil {
					break
				}
			}
			errs <- errors.Join(err, f.Close())
		}()
	}
	for range writers {
		must(b.T, <-errs)
	}
	all, err := os.ReadFile(b.at("f"))
	must(b.T, err)
	equal(b.T, "length", len(all), writers*each*5)
	next := [writers]int{}
	for line := range bytes.Lines(all) {
		var w, i int
		if _, err := fmt.Sscanf(string(line), "%d:%d", &w, &i); err != nil || w >= writers || i != next[w] {
			b.Fatalf("line %q, %v; want number %v", line, err, next)
		}
		next[w]++
	}
	f := open(b.T, b.at("f"), os.O_RDWR|os.O_APPEND)
	must(b.T, f.Truncate(5))
	_, err = f.Write([]byte("x"))
	must(b.T, err)
	at, err := f.Seek(0, 1)
	must(b.T, err)
	equal(b.T, "place after an append", at, 6)
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	must(b.T, err)
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags&^unix.O_APPEND)
	must(b.T, err)
	_, err = unix.Pwrite(int(f.Fd()), []byte("!"), 0)
	must(b.T, err)
	equal(b.T, "written without O_APPEND", string(readAt(b.T, f, 0, 1)), "!")
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags|unix.O_APPEND)
	must(b.T, err)
	_, err = unix.Pwrite(int(f.Fd()), []byte("?"), 0)
	must(b.T, err)
	equal(b.T, "length with O_APPEND again", fstat(b.T, f).Size, 7)
}

func ioSync(b bed) {
	for _, flags := range []int{unix.O_SYNC, unix.O_DSYNC, unix.O_SYNC | unix.O_APPEND, unix.O_SYNC | unix.O_DIRECT} {
		name := fmt.Sprintf("f%x", flags)
		f := open(b.T, b.at(name), os.O_RDWR|os.O_CREATE|flags)
		page := aligned(b, 4096)
		copy(page, "synchronous")
		for i := range 3 {
			_, err := f.Write(page)
			must(b.T, err)
			equal(b.T, "length", lstat(b.T, b.at(name)).Size, int64(4096*(i+1)))
		}
	}
}

// aligned gives memory as O_DIRECT wants it.
func aligned(b bed, n int) []byte {
	b.Helper()
	m, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	must(b.T, err)
	b.Cleanup(func() { _ = unix.Munmap(m) })
	return m
}

// ioDirect: direct and cached access see each other's data.
func ioDirect(b bed) {
	const n = 256 << 10
	cached := open(b.T, b.at("f"), os.O_RDWR|os.O_CREATE)
	direct := open(b.T, b.at("f"), os.O_RDWR|unix.O_DIRECT)
	buf := aligned(b, n)
	want := pattern(n, 1)
	writeAt(b.T, cached, 0, want)
	got, err := direct.ReadAt(buf, 0)
	must(b.T, err)
	equal(b.T, "direct read of a cached write", got == n && bytes.Equal(buf, want), true)
	for i := range 8 {
		copy(buf, pattern(4096, uint64(i+10)))
		copy(want[i*8192:], buf[:4096])
		writeAt(b.T, direct, int64(i)*8192, buf[:4096])
	}
	equal(b.T, "cached read of direct writes", bytes.Equal(readAt(b.T, cached, 0, n), want), true)
	must(b.T, cached.Truncate(10_000))
	got, _ = direct.ReadAt(buf, 8192) // ends with the file
	equal(b.T, "direct read at the end", got, 10_000-8192)
	equal(b.T, "what it read", bytes.Equal(buf[:got], want[8192:10_000]), true)
}

func ioOpenFlags(b bed) {
	b.file("f", "text", 0644)
	b.mkdir("d", 0755)
	must(b.T, os.Symlink("f", b.at("s")))
	must(b.T, os.Symlink("d", b.at("sd")))
	must(b.T, unix.Mknod(b.at("socket"), unix.S_IFSOCK|0644, 0))
	must(b.T, unix.Mkfifo(b.at("fifo"), 0644))
	for _, c := range []struct {
		path  string
		flags int
		want  syscall.Errno
	}{
		{"f", unix.O_DIRECTORY, syscall.ENOTDIR},
		{"s", unix.O_NOFOLLOW, syscall.ELOOP},
		{"s", unix.O_NOFOLLOW | unix.O_PATH, 0},
		{"sd", unix.O_DIRECTORY, 0},
		{"sd", unix.O_DIRECTORY | unix.O_NOFOLLOW, syscall.ENOTDIR},
		{"s", unix.O_CREAT | unix.O_NOFOLLOW | unix.O_RDWR, syscall.ELOOP},
		{"d", unix.O_RDWR, syscall.EISDIR},
		{"d", unix.O_WRONLY, syscall.EISDIR},
		{"d", unix.O_RDONLY | unix.O_TRUNC, syscall.EISDIR},
		{"d", unix.O_CREAT, syscall.EISDIR},
		{"d", unix.O_CREAT | unix.O_EXCL, syscall.EEXIST},
		{"d", unix.O_CREAT | unix.O_DIRECTORY, syscall.EINVAL},
		{"d/", unix.O_CREAT, syscall.EISDIR},
		{"new/", unix.O_CREAT, syscall.EISDIR},
		{"f/", unix.O_RDONLY, syscall.ENOTDIR},
		{"socket", unix.O_RDONLY, syscall.ENXIO},
		{"socket", unix.O_PATH, 0},
		{"fifo", unix.O_WRONLY, syscall.ENXIO}, // nobody reads; the call does not block
		{"fifo", unix.O_RDONLY, 0},
		{"fifo", unix.O_RDWR, 0},
		{"f", unix.O_TMPFILE | unix.O_RDWR, syscall.ENOTDIR},
		{"d", unix.O_TMPFILE, syscall.EINVAL},
		{"none", unix.O_TMPFILE | unix.O_RDWR, syscall.ENOENT},
		{"d", unix.O_TMPFILE | unix.O_RDWR, 0},
		{"f", unix.O_RDWR | unix.O_NOATIME, 0},
		{"f", unix.O_RDWR | unix.O_NOCTTY | unix.O_NONBLOCK, 0},
	} {
		b.no(fmt.Sprintf("open %s with %#x", c.path, c.flags), again(func() error { return openErr(b.at(c.path), c.flags) }), c.want)
	}
	holds(b.T, b.at("f"), "text")
	fd, err := unix.Open(b.at("f"), unix.O_PATH|unix.O_CLOEXEC, 0)
	must(b.T, err)
	defer unix.Close(fd) //nolint:errcheck // a path
	var st unix.Stat_t
	must(b.T, unix.Fstat(fd, &st))
	equal(b.T, "size by O_PATH", st.Size, 4)
	_, err = unix.Read(fd, make([]byte, 1))
	wantErr(b.T, "read by O_PATH", err, syscall.EBADF)
	wantErr(b.T, "fchmod by O_PATH", unix.Fchmod(fd, 0600), syscall.EBADF)
	must(b.T, openErr("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDWR))
	must(b.T, os.Rename(b.at("f"), b.at("d/g")))
	must(b.T, openErr("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDWR))
}

// ioUnlinked: what has no name any more but is open is a file in all respects.
func ioUnlinked(b bed) {
	for _, how := range []string{"unlink", "replaced"} {
		b.sub(how, func(b bed) {
			f := open(b.T, b.file("f", "before", 0644), os.O_RDWR)
			second := open(b.T, b.at("f"), os.O_RDONLY)
			if how == "unlink" {
				must(b.T, os.Remove(b.at("f")))
			} else {
				must(b.T, os.Rename(b.file("g", "other", 0644), b.at("f")))
			}
			links := 0
			if b.opt.KeptLinks {
				links = 1
			}
			equal(b.T, "links", int(fstat(b.T, f).Nlink), links)
			equal(b.T, "read", string(readAt(b.T, second, 0, 10)), "before")
			writeAt(b.T, f, 3, []byte("AFTER"))
			must(b.T, f.Sync())
			equal(b.T, "read what was written", string(readAt(b.T, second, 0, 10)), "befAFTER")
			must(b.T, f.Truncate(100_000))
			equal(b.T, "size", fstat(b.T, second).Size, 100_000)
			must(b.T, fallocate(f, 0, 0, 200_000))
			equal(b.T, "size", fstat(b.T, second).Size, 200_000)
			self := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
			times := []unix.Timespec{{Sec: 5}, {Sec: 6}}
			want := syscall.Errno(0)
			if b.opt.KeptLinks {
				want = syscall.EPERM
			}
			b.no("fchmod", f.Chmod(0600), want)
			b.no("utimens", unix.UtimesNanoAt(unix.AT_FDCWD, self, times, 0), want)
			if want == 0 {
				equal(b.T, "mode", fstat(b.T, second).Mode&07777, 0600)
				equal(b.T, "mtime", fstat(b.T, second).Mtim.Sec, 6)
			}
			if b.opt.KeptLinks {
				wantErr(b.T, "open for writing once more", openErr(self, unix.O_RDWR), syscall.EPERM)
				return
			}
			third := open(b.T, self, os.O_RDWR)
			equal(b.T, "read through a third descriptor", string(readAt(b.T, third, 0, 8)), "befAFTER")
			must(b.T, setlk(f, unix.F_WRLCK, 0, 0))
			wantErr(b.T, "lock by another descriptor", setlk(third, unix.F_WRLCK, 0, 0), syscall.EAGAIN)
			err := unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, b.at("back"), unix.AT_SYMLINK_FOLLOW)
			wantErr(b.T, "a name for what has none", err, syscall.ENOENT)
			must(b.T, f.Close())
			equal(b.T, "read after the first close", string(readAt(b.T, second, 0, 8)), "befAFTER")
			writeAt(b.T, third, 0, []byte("x"))
		})
	}
}

// ioTmpfile: files without a name, which get one or not.
func ioTmpfile(b bed) {
	tmp := func(flags int) *os.File {
		b.Helper()
		fd, err := unix.Open(b.dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC|flags, 0640)
		must(b.T, err)
		f := os.NewFile(uintptr(fd), "tmp")
		b.Cleanup(func() { _ = f.Close() })
		return f
	}
	link := func(f *os.File, name string) error {
		return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.AT_FDCWD, b.at(name), unix.AT_SYMLINK_FOLLOW)
	}
	b.touches("O_TMPFILE", map[string]string{".": ""}, func() error { tmp(0); return nil })
	f := tmp(0)
	equal(b.T, "links", fstat(b.T, f).Nlink, 0)
	writeAt(b.T, f, 0, []byte("data"))
	b.file("taken", "", 0644)
	wantErr(b.T, "link to a name that is taken", link(f, "taken"), syscall.EEXIST)
	must(b.T, link(f, "named"))
	must(b.T, link(f, "named2"))
	equal(b.T, "links", fstat(b.T, f).Nlink, 2)
	writeAt(b.T, f, 4, []byte(" and more"))
	must(b.T, f.Close())
	holds(b.T, b.at("named2"), "data and more")
	must(b.T, os.Remove(b.at("named2")))
	must(b.T, os.Remove(b.at("named")))
	f = tmp(unix.O_EXCL)
	wantErr(b.T, "a name for one that is to have none", link(f, "x"), syscall.ENOENT)
	writeAt(b.T, f, 0, make([]byte, 100_000))
	must(b.T, f.Close())
	left, err := filepath.Glob(b.at("*"))
	must(b.T, err)
	equal(b.T, "names", len(left), 1)
}

// ioWrongTypes: calls for files on what is none.
func ioWrongTypes(b bed) {
	d := open(b.T, b.mkdir("d", 0755), os.O_RDONLY)
	fd := int(d.Fd())
	buf := make([]byte, 10)
	_, err := unix.Read(fd, buf)
	wantErr(b.T, "read", err, syscall.EISDIR)
	_, err = unix.Pread(fd, buf, 0)
	wantErr(b.T, "pread", err, syscall.EISDIR)
	_, err = unix.Write(fd, buf)
	wantErr(b.T, "write", err, syscall.EBADF)
	wantErr(b.T, "ftruncate", unix.Ftruncate(fd, 0), syscall.EINVAL)
	wantErr(b.T, "truncate", unix.Truncate(b.at("d"), 0), syscall.EISDIR)
	must(b.T, unix.Fsync(fd))
	must(b.T, unix.Fdatasync(fd))
	f := open(b.T, b.file("f", "text", 0644), os.O_RDONLY)
	_, err = unix.Getdents(int(f.Fd()), make([]byte, 1000))
	wantErr(b.T, "getdents of a file", err, syscall.ENOTDIR)
	wantErr(b.T, "fchdir to a file", unix.Fchdir(int(f.Fd())), syscall.ENOTDIR)
	_, err = unix.Openat(int(f.Fd()), "x", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	wantErr(b.T, "openat below a file", err, syscall.ENOTDIR)
	must(b.T, unix.Mkfifo(b.at("fifo"), 0644))
	wantErr(b.T, "truncate of a FIFO", unix.Truncate(b.at("fifo"), 0), syscall.EINVAL)
	p := open(b.T, b.at("fifo"), os.O_RDWR)
	_, err = unix.Seek(int(p.Fd()), 0, 0)
	wantErr(b.T, "seek in a FIFO", err, syscall.ESPIPE)
	wantErr(b.T, "fallocate of a FIFO", fallocate(p, 0, 0, 1), syscall.ESPIPE)
	_, err = copyRange(f, 0, d, 0, 1)
	wantErr(b.T, "copy into a directory", err, syscall.EISDIR)
	_, err = unix.Readlink(b.at("f"), buf)
	wantErr(b.T, "readlink of a file", err, syscall.EINVAL)
	_, err = unix.Readlink(b.at("d"), buf)
	wantErr(b.T, "readlink of a directory", err, syscall.EINVAL)
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

// ioReplaced: who opens a name while another file is moved there gets the old file or the new one, whole.
func ioReplaced(b bed) {
	const rounds = 100
	b.file("f", "0000000000", 0644)
	opening, done := make(chan int), make(chan error, 1)
	go func() {
		var err error
		for i := range opening {
			if err == nil {
				err = os.WriteFile(b.at("tmp"), bytes.Repeat([]byte{byte('0' + i%10)}, 10), 0644)
			}
			if err == nil {
				err = os.Rename(b.at("tmp"), b.at("f"))
			}
		}
		done <- err
	}()
	for i := range rounds {
		opening <- i
		for range 3 { // of which one meets the rename
			f, err := os.OpenFile(b.at("f"), os.O_RDONLY|i%2*os.O_CREATE, 0644)
			if err != nil {
				b.Error(err)
				break
			}
			got := readAt(b.T, f, 0, 20)
			if len(got) != 10 || !bytes.Equal(got, bytes.Repeat(got[:1], 10)) {
				b.Errorf("read %q", got)
			}
			must(b.T, f.Close())
			if _, err := os.Stat(b.at("f")); err != nil {
				b.Error(err)
			}
		}
	}
	close(opening)
	must(b.T, <-done)
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
	dup, err := unix.Dup(fd)
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
