package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"jfs/bench"
	"jfs/internal/mounts"
	"jfs/internal/units"
)

// contender is a configuration that is being measured.
type contender struct {
	bench.Configuration
	url, point string
	mount      []string // words for the command line of mount
	format     []string // of format
	dir        string   // for its cache, its log, and its volume if it has one of its own
	result     *bench.Result
}

// measureConfigs mounts the configurations in turn and measures each, A B A B, so that what changes on the machine
// meanwhile concerns all of them.
func (a *app) measureConfigs(ctx context.Context, opt *compareOptions, configs []bench.Configuration, url string, limited bool) (results []*bench.Result, err error) {
	cfg, err := opt.config()
	if err != nil {
		return nil, err
	}
	rounds := cfg.Rounds
	if rounds == 0 {
		rounds = bench.Rounds(cfg.Questions(len(configs)))
	}
	cfg.Rounds = 1
	if !limited {
		cfg.TimeLimit = 0
	}
	dir, err := os.MkdirTemp(opt.scratch, "jfs-compare-")
	if err != nil {
		return nil, fmt.Errorf("--scratch: %w", err)
	}
	var points string
	defer func() {
		rerr := errors.Join(removePoints(points), os.RemoveAll(dir))
		if rerr != nil && err == nil {
			err = fmt.Errorf("remove what the comparison has made: %w", rerr)
		}
	}()
	if points, err = os.MkdirTemp(opt.scratch, "jfs-compare-mnt-"); err != nil {
		return nil, fmt.Errorf("--scratch: %w", err)
	}
	all, err := contenders(configs, url, dir, points)
	if err != nil {
		return nil, err
	}
	if err := scratchSpace(cfg, all, dir); err != nil {
		return nil, err
	}
	if far := (injectValue{&opt.inject}).String(); far != "" {
		for _, c := range all {
			c.mount = append([]string{"--inject", far}, c.mount...) // a configuration may add to it
		}
	}
	for _, c := range all {
		if err := a.prepareContender(ctx, c); err != nil {
			return nil, fmt.Errorf("configuration %s: %w", c.Name, err)
		}
	}
	for round := range rounds {
		for _, c := range all {
			if err := a.measureContender(ctx, cfg, c, round+1, rounds); err != nil {
				return nil, fmt.Errorf("configuration %s: %w", c.Name, err)
			}
		}
	}
	for _, c := range all {
		c.result.Config.Rounds = rounds
		results = append(results, c.result)
	}
	return results, nil
}

// contenders finds out which flags are for mount and which are for format.
func contenders(configs []bench.Configuration, url, dir, points string) ([]*contender, error) {
	mountable, formattable := mountFlags(), formatFlags()
	var all []*contender
	for _, conf := range configs {
		c := &contender{Configuration: conf, url: conf.Meta, dir: filepath.Join(dir, conf.Name)}
		c.point = filepath.Join(points, conf.Name)
		if c.url == "" {
			c.url = url
		}
		own := c.url == ""
		for i := 0; i < len(conf.Flags); i++ {
			word := conf.Flags[i]
			name, value, has := strings.Cut(strings.TrimLeft(word, "-"), "=")
			if name == "program" && strings.HasPrefix(word, "-") {
				if !has && i+1 < len(conf.Flags) {
					i++
					value = conf.Flags[i]
				}
				c.Program = value
				continue
			}
			forFormat := formattable.has(name) && (!mountable.has(name) || own && (name == "storage" || name == "bucket"))
			switch {
			case !strings.HasPrefix(word, "-") || !forFormat && !mountable.has(name):
				return nil, fmt.Errorf("configuration %s: %s is no flag of mount or of format", conf.Name, word)
			case slices.Contains([]string{"d", "background", "update-fstab", "subdir"}, name):
				return nil, fmt.Errorf("configuration %s: --%s makes no sense in a comparison", conf.Name, name)
			case forFormat && !own:
				return nil, fmt.Errorf("configuration %s: --%s is a setting of the volume: leave META-URL out, and a volume is made for each configuration, or give each its own in --configs", conf.Name, name)
			}
			words := []string{word}
			if !has && takesValue(mountable, formattable, name) && i+1 < len(conf.Flags) {
				i++
				words = append(words, conf.Flags[i])
			}
			if forFormat {
				c.format = append(c.format, words...)
			} else {
				c.mount = append(c.mount, words...)
			}
		}
		if c.Program != "" {
			path, err := exec.LookPath(c.Program)
			if err == nil {
				path, err = filepath.Abs(path)
			}
			if err != nil {
				return nil, fmt.Errorf("configuration %s: program: %w", conf.Name, err)
			}
			c.Program = path
		}
		if own {
			c.url = "sqlite3://" + filepath.Join(c.dir, "meta.db")
		} else if c.format = nil; strings.Contains(c.url, "://") {
			var err error
			if c.url, err = absoluteURL(c.url); err != nil {
				return nil, err
			}
		}
		all = append(all, c)
	}
	return all, nil
}

