package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"math"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/fs/control"
	"jfs/meta"
)

type summaryOptions struct {
	depth   int
	entries int
	strict  bool
	csv     bool
}

func summaryFlags() table[summaryOptions] {
	return table[summaryOptions]{
		{name: "depth", short: "d", def: "2", to: toCount(func(o *summaryOptions) *int { return &o.depth }), help: "levels that are shown"},
		{name: "entries", short: "e", def: "10", to: toCount(func(o *summaryOptions) *int { return &o.entries }), help: "largest entries of a directory that are shown"},
		{name: "strict", to: toBool(func(o *summaryOptions) *bool { return &o.strict }), help: "look at every file instead of relying on the statistics of directories"},
		{name: "csv", to: toBool(func(o *summaryOptions) *bool { return &o.csv }), help: "print lines with commas, and sizes in bytes"},
	}
}

func (a *app) addSummary(root *cobra.Command) error {
	return addCommand(a, root, command[summaryOptions]{
		use:   "summary PATH",
		short: "show how much a tree in a mount holds, and its largest parts",
		args:  1,
		flags: summaryFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *summaryOptions, args []string) error {
			return a.eachPath(ctx, args, func(t target, c *control.Client) error { return a.summary(ctx, opt, t, c) })
		},
	})
}

func (a *app) summary(ctx context.Context, opt *summaryOptions, t target, c *control.Client) error {
	if opt.depth > math.MaxUint8 || opt.entries > math.MaxUint32 {
		return fmt.Errorf("--depth is at most %d and --entries at most %d", math.MaxUint8, uint32(math.MaxUint32))
	}
	m := a.newMeter("files")
	tree, err := c.Summary(ctx, control.SummaryRequest{
		Ino: t.ino, Depth: uint8(opt.depth), Entries: uint32(opt.entries), Strict: opt.strict,
	}, func(files, _ uint64) { m.set(files) })
	m.end()
	if err != nil {
		return err
	}
	return a.printSummary(&tree, opt)
}

func (a *app) printSummary(tree *control.Tree, opt *summaryOptions) error {
	size, count := func(n uint64) string { return tenths(int64(n)) }, func(n uint64) string { return grouped(int64(n)) }
	if opt.csv {
		size = func(n uint64) string { return fmt.Sprint(n) }
		count = size
	}
	g := grid{head: []string{"PATH", "SIZE", "DIRS", "FILES"}, left: []int{0}}
	var walk func(n *control.Tree)
	walk = func(n *control.Tree) {
		name := n.Path
		if meta.Type(n.Type) == meta.TypeDirectory {
			name += "/"
		}
		g.add(name, size(n.Size), count(n.Dirs), count(n.Files))
		for _, child := range n.Children {
			walk(child)
		}
	}
	walk(tree)
	if !opt.csv {
		return g.print(a.out)
	}
	w := csv.NewWriter(a.out)
	return w.WriteAll(append([][]string{g.head}, g.rows...)) // which flushes
}
