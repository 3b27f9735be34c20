package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/fs/control"
	"jfs/internal/units"
	"jfs/meta"
)

type infoOptions struct {
	inode     bool
	recursive bool
	strict    bool
	raw       bool
}

func infoFlags() table[infoOptions] {
	return table[infoOptions]{
		{name: "inode", short: "i", to: toBool(func(o *infoOptions) *bool { return &o.inode }), help: "the arguments are inodes of the mount that the current directory lies in"},
		{name: "recursive", short: "r", to: toBool(func(o *infoOptions) *bool { return &o.recursive }), help: "add up all that is below a directory"},
		{name: "strict", to: toBool(func(o *infoOptions) *bool { return &o.strict }), help: "with --recursive, look at every file instead of relying on the statistics of directories"},
		{name: "raw", to: toBool(func(o *infoOptions) *bool { return &o.raw }), help: "show the slices of a file instead of its objects"},
	}
}

func (a *app) addInfo(root *cobra.Command) error {
	return addCommand(a, root, command[infoOptions]{
		use:   "info PATH/INODE ...",
		short: "show what files and directories in a mount consist of",
		args:  1,
		most:  many,
		flags: infoFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *infoOptions, args []string) error {
			if opt.inode {
				return a.infoInodes(ctx, opt, args)
			}
			return a.eachPath(ctx, args, func(t target, c *control.Client) error { return a.info(ctx, opt, c, t.ino, t.path) })
		},
	})
}

func (a *app) infoInodes(ctx context.Context, opt *infoOptions, args []string) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	return withMount(dir, func(c *control.Client) error {
		for _, arg := range args {
			ino, err := strconv.ParseUint(arg, 10, 64)
			if err != nil || ino == 0 {
				return fmt.Errorf("%q is not an inode: give its number", arg)
			}
			if err := a.info(ctx, opt, c, meta.Ino(ino), arg); err != nil {
				return fmt.Errorf("inode %d: %w", ino, err)
			}
		}
		return nil
	})
}

func (a *app) info(ctx context.Context, opt *infoOptions, c *control.Client, ino meta.Ino, name string) error {
	m := a.newMeter("files")
	r, err := c.Info(ctx, control.InfoRequest{Ino: ino, Recursive: opt.recursive, Raw: opt.raw, Strict: opt.strict},
		func(files, _ uint64) { m.set(files) })
	m.end()
	if err != nil {
		return err
	}
	return a.printInfo(name, &r)
}

func (a *app) printInfo(name string, r *control.InfoResponse) error {
	var b strings.Builder
	s := r.Summary
	fmt.Fprintf(&b, "%s :\n  inode: %d\n  files: %d\n   dirs: %d\n length: %s\n   size: %s\n",
		name, r.Ino, s.Files, s.Dirs, units.FormatBytes(s.Length), units.FormatBytes(s.Size))
	switch len(r.Paths) {
	case 0:
		b.WriteString("   path: unknown\n")
	case 1:
		fmt.Fprintf(&b, "   path: %s\n", r.Paths[0])
	default:
		b.WriteString("  paths:\n")
		for _, p := range r.Paths {
			fmt.Fprintf(&b, "\t%s\n", p)
		}
	}
	for _, part := range []struct {
		title string
		grid  grid
	}{
		{"objects", objectGrid(r.Objects)}, {" chunks", sliceGrid(r.Chunks)}, {" flocks", lockGrid(r.FLocks, false)}, {" plocks", lockGrid(r.PLocks, true)},
	} {
		if len(part.grid.rows) == 0 {
			continue
		}
		fmt.Fprintf(&b, " %s:\n", part.title)
		if err := part.grid.print(&b); err != nil {
			return err
		}
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}

func objectGrid(objects []control.Object) grid {
	g := grid{head: []string{"chunkIndex", "objectName", "size", "offset", "length", "pos"}, left: []int{1}}
	for _, o := range objects {
		g.add(fmt.Sprint(o.ChunkIndex), o.Key, fmt.Sprint(o.Size), fmt.Sprint(o.Off), fmt.Sprint(o.Len), fmt.Sprint(o.Pos))
	}
	return g
}

func sliceGrid(slices []control.Slice) grid {
	g := grid{head: []string{"chunkIndex", "sliceId", "size", "offset", "length", "pos"}}
	for _, s := range slices {
		g.add(fmt.Sprint(s.ChunkIndex), fmt.Sprint(s.Id), fmt.Sprint(s.Size), fmt.Sprint(s.Off), fmt.Sprint(s.Len), fmt.Sprint(s.Pos))
	}
	return g
}

func lockGrid(locks []control.Lock, ranges bool) grid {
	g := grid{head: []string{"Sid", "Owner", "Type"}}
	if ranges {
		g.head = append(g.head, "Pid", "Start", "End")
	}
	for _, l := range locks {
		row := []string{fmt.Sprint(l.Sid), fmt.Sprintf("%X", l.Owner), fmt.Sprint(l.Type)}
		if ranges {
			row = append(row, fmt.Sprint(l.Pid), fmt.Sprint(l.Start), fmt.Sprint(l.End))
		}
		g.add(row...)
	}
	return g
}
