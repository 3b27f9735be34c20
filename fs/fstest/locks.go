package fstest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var lockTests = []test{
	{"flock", lockFlock}, {"flock-close", lockFlockClose}, {"ranges", lockRanges}, {"query", lockQuery},
	{"close", lockClose}, {"wait", lockWait}, {"unlinked", lockUnlinked},
}

func flock(f *os.File, how int) error {
	return again(func() error { return unix.Flock(int(f.Fd()), how) })
}

// setlk sets a lock of the open file description, so that two of them in one process exclude each other.
func setlk(f *os.File, typ int16, start, n int64) error {
	l := unix.Flock_t{Type: typ, Start: start, Len: n}
	return again(func() error { return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l) })
}

func setlkw(f *os.File, typ int16, start, n int64) error {
	l := unix.Flock_t{Type: typ, Start: start, Len: n}
	return again(func() error { return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLKW, &l) })
}

// pair opens a new file twice.
func pair(t *testing.T, dir string) (a, b *os.File) {
	path := filepath.Join(dir, "f")
	return open(t, path, os.O_RDWR|os.O_CREATE), open(t, path, os.O_RDWR)
}

func lockFlock(t *testing.T, dir string) {
	a, b := pair(t, dir)
	must(t, flock(a, unix.LOCK_SH))
	must(t, flock(b, unix.LOCK_SH|unix.LOCK_NB))
	wantErr(t, "upgrade under a shared lock", flock(b, unix.LOCK_EX|unix.LOCK_NB), syscall.EWOULDBLOCK)
	must(t, flock(a, unix.LOCK_UN))
	must(t, flock(b, unix.LOCK_EX|unix.LOCK_NB))
	wantErr(t, "shared under an exclusive lock", flock(a, unix.LOCK_SH|unix.LOCK_NB), syscall.EWOULDBLOCK)
	must(t, flock(b, unix.LOCK_SH))
	must(t, flock(a, unix.LOCK_SH|unix.LOCK_NB))
}

func lockFlockClose(t *testing.T, dir string) {
	a, b := pair(t, dir)
	must(t, flock(a, unix.LOCK_EX))
	must(t, a.Close())
	must(t, flock(b, unix.LOCK_EX))
}

func lockRanges(t *testing.T, dir string) {
	a, b := pair(t, dir)
	must(t, setlk(a, unix.F_WRLCK, 10, 20))
	must(t, setlk(a, unix.F_RDLCK, 15, 5))
	must(t, setlk(b, unix.F_RDLCK, 15, 5))
	wantErr(t, "write over a read lock", setlk(b, unix.F_WRLCK, 15, 5), syscall.EAGAIN)
	wantErr(t, "read over the part before", setlk(b, unix.F_RDLCK, 14, 1), syscall.EAGAIN)
	wantErr(t, "read over the part behind", setlk(b, unix.F_RDLCK, 20, 1), syscall.EAGAIN)
	must(t, setlk(a, unix.F_UNLCK, 22, 2))
	must(t, setlk(b, unix.F_WRLCK, 22, 2))
	wantErr(t, "write over what is left", setlk(b, unix.F_WRLCK, 24, 1), syscall.EAGAIN)
	must(t, setlk(a, unix.F_UNLCK, 0, 0))
	must(t, setlk(b, unix.F_WRLCK, 0, 0))
	wantErr(t, "far behind", setlk(a, unix.F_RDLCK, 1<<40, 1), syscall.EAGAIN)
}

func lockQuery(t *testing.T, dir string) {
	a, b := pair(t, dir)
	must(t, setlk(a, unix.F_WRLCK, 10, 5))
	query := func(f *os.File, start, n int64) unix.Flock_t {
		t.Helper()
		l := unix.Flock_t{Type: unix.F_RDLCK, Start: start, Len: n}
		must(t, again(func() error { return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l) }))
		return l
	}
	got := query(b, 0, 0)
	if got.Type != unix.F_WRLCK || got.Start != 10 || got.Len != 5 {
		t.Errorf("lock in the way: %+v", got)
	}
	equal(t, "nothing in the way of others", query(b, 15, 5).Type, unix.F_UNLCK)
	equal(t, "nothing in the way of its owner", query(a, 0, 0).Type, unix.F_UNLCK)
}

// lockClose: a lock of an open file description lasts until its last descriptor is closed, one of the process until
// the first.
func lockClose(t *testing.T, dir string) {
	a, b := pair(t, dir)
	must(t, setlk(a, unix.F_WRLCK, 0, 1))
	must(t, a.Close())
	must(t, setlkw(b, unix.F_WRLCK, 0, 1))
	must(t, setlk(b, unix.F_UNLCK, 0, 1))

	own := unix.Flock_t{Type: unix.F_RDLCK, Len: 1}
	r1, r2 := open(t, b.Name(), os.O_RDONLY), open(t, b.Name(), os.O_RDONLY)
	must(t, unix.FcntlFlock(r1.Fd(), unix.F_SETLK, &own))
	wantErr(t, "locked by the process", setlk(b, unix.F_WRLCK, 0, 1), syscall.EAGAIN)
	must(t, r2.Close())
	must(t, setlk(b, unix.F_WRLCK, 0, 1))
}

func lockWait(t *testing.T, dir string) {
	a, b := pair(t, dir)
	must(t, flock(a, unix.LOCK_EX))
	must(t, setlk(a, unix.F_WRLCK, 0, 10))
	got := make(chan error, 2)
	go func() { got <- flock(b, unix.LOCK_SH) }()
	go func() { got <- setlkw(b, unix.F_RDLCK, 9, 1) }()
	must(t, setlk(a, unix.F_UNLCK, 9, 1))
	must(t, flock(a, unix.LOCK_UN))
	for range cap(got) {
		must(t, <-got)
	}
}

func lockUnlinked(t *testing.T, dir string) {
	a, b := pair(t, dir)
	must(t, flock(a, unix.LOCK_EX))
	must(t, os.Remove(a.Name()))
	wantErr(t, "lock of an unlinked file", flock(b, unix.LOCK_SH|unix.LOCK_NB), syscall.EWOULDBLOCK)
	must(t, flock(a, unix.LOCK_UN))
	must(t, flock(b, unix.LOCK_EX|unix.LOCK_NB))
}
