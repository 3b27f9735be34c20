package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Environment is what a measurement depends on besides what is measured. What cannot be found out is empty.
type Environment struct {
	Program    string            `json:"program,omitempty"` // version of the one that measures
	Go         string            `json:"go"`
	Host       string            `json:"host"`
	Kernel     string            `json:"kernel"`
	CPU        string            `json:"cpu"`
	CPUs       int               `json:"cpus"`
	Memory     int64             `json:"memory_bytes"`
	FileSystem string            `json:"file_system"` // type and options of the mount
	ReadAhead  string            `json:"read_ahead_kb,omitempty"`
	FuseLimits map[string]string `json:"fuse_limits,omitempty"` // /proc/sys/fs/fuse
	Mount      json.RawMessage   `json:"mount,omitempty"`       // what the mount says of itself, in .config
}

// Look finds out the environment of a directory.
func Look(dir string) Environment {
	e := Environment{Go: runtime.Version(), CPUs: runtime.NumCPU(), CPU: firstOf("/proc/cpuinfo", "model name")}
	e.Host, _ = os.Hostname() // "" if it has none
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		e.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	if kb, err := strconv.ParseInt(strings.TrimSuffix(firstOf("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		e.Memory = kb << 10
	}
	for _, file := range []string{"max_pages_limit", "max_user_bgreq", "max_user_congthresh"} {
		if b, err := os.ReadFile("/proc/sys/fs/fuse/" + file); err == nil {
			if e.FuseLimits == nil {
				e.FuseLimits = map[string]string{}
			}
			e.FuseLimits[file] = strings.TrimSpace(string(b))
		}
	}
	root, err := mountRoot(dir)
	if err != nil {
		return e
	}
	e.FileSystem = mountLine(root)
	if device, err := deviceOf(root); err == nil {
		b, err := os.ReadFile(fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(device), unix.Minor(device)))
		if err == nil {
			e.ReadAhead = strings.TrimSpace(string(b))
		}
	}
	for _, name := range []string{".config", ".jfs.config"} {
		b, err := os.ReadFile(filepath.Join(root, name))
		var known struct{ Format, Chunk json.RawMessage }
		if err == nil && json.Unmarshal(b, &known) == nil && known.Format != nil && known.Chunk != nil {
			e.Mount = b
		}
	}
	return e
}

// firstOf returns the value of the first line of a file that has the key.
func firstOf(file, key string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // only read
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// mountLine returns the type and the options of what is mounted at root.
func mountLine(root string) (line string) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // only read
	for s := bufio.NewScanner(f); s.Scan(); {
		if w := strings.Fields(s.Text()); len(w) > 3 && strings.ReplaceAll(w[1], `\040`, " ") == root {
			line = w[2] + " " + w[3] // the last one lies on top
		}
	}
	return line
}
