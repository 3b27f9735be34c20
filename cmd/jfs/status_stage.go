package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"jfs/internal/mounts"
)

// stagingReport is what a mount with --writeback has not stored yet.
type stagingReport struct {
	Blocks        int64
	Bytes         int64
	OldestSeconds float64
}

// stagingTime bounds how long a mount is waited for. One that does not answer may have lost its database.
const stagingTime = 3 * time.Second

// addStaging asks the mounts on this machine what waits in their stages. Only they know, so nothing is said of mounts
// elsewhere, nor of those that do not answer.
func addStaging(all []sessionReport) {
	host, err := os.Hostname()
	if err != nil {
		return
	}
	var group sync.WaitGroup
	for i := range all {
		if s := &all[i]; s.HostName == host {
			group.Go(func() { s.Staging = stagingOf(s.MountPoint, s.ProcessID) })
		}
	}
	group.Wait()
}

// stagingOf asks the mount that a process serves; nil if it does not answer, or has no stage.
func stagingOf(point string, pid int) *stagingReport {
	m, mounted, err := mounts.At(point)
	if err != nil || !mounted || mounts.Proc("").Server(m) != pid {
		return nil
	}
	answers := make(chan []byte, 1)
	go func() { // outlives this call only if the mount does not answer
		for _, name := range []string{".stats", ".jfs.stats"} {
			if b, err := os.ReadFile(filepath.Join(point, name)); err == nil {
				answers <- b
				return
			}
		}
		answers <- nil
	}()
	timer := time.NewTimer(stagingTime)
	defer timer.Stop()
	select {
	case b := <-answers:
		return parseStaging(b)
	case <-timer.C:
		return nil
	}
}

// parseStaging takes what is staged out of a .stats file; nil if there is no stage.
func parseStaging(stats []byte) *stagingReport {
	s, found := &stagingReport{}, false
	for line := range bytes.Lines(stats) {
		name, text, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue
		}
		switch strings.TrimPrefix(name, "juicefs_") {
		case "staging_blocks":
			s.Blocks = int64(value)
		case "staging_block_bytes":
			s.Bytes = int64(value)
		case "staging_oldest_seconds": // which only a mount with a stage tells
			s.OldestSeconds, found = value, true
		}
	}
	if !found {
		return nil
	}
	return s
}
