// Package mounts reads the kernel's table of mounts and finds the processes that use or serve one. Nothing
// in it touches the mounted file system itself, which may be dead and never answer.
package mounts

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Mount is a mounted file system.
type Mount struct {
	Point  string // path of the mount point
	Type   string // "fuse.juicefs"
	Source string // "JuiceFS:myjfs"
	Device string // "major:minor"; for FUSE the minor number is that of its connection
}

// Types of file systems that are volumes, of this client and of the official one.
const (
	typeName     = "fuse.juicefs"
	sourcePrefix = "JuiceFS:"
)

// FUSE says whether a process serves it.
func (m Mount) FUSE() bool { return m.Type == "fuse" || strings.HasPrefix(m.Type, "fuse.") }

// Volume says whether a volume is mounted there.
func (m Mount) Volume() bool { return m.Type == typeName || strings.HasPrefix(m.Source, sourcePrefix) }

// table reads the kernel's table of mounts.
func table() ([]Mount, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the table of mounts: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	all, err := parse(f)
	if err != nil {
		return nil, fmt.Errorf("read the table of mounts: %w", err)
	}
	return all, nil
}

// Connection is the number of a FUSE mount's connection, as /sys/fs/fuse/connections and the kernel's notes on an open /dev/fuse
// give it.
func (m Mount) Connection() string {
	_, minor, _ := strings.Cut(m.Device, ":")
	return minor
}

// At returns what is mounted at exactly this path, the uppermost if there are several; ok is false if nothing is.
func At(path string) (m Mount, ok bool, err error) {
	all, err := table()
	if err != nil {
		return Mount{}, false, err
	}
	for _, one := range slices.Backward(all) { // a later one covers an earlier one
		if one.Point == path {
			return one, true, nil
		}
	}
	return Mount{}, false, nil
}

// DeviceMounted says whether a device, as Mount.Device names it, is mounted anywhere. It is true with an error.
func DeviceMounted(device string) (bool, error) {
	all, err := table()
	if err != nil {
		return true, err
	}
	return slices.ContainsFunc(all, func(m Mount) bool { return m.Device == device }), nil
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

// parse reads lines of /proc/PID/mountinfo, see proc_pid_mountinfo(5). A mount may have no source.
//
//	36 35 0:45 / /mnt/jfs rw,nosuid shared:1 - fuse.juicefs JuiceFS:myjfs rw,user_id=0
func parse(r io.Reader) ([]Mount, error) {
	var all []Mount
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20) // overlay mounts have long lines
	for lines.Scan() {
		left, right, ok := strings.Cut(lines.Text(), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 1 {
			return nil, fmt.Errorf("line %q is not understood", lines.Text())
		}
		m := Mount{Point: unescape(l[4]), Type: r[0], Device: l[2]}
		if len(r) > 1 {
			m.Source = unescape(r[1])
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