// takesValue says whether the flag is followed by its value.
func takesValue(m mountTable, f table[formatOptions], name string) bool {
	for _, one := range m {
		if one.name == name || one.short == name {
			return one.to == nil && !one.boolean || one.to != nil && one.to(new(mountOptions)).Type() != "bool"
		}
	}
	for _, one := range f {
		if one.name == name {
			return one.to == nil && !one.boolean || one.to != nil && one.to(new(formatOptions)).Type() != "bool"
		}
	}
	return false
}

// scratchSpace looks whether the volumes that are made, and the caches, have room. The check of the benchmark itself
// sees only the volume, which knows no bounds.
func scratchSpace(cfg bench.Config, all []*contender, dir string) error {
	need, err := cfg.Space()
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Meta == "" && strings.HasPrefix(c.url, "sqlite3://"+c.dir) {
			need += need / int64(len(all)) // its objects besides its cache
		}
	}
	free, err := bench.Free(dir)
	if err != nil {
		return err
	}
	if need *= int64(len(all)); need > free {
		return fmt.Errorf("%s: %w: up to %s are needed for caches and volumes, and %s are free: choose another directory with --scratch, or smaller files",
			filepath.Dir(dir), bench.ErrSpace, units.FormatShort(uint64(need)), units.FormatShort(uint64(free)))
	}
	return nil
}

// removePoints removes the mount points. They lie apart from all else and are never removed as a tree: what is still
// mounted there is somebody's volume.
func removePoints(dir string) error {
	entries, err := os.ReadDir(dir)
	if dir == "" || err != nil {
		return nil // there are none
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return os.Remove(dir)
}

// prepareContender makes its directory, and its volume if it has one of its own.
func (a *app) prepareContender(ctx context.Context, c *contender) error {
	for _, dir := range []string{c.point, c.dir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if !strings.HasPrefix(c.url, "sqlite3://"+c.dir) {
		return nil
	}
	args := append([]string{"format", "--bucket", filepath.Join(c.dir, "objects"), "--trash-days", "0"}, c.format...)
	return a.runAgain(ctx, "", append(args, c.url, "bench"), nil)
}

// runAgain runs a program, this one if it has no name, with other arguments, and turns its last words into an error.
func (a *app) runAgain(ctx context.Context, program string, args, env []string) error {
	var err error
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return fmt.Errorf("find this program: %w", err)
		}
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = &log, &log, env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	err = cmd.Run()
	if err == nil || ctx.Err() != nil {
		return errors.Join(ctx.Err())
	}
	if !errors.As(err, new(*exec.ExitError)) {
		return err // it did not begin
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	last := lines[len(lines)-1]
	if _, after, ok := strings.Cut(last, "<FATAL>: "); ok {
		last = after
		if i := strings.LastIndex(last, " ["); i > 0 {
			last = last[:i] // where in the program
		}
	}
	return fmt.Errorf("%s: %s", args[0], last)
}

// measureContender mounts it, measures one round, and unmounts it.
func (a *app) measureContender(ctx context.Context, cfg bench.Config, c *contender, round, rounds int) (err error) {
	again := relaunch{
		flags: []string{"background", "no-syslog", "log=" + filepath.Join(c.dir, "log"), "cache-dir=" + filepath.Join(c.dir, "cache"), "backup-meta=0"},
		url:   withScheme(c.url), point: c.point,
	}
	args, env := again.command()
	end := slices.Index(args, "--")
	args = slices.Concat([]string{"mount", "--no-agent"}, args[2:end], c.mount, args[end:])
	if err := a.runAgain(ctx, c.Program, args, env); err != nil {
		return err
	}
	defer func() {
		if uerr := a.unmountContender(ctx, c); uerr != nil && err == nil {
			err = uerr
		}
	}()
	runner := a.benchRunner(c.point, cfg)
	if runner.Progress != nil {
		show := runner.Progress
		runner.Progress = func(p bench.Progress) {
			p.Phase.Name = c.Name + ": " + p.Phase.Name
			if p.Round > 0 {
				p.Round, p.Rounds = round, rounds
			}
			show(p)
		}
	}
	result, err := runner.Run(ctx, c.point)
	if err != nil {
		return benchError(ctx, err)
	}
	result.Name, result.Flags, result.Environment.Program = c.Name, c.Flags, version
	if c.Program != "" {
		result.Environment.Program = c.Program
	}
	if c.result == nil {
		c.result = result
		return nil
	}
	c.result.Append(result)
	return nil
}

// unmountContender unmounts also when the comparison is interrupted. Nobody else uses what it has mounted, so a mount
// that does not go by itself is made to.
func (a *app) unmountContender(ctx context.Context, c *contender) error {
	path, err := mounts.Path(c.point)
	if err == nil {
		if _, mounted, merr := mounts.At(path); merr == nil && !mounted {
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	err = a.umount(ctx, &umountOptions{}, c.point)
	if err != nil {
		if ferr := a.umount(ctx, &umountOptions{force: true}, c.point); ferr == nil {
			a.log.Warn("the mount had to be ended by force", "configuration", c.Name, "err", err)
			return nil
		}
	}
	return err
}
