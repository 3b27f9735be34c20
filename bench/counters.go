package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// metricPrefix begins the name of every counter of a mount.
const metricPrefix = "juicefs_"

// Counters are the figures that a mount gives about itself, by name without "juicefs_"; nil where the path is not
// in a mount that gives any.
type Counters map[string]float64

// mountCounters reads the counters of the mount that dir lies in.
func mountCounters(dir string) (Counters, error) {
	root, err := mountRoot(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil // below a directory of somebody else; measuring is still possible
	}
	if err != nil {
		return nil, fmt.Errorf("find the mount point: %w", err)
	}
	return readCounters(root)
}

// CountersOf reads the counters of the mount that a path lies in; nil where it is in none that gives any.
func CountersOf(path string) (Counters, error) { return mountCounters(path) }

// MountRoot returns the topmost directory of the file system that a path lies in.
func MountRoot(path string) (string, error) {
	root, err := mountRoot(path)
	if err != nil {
		return "", fmt.Errorf("find the mount point: %w", err)
	}
	return root, nil
}

// mountRoot returns the topmost directory of the file system that dir lies in.
func mountRoot(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", err
	}
	device, err := deviceOf(dir)
	if err != nil {
		return "", err
	}
	for {
		parent := filepath.Dir(dir)
		above, err := deviceOf(parent)
		if err != nil {
			return "", err
		}
		if parent == dir || above != device {
			return dir, nil
		}
		dir = parent
	}
}

func deviceOf(path string) (uint64, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return 0, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Dev, nil
}

// readCounters reads the statistics file of a mount's root. The second name is that of a mount whose internal files
// carry a prefix.
func readCounters(root string) (Counters, error) {
	for _, name := range []string{".stats", ".jfs.stats"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EISDIR):
			continue // another file system
		case err != nil:
			return nil, fmt.Errorf("read the counters of the mount: %w", err)
		}
		if c := parseCounters(text); c != nil {
			return c, nil
		}
	}
	return nil, nil
}

// parseCounters reads lines of a name and a value; others are passed over.
func parseCounters(text []byte) Counters {
	var c Counters
	for line := range bytes.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(string(line)), " ")
		name, ours := strings.CutPrefix(name, metricPrefix)
		if !ok || !ours {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			continue
		}
		if c == nil {
			c = make(Counters)
		}
		c[name] = v
	}
	return c
}

// gauge says whether a counter tells how something is, not how often something was.
func gauge(name string) bool { return name == "memory" }

// since returns by how much the counters have grown; those that have not are left out.
func (c Counters) since(before Counters) Counters {
	if c == nil {
		return nil
	}
	grown := Counters{}
	for name, v := range c {
		if !gauge(name) {
			v -= before[name]
		}
		if v != 0 {
			grown[name] = v
		}
	}
	return grown
}

// sum adds up the counters whose names begin and end so, which are those of one metric with different labels. ok is
// false when there is none.
func (c Counters) sum(prefix, suffix string) (total float64, ok bool) {
	for name, v := range c {
		if len(name) >= len(prefix)+len(suffix) && strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			total += v
			ok = true
		}
	}
	return total, ok
}
