package mount

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// mounted is a line of /proc/self/mountinfo.
type mounted struct {
	dev    string // "major:minor"
	point  string
	fstype string
	source string
}

func (m mounted) isFUSE() bool { return m.fstype == "fuse" || strings.HasPrefix(m.fstype, "fuse.") }

// parseMountinfo reads the table of mounts, see proc_pid_mountinfo(5).
func parseMountinfo(r io.Reader) ([]mounted, error) {
	var all []mounted
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20) // overlay mounts have long lines
	for lines.Scan() {
		front, back, ok := strings.Cut(lines.Text(), " - ")
		f, b := strings.Fields(front), strings.Fields(back)
		if !ok || len(f) < 6 || len(b) < 1 {
			return nil, fmt.Errorf("mountinfo line %q is not understood", lines.Text())
		}
		m := mounted{dev: f[2], point: unescape(f[4]), fstype: b[0]}
		if len(b) > 1 {
			m.source = unescape(b[1])
		}
		all = append(all, m)
	}
	return all, lines.Err()
}

// unescape undoes the octal writing of white space and backslashes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			out.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

func mounts() ([]mounted, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the table of mounts: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	return parseMountinfo(f)
}

// mountAt gives what is mounted at a path, the uppermost if there are several. It asks the kernel's table and never
// the file system there, which may hang.
func mountAt(point string) (mounted, bool, error) {
	all, err := mounts()
	if err != nil {
		return mounted{}, false, err
	}
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].point == point {
			return all[i], true, nil
		}
	}
	return mounted{}, false, nil
}

// isMounted says whether a device is mounted anywhere.
func isMounted(dev string) (bool, error) {
	all, err := mounts()
	if err != nil {
		return true, err
	}
	for _, m := range all {
		if m.dev == dev {
			return true, nil
		}
	}
	return false, nil
}
