package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/maintain"
	"jfs/meta"
)

type gcOptions struct {
	compact bool
	delete  bool
	threads int
}

func gcFlags() table[gcOptions] {
	return table[gcOptions]{
		{name: "compact", to: toBool(func(o *gcOptions) *bool { return &o.compact }), help: "make one slice of the many that parts of files consist of"},
		{name: "delete", to: toBool(func(o *gcOptions) *bool { return &o.delete }), help: "delete what is found, and what has been in the trash for long enough"},
		{name: "threads", short: "p", def: "10", to: toCount(func(o *gcOptions) *int { return &o.threads }), help: "objects deleted or parts compacted at a time"},
	}
}

func (a *app) addGC(root *cobra.Command) error {
	return addCommand(a, root, command[gcOptions]{
		use:   "gc META-URL",
		short: "find objects that nothing needs, and delete them if asked to",
		args:  1,
		flags: gcFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *gcOptions, args []string) error {
			o := meta.Options{ReadOnly: !opt.delete && !opt.compact}
			return a.withTool(ctx, args[0], o, max(opt.threads, 1), func(t *tool) error { return a.gc(ctx, t, opt) })
		},
	})
}

func (a *app) gc(ctx context.Context, t *tool, opt *gcOptions) error {
	told, m := a.progress()
	o := maintain.GCOptions{Delete: opt.delete, Threads: opt.threads, Progress: told, Log: a.log}
	if opt.compact {
		o.Compactor = maintain.NewCompactor(t.volume, t.blocks, t.blocks, maintain.CompactOptions{
			Pool: t.pool, Threads: opt.threads, Progress: told, Log: a.log,
		})
	}
	r, err := maintain.GC(ctx, t.volume, t.store, o)
	m.end()
	if err != nil {
		return err
	}
	if opt.compact {
		a.log.Info(fmt.Sprintf("compacted %d of %d chunks with several slices", r.Chunks.Compacted, r.Chunks.Chunks))
	}
	if opt.delete {
		a.log.Info(fmt.Sprintf("removed %d entries of the trash, %d unfinished clones, %d inodes without a name, %d chunks without an inode", r.Trash, r.Detached, r.Orphans, r.Lost))
	} else if r.Leaked.N+r.Pending.N > 0 {
		a.log.Info("nothing is deleted without --delete")
	}
	if _, err := fmt.Fprintln(a.out, r); err != nil {
		return err
	}
	if n := r.Failed + int64(r.Chunks.Failed); n > 0 {
		return fmt.Errorf("%d deletions or compactions have failed: see the log, and run gc again", n)
	}
	return nil
}
