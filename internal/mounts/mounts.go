// Package mounts reads the kernel's table of mounts and finds the processes that use or serve one. Nothing
// in it touches the mounted file system itself, which may be dead and never answer.
package mounts

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Mount is a mounted file system.
type Mount struct {
	Point  string // path of the mount point
	Type   string // "fuse.juicefs"
	Source string // "JuiceFS:myjfs"
	Minor  uint32 // minor device number, for FUSE the number of its connection
}

// Types of file systems that are volumes, of this client and of the official one.
const (
	typeName     = "fuse.juicefs"
	sourcePrefix = "JuiceFS:"
)

// Volume says whether a volume is mounted there.
func (m Mount) Volume() bool { return m.Type == typeName || strings.HasPrefix(m.Source, sourcePrefix) }

// At returns what is mounted at exactly this path; ok is false if nothing is.
func At(path string) (m Mount, ok bool, err error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return Mount{}, false, fmt.Errorf("read the table of mounts: %w", err)
	}
	defer f.Close()
	all, err := parse(f)
	if err != nil {
		return Mount{}, false, fmt.Errorf("read the table of mounts: %w", err)
	}
	for _, one := range all { // a later one covers an earlier one
		if one.Point == path {
			m, ok = one, true
		}
	}
	return m, ok, nil
}

// Path gives the form in which the kernel names a mount point: absolute and without symbolic links. The last
// element is not looked at, because it may be a mount that does not answer.
func Path(point string) (string, error) {
	abs, err := filepath.Abs(point)
	if err != nil {
		return "", err
	}
	if abs == "/" {
		return abs, nil
	}
	// A link as the last element can be read without entering the file system behind it.
	if target, err := os.Readlink(abs); err == nil {
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(abs), target)
		}
		abs = filepath.Clean(target)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(abs)), nil
}

// parse reads lines of /proc/PID/mountinfo:
//
//	36 35 0:45 / /mnt/jfs rw,nosuid shared:1 - fuse.juicefs JuiceFS:myjfs rw,user_id=0
func parse(r io.Reader) ([]Mount, error) {
	var all []Mount
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		left, right, ok := strings.Cut(lines.Text(), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 2 {
			continue
		}
		m := Mount{Point: unescape(l[4]), Type: r[0], Source: unescape(r[1])}
		if _, minor, ok := strings.Cut(l[2], ":"); ok {
			n, err := strconv.ParseUint(minor, 10, 32)
			if err != nil {
				continue
			}
			m.Minor = uint32(n)
		}
		all = append(all, m)
	}
	return all, lines.Err()
}

// unescape undoes the \040 form of blanks and other special characters.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
