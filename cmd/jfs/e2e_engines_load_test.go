package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
)

// A survivor works in a directory of its own in a mount whose database fails now and then. Unlike a load, it goes on
// after an error, and leaves alone from then on what the failed operation was about: that may have happened or not.

// fate is what may have become of a name: one of these contents, or nothing.
type fate struct {
	may    []string // contents; the first one if the operation was acknowledged
	absent bool     // it may be missing
}

type survivor struct {
	dir   string
	rnd   *rand.Rand
	fates map[string]*fate
	calm  []string          // names whose last operation was acknowledged, and which hold something
	pairs [][2]string       // of renames with an unknown outcome: exactly one is there
	links map[string]string // hard links that were acknowledged
	dirs  map[string]bool   // whether it was acknowledged
	lines []bool            // of the journal, whether each was acknowledged

	full bool // there may be no room

	acked, failed atomic.Int64
	stopped       atomic.Pointer[error] // by an answer that no fault of a database excuses
}

func newSurvivor(dir string, seed uint64) *survivor {
	return &survivor{dir: dir, rnd: rand.New(rand.NewPCG(seed, 5)), fates: map[string]*fate{}, links: map[string]string{}, dirs: map[string]bool{}}
}

// work goes on until stop is set, or an operation answers what it must not.
func (s *survivor) work(stop *atomic.Bool) {
	for n := 0; !stop.Load() && s.stopped.Load() == nil; n++ {
		err := s.operation(n)
		switch {
		case err == nil:
			s.acked.Add(1)
		case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ENOSPC) && s.full:
			s.failed.Add(1)
		default:
			s.stopped.Store(&err)
		}
	}
}

// take removes a name about which all is known from the calm ones.
func (s *survivor) take() string {
	i := s.rnd.IntN(len(s.calm))
	name := s.calm[i]
	s.calm = slices.Delete(s.calm, i, i+1)
	return name
}

func (s *survivor) operation(n int) error {
	at := func(name string) string { return filepath.Join(s.dir, name) }
	kind := s.rnd.IntN(8)
	if len(s.calm) < 3 {
		kind = 0
	}
	switch kind {
	case 0, 1, 2: // a new file
		name, data := fmt.Sprint("f", n), string(content(1+s.rnd.IntN(9000), byte(n)))
		s.fates[name] = &fate{may: []string{data, ""}, absent: true}
		f, err := os.OpenFile(at(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		_, err = f.WriteString(data)
		if err = errors.Join(err, f.Close()); err != nil {
			s.fates[name].absent = false // its creation was acknowledged
			return err
		}
		s.fates[name] = &fate{may: []string{data}}
		s.calm = append(s.calm, name)
	case 3: // a new name for a file
		old, name := s.take(), fmt.Sprint("g", n)
		was := s.fates[old].may
		s.fates[old], s.fates[name] = &fate{may: was, absent: true}, &fate{may: was, absent: true}
		if err := os.Rename(at(old), at(name)); err != nil {
			s.pairs = append(s.pairs, [2]string{old, name})
			return err
		}
		delete(s.fates, old)
		s.fates[name].absent = false
		s.calm = append(s.calm, name)
	case 4:
		name := s.take()
		s.fates[name].absent = true
		// os.Remove asks rmdir after an error, whose answer is another if the file is gone.
		if err := syscall.Unlink(at(name)); err != nil {
			return fmt.Errorf("unlink %s: %w", name, err)
		}
		delete(s.fates, name)
	case 5: // and another name
		old, name := s.take(), fmt.Sprint("l", n)
		s.fates[name] = &fate{may: s.fates[old].may, absent: true}
		if err := os.Link(at(old), at(name)); err != nil {
			return err
		}
		s.fates[name].absent = false
		s.links[name] = old
	case 6:
		name := fmt.Sprint("d", n)
		s.dirs[name] = false
		if err := os.Mkdir(at(name), 0o755); err != nil {
			return err
		}
		s.dirs[name] = true
	case 7: // a line is added
		i := len(s.lines)
		s.lines = append(s.lines, false)
		f, err := os.OpenFile(at("journal"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(f, "line %d\n", i)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		s.lines[i] = true
	}
	return nil
}

// check compares the directory with what may be in it.
func (s *survivor) check() (faults []string) {
	say := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if fault := s.stopped.Load(); fault != nil {
		say("a program got: %v", *fault)
	}
	list, err := os.ReadDir(s.dir)
	if err != nil {
		return append(faults, err.Error())
	}
	there := map[string]fs.FileMode{}
	for _, e := range list {
		there[e.Name()] = e.Type()
	}
	for name, f := range s.fates {
		typ, ok := there[name]
		delete(there, name)
		if !ok {
			if !f.absent {
				say("%s is lost", name)
			}
			continue
		}
		data, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil || !typ.IsRegular() || !slices.Contains(f.may, string(data)) {
			say("%s holds %d bytes, not the %d written: %v", name, len(data), len(f.may[0]), err)
		}
	}
	for name, sure := range s.dirs {
		if typ, ok := there[name]; ok && !typ.IsDir() || !ok && sure {
			say("directory %s is lost", name)
		}
		delete(there, name)
	}
	for _, p := range s.pairs {
		_, err := os.Lstat(filepath.Join(s.dir, p[0]))
		_, err2 := os.Lstat(filepath.Join(s.dir, p[1]))
		if (err == nil) == (err2 == nil) {
			say("a rename of %s to %s was carried out in part: %v, %v", p[0], p[1], err, err2)
		}
	}
	for name, old := range s.links {
		a, err := os.Stat(filepath.Join(s.dir, name))
		b, err2 := os.Stat(filepath.Join(s.dir, old))
		if err == nil && err2 == nil && !os.SameFile(a, b) {
			say("%s and %s are two files", name, old)
		}
	}
	if len(s.lines) > 0 {
		delete(there, "journal")
		faults = append(faults, s.checkLines()...)
	}
	for name := range there {
		say("%s was made by nobody", name)
	}
	return faults
}

// checkLines wants each line that was acknowledged once, and no other twice.
func (s *survivor) checkLines() (faults []string) {
	data, err := os.ReadFile(filepath.Join(s.dir, "journal"))
	if err != nil && (slices.Contains(s.lines, true) || !errors.Is(err, fs.ErrNotExist)) {
		return []string{err.Error()}
	}
	seen := make([]int, len(s.lines))
	for line := range strings.Lines(string(bytes.TrimRight(data, "\x00"))) {
		var i int
		if _, err := fmt.Sscanf(line, "line %d\n", &i); err != nil || i >= len(seen) {
			faults = append(faults, fmt.Sprintf("the journal has the line %q", line))
			continue
		}
		seen[i]++
	}
	for i, n := range seen {
		if n > 1 || n == 0 && s.lines[i] {
			faults = append(faults, fmt.Sprintf("line %d of the journal, acknowledged %v, is there %d times", i, s.lines[i], n))
		}
	}
	return faults
}
