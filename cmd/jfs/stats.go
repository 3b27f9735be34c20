package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/bench"
	"jfs/internal/units"
)

type statsOptions struct {
	schema    string
	interval  time.Duration
	verbosity int
	count     int
}

func statsFlags() table[statsOptions] {
	return table[statsOptions]{
		{name: "schema", def: "ufmco", to: toText(func(o *statsOptions) *string { return &o.schema }), help: "groups of columns, by letter: u usage, f fuse, m meta, c blockcache, o object, g Go"},
		{name: "interval", def: "1", to: func(o *statsOptions) pflag.Value { return units.NewDuration(&o.interval) }, help: "time that a line is about"},
		{name: "verbosity", short: "l", def: "0", to: toCount(func(o *statsOptions) *int { return &o.verbosity }), help: "1 for more columns"},
		{name: "count", short: "c", def: "0", to: toCount(func(o *statsOptions) *int { return &o.count }), help: "lines that are shown; 0 for any number"},
	}
}

func (a *app) addStats(root *cobra.Command) error {
	return addCommand(a, root, command[statsOptions]{
		use:   "stats MOUNTPOINT",
		short: "show what a mount does, in a line for each second",
		args:  1,
		flags: statsFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *statsOptions, args []string) error {
			return a.stats(ctx, opt, args[0])
		},
	})
}

// statsHead is after how many lines the head comes again.
const statsHead = 30

func (a *app) stats(ctx context.Context, opt *statsOptions, path string) error {
	view, err := newStatsView(opt.schema, opt.verbosity)
	if err != nil {
		return err
	}
	if opt.interval <= 0 {
		return errors.New("--interval 0: give a time such as 1s")
	}
	read := func() (bench.Counters, time.Time, error) {
		c, err := bench.CountersOf(path)
		if err == nil && c == nil {
			err = fmt.Errorf("%s is not in a mount of a volume: it has no .stats", path)
		}
		return c, time.Now(), err
	}
	was, then, err := read()
	if err != nil {
		return err
	}
	view.colour = terminal(a.out) && !a.global.noColor
	tick := time.NewTicker(opt.interval)
	defer tick.Stop()
	for n := 0; opt.count == 0 || n < opt.count; n++ {
		if n%statsHead == 0 {
			if _, err := io.WriteString(a.out, view.head()); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		now, at, err := read()
		if err != nil {
			return err
		}
		if _, err := io.WriteString(a.out, view.line(was, now, at.Sub(then))); err != nil {
			return err
		}
		was, then = now, at
	}
	return nil
}
