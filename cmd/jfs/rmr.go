package main

import (
	"context"
	"errors"
	"math"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/fs/control"
)

type rmrOptions struct {
	skipTrash bool
	threads   int
}

func rmrFlags() table[rmrOptions] {
	return table[rmrOptions]{
		{name: "skip-trash", to: toBool(func(o *rmrOptions) *bool { return &o.skipTrash }), help: "remove for ever, past the trash"},
		{name: "threads", short: "p", def: "50", to: toCount(func(o *rmrOptions) *int { return &o.threads }), help: "directories emptied at a time, 255 at most"},
	}
}

func (a *app) addRmr(root *cobra.Command) error {
	return addCommand(a, root, command[rmrOptions]{
		use:   "rmr PATH ...",
		short: "remove trees in a mount, faster than rm -r",
		args:  1,
		most:  many,
		flags: rmrFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *rmrOptions, args []string) error {
			return a.eachTarget(ctx, args, func(t target) error { return a.rmr(ctx, opt, t) })
		},
	})
}

func (a *app) rmr(ctx context.Context, opt *rmrOptions, t target) error {
	dir, err := findTarget(t.dir)
	if err != nil {
		return err
	}
	if dir.dev != t.dev || t.name == "/" {
		return errors.New("it is the root of a mount: give what is in it")
	}
	return withMount(t.dir, func(c *control.Client) error {
		m := a.newMeter("entries removed")
		defer m.end()
		return c.Do(ctx, control.RemoveRequest{
			Dir: dir.ino, Name: t.name, SkipTrash: opt.skipTrash, Threads: uint8(min(opt.threads, math.MaxUint8)),
		}, func(n, _ uint64) { m.set(n) })
	})
}
