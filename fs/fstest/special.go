package fstest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

var specialCases = cases{
	{"fifo", specialFIFO}, {"socket", specialSocket}, {"device-numbers", specialDevices}, {"contest", specialContest},
	{"crossing-renames", specialCrossing}, {"make-and-remove", specialMakeRemove}, {"links-and-unlinks", specialLinks},
}

// specialFIFO: bytes go through a FIFO, and it can be removed while they do.
func specialFIFO(b bed) {
	must(b.T, unix.Mkfifo(b.at("fifo"), 0600))
	data := pattern(200_000, 3)
	sent := make(chan error, 1)
	go func() {
		w, err := os.OpenFile(b.at("fifo"), os.O_WRONLY, 0)
		if err == nil {
			_, err = w.Write(data)
			err = errors.Join(err, w.Close())
		}
		sent <- err
	}()
	r := open(b.T, b.at("fifo"), os.O_RDONLY)
	must(b.T, os.Remove(b.at("fifo")))
	got, err := io.ReadAll(r)
	must(b.T, err)
	must(b.T, <-sent)
	equal(b.T, "bytes through the FIFO", string(got) == string(data), true)
	st := fstat(b.T, r)
	equal(b.T, "type of a removed FIFO", st.Mode&unix.S_IFMT, unix.S_IFIFO)
}

// specialSocket: a socket is bound to a name, found by it, and not any more when that is gone.
func specialSocket(b bed) {
	if !isRoot() {
		return // only root gives a thread a directory of its own, and paths of sockets are short
	}
	inDir(b, b.dir, func() {
		addr := &net.UnixAddr{Name: "socket", Net: "unix"}
		l, err := net.ListenUnix("unix", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer l.Close() //nolint:errcheck // a socket
		l.SetUnlinkOnClose(false)
		equal(b.T, "type", lstat(b.T, b.at("socket")).Mode&unix.S_IFMT, unix.S_IFSOCK)
		_, err = net.ListenUnix("unix", addr)
		wantErr(b.T, "bind to a name that is taken", err, syscall.EADDRINUSE)
		b.no("rename", unix.Rename("socket", "moved"), 0)
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: "moved", Net: "unix"})
		if err != nil {
			b.Error("connect:", err)
			return
		}
		_, err = c.Write([]byte("hello"))
		b.no("write", err, 0)
		_ = c.Close()
		s, err := l.Accept()
		b.no("accept", err, 0)
		text, err := io.ReadAll(s)
		b.no("read", err, 0)
		_ = s.Close()
		equal(b.T, "text", string(text), "hello")
		b.no("unlink", unix.Unlink("moved"), 0)
		_, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: "moved", Net: "unix"})
		wantErr(b.T, "connect to nothing", err, syscall.ENOENT)
		b.no("a file", openErr("file", unix.O_CREAT|unix.O_RDWR), 0)
		_, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: "file", Net: "unix"})
		wantErr(b.T, "connect to a file", err, syscall.ECONNREFUSED)
	})
}

func specialDevices(b bed) {
	if !isRoot() {
		return // only root makes devices
	}
	for i, dev := range [][2]uint32{{0, 0}, {1, 3}, {8, 255}, {255, 255}, {259, 70_000}, {4095, 1<<20 - 1}} {
		for _, typ := range []uint32{unix.S_IFCHR, unix.S_IFBLK} {
			path := b.at(fmt.Sprintf("%d-%o", i, typ))
			number := unix.Mkdev(dev[0], dev[1])
			err := unix.Mknod(path, typ|0600, int(number))
			if b.opt.SignedIDs && number >= 1<<31 {
				b.no("a large number", err, syscall.EINVAL)
				continue
			}
			must(b.T, err)
			st := lstat(b.T, path)
			equal(b.T, "number", [2]uint32{unix.Major(st.Rdev), unix.Minor(st.Rdev)}, dev)
			equal(b.T, "type and mode", st.Mode, typ|0600)
		}
	}
}

// many runs fn n times at once and returns how many succeeded. Failures must have one of the numbers.
func (b bed) many(n int, fn func(i int) error, allowed ...syscall.Errno) int {
	b.Helper()
	results := make(chan error, n)
	for i := range n {
		go func() { results <- again(func() error { return fn(i) }) }()
	}
	won := 0
	for range n {
		err := <-results
		ok := err == nil
		if ok {
			won++
		}
		for _, no := range allowed {
			ok = ok || errors.Is(err, no)
		}
		if !ok {
			b.Error(err)
		}
	}
	return won
}

