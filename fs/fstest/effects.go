package fstest

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var effectCases = cases{
	{"made", effectMade}, {"names", effectNames}, {"data", effectData}, {"attributes", effectAttr}, {"reading", effectReading},
	{"failed", effectFailed}, {"range", effectRange}, {"order", effectOrder},
}

// effectMade: what is made has its times at once, and its directory is changed by it.
func effectMade(b bed) {
	b.ofKinds(func(b bed, kind string, _ uint32, mk func(string) error) {
		b.mkdir("d", 0755)
		b.touches("make a "+kind, map[string]string{"d": "mc", ".": ""}, func() error { return mk(b.at("d/x")) })
		st, dir := lstat(b.T, b.at("d/x")), lstat(b.T, b.at("d"))
		if st.Atim != st.Mtim || st.Mtim != st.Ctim {
			b.Errorf("times of a new %s differ: %v %v %v", kind, st.Atim, st.Mtim, st.Ctim)
		}
		if d := dir.Mtim.Nano() - st.Mtim.Nano(); d < -int64(time.Second) || d > int64(time.Second) {
			b.Errorf("the directory changed at %v, the entry at %v", dir.Mtim, st.Mtim)
		}
		equal(b.T, "owner", st.Uid, uint32(os.Geteuid()))
	})
	b.sub("open", func(b bed) {
		b.file("f", "text", 0644)
		b.touches("open with O_CREAT what is there", map[string]string{"f": "", ".": ""}, func() error {
			return openErr(b.at("f"), unix.O_CREAT|unix.O_RDWR)
		})
		b.touches("open with O_TRUNC", map[string]string{"f": "mc", ".": ""}, func() error {
			return openErr(b.at("f"), unix.O_TRUNC|unix.O_RDWR)
		})
	})
}

// effectNames: removing, linking and renaming each type.
func effectNames(b bed) {
	b.ofKinds(func(b bed, kind string, typ uint32, mk func(string) error) {
		b.mkdir("d", 0755)
		b.mkdir("e", 0755)
		must(b.T, mk(b.at("d/x")))
		if typ != unix.S_IFDIR {
			b.touches("link", map[string]string{"d": "", "e": "mc", "d/x": "c"}, func() error { return unix.Link(b.at("d/x"), b.at("e/y")) })
			equal(b.T, "links", lstat(b.T, b.at("e/y")).Nlink, 2)
			b.touches("unlink one name", map[string]string{"d": "", "e": "mc", "d/x": "c"}, func() error { return unix.Unlink(b.at("e/y")) })
			equal(b.T, "links", lstat(b.T, b.at("d/x")).Nlink, 1)
		}
		ino := lstat(b.T, b.at("d/x")).Ino
		b.touches("rename within a directory", map[string]string{"d": "mc", "e": ""}, func() error { return unix.Rename(b.at("d/x"), b.at("d/y")) })
		b.touches("rename to another directory", map[string]string{"d": "mc", "e": "mc"}, func() error { return unix.Rename(b.at("d/y"), b.at("e/y")) })
		equal(b.T, "inode", lstat(b.T, b.at("e/y")).Ino, ino)
		gone(b.T, b.at("d/y"))
		gone(b.T, b.at("d/x"))
		must(b.T, mk(b.at("d/over")))
		b.touches("rename over another", map[string]string{"d": "mc", "e": "mc"}, func() error { return unix.Rename(b.at("e/y"), b.at("d/over")) })
		equal(b.T, "inode", lstat(b.T, b.at("d/over")).Ino, ino)
		remove := unix.Unlink
		if typ == unix.S_IFDIR {
			remove = unix.Rmdir
		}
		b.touches("remove", map[string]string{"d": "mc", "e": "", ".": ""}, func() error { return remove(b.at("d/over")) })
		gone(b.T, b.at("d/over"))
	})
}

