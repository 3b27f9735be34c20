package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/bench"
	"jfs/internal/units"
	"jfs/meta"
)

type mdtestOptions struct {
	mountOptions
	threads int
	dirs    int
	depth   int
	files   int
	write   int64
	rounds  int
	limit   time.Duration
	outputOptions
}

func mdtestFlags() table[mdtestOptions] {
	t := table[mdtestOptions]{
		{name: "threads", def: "1", to: toCount(func(o *mdtestOptions) *int { return &o.threads }), help: "threads, for each of which there is a tree"},
		{name: "dirs", def: "3", to: toCount(func(o *mdtestOptions) *int { return &o.dirs }), help: "directories in each directory"},
		{name: "depth", def: "2", to: toCount(func(o *mdtestOptions) *int { return &o.depth }), help: "levels of directories"},
		{name: "files", def: "10", to: toCount(func(o *mdtestOptions) *int { return &o.files }), help: "files in each directory"},
		{name: "write", def: "0", to: func(o *mdtestOptions) pflag.Value { return units.NewSize(&o.write, units.B) }, help: "bytes that are written to each file, unless a unit is given"},
		{name: "access-log", state: later, help: "file for an access log"},
		{name: "inject", to: func(o *mdtestOptions) pflag.Value { return injectValue{&o.inject} }, help: "make the database or the store distant, as in \"meta:delay=2ms;store:delay=20ms\""},
		{name: "rounds", def: "3", to: toCount(func(o *mdtestOptions) *int { return &o.rounds }), help: "how often everything is measured"},
		{name: "time-limit", def: "90s", to: func(o *mdtestOptions) pflag.Value { return units.NewDuration(&o.limit) }, help: "begin no further round that would likely end later than this; 0 for no limit"},
	}
	t = append(t, outputFlags(func(o *mdtestOptions) *outputOptions { return &o.outputOptions })...)
	for _, group := range []mountTable{mountMetaFlags(), mountMetaCacheFlags(), mountStorageFlags(), mountCacheFlags(), mountMetricsFlags()} {
		for _, f := range group {
			if t.has(f.name) {
				continue
			}
			one := flag[mdtestOptions]{name: f.name, short: f.short, def: f.def, env: f.env, state: f.state, only: f.only, boolean: f.boolean, help: f.help, hidden: true}
			if f.to != nil {
				one.to = func(o *mdtestOptions) pflag.Value { return f.to(&o.mountOptions) }
			}
			t = append(t, one)
		}
	}
	return t
}

func (a *app) addMdtest(root *cobra.Command) error {
	return addCommand(a, root, command[mdtestOptions]{
		use:   "mdtest META-URL PATH",
		short: "measure the metadata of a volume without a mount; takes the flags of mount for metadata and data",
		args:  2,
		flags: mdtestFlags(),
		run: func(ctx context.Context, set *pflag.FlagSet, opt *mdtestOptions, args []string) error {
			if !set.Changed("cache-dir") {
				opt.cacheDir = memoryOnly // nothing is read back
				if !set.Changed("cache-size") {
					opt.cacheSize = memoryOnlySize
				}
			}
			if err := opt.complete(set); err != nil {
				return err
			}
			return a.mdtest(ctx, opt, args[0], args[1])
		},
	})
}

// mostDirs bounds the tree of mdtest, which is held in memory.
const mostDirs = 1_000_000

