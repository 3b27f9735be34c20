package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// replay gives what must be there by a journal, the step that was under way, and how many were done.
func replay(journal string) (m model, pending *step, done int, err error) {
	b, err := os.ReadFile(journal)
	if err != nil {
		return nil, nil, 0, err
	}
	m = model{}
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		var r record
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			return m, pending, done, nil
		} else if err != nil {
			return nil, nil, 0, fmt.Errorf("%s: %w", journal, err)
		}
		switch {
		case r.Error != "":
			return nil, nil, 0, fmt.Errorf("%+v: %s", *pending, r.Error)
		case r.Done:
			m.apply(*pending)
			pending, done = nil, done+1
		default:
			pending = r.Begin
		}
	}
}

// partly is a change of one file that may have happened in part.
type partly struct {
	node          *node
	before, after []byte
	fresh         bool // it was empty between the two
}

// differences compares a directory with a model, and one file with the two states of a change that was under way.
func differences(dir string, want model, under *partly) (all []string) {
	seen := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		seen[name] = true
		n := want[name]
		if n == nil {
			all = append(all, name+" should not be there")
			return nil
		}
		switch typ := d.Type(); {
		case typ.IsDir() && n.kind == 'd':
		case typ.IsRegular() && n.kind == 'f':
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if under != nil && n == under.node {
				if what := under.fault(data); what != "" {
					all = append(all, name+": "+what)
				}
			} else if !bytes.Equal(data, n.data) {
				all = append(all, fmt.Sprintf("%s: %d bytes differ from %d, first at %d", name, len(data), len(n.data), firstDifference(data, n.data)))
			}
		case typ&fs.ModeSymlink != 0 && n.kind == 'l':
			target, err := os.Readlink(path)
			if err != nil || target != n.target {
				all = append(all, fmt.Sprintf("%s: leads to %q, not %q, %v", name, target, n.target, err))
			}
		default:
			all = append(all, fmt.Sprintf("%s is of type %v, not %c", name, typ, n.kind))
		}
		return nil
	})
	if err != nil {
		all = append(all, err.Error())
	}
	for name := range want {
		if !seen[name] {
			all = append(all, name+" is missing")
		}
	}
	return all
}

// fault says what cannot have come of a change. Each byte is of one of the two states; behind the end of the old one,
// what is missing reads as zeros.
func (c *partly) fault(data []byte) string {
	least, most := min(len(c.before), len(c.after)), max(len(c.before), len(c.after))
	if len(data) < least && !c.fresh || len(data) > most {
		return fmt.Sprintf("has %d bytes, before %d, afterwards %d", len(data), len(c.before), len(c.after))
	}
	for i, b := range data {
		switch {
		case i < len(c.before) && c.before[i] == b, i < len(c.after) && c.after[i] == b:
		case b == 0 && (c.fresh || i >= len(c.before)):
		default:
			return fmt.Sprintf("byte %d of %d is from nowhere", i, len(data))
		}
	}
	return ""
}

// verify checks the directory of a load after the death of its mount.
func verify(dir, journal string) (done int, faults []string) {
	m, pending, done, err := replay(journal)
	if err != nil {
		return done, []string{err.Error()}
	}
	faults = differences(dir, m, nil)
	if pending == nil || len(faults) == 0 {
		return done, faults
	}
	after := m.clone()
	var under *partly
	switch pending.Kind {
	case "put", "hold", "append", "overwrite", "truncate":
		under = &partly{fresh: pending.Kind == "put"}
		if n := m[pending.A]; n != nil {
			under.before = n.data
		}
	}
	after.apply(*pending)
	if under != nil {
		under.node = after[pending.A]
		under.after = under.node.data
	}
	if pending.Kind == "hold" { // its second file may be there for a moment
		_ = os.Remove(filepath.Join(dir, pending.A+"-gone"))
	}
	if more := differences(dir, after, under); len(more) > 0 {
		faults = append(append(faults, fmt.Sprintf("and when %+v has happened:", *pending)), more...)
		return done, faults
	}
	return done, nil
}
