package main

import (
	"context"
	"math"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/fs/control"
)

type compactOptions struct{ threads int }

func compactFlags() table[compactOptions] {
	return table[compactOptions]{
		{name: "threads", short: "p", def: "10", to: toCount(func(o *compactOptions) *int { return &o.threads }), help: "files compacted at a time"},
	}
}

func (a *app) addCompact(root *cobra.Command) error {
	return addCommand(a, root, command[compactOptions]{
		use:   "compact PATH ...",
		short: "make few slices of the many that files in a mount consist of",
		args:  1,
		most:  many,
		flags: compactFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *compactOptions, args []string) error {
			return a.eachPath(ctx, args, func(t target, c *control.Client) error {
				m := a.newMeter("chunks compacted")
				defer m.end()
				return c.Do(ctx, control.CompactRequest{Ino: t.ino, Threads: uint16(min(opt.threads, math.MaxUint16))},
					func(n, _ uint64) { m.set(n) })
			})
		},
	})
}
