package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc/PID/stat, the same on all machines that Go runs on.
const clockTick = 10 * time.Millisecond

// CPU is the time of processors that the server has used so far, with the processes that it has started, also those that
// have ended. Its unit is 10 ms.
func (s *Server) CPU() (time.Duration, error) {
	type process struct {
		parent int
		ticks  int64
	}
	all := map[int]process{}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		fields := strings.Fields(rest)
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || len(fields) < 15 {
			continue
		}
		p := process{}
		p.parent, _ = strconv.Atoi(fields[1])
		for _, f := range fields[11:15] { // utime, stime, and those of children that were waited for
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read %s: %w", file, err)
			}
			p.ticks += n
		}
		all[pid] = p
	}
	root := s.cmd.Process.Pid
	var sum int64
	for pid, p := range all {
		for at := pid; at > 1; at = all[at].parent {
			if at == root {
				sum += p.ticks
				break
			}
		}
	}
	return time.Duration(sum) * clockTick, nil
}
