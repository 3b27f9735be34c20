// Package fstest checks that a directory behaves as POSIX and Linux say, whatever file system it is in. The suite
// passes on a local directory, which is the test of the suite.
package fstest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// test is one case; dir is an empty directory of its own.
type test struct {
	name string
	run  func(t *testing.T, dir string)
}

// on makes a test of a function that looks at the options too.
func on(opt *Options, fn func(b bed)) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) { fn(bed{t, dir, opt}) }
}

// cases are tests that look at the options.
type cases []struct {
	name string
	run  func(b bed)
}

func (c cases) tests(opt *Options) []test {
	var all []test
	for _, one := range c {
		all = append(all, test{one.name, on(opt, one.run)})
	}
	return all
}

// Run runs the suite below dir, which must allow everything to the caller, as root or not; only as root it covers
// owners, rights and devices. Main must be called at the start of the test binary.
func Run(t *testing.T, dir string, opt Options) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"open", openTests}, {"data", dataTests}, {"truncate", truncateTests}, {"map", mapTests},
		{"unlink", unlinkTests}, {"link", linkTests}, {"rename", renameTests},
		{"dir", dirTests}, {"name", nameTests}, {"attr", attrTests}, {"time", timeTests},
		{"owner", ownerTests}, {"xattr", xattrTests}, {"system", systemTests}, {"parallel", parallelTests},
		{"lock", lockTests}, {"alloc", allocTests},
		{"path", pathCases.tests(&opt)}, {"rights", rightsCases.tests(&opt)},
		{"effect", effectCases.tests(&opt)}, {"pair", pairCases.tests(&opt)},
		{"process", processCases.tests(&opt)}, {"io", ioCases.tests(&opt)}, {"special", specialCases.tests(&opt)}, {"attribute", attributeCases.tests(&opt)}, {"listing", listingCases.tests(&opt)},
	} {
		if len(opt.Groups) > 0 && !slices.Contains(opt.Groups, group.name) {
			continue
		}
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.tests {
				t.Run(c.name, func(t *testing.T) {
					own := filepath.Join(dir, group.name+"-"+c.name)
					must(t, os.Mkdir(own, 0777))
					must(t, os.Chmod(own, 0777))
					c.run(t, own)
					must(t, os.RemoveAll(own))
				})
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantErr checks the number of an error.
func wantErr(t *testing.T, what string, err error, want syscall.Errno) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0644))
}

// holds checks the contents of a file.
func holds(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	must(t, err)
	if string(got) != want {
		t.Errorf("%s: got %.60q (%d bytes), want %.60q (%d bytes)", filepath.Base(path), got, len(got), want, len(want))
	}
}

func open(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0644)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// lstat asks the file system, not the cache of the os package.
func lstat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	must(t, again(func() error { return unix.Lstat(path, &st) }))
	return st
}

func fstat(t *testing.T, f *os.File) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	must(t, again(func() error { return unix.Fstat(int(f.Fd()), &st) }))
	return st
}

// again repeats a call that a signal interrupts; the runtime sends itself signals.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// gone checks that a name does not exist.
func gone(t *testing.T, path string) {
	t.Helper()
	_, err := os.Lstat(path)
	wantErr(t, "lstat of "+filepath.Base(path), err, syscall.ENOENT)
}

func readAt(t *testing.T, f *os.File, off int64, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	got, err := f.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return b[:got]
}

func writeAt(t *testing.T, f *os.File, off int64, b []byte) {
	t.Helper()
	_, err := f.WriteAt(b, off)
	must(t, err)
}

func zeros(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

func isRoot() bool { return os.Geteuid() == 0 }
