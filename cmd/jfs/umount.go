package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/fs/mount"
	"jfs/internal/mounts"
	"jfs/internal/units"
	"jfs/upload/stage"
)

// askTime is how long a mount that is to end may take to tell where it stages.
const askTime = 5 * time.Second

// endTime is how long umount waits for the process of the mount to end, which first writes out its files.
const endTime = time.Minute

func (a *app) addUmount(root *cobra.Command) error {
	return addCommand(a, root, command[umountOptions]{
		use:   "umount MOUNTPOINT",
		short: "unmount a volume",
		args:  1,
		flags: umountFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *umountOptions, args []string) error {
			return a.umount(ctx, opt, args[0])
		},
	})
}

func (a *app) umount(ctx context.Context, opt *umountOptions, point string) error {
	path, err := mounts.Path(point)
	if err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	m, ok, err := mounts.At(path)
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("%s is not a mount point", path)
	case !m.Volume():
		return fmt.Errorf("what is mounted at %s is not a volume but %s (%s): use umount", path, m.Source, m.Type)
	}
	pid := mounts.Proc("").Server(m)
	var stages []string
	asked := make(chan struct{})
	if opt.force { // a mount that hangs must not be asked anything
		close(asked)
	} else {
		stages = stagesOf(path, asked)
	}
	err = unmountAfter(ctx, asked, func() error {
		return unmountUnseen(ctx, func() error { return mount.Unmount(path, opt.force) }, func() []mounts.Process { return mounts.Proc("").Holders(path) })
	})
	if err != nil {
		if errors.Is(err, mount.ErrBusy) {
			return busy(path)
		}
		return err
	}
	if pid == 0 {
		return nil
	}
	return a.awaitEnd(ctx, pid, path, stages, opt.flush)
}

// unmountAfter unmounts. If the mount is busy and a question to it had not been answered before the try, as one whose
// database is away does not answer in time, it may be the question that kept it busy: then it tries again after the answer.
func unmountAfter(ctx context.Context, asked <-chan struct{}, unmount func() error) error {
	// Looked at before the try: the answer may come between the try and a look behind it.
	select {
	case <-asked:
		return unmount()
	default:
	}
	err := unmount()
	if !errors.Is(err, mount.ErrBusy) {
		return err
	}
	timer := time.NewTimer(endTime)
	defer timer.Stop()
	select {
	case <-asked:
		return unmount()
	case <-timer.C:
	case <-ctx.Done():
	}
	return err
}

// unseenTime is how long a mount may be busy without a process that holds a file of it: as long as the kernel still
// works at what was closed, or a program that is just being started has the files of its parent.
const (
	unseenTime = 3 * time.Second
	unseenWait = 50 * time.Millisecond
)

// unmountUnseen unmounts. While the mount is busy and no holder is seen, it tries again.
func unmountUnseen(ctx context.Context, unmount func() error, holders func() []mounts.Process) error {
	end := time.NewTimer(unseenTime)
	defer end.Stop()
	for {
		err := unmount()
		if !errors.Is(err, mount.ErrBusy) || len(holders()) > 0 {
			return err
		}
		select {
		case <-time.After(unseenWait):
		case <-end.C:
			return err
		case <-ctx.Done():
			return err
		}
	}
}

// stagesOf gives the cache directories of a mount, in which it may stage. It closes asked when the mount has answered, which
// may be after stagesOf has given up; until then the mount is in use by this process.
func stagesOf(path string, asked chan<- struct{}) []string {
	found := make(chan []string, 1)
	go func() { // outlives this call only if the mount does not answer
		defer close(asked)
		found <- func() []string {
			for _, name := range []string{".jfs.config", ".config"} {
				b, err := os.ReadFile(filepath.Join(path, name))
				var report mountReport
				if err != nil || json.Unmarshal(b, &report) != nil {
					continue
				}
				if dirs, err := cacheDirs(report.Chunk.CacheDir, report.Format.UUID); err == nil {
					return dirs
				}
			}
			return nil
		}()
	}()
	timer := time.NewTimer(askTime)
	defer timer.Stop()
	select {
	case dirs := <-found:
		return dirs
	case <-timer.C:
		return nil
	}
}

// busy names who is in the way.
func busy(path string) error {
	var users []string
	for _, p := range mounts.Proc("").Holders(path) {
		users = append(users, p.String())
	}
	if len(users) == 0 {
		return fmt.Errorf("%s is in use, by processes that cannot be seen from here: end them, or use --force", path)
	}
	return fmt.Errorf("%s is in use by process %s: end them, or use --force", path, strings.Join(users, ", "))
}

// awaitEnd waits for the process of a mount, which has to write out its files after the unmount.
// What is staged meanwhile is told every second.
func (a *app) awaitEnd(ctx context.Context, pid int, path string, stages []string, patient bool) error {
	wait, cancel := ctx, func() {}
	if !patient {
		wait, cancel = context.WithTimeout(ctx, endTime)
	}
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- mounts.WaitExit(wait, pid) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var err error
	left := ""
	for waiting := true; waiting; {
		select {
		case err = <-ended:
			waiting = false
		case <-tick.C:
			if p, ok := stage.Look(stages, pid); ok && p.Commits > 0 {
				left = fmt.Sprintf("%s of %d flushes are staged and not stored yet", units.FormatBytes(uint64(p.Bytes)), p.Commits)
				a.log.Info(left)
			}
		}
	}
	switch {
	case left != "" && errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s is unmounted, its process %d goes on: %s; --flush waits for the end", path, pid, left)
	case ctx.Err() != nil:
		return fmt.Errorf("%s is unmounted; interrupted while its process %d was writing out data", path, pid)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s is unmounted, but its process %d has not ended after %s: it may still be writing out data, look into its log", path, pid, endTime)
	}
	return err
}
