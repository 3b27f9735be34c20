package fstest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

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
