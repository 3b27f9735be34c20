package fstest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

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
