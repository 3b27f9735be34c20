package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A load is a process that works in a directory of its own in a mount until the mount dies. It writes down, outside
// of the mount, each operation before it begins and when it has succeeded. Who replays the journal knows what must be
// there, and what may be.

// loadEnv tells a process of this test program to be a load: directory, journal, seed.
const loadEnv = "JFS_TEST_LOAD"

// step is an operation of a load.
type step struct {
	Kind string // see stepKinds
	A, B string // paths below the directory
	Off  int
	Size int
	Seed byte // of the bytes written
}

// record is a line of a journal.
type record struct {
	Begin *step  `json:",omitempty"`
	Done  bool   `json:",omitempty"` // the last step has succeeded
	Error string `json:",omitempty"` // what came instead, when it does not say that the mount is gone
}

// node is what a name stands for. Hard links share one.
type node struct {
	kind   byte // 'd', 'f', 'l'
	data   []byte
	target string
}

// model is what the directory of a load should hold.
type model map[string]*node

func (m model) clone() model {
	c, copies := model{}, map[*node]*node{}
	for name, n := range m {
		if copies[n] == nil {
			d := *n
			copies[n] = &d
		}
		c[name] = copies[n]
	}
	return c
}

// apply carries out a step. Data is never changed in place, so models may share it.
func (m model) apply(s step) {
	switch s.Kind {
	case "mkdir":
		m[s.A] = &node{kind: 'd'}
	case "rmdir", "unlink":
		delete(m, s.A)
	case "symlink":
		m[s.A] = &node{kind: 'l', target: s.B}
	case "link":
		m[s.B] = m[s.A]
	case "put", "hold":
		if m[s.A] == nil {
			m[s.A] = &node{kind: 'f'}
		}
		m[s.A].data = content(s.Size, s.Seed)
	case "append":
		m[s.A].data = append(slices.Clone(m[s.A].data), content(s.Size, s.Seed)...)
	case "overwrite":
		data := slices.Clone(m[s.A].data)
		copy(data[s.Off:], content(s.Size, s.Seed))
		m[s.A].data = data
	case "truncate":
		data := make([]byte, s.Size)
		copy(data, m[s.A].data)
		m[s.A].data = data
	case "rename":
		if m[s.A] == m[s.B] { // two names of one file: nothing happens
			return
		}
		for _, name := range slices.Collect(maps.Keys(m)) {
			if rest, ok := strings.CutPrefix(name, s.A+"/"); ok {
				m[s.B+"/"+rest] = m[name]
				delete(m, name)
			}
		}
		m[s.B] = m[s.A]
		delete(m, s.A)
	case "exchange":
		m[s.A], m[s.B] = m[s.B], m[s.A]
	}
}