// effectData: changes of contents.
func effectData(b bed) {
	b.file("f", "0123456789", 0644)
	f := open(b.T, b.at("f"), os.O_RDWR)
	do := func(what, want string, fn func() error) {
		b.Helper()
		b.touches(what, map[string]string{"f": want, ".": ""}, fn)
	}
	do("write", "mc", func() error { _, err := f.WriteAt([]byte("x"), 3); return err })
	do("write behind the end", "mc", func() error { _, err := f.WriteAt([]byte("x"), 300); return err })
	do("empty write", "", func() error { _, err := unix.Pwrite(int(f.Fd()), nil, 5); return err })
	do("fsync", "", f.Sync)
	do("truncate down", "mc", func() error { return unix.Truncate(b.at("f"), 20) })
	do("truncate up", "mc", func() error { return unix.Truncate(b.at("f"), 200) })
	do("ftruncate", "mc", func() error { return unix.Ftruncate(int(f.Fd()), 30) })
	same := "mc"
	if b.opt.QuietAttr {
		same = ""
	}
	do("truncate to the same length", same, func() error { return unix.Truncate(b.at("f"), 30) })
	do("fallocate", "mc", func() error { return fallocate(f, 0, 0, 5000) })
	do("punch a hole", "mc", func() error {
		return fallocate(f, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 10, 10)
	})
	in := open(b.T, b.file("in", "data", 0644), os.O_RDONLY)
	do("copy into", "mc", func() error { _, err := copyRange(in, 0, f, 0, 4); return err })
}

// effectAttr: changes of attributes.
func effectAttr(b bed) {
	b.ofKinds(func(b bed, kind string, typ uint32, mk func(string) error) {
		must(b.T, mk(b.at("x")))
		idle := "c"
		if b.opt.QuietAttr {
			idle = ""
		}
		if typ != unix.S_IFLNK {
			b.touches("chmod", map[string]string{"x": "c", ".": ""}, func() error { return unix.Chmod(b.at("x"), 0711) })
			b.touches("chmod to the same", map[string]string{"x": idle, ".": ""}, func() error { return unix.Chmod(b.at("x"), 0711) })
		}
		if isRoot() {
			b.touches("chown", map[string]string{"x": "c", ".": ""}, func() error { return unix.Lchown(b.at("x"), 12, 34) })
			b.touches("chown of the group", map[string]string{"x": "c", ".": ""}, func() error { return unix.Lchown(b.at("x"), -1, 35) })
			b.touches("chown to the same", map[string]string{"x": idle, ".": ""}, func() error { return unix.Lchown(b.at("x"), 12, 35) })
		}
		set := func(a, m unix.Timespec) func() error {
			return func() error {
				return unix.UtimesNanoAt(unix.AT_FDCWD, b.at("x"), []unix.Timespec{a, m}, unix.AT_SYMLINK_NOFOLLOW)
			}
		}
		omit, now := unix.Timespec{Nsec: unix.UTIME_OMIT}, unix.Timespec{Nsec: unix.UTIME_NOW}
		b.touches("utimens", map[string]string{"x": "amc", ".": ""}, set(unix.Timespec{Sec: 5}, unix.Timespec{Sec: 6}))
		b.touches("utimens of atime", map[string]string{"x": "ac", ".": ""}, set(unix.Timespec{Sec: 7}, omit))
		b.touches("utimens of mtime", map[string]string{"x": "mc", ".": ""}, set(omit, unix.Timespec{Sec: 8}))
		b.touches("utimens of nothing", map[string]string{"x": "", ".": ""}, set(omit, omit))
		b.touches("utimens to now", map[string]string{"x": "amc", ".": ""}, set(now, now))
	})
}

// effectReading: reading changes the access time, if anything, and the rest never.
func effectReading(b bed) {
	read := "a"
	var fs unix.Statfs_t
	must(b.T, again(func() error { return unix.Statfs(b.dir, &fs) }))
	if b.opt.NoAtime || fs.Flags&unix.ST_NOATIME != 0 {
		read = ""
	}
	b.file("f", "text", 0644)
	must(b.T, os.Symlink("f", b.at("s")))
	b.mkdir("d", 0755)
	b.touches("read", map[string]string{"f": read, ".": ""}, func() error { _, err := os.ReadFile(b.at("f")); return err })
	b.touches("read with O_NOATIME", map[string]string{"f": "", ".": ""}, func() error {
		f, err := os.OpenFile(b.at("f"), unix.O_NOATIME, 0)
		if err == nil {
			_, err = f.Read(make([]byte, 4))
			_ = f.Close()
		}
		return err
	})
	b.touches("stat", map[string]string{"f": "", ".": ""}, func() error { _, err := os.Stat(b.at("f")); return err })
	b.touches("readlink", map[string]string{"s": read}, func() error { _, err := os.Readlink(b.at("s")); return err })
	dirRead := read
	b.touches("readdir", map[string]string{"d": dirRead}, func() error { _, err := os.ReadDir(b.at("d")); return err })
	b.touches("open and close", map[string]string{"f": ""}, func() error { return openErr(b.at("f"), unix.O_RDWR) })
}

