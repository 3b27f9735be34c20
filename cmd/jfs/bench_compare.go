package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/bench"
	"jfs/bench/html"
)

// exitSlower is the exit code of a comparison that has found something slower than --max-regression allows.
const exitSlower = 2

func (a *app) addBenchCompare(parent *cobra.Command) error {
	return addCommand(a, parent, command[compareOptions]{
		use:   "compare FILE FILE ... | --config NAME=FLAGS --config NAME=FLAGS [META-URL]",
		short: "compare results of benchmarks, or mount and measure configurations in turn",
		most:  many,
		flags: compareFlags(),
		run: func(ctx context.Context, set *pflag.FlagSet, opt *compareOptions, args []string) error {
			if !set.Changed("max-regression") {
				opt.regression = -1
			}
			return a.benchCompare(ctx, set, opt, args)
		},
	})
}

func (a *app) benchCompare(ctx context.Context, set *pflag.FlagSet, opt *compareOptions, args []string) (err error) {
	if opt.threads == 0 {
		return errors.New("--threads 0: at least one thread is needed")
	}
	configs, err := opt.configurations()
	if err != nil {
		return err
	}
	out, err := opt.open()
	if err != nil {
		return err
	}
	defer func() { err = out.close(err) }()
	var results []*bench.Result
	switch {
	case len(configs) == 0:
		results, err = loadResults(args)
	case len(args) > 1:
		err = fmt.Errorf("compare takes one META-URL with configurations and was given %d", len(args))
	default:
		limit := set.Changed("time-limit")
		results, err = a.measureConfigs(ctx, opt, configs, strings.Join(args, ""), limit)
	}
	if err != nil {
		return err
	}
	c, err := bench.Compare(results)
	if err != nil {
		return err
	}
	if err := c.Report(a.out, out.prices, terminal(a.out) && !a.global.noColor); err != nil {
		return err
	}
	if err := out.writeComparison(c); err != nil {
		return err
	}
	if opt.regression < 0 {
		return nil
	}
	slower := c.Regressions(opt.regression)
	if len(slower) == 0 {
		return nil
	}
	v := slower[0]
	return exitError{exitSlower, fmt.Errorf("%d of %d figures are slower than the base by more than %g%%: the first is %s (%s) of %s, at %.0f%% of the speed",
		len(slower), len(c.Verdicts), 100*opt.regression, v.Phase, v.Metric, v.Name, 100*v.Ratio)}
}

func loadResults(files []string) ([]*bench.Result, error) {
	if len(files) < 2 {
		return nil, fmt.Errorf("give two files or more that jfs bench --json has written, or configurations with --config: there are %d", len(files))
	}
	var results []*bench.Result
	for _, name := range files {
		r, err := bench.Load(name)
		if err != nil {
			return nil, err
		}
		if r.Name == "" {
			r.Name = strings.TrimSuffix(name[strings.LastIndexByte(name, '/')+1:], ".json")
		}
		results = append(results, r)
	}
	return results, nil
}

// configurations gives those of the flags and of the file.
func (o *compareOptions) configurations() ([]bench.Configuration, error) {
	var list []bench.Configuration
	for _, text := range o.configs {
		name, flags, ok := strings.Cut(text, "=")
		if !ok || name == "" || strings.HasPrefix(name, "-") {
			return nil, fmt.Errorf("--config %q: give a name and flags, such as 'fast=--writeback'", text)
		}
		list = append(list, bench.Configuration{Name: name, Flags: strings.Fields(flags)})
	}
	if o.file != "" {
		more, err := bench.ReadConfigurations(o.file)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	if len(list) == 1 {
		return nil, fmt.Errorf("there is one configuration, %s: give two or more", list[0].Name)
	}
	seen := map[string]bool{}
	for _, c := range list {
		if seen[c.Name] {
			return nil, fmt.Errorf("two configurations are called %s: give them different names", c.Name)
		}
		if strings.ContainsAny(c.Name, "/ \t\n") {
			return nil, fmt.Errorf("a configuration is called %q: give a name without slashes and spaces", c.Name)
		}
		seen[c.Name] = true
	}
	return list, nil
}

// writeComparison writes the files of a comparison.
func (o *benchOutput) writeComparison(c *bench.Comparison) error {
	if o.json != nil {
		if err := c.Save(o.json); err != nil {
			return err
		}
	}
	if o.csv != nil {
		if err := c.CSV(o.csv); err != nil {
			return err
		}
	}
	if o.html != nil {
		return html.Write(o.html, o.beside, c, o.prices)
	}
	return nil
}
