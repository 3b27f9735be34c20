package fstest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var xattrTests = []test{{"values", xattrValues}, {"errors", xattrErrors}}

var systemTests = []test{{"statfs", systemStatfs}, {"access", systemAccess}, {"locks", systemLocks}, {"ioctl", systemIoctl}}

var parallelTests = []test{{"files", parallelFiles}, {"one-file", parallelOneFile}, {"create-races", parallelCreate}}

// hasXattr says whether attributes are offered; if not, the answer must say so.
func hasXattr(t *testing.T, path string) bool {
	t.Helper()
	err := unix.Lsetxattr(path, "user.probe", []byte("x"), 0)
	if err == nil {
		must(t, unix.Lremovexattr(path, "user.probe"))
		return true
	}
	wantErr(t, "setxattr", err, syscall.EOPNOTSUPP)
	_, err = unix.Lgetxattr(path, "user.probe", nil)
	wantErr(t, "getxattr", err, syscall.EOPNOTSUPP)
	return false
}

func xattrValues(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	write(t, path, "")
	if !hasXattr(t, path) {
		return
	}
	values := map[string]string{"user.a": "value", "user.empty": "", "user.binary": "\x00\xff\x00", "user.long": strings.Repeat("v", 2000)}
	for name, v := range values {
		must(t, unix.Lsetxattr(path, name, []byte(v), 0))
	}
	for name, v := range values {
		n, err := unix.Lgetxattr(path, name, nil)
		must(t, err)
		equal(t, "size of "+name, n, len(v))
		buf := make([]byte, n+10)
		n, err = unix.Lgetxattr(path, name, buf)
		must(t, err)
		equal(t, "value of "+name, string(buf[:n]), v)
	}
	listed := func() []string {
		buf := make([]byte, 4096)
		n, err := unix.Llistxattr(path, buf)
		must(t, err)
		all := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
		all = slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, "user.") })
		slices.Sort(all)
		return all
	}
	equal(t, "list", strings.Join(listed(), " "), "user.a user.binary user.empty user.long")
	must(t, unix.Lremovexattr(path, "user.binary"))
	equal(t, "list after removal", strings.Join(listed(), " "), "user.a user.empty user.long")
}

func xattrErrors(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	write(t, path, "")
	if !hasXattr(t, path) {
		return
	}
	must(t, unix.Lsetxattr(path, "user.a", []byte("value"), unix.XATTR_CREATE))
	wantErr(t, "create again", unix.Lsetxattr(path, "user.a", nil, unix.XATTR_CREATE), syscall.EEXIST)
	wantErr(t, "replace what is missing", unix.Lsetxattr(path, "user.b", nil, unix.XATTR_REPLACE), syscall.ENODATA)
	wantErr(t, "remove what is missing", unix.Lremovexattr(path, "user.b"), syscall.ENODATA)
	_, err := unix.Lgetxattr(path, "user.b", nil)
	wantErr(t, "get what is missing", err, syscall.ENODATA)
	_, err = unix.Lgetxattr(path, "user.a", make([]byte, 2))
	wantErr(t, "get into a small buffer", err, syscall.ERANGE)
	_, err = unix.Llistxattr(path, make([]byte, 2))
	wantErr(t, "list into a small buffer", err, syscall.ERANGE)
	wantErr(t, "long name", unix.Lsetxattr(path, "user."+strings.Repeat("n", 251), nil, 0), syscall.ERANGE)
}

func systemStatfs(t *testing.T, dir string) {
	var s unix.Statfs_t
	must(t, again(func() error { return unix.Statfs(dir, &s) }))
	equal(t, "longest name", s.Namelen, 255)
	if s.Bsize <= 0 || s.Blocks == 0 || s.Bfree > s.Blocks || s.Bavail > s.Bfree || s.Ffree > s.Files {
		t.Errorf("statfs makes no sense: %+v", s)
	}
}