func (a *app) mdtest(ctx context.Context, opt *mdtestOptions, url, path string) (err error) {
	switch {
	case opt.threads < 1 || opt.dirs < 1 || opt.files < 1 || opt.rounds < 1:
		return errors.New("--threads, --dirs, --files and --rounds: at least 1 is needed")
	case opt.readOnly:
		return errors.New("--read-only makes no sense in mdtest")
	case opt.write > units.GiB:
		return errors.New("--write: give 1G at most")
	}
	trees := newTrees(opt)
	if len(trees.parents) > mostDirs {
		return fmt.Errorf("--dirs %d --depth %d --threads %d: these are more than %d directories: give less", opt.dirs, opt.depth, opt.threads, mostDirs)
	}
	out, err := opt.open()
	if err != nil {
		return err
	}
	defer func() { err = out.close(err) }()
	var parts closer
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if cerr := parts.close(end, a.log); cerr != nil && err == nil {
			err = cerr
		}
	}()
	lost, give := context.WithCancelCause(ctx)
	defer give(nil)
	opt.backupMeta = 0
	c, _, _, err := a.buildClient(lost, withScheme(url), "mdtest", &opt.mountOptions, give, &parts)
	if err != nil {
		return err
	}
	top, err := findDir(lost, c.volume, path)
	if err != nil {
		return fmt.Errorf("PATH %s: %w", path, err)
	}
	name := fmt.Sprintf("__juicefs_mdtest_%d__", time.Now().UnixNano())
	if trees.top, _, err = c.volume.Mknod(lost, meta.Root, top, name, meta.New{Type: meta.TypeDirectory, Mode: 0o777}); err != nil {
		return fmt.Errorf("make a directory for the benchmark: %w", err)
	}
	defer func() {
		rerr := c.volume.RemoveTree(context.WithoutCancel(ctx), meta.Root, top, name, true, 0, nil)
		if rerr != nil && err == nil {
			err = fmt.Errorf("remove the directory of the benchmark: %w", rerr)
		}
	}()
	trees.client = c
	count := func() bench.Counters {
		f := figures{}
		c.tally.add(f)
		f.addProcess()
		return bench.Counters(f)
	}
	runner := bench.TaskRunner{
		Kind: bench.KindMeta, Counters: count, Threads: opt.threads, Rounds: opt.rounds, TimeLimit: opt.limit,
		Header: fmt.Sprintf("Threads: %d, Dirs: %d, Depth: %d, Files: %d, Write: %d; %d directories and %d files in all",
			opt.threads, opt.dirs, opt.depth, opt.files, opt.write, len(trees.parents), len(trees.parents)*opt.files),
	}
	if terminal(a.err) && !a.global.quiet {
		runner.Progress = a.showProgress
	}
	return a.finishTasks(lost, &runner, c.format.Name+":"+path, trees.tasks(), &opt.outputOptions, out)
}

// trees are the directories of mdtest, one tree for each thread, those above before those below.
type trees struct {
	client  *client
	opt     *mdtestOptions
	top     meta.Ino
	parents []int // of each directory; -1 for the top

	children map[int][]int
	inos     []meta.Ino
	made     []chan struct{} // closed when the directory is there
	left     []chan struct{} // closed when it is gone
	data     []byte
}

func newTrees(o *mdtestOptions) *trees {
	t := &trees{opt: o, data: make([]byte, o.write), children: map[int][]int{}}
	level := make([]int, o.threads)
	for i := range level {
		level[i] = -1
	}
	per := 1 // directories in each of the level above
	for range o.depth + 1 {
		var next []int
		for _, parent := range level {
			for range per {
				if len(t.parents) > mostDirs {
					return t
				}
				t.children[parent] = append(t.children[parent], len(t.parents))
				next = append(next, len(t.parents))
				t.parents = append(t.parents, parent)
			}
		}
		level, per = next, o.dirs
	}
	return t
}

// reset forgets the directories of the round before.
func (t *trees) reset() {
	n := len(t.parents)
	t.inos, t.made, t.left = make([]meta.Ino, n), make([]chan struct{}, n), make([]chan struct{}, n)
	for i := range n {
		t.made[i], t.left[i] = make(chan struct{}), make(chan struct{})
	}
}

// above gives the directory that a directory lies in.
func (t *trees) above(i int) meta.Ino {
	if p := t.parents[i]; p >= 0 {
		return t.inos[p]
	}
	return t.top
}

func dirName(i int) string { return fmt.Sprintf("dir.%d", i) }

// file gives the place of the i-th file.
func (t *trees) file(i int, suffix string) meta.Name {
	return meta.Name{Dir: t.inos[i/t.opt.files], Name: fmt.Sprintf("file.%d%s", i, suffix)}
}

