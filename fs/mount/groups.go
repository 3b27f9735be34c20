package mount

import (
	"bytes"
	"os"
	"strconv"
)

// groupsOf gives the supplementary groups of a process, which requests do not carry. A process that is gone has
// none.
func groupsOf(pid uint32) []uint32 {
	status, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(pid), 10) + "/status")
	if err != nil {
		return nil
	}
	_, rest, ok := bytes.Cut(status, []byte("\nGroups:"))
	if !ok {
		return nil
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	var groups []uint32
	for _, f := range bytes.Fields(line) {
		if g, err := strconv.ParseUint(string(f), 10, 32); err == nil {
			groups = append(groups, uint32(g))
		}
	}
	return groups
}