// effectFailed: what fails changes nothing.
func effectFailed(b bed) {
	b.file("f", "text", 0644)
	b.mkdir("d", 0755)
	b.file("d/x", "", 0644)
	b.mkdir("e", 0755)
	for what, c := range map[string]struct {
		do   func() error
		want syscall.Errno
	}{
		"mkdir":     {func() error { return unix.Mkdir(b.at("d"), 0755) }, syscall.EEXIST},
		"rmdir":     {func() error { return unix.Rmdir(b.at("d")) }, syscall.ENOTEMPTY},
		"unlink":    {func() error { return unix.Unlink(b.at("d")) }, syscall.EISDIR},
		"link":      {func() error { return unix.Link(b.at("f"), b.at("d/x")) }, syscall.EEXIST},
		"link-dir":  {func() error { return unix.Link(b.at("d"), b.at("e/d")) }, syscall.EPERM},
		"rename":    {func() error { return unix.Rename(b.at("e"), b.at("d")) }, syscall.ENOTEMPTY},
		"rename-in": {func() error { return unix.Rename(b.at("d"), b.at("d/y")) }, syscall.EINVAL},
		"truncate":  {func() error { return unix.Truncate(b.at("f"), -5) }, syscall.EINVAL},
		"create":    {func() error { return openErr(b.at("f"), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_TRUNC) }, syscall.EEXIST},
	} {
		b.touches(what, map[string]string{"f": "", "d": "", "d/x": "", "e": "", ".": ""}, func() error {
			if err := again(c.do); err != c.want { //nolint:errorlint // calls of package unix give numbers
				return fmt.Errorf("got error %w, want %w", err, c.want)
			}
			return nil
		})
	}
	holds(b.T, b.at("f"), "text")
}

// effectRange: times far away and to the nanosecond are kept, also over a new look at the file.
func effectRange(b bed) {
	b.ofKinds(func(b bed, _ string, _ uint32, mk func(string) error) {
		must(b.T, mk(b.at("x")))
		for _, at := range []time.Time{
			time.Date(1901, 12, 14, 0, 0, 0, 1, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
			time.Unix(0, 0), time.Unix(1, 0), time.Unix(1<<31-1, 5), time.Unix(1<<31, 6), time.Unix(1<<32, 7),
			time.Date(2106, 2, 7, 6, 28, 16, 0, time.UTC), time.Date(2400, 1, 1, 0, 0, 0, 123_456_789, time.UTC),
		} {
			ts := unix.Timespec{Sec: at.Unix(), Nsec: int64(at.Nanosecond())}
			other := unix.Timespec{Sec: 1_000_000_000 - at.Unix()/10, Nsec: 5}
			must(b.T, unix.UtimesNanoAt(unix.AT_FDCWD, b.at("x"), []unix.Timespec{other, ts}, unix.AT_SYMLINK_NOFOLLOW))
			st := lstat(b.T, b.at("x"))
			equal(b.T, "mtime", st.Mtim, ts)
			equal(b.T, "atime", st.Atim, other)
		}
		bad := []unix.Timespec{{Nsec: 1_000_000_000}, {}}
		wantErr(b.T, "a thousand million nanoseconds", unix.UtimesNanoAt(unix.AT_FDCWD, b.at("x"), bad, unix.AT_SYMLINK_NOFOLLOW), syscall.EINVAL)
		bad[0].Nsec = -1
		wantErr(b.T, "less than no nanoseconds", unix.UtimesNanoAt(unix.AT_FDCWD, b.at("x"), bad, unix.AT_SYMLINK_NOFOLLOW), syscall.EINVAL)
	})
}

// effectOrder: times of one file never go back.
func effectOrder(b bed) {
	f := open(b.T, b.at("f"), os.O_RDWR|os.O_CREATE)
	last := fstat(b.T, f)
	for i := range 40 {
		switch i % 4 {
		case 0:
			writeAt(b.T, f, int64(i), []byte("x"))
		case 1:
			must(b.T, f.Sync())
		case 2:
			must(b.T, f.Chmod(os.FileMode(0600+i%8)))
		case 3:
			must(b.T, f.Truncate(int64(i)))
		}
		st := lstat(b.T, b.at("f"))
		if st.Ctim.Nano() < last.Ctim.Nano() || st.Mtim.Nano() < last.Mtim.Nano() {
			b.Errorf("step %d: mtime from %v to %v, ctime from %v to %v", i, last.Mtim, st.Mtim, last.Ctim, st.Ctim)
		}
		last = st
	}
}