func wait(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *trees) tasks() []bench.Task {
	v, dirs := t.client.volume, len(t.parents)
	files := dirs * t.opt.files
	phase := func(name, op, unit string) bench.Phase {
		return bench.Phase{Name: name, Op: bench.Op(op), Set: "mdtest", Unit: unit, Measure: bench.FileRate}
	}
	nothing := func(err error) (int64, error) { return 0, err }
	list := []bench.Task{{Phase: phase("Make directories", "mkdir", "dir"), Items: dirs, Before: t.reset, Do: func(ctx context.Context, i int) (int64, error) {
		if p := t.parents[i]; p >= 0 {
			if err := wait(ctx, t.made[p]); err != nil {
				return 0, err
			}
		}
		ino, _, err := v.Mknod(ctx, meta.Root, t.above(i), dirName(i), meta.New{Type: meta.TypeDirectory, Mode: 0o755})
		if err == nil {
			t.inos[i] = ino
			close(t.made[i])
		}
		return nothing(err)
	}}}
	create := bench.Task{Phase: phase("Create files", "create", "file"), Items: files, Do: func(ctx context.Context, i int) (int64, error) {
		at := t.file(i, "")
		_, _, err := v.Mknod(ctx, meta.Root, at.Dir, at.Name, meta.New{Type: meta.TypeFile, Mode: 0o644})
		return nothing(err)
	}}
	if t.opt.write > 0 {
		create.Phase = phase("Create and write files", "write", "file")
		create.Do = t.writeFile
	}
	return append(list, create,
		bench.Task{Phase: phase("Look up files", "lookup", "file"), Items: files, Do: func(ctx context.Context, i int) (int64, error) {
			at := t.file(i, "")
			_, _, err := v.Lookup(ctx, meta.Root, at.Dir, at.Name)
			return nothing(err)
		}},
		bench.Task{Phase: phase("List directories", "readdir", "dir"), Items: dirs, Do: func(ctx context.Context, i int) (int64, error) {
			for cursor := ""; ; {
				_, next, err := v.Readdir(ctx, t.inos[i], cursor, 1000, true)
				if cursor = next; err != nil || next == "" {
					return nothing(err)
				}
			}
		}},
		bench.Task{Phase: phase("Rename files", "rename", "file"), Items: files, Do: func(ctx context.Context, i int) (int64, error) {
			return nothing(v.Rename(ctx, meta.Root, t.file(i, ""), t.file(i, ".renamed"), 0))
		}},
		bench.Task{Phase: phase("Remove files", "unlink", "file"), Items: files, Do: func(ctx context.Context, i int) (int64, error) {
			at := t.file(i, ".renamed")
			return nothing(v.Unlink(ctx, meta.Root, at.Dir, at.Name))
		}},
		bench.Task{Phase: phase("Remove directories", "rmdir", "dir"), Items: dirs, Do: t.removeDir},
	)
}

// writeFile makes a file with contents, as a mount does.
func (t *trees) writeFile(ctx context.Context, i int) (int64, error) {
	at := t.file(i, "")
	_, h, err := t.client.fs.Create(ctx, meta.Root, at.Dir, at.Name, meta.New{Type: meta.TypeFile, Mode: 0o644}, syscall.O_WRONLY)
	if err != nil {
		return 0, err
	}
	defer h.Release(ctx)
	n, err := h.Write(ctx, 0, t.data)
	if err == nil {
		err = h.Flush(ctx)
	}
	return int64(n), err
}

// removeDir removes the directories from the last to the first, so that each is empty when it has its turn.
func (t *trees) removeDir(ctx context.Context, i int) (int64, error) {
	i = len(t.parents) - 1 - i
	for _, child := range t.children[i] {
		if err := wait(ctx, t.left[child]); err != nil {
			return 0, err
		}
	}
	err := t.client.volume.Rmdir(ctx, meta.Root, t.above(i), dirName(i))
	if err == nil {
		close(t.left[i])
	}
	return 0, err
}