func (m model) names(kinds string) []string {
	var all []string
	for name, n := range m {
		if strings.IndexByte(kinds, n.kind) >= 0 {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// next makes up a step that must succeed.
func (m model) next(rnd *rand.Rand, n int) step {
	pick := func(from []string) string { return from[rnd.IntN(len(from))] }
	dirs, files := append(m.names("d"), "."), m.names("f")
	fresh := filepath.Join(pick(dirs), fmt.Sprint("n", n))
	seed := byte(rnd.IntN(256))
	size := 1 + rnd.IntN(20_000)
	if rnd.IntN(8) == 0 {
		size = 1 + rnd.IntN(1_500_000)
	}
	kind := rnd.IntN(22)
	switch {
	case len(files) == 0 || kind < 5:
		return step{Kind: "put", A: fresh, Size: size, Seed: seed}
	case kind == 5:
		return step{Kind: "put", A: pick(files), Size: size, Seed: seed}
	case kind == 6:
		return step{Kind: "hold", A: fresh, Size: size, Seed: seed}
	case kind < 9:
		return step{Kind: "append", A: pick(files), Size: size, Seed: seed}
	case kind < 11:
		if name := pick(files); len(m[name].data) > 0 {
			off := rnd.IntN(len(m[name].data))
			return step{Kind: "overwrite", A: name, Off: off, Size: min(size, len(m[name].data)-off), Seed: seed}
		}
	case kind == 11:
		return step{Kind: "truncate", A: pick(files), Size: size}
	case kind == 12:
		return step{Kind: "link", A: pick(files), B: fresh}
	case kind == 13:
		return step{Kind: "symlink", A: fresh, B: fmt.Sprint("to/", n)}
	case kind < 16 && len(dirs) < 20:
		return step{Kind: "mkdir", A: fresh}
	case kind == 16:
		return step{Kind: "unlink", A: pick(files)}
	case kind == 17:
		return step{Kind: "rename", A: pick(files), B: fresh}
	case kind == 18:
		if a, b := pick(files), pick(files); a != b {
			return step{Kind: "rename", A: a, B: b}
		}
	case kind == 19:
		if a, b := pick(files), pick(files); m[a] != m[b] {
			return step{Kind: "exchange", A: a, B: b}
		}
	case kind == 20 && len(dirs) > 1:
		if from := pick(dirs[:len(dirs)-1]); !strings.HasPrefix(fresh, from+"/") {
			return step{Kind: "rename", A: from, B: fresh}
		}
	case kind == 21 && len(dirs) > 1:
		dir := pick(dirs[:len(dirs)-1])
		if !slices.ContainsFunc(slices.Collect(maps.Keys(m)), func(s string) bool { return strings.HasPrefix(s, dir+"/") }) {
			return step{Kind: "rmdir", A: dir}
		}
	}
	return step{Kind: "append", A: pick(files), Size: size, Seed: seed}
}

// do carries a step out below a directory. What is written is closed, and so is acknowledged, unless it is held: that
// file is synced, gets more bytes that nobody waits for, loses them again, and stays open.
func (s step) do(dir string, held *[]*os.File) error {
	a, b := filepath.Join(dir, s.A), filepath.Join(dir, s.B)
	write := func(flags int, off int64) (err error) {
		f, err := os.OpenFile(a, os.O_WRONLY|flags, 0o644)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		data := content(s.Size, s.Seed)
		for len(data) > 0 && err == nil { // in pieces, that a kill may come between
			n := min(len(data), 100_000)
			if flags&os.O_APPEND != 0 {
				_, err = f.Write(data[:n])
			} else {
				_, err = f.WriteAt(data[:n], off)
			}
			data, off = data[n:], off+int64(n)
		}
		return err
	}
	switch s.Kind {
	case "mkdir":
		return os.Mkdir(a, 0o755)
	case "rmdir", "unlink":
		return os.Remove(a)
	case "symlink":
		return os.Symlink(s.B, a)
	case "link":
		return os.Link(a, b)
	case "put":
		return write(os.O_CREATE|os.O_TRUNC, 0)
	case "append":
		return write(os.O_APPEND, 0)
	case "overwrite":
		return write(0, int64(s.Off))
	case "truncate":
		return os.Truncate(a, int64(s.Size))
	case "rename":
		return os.Rename(a, b)
	case "exchange":
		return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	case "hold":
		f, err := os.OpenFile(a, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		*held = append(*held, f)
		if _, err := f.Write(content(s.Size, s.Seed)); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		// A file without a name that is open, for who cleans up.
		g, err := os.Create(a + "-gone")
		if err != nil {
			return err
		}
		*held = append(*held, g)
		_, err = g.Write(content(s.Size, s.Seed))
		return errors.Join(err, os.Remove(a+"-gone"))
	}
	return fmt.Errorf("step %q is not known", s.Kind)
}

// mountGone says whether an error is what a dead mount answers.
func mountGone(err error) bool {
	return errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED)
}

// deathTakes bounds how long a process that was killed is still there.
const deathTakes = 20 * time.Second

// died says whether an error came of the death of a mount. The kernel answers EIO to the one whose request or answer it is
// just copying when the process that serves the mount is killed, and says only after that what has happened. So EIO counts
// if the mount is gone soon, by what look gets, which must not come from a cache.
func died(err error, look func(n int) error) bool {
	if !errors.Is(err, syscall.EIO) {
		return mountGone(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(deathTakes)
	for n := 0; !mountGone(look(n)); n++ {
		select {
		case <-tick.C:
		case <-end:
			return false
		}
	}
	return true
}

// runLoad is a load, until an error.
func runLoad(args string) (code int) {
	var dir, journal string
	var seed uint64
	if _, err := fmt.Sscan(args, &dir, &journal, &seed); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	out, err := os.Create(journal)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	log := json.NewEncoder(out)
	rnd := rand.New(rand.NewPCG(seed, 3))
	m := model{}
	var held []*os.File
	for n := 0; ; n++ {
		s := m.next(rnd, n)
		if err = log.Encode(record{Begin: &s}); err != nil {
			break
		}
		if err = s.do(dir, &held); err != nil {
			look := func(n int) error {
				_, err := os.Lstat(filepath.Join(dir, fmt.Sprint("nothing", n)))
				return err
			}
			if died(err, look) {
				return 0
			}
			_ = log.Encode(record{Error: err.Error()})
			return 1
		}
		m.apply(s)
		if err = log.Encode(record{Done: true}); err != nil {
			break
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}
