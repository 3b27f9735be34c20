package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/maintain"
	"jfs/meta"
)

type fsckOptions struct {
	path        string
	repair      bool
	recursive   bool
	syncDirStat bool
	dirMode     fs.FileMode
}

func fsckFlags() table[fsckOptions] {
	return table[fsckOptions]{
		{name: "path", to: toText(func(o *fsckOptions) *string { return &o.path }), help: "check this file or directory, from the root of the volume, instead of all data"},
		{name: "repair", to: toBool(func(o *fsckOptions) *bool { return &o.repair }), help: "with --path, repair what can be counted"},
		{name: "recursive", short: "r", to: toBool(func(o *fsckOptions) *bool { return &o.recursive }), help: "with --path, check all that is below"},
		{name: "sync-dir-stat", to: toBool(func(o *fsckOptions) *bool { return &o.syncDirStat }), help: "with --path, compare the statistics of directories, and with -r from the root the quotas, with what is there"},
		{name: "repair-dir-mode", def: "0755", to: func(o *fsckOptions) pflag.Value { return modeValue{&o.dirMode} }, help: "mode of directories whose attributes are lost, when they are repaired"},
	}
}

func (a *app) addFsck(root *cobra.Command) error {
	return addCommand(a, root, command[fsckOptions]{
		use:   "fsck META-URL",
		short: "check that the store has all data, or check directories and repair them",
		args:  1,
		flags: fsckFlags(),
		run: func(ctx context.Context, set *pflag.FlagSet, opt *fsckOptions, args []string) error {
			if !set.Changed("path") {
				for _, name := range []string{"repair", "recursive", "sync-dir-stat", "repair-dir-mode"} {
					if set.Changed(name) {
						return fmt.Errorf("--%s needs --path: give --path / for the whole volume", name)
					}
				}
			}
			return a.withTool(ctx, args[0], meta.Options{ReadOnly: !opt.repair}, 1, func(t *tool) error {
				if !set.Changed("path") {
					return a.fsckData(ctx, t, nil)
				}
				return a.fsckPath(ctx, t, opt)
			})
		},
	})
}

// fsckPath checks directories, and the data of files that were asked for.
func (a *app) fsckPath(ctx context.Context, t *tool, opt *fsckOptions) error {
	ino, attr, err := t.volume.FindPath(ctx, meta.Root, opt.path)
	if err != nil {
		return err
	}
	var broken error
	if attr.Type == meta.TypeDirectory {
		told, m := a.progress()
		r, err := maintain.CheckTree(ctx, t.volume, ino, maintain.TreeOptions{
			Recursive: opt.recursive, Repair: opt.repair, SyncDirStat: opt.syncDirStat, DirMode: uint16(opt.dirMode.Perm()),
			Progress: told, Log: a.log,
		})
		m.end()
		if err != nil && !errors.Is(err, maintain.ErrBroken) {
			return err
		}
		if _, err := fmt.Fprintf(a.out, "Checked %d directories, %d with faults, %d repaired\n", r.Dirs, r.Broken, r.Repaired); err != nil {
			return err
		}
		if r.Quotas > 0 {
			if _, err := fmt.Fprintf(a.out, "%d quotas were charged wrongly, %d repaired\n", r.Quotas, r.QuotasRepaired); err != nil {
				return err
			}
		}
		if broken = err; broken != nil && !opt.repair {
			broken = fmt.Errorf("%w: run fsck with --repair", broken)
		}
		if !opt.recursive {
			return broken
		}
	}
	return errors.Join(broken, a.fsckData(ctx, t, &ino))
}

// fsckData checks that no block is missing, below an inode or everywhere.
func (a *app) fsckData(ctx context.Context, t *tool, top *meta.Ino) error {
	told, m := a.progress()
	o := maintain.FsckOptions{Progress: told, Log: a.log}
	var r maintain.FsckResult
	var err error
	if top != nil {
		r, err = maintain.FsckTree(ctx, t.volume, t.store, *top, o)
	} else {
		r, err = maintain.Fsck(ctx, t.volume, t.store, o)
	}
	m.end()
	if err != nil && !errors.Is(err, maintain.ErrBroken) {
		return err
	}
	if _, perr := fmt.Fprintln(a.out, r); perr != nil {
		return perr
	}
	return err
}