// specialContest: of many who want what only one can have, one gets it.
func specialContest(b bed) {
	const rounds, n = 8, 6
	for round := range rounds {
		at := func(s string, i ...any) string { return b.at(fmt.Sprint(round, s) + fmt.Sprint(i...)) }
		for i := range n {
			b.file(fmt.Sprint(round, "f", i), "", 0644)
		}
		for what, won := range map[string]int{
			"create":  b.many(n, func(int) error { return openErr(at("c"), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR) }, syscall.EEXIST),
			"mkdir":   b.many(n, func(int) error { return unix.Mkdir(at("d"), 0755) }, syscall.EEXIST),
			"symlink": b.many(n, func(i int) error { return unix.Symlink(fmt.Sprint(i), at("s")) }, syscall.EEXIST),
			"link":    b.many(n, func(i int) error { return unix.Link(at("f", i), at("l")) }, syscall.EEXIST),
			"no-replace": b.many(n, func(i int) error {
				return unix.Renameat2(unix.AT_FDCWD, at("f", i), unix.AT_FDCWD, at("r"), unix.RENAME_NOREPLACE)
			}, syscall.EEXIST),
			"rename": b.many(n, func(i int) error { return unix.Rename(at("c"), at("to", i)) }, syscall.ENOENT),
			"rmdir":  b.many(n, func(int) error { return unix.Rmdir(at("d")) }, syscall.ENOENT),
			"unlink": b.many(n, func(int) error { return unix.Unlink(at("s")) }, syscall.ENOENT),
		} {
			equal(b.T, what+": winners", won, 1)
		}
		moved, err := filepath.Glob(at("to") + "*")
		must(b.T, err)
		equal(b.T, "places of what was renamed", len(moved), 1)
	}
}

// specialCrossing: directories that are moved into each other at once do not vanish in a circle.
func specialCrossing(b bed) {
	for round := range 10 {
		dirs := []string{"a", "b", "c"}
		for _, d := range dirs {
			b.mkdir(d, 0755)
		}
		b.many(3, func(i int) error { return unix.Rename(b.at(dirs[i]), b.at(dirs[(i+1)%3]+"/in")) }, syscall.ENOENT, syscall.EINVAL)
		found := 0
		must(b.T, filepath.WalkDir(b.dir, func(_ string, e os.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				found++
			}
			return err
		}))
		equal(b.T, fmt.Sprintf("directories after round %d", round), found, 4)
		for _, d := range dirs {
			must(b.T, os.RemoveAll(b.at(d)))
		}
	}
}

// specialMakeRemove: what is made in a directory that somebody removes is there with it, or was not made.
func specialMakeRemove(b bed) {
	for round := range 15 {
		b.mkdir("d", 0755)
		removed := false
		made := b.many(2, func(i int) error {
			if i == 0 {
				err := unix.Rmdir(b.at("d"))
				removed = err == nil
				return err
			}
			return openErr(b.at("d/f"), unix.O_CREAT|unix.O_RDWR)
		}, syscall.ENOENT, syscall.ENOTEMPTY)
		if made != 1 {
			b.Errorf("round %d: %d of two succeeded, removed: %v", round, made, removed)
		}
		if !removed {
			lstat(b.T, b.at("d/f"))
		}
		must(b.T, os.RemoveAll(b.at("d")))
	}
}

// specialLinks: a count of links is right after many changes at once.
func specialLinks(b bed) {
	b.file("f", "", 0644)
	const n, each = 5, 12
	equal(b.T, "workers", b.many(n, func(w int) error {
		var err error
		for i := range each {
			name := b.at(fmt.Sprintf("l-%d-%d", w, i))
			if err == nil {
				err = again(func() error { return unix.Link(b.at("f"), name) })
			}
			if err == nil && i%2 == 0 {
				err = again(func() error { return unix.Unlink(name) })
			}
		}
		return err
	}), n)
	equal(b.T, "links", lstat(b.T, b.at("f")).Nlink, 1+n*each/2)
	equal(b.T, "names", strings.Count(strings.Join(names(b.T, b.dir), " "), "l-"), n*each/2)
}
