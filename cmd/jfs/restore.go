package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/meta"
)

type restoreOptions struct {
	putBack bool
	threads int
}

func restoreFlags() table[restoreOptions] {
	return table[restoreOptions]{
		{name: "put-back", to: toBool(func(o *restoreOptions) *bool { return &o.putBack }), help: "also move files and trees back to where they were removed from"},
		{name: "threads", def: "10", to: toCount(func(o *restoreOptions) *int { return &o.threads }), help: "entries moved at a time"},
	}
}

func (a *app) addRestore(root *cobra.Command) error {
	return addCommand(a, root, command[restoreOptions]{
		use:   "restore META-URL HOUR ...",
		short: "give removed trees in the trash their form again, or put them back",
		args:  2,
		most:  many,
		flags: restoreFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *restoreOptions, args []string) error {
			return a.withVolume(ctx, args[0], meta.Options{}, func(v *meta.Volume) error { return a.restore(ctx, v, opt, args[1:]) })
		},
	})
}

func (a *app) restore(ctx context.Context, v *meta.Volume, opt *restoreOptions, hours []string) error {
	m := a.newMeter("entries restored")
	r, err := v.Restore(ctx, hours, meta.RestoreOptions{PutBack: opt.putBack, Threads: opt.threads, Progress: m.add})
	m.end()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "restored: %d, skipped: %d, failed: %d\n", r.Moved, r.Skipped, r.Failed)
	if err == nil && r.Failed > 0 {
		err = fmt.Errorf("%d entries of the trash could not be moved: their names are taken or their directories gone, see the log", r.Failed)
	}
	return err
}
