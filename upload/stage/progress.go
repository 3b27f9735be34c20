package stage

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// Progress is what a stage tells other processes of itself.
type Progress struct {
	PID     int
	Commits int
	Bytes   int64
}

// Announce tells other processes how much is left, see Look.
func (s *Stage) Announce() error {
	st := s.Stats()
	b, err := json.Marshal(Progress{os.Getpid(), st.Commits, st.Bytes})
	if err != nil {
		return err
	}
	if err := s.own.lock.Truncate(0); err != nil {
		return err
	}
	_, err = s.own.lock.WriteAt(b, 0)
	return err
}

// Look gives what the stage of a process has announced; ok is false if there is none in the cache directories.
func Look(dirs []string, pid int) (p Progress, ok bool) {
	for _, dir := range dirs {
		locks, err := filepath.Glob(filepath.Join(dir, Sub, "*", lockName))
		if err != nil {
			continue
		}
		for _, lock := range locks {
			b, err := os.ReadFile(lock)
			if err != nil {
				continue
			}
			if err := json.Unmarshal(b, &p); err == nil && p.PID == pid {
				return p, true
			}
		}
	}
	return Progress{}, false
}

// HasData says whether mounts have left anything in the cache directories, or are staging there.
func HasData(dirs []string) bool {
	for _, dir := range dirs {
		if found, err := filepath.Glob(filepath.Join(dir, Sub, "*", "*.seg")); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}
