package fstest

import (
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Prepare makes what RunReadOnly looks at. dir is an empty directory.
func Prepare(t *testing.T, dir string) {
	b := bed{t, dir, &Options{}}
	b.file("f", "text", 0666)
	b.file("g", "other", 0666)
	b.mkdir("d", 0777)
	b.mkdir("empty", 0777)
	b.file("d/x", "below", 0666)
	must(t, os.Symlink("f", b.at("s")))
	must(t, unix.Mkfifo(b.at("fifo"), 0666))
	must(t, setxattr(b.at("f"), "user.a", "value", 0))
}

// RunReadOnly checks a directory that Prepare has filled and that cannot be changed: all can be read, and every change
// ends with EROFS.
func RunReadOnly(t *testing.T, dir string) {
	b := bed{t, dir, &Options{}}
	before := names(t, dir)
	at := b.at
	for name, do := range map[string]func() error{
		"open-write":  func() error { return openErr(at("f"), unix.O_WRONLY) },
		"open-both":   func() error { return openErr(at("f"), unix.O_RDWR) },
		"open-append": func() error { return openErr(at("f"), unix.O_WRONLY|unix.O_APPEND) },
		"open-trunc":  func() error { return openErr(at("f"), unix.O_RDONLY|unix.O_TRUNC) },
		"create":      func() error { return openErr(at("new"), unix.O_RDONLY|unix.O_CREAT) },
		"tmpfile":     func() error { return openErr(dir, unix.O_TMPFILE|unix.O_RDWR) },
		"truncate":    func() error { return unix.Truncate(at("f"), 0) },
		"mkdir":       func() error { return unix.Mkdir(at("new"), 0755) },
		"mkfifo":      func() error { return unix.Mkfifo(at("new"), 0755) },
		"mknod":       func() error { return unix.Mknod(at("new"), unix.S_IFREG|0644, 0) },
		"symlink":     func() error { return unix.Symlink("x", at("new")) },
		"link":        func() error { return unix.Link(at("f"), at("new")) },
		"unlink":      func() error { return unix.Unlink(at("f")) },
		"rmdir":       func() error { return unix.Rmdir(at("empty")) },
		"rename":      func() error { return unix.Rename(at("f"), at("new")) },
		"rename-over": func() error { return unix.Rename(at("f"), at("g")) },
		"exchange":    func() error { return renameat2(at("f"), at("g"), unix.RENAME_EXCHANGE) },
		"chmod":       func() error { return unix.Chmod(at("f"), 0600) },
		"chown":       func() error { return unix.Chown(at("f"), os.Geteuid(), -1) },
		"utimens":     func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, at("f"), nil, 0) },
		"setxattr":    func() error { return setxattr(at("f"), "user.a", "new", 0) },
		"removexattr": func() error { return unix.Lremovexattr(at("f"), "user.a") },
		"access":      func() error { return unix.Access(at("f"), unix.W_OK) },
		"access-dir":  func() error { return unix.Access(at("d"), unix.W_OK) },
	} {
		t.Run(name, func(t *testing.T) { wantErr(t, name, again(do), syscall.EROFS) })
	}
	// What is there, or is not, comes first.
	for name, c := range map[string]struct {
		do   func() error
		want syscall.Errno
	}{
		"mkdir-there":  {func() error { return unix.Mkdir(at("d"), 0755) }, syscall.EEXIST},
		"create-there": {func() error { return openErr(at("f"), unix.O_RDONLY|unix.O_CREAT) }, 0},
		"create-below": {func() error { return openErr(at("f/x"), unix.O_RDONLY|unix.O_CREAT) }, syscall.ENOTDIR},
		"open-missing": {func() error { return openErr(at("none"), unix.O_WRONLY) }, syscall.ENOENT},
		"fifo-write":   {func() error { return openErr(at("fifo"), unix.O_RDWR) }, 0},
		"access-read":  {func() error { return unix.Access(at("f"), unix.R_OK) }, 0},
	} {
		t.Run(name, func(t *testing.T) { bed{t, dir, b.opt}.no(name, again(c.do), c.want) })
	}
	t.Run("reading", func(t *testing.T) {
		holds(t, at("f"), "text")
		holds(t, at("s"), "text")
		holds(t, at("d/x"), "below")
		value, err := getxattr(at("f"), "user.a")
		must(t, err)
		equal(t, "attribute", value, "value")
		f := open(t, at("f"), os.O_RDONLY)
		must(t, flock(f, unix.LOCK_EX))
		must(t, setlk(f, unix.F_RDLCK, 0, 1))
		wantErr(t, "fchmod", again(func() error { return unix.Fchmod(int(f.Fd()), 0600) }), syscall.EROFS)
		equal(t, "names", len(names(t, dir)), len(before))
	})
}