func systemAccess(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	write(t, path, "")
	must(t, unix.Access(path, unix.R_OK|unix.W_OK))
	wantErr(t, "execute a file without x", unix.Access(path, unix.X_OK), syscall.EACCES)
	must(t, unix.Chmod(path, 0755))
	must(t, unix.Access(path, unix.X_OK))
	wantErr(t, "access to nothing", unix.Access(filepath.Join(dir, "none"), unix.F_OK), syscall.ENOENT)
}

func systemLocks(t *testing.T, dir string) {
	path := filepath.Join(dir, "f")
	a, b := open(t, path, os.O_RDWR|os.O_CREATE), open(t, path, os.O_RDWR)
	must(t, unix.Flock(int(a.Fd()), unix.LOCK_EX))
	wantErr(t, "second exclusive flock", unix.Flock(int(b.Fd()), unix.LOCK_EX|unix.LOCK_NB), syscall.EWOULDBLOCK)
	must(t, unix.Flock(int(a.Fd()), unix.LOCK_UN))
	must(t, unix.Flock(int(b.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: 10, Len: 10}
	must(t, unix.FcntlFlock(a.Fd(), unix.F_OFD_SETLK, &lock))
	other := unix.Flock_t{Type: unix.F_WRLCK, Start: 15, Len: 1}
	wantErr(t, "lock of locked bytes", unix.FcntlFlock(b.Fd(), unix.F_OFD_SETLK, &other), syscall.EAGAIN)
	other.Start = 20
	must(t, unix.FcntlFlock(b.Fd(), unix.F_OFD_SETLK, &other))
}

func systemIoctl(t *testing.T, dir string) {
	f := open(t, filepath.Join(dir, "f"), os.O_RDWR|os.O_CREATE)
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	wantErr(t, "terminal settings of a file", err, syscall.ENOTTY)
}

func parallelFiles(t *testing.T, dir string) {
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			own := filepath.Join(dir, fmt.Sprint("w", w%4)) // two workers in each directory
			if err := os.MkdirAll(own, 0755); err != nil {
				t.Error(err)
			}
			for i := range 40 {
				path := filepath.Join(own, fmt.Sprintf("%d-%d", w, i))
				data := pattern(1+i*997, uint64(w*100+i))
				if err := os.WriteFile(path, data, 0644); err != nil {
					t.Error(err)
				}
				if err := os.Rename(path, path+".done"); err != nil {
					t.Error(err)
				}
				got, err := os.ReadFile(path + ".done")
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("%s: %v, %d bytes of %d", path, err, len(got), len(data))
				}
				if i%3 == 0 {
					if err := os.Remove(path + ".done"); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	for w := range 4 {
		equal(t, "files left", len(names(t, filepath.Join(dir, fmt.Sprint("w", w)))), 2+2*26)
	}
}

// parallelOneFile: writers of different ranges of one file do not disturb each other.
func parallelOneFile(t *testing.T, dir string) {
	const workers, size = 6, 300_000
	path := filepath.Join(dir, "f")
	write(t, path, "")
	want := pattern(workers*size, 77)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Error(err)
				return
			}
			for off := w * size; off < (w+1)*size; off += 10_000 {
				if _, err := f.WriteAt(want[off:off+10_000], int64(off)); err != nil {
					t.Error(err)
				}
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	got, err := os.ReadFile(path)
	must(t, err)
	equal(t, "all ranges are there", bytes.Equal(got, want), true)
}

// parallelCreate: of many who create a name exclusively, one wins.
func parallelCreate(t *testing.T, dir string) {
	for round := range 10 {
		path := filepath.Join(dir, fmt.Sprint(round))
		results := make(chan error, 6)
		for range cap(results) {
			go func() {
				f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0644)
				if err == nil {
					err = f.Close()
				}
				results <- err
			}()
		}
		won := 0
		for range cap(results) {
			switch err := <-results; {
			case err == nil:
				won++
			case !errors.Is(err, syscall.EEXIST):
				t.Error(err)
			}
		}
		equal(t, "winners", won, 1)
	}
}
