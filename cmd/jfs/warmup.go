package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/fs/control"
	"jfs/maintain"
)

type warmupOptions struct {
	file       string // with paths
	threads    int
	background bool
	evict      bool
	check      bool
}

func warmupFlags() table[warmupOptions] {
	return table[warmupOptions]{
		{name: "file", short: "f", to: toText(func(o *warmupOptions) *string { return &o.file }), help: "file with paths, one on a line"},
		{name: "threads", short: "p", def: "50", to: toCount(func(o *warmupOptions) *int { return &o.threads }), help: "blocks loaded at a time"},
		{name: "background", short: "b", to: toBool(func(o *warmupOptions) *bool { return &o.background }), help: "do not wait for the mount to be done"},
		{name: "evict", to: toBool(func(o *warmupOptions) *bool { return &o.evict }), help: "remove from the cache instead"},
		{name: "check", to: toBool(func(o *warmupOptions) *bool { return &o.check }), help: "show how much is in the cache instead"},
	}
}

func (a *app) addWarmup(root *cobra.Command) error {
	return addCommand(a, root, command[warmupOptions]{
		use:   "warmup [PATH ...]",
		short: "load files and directories in mounts into the cache before they are read",
		most:  many,
		flags: warmupFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *warmupOptions, args []string) error {
			return a.warmup(ctx, opt, args)
		},
	})
}

// action gives what the flags ask for, with its name in messages.
func (o *warmupOptions) action() (maintain.WarmAction, string, error) {
	switch {
	case o.evict && o.check:
		return 0, "", errors.New("--evict and --check exclude each other: give one of them")
	case o.evict:
		return maintain.WarmEvict, "evict cache", nil
	case o.check:
		return maintain.WarmCheck, "check cache", nil
	}
	return maintain.WarmFill, "warmup cache", nil
}

// warmBatch is how many paths one request names.
const warmBatch = 10_000

func (a *app) warmup(ctx context.Context, opt *warmupOptions, args []string) error {
	action, what, err := opt.action()
	if err != nil {
		return err
	}
	if opt.file != "" {
		more, err := readLines(opt.file)
		if err != nil {
			return err
		}
		args = append(args, more...)
	}
	if len(args) == 0 {
		return errors.New("no path is given: name files or directories in a mount, or a list of them with --file")
	}
	mounts := map[uint64][]target{} // by device
	err = a.eachTarget(ctx, resolved(args), func(t target) error {
		mounts[t.dev] = append(mounts[t.dev], t)
		return nil
	})
	for _, targets := range mounts {
		err = errors.Join(err, a.warmMount(ctx, opt, action, what, targets))
	}
	return err
}

// warmMount is warmup for paths in one mount.
func (a *app) warmMount(ctx context.Context, opt *warmupOptions, action maintain.WarmAction, what string, targets []target) error {
	return withMount(targets[0].near(), func(c *control.Client) error {
		m := a.newMeter("files")
		defer m.end()
		var sum control.WarmResponse
		for batch := range slices.Chunk(targets, warmBatch) {
			q := control.WarmRequest{Threads: uint16(min(opt.threads, math.MaxUint16)), Background: opt.background, Action: uint8(action)}
			for _, t := range batch {
				q.Paths = append(q.Paths, fmt.Sprintf("inode:%d", t.ino))
			}
			r, err := c.Warm(ctx, q, func(files, _ uint64) { m.set(sum.FileCount + files) })
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			sum.FileCount += r.FileCount
			sum.TotalBytes += r.TotalBytes
			sum.MissBytes += r.MissBytes
		}
		switch {
		case opt.background:
			a.log.Info(what + " goes on in the background")
		case action == maintain.WarmCheck:
			cached := sum.TotalBytes - sum.MissBytes
			a.log.Info(fmt.Sprintf("%s: %d files (%d of %d bytes (%2.1f%%)) cached", what, sum.FileCount, cached, sum.TotalBytes, percent(cached, sum.TotalBytes)))
		default:
			a.log.Info(fmt.Sprintf("%s: %d files (%d bytes)", what, sum.FileCount, sum.TotalBytes))
		}
		return nil
	})
}

// percent is 100 for a part of nothing.
func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 100
	}
	return float64(part) / float64(whole) * 100
}

// resolved follows the symlinks of paths. One that cannot be followed is left for the error that it gives.
func resolved(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		var err error
		if out[i], err = filepath.EvalSymlinks(p); err != nil {
			out[i] = p
		}
	}
	return out
}

// readLines gives the lines of a file that are not empty.
func readLines(name string) (lines []string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	s := bufio.NewScanner(f)
	for s.Scan() {
		if line := strings.TrimRight(s.Text(), "\r"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, s.Err()
}
