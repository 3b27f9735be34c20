package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"jfs/bench"
	"jfs/bench/html"
	"jfs/fs/control"
	"jfs/internal/units"
	"jfs/maintain"
)

func (a *app) addBench(root *cobra.Command) error {
	err := addCommand(a, root, command[benchOptions]{
		use:   "bench PATH",
		short: "measure a file system with big and small files",
		args:  1,
		flags: benchFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *benchOptions, args []string) error {
			return a.bench(ctx, opt, args[0])
		},
	})
	if err != nil {
		return err
	}
	for _, cmd := range root.Commands() {
		if cmd.Name() == "bench" {
			if err := a.addBenchCompare(cmd); err != nil {
				return err
			}
			return a.addBenchProfile(cmd)
		}
	}
	return nil
}

func (a *app) bench(ctx context.Context, opt *benchOptions, path string) (err error) {
	if opt.threads == 0 {
		return fmt.Errorf("--threads 0: at least one thread is needed")
	}
	if opt.rounds == 0 {
		return fmt.Errorf("--rounds 0: at least one round is needed")
	}
	if opt.inject != (distances{}) {
		return errors.New("--inject: bench measures what is mounted already, and only the mount can make its store or database distant: mount with --inject, or give it to bench compare, which mounts itself")
	}
	cfg, err := opt.config()
	if err != nil {
		return err
	}
	out, err := opt.open()
	if err != nil {
		return err
	}
	defer func() { err = out.close(err) }()
	runner := a.benchRunner(path, cfg)
	var recorder *benchRecorder
	if opt.pprof != "" {
		if recorder, err = newBenchRecorder(ctx, path, opt.pprof); err != nil {
			return err
		}
		runner.Record = recorder.record
	}
	result, err := runner.Run(ctx, path)
	if err != nil {
		err = benchError(ctx, err)
	}
	if result == nil || len(result.Phases) == 0 {
		return err
	}
	result.Name = opt.name
	if result.CachesKept != nil {
		a.log.Warn("the kernel's caches could not be dropped, so reads may come from memory", "err", result.CachesKept)
	}
	if recorder != nil {
		result.Notes = append(result.Notes, "Profiles were taken meanwhile, which costs some of the speed.")
		extra, rerr := recorder.save()
		if rerr != nil {
			return errors.Join(err, rerr)
		}
		out.extras = append(out.extras, extra)
	}
	if werr := a.printResult(result, out); werr != nil && err == nil {
		err = werr
	}
	if recorder != nil && err == nil {
		err = recorder.print(a.out)
	}
	return err
}

// benchRunner makes what measures in a path, with what a mount can do for it.
func (a *app) benchRunner(path string, cfg bench.Config) *bench.Runner {
	r := &bench.Runner{Config: cfg}
	if terminal(a.err) && !a.global.quiet {
		r.Progress = a.showProgress
	}
	if c, err := control.Open(path); err == nil {
		_ = c.Close() // it was only to see that there is one
		r.Tiers, r.Remove = benchTiers{}, removeForGood
	}
	return r
}

// benchError says in one line why a benchmark did not come to its end.
func benchError(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil && !errors.Is(err, bench.ErrMountGone) {
		return errors.New("interrupted: the figures are those until then, and the files of the benchmark are removed")
	}
	return err
}

// benchTiers moves data between the tiers of the mount that a directory lies in.
type benchTiers struct{}

func (t benchTiers) Evict(ctx context.Context, dir string) error {
	return t.do(ctx, dir, maintain.WarmEvict)
}
func (t benchTiers) Fill(ctx context.Context, dir string) error {
	return t.do(ctx, dir, maintain.WarmFill)
}
func (t benchTiers) Near(ctx context.Context, dir string) error {
	return t.do(ctx, dir, maintain.WarmNear)
}
func (t benchTiers) EvictNear(ctx context.Context, dir string) error {
	return t.do(ctx, dir, maintain.WarmEvictNear)
}

func (benchTiers) do(ctx context.Context, dir string, action maintain.WarmAction) error {
	t, err := findTarget(dir)
	if err != nil {
		return err
	}
	return withMount(dir, func(c *control.Client) error {
		_, err := c.Warm(ctx, control.WarmRequest{Paths: []string{fmt.Sprintf("inode:%d", t.ino)}, Action: uint8(action)}, nil)
		return err
	})
}

// removeForGood removes a tree of a mount past its trash, in which the files of a benchmark have no business.
func removeForGood(ctx context.Context, path string) error {
	t, err := findTarget(path)
	if err != nil {
		return err
	}
	dir, err := findTarget(t.dir)
	if err != nil {
		return err
	}
	return withMount(t.dir, func(c *control.Client) error {
		return c.Do(ctx, control.RemoveRequest{Dir: dir.ino, Name: t.name, SkipTrash: true}, nil)
	})
}

// benchOutput is where the figures go. The files are opened before anything is measured, so that nothing is measured
// for nothing, and get their names when they are complete.
type benchOutput struct {
	prices          bench.Prices
	json, csv, html *os.File // nil: not wanted
	files           []benchFile
	beside          []*bench.Result // shown in the report too
	extras          []html.Extra    // and these parts
}

type benchFile struct {
	name string
	file *os.File
}

func (o *outputOptions) open() (_ *benchOutput, err error) {
	out := &benchOutput{prices: bench.DefaultPrices()}
	if o.prices != "" {
		if out.prices, err = bench.ReadPrices(o.prices); err != nil {
			return nil, err
		}
	}
	for _, name := range o.beside {
		r, err := bench.Load(name)
		if err != nil {
			return nil, err
		}
		out.beside = append(out.beside, r)
	}
	for _, one := range []struct {
		name string
		to   **os.File
	}{{o.json, &out.json}, {o.csv, &out.csv}, {o.html, &out.html}} {
		if one.name == "" {
			continue
		}
		f, err := os.CreateTemp(filepath.Dir(one.name), "."+filepath.Base(one.name)+"-*")
		if err != nil {
			return nil, out.close(fmt.Errorf("output: %w", err))
		}
		*one.to = f
		out.files = append(out.files, benchFile{one.name, f})
	}
	return out, nil
}

// close gives the files their names. Those into which nothing was written are removed.
func (o *benchOutput) close(err error) error {
	for _, f := range o.files {
		info, serr := f.file.Stat()
		kept := serr == nil && info.Size() > 0
		if kept {
			serr = f.file.Chmod(0o644)
		}
		if cerr := f.file.Close(); serr == nil {
			serr = cerr
		}
		if kept && serr == nil {
			serr = os.Rename(f.file.Name(), f.name)
		}
		if !kept || serr != nil {
			_ = os.Remove(f.file.Name()) // nothing of worth
		}
		if serr != nil && err == nil {
			err = fmt.Errorf("write %s: %w", f.name, serr)
		}
	}
	return err
}

// printResult prints the table and writes the files.
func (a *app) printResult(r *bench.Result, out *benchOutput) error {
	colour := terminal(a.out) && !a.global.noColor
	r.Environment.Program = version
	if err := r.Report(a.out, colour); err != nil {
		return err
	}
	if err := r.Sections(a.out, out.prices, colour); err != nil {
		return err
	}
	return out.write(r)
}

// write writes the files of a result.
func (o *benchOutput) write(r *bench.Result) error {
	if o.json != nil {
		if err := r.Save(o.json); err != nil {
			return err
		}
	}
	if o.csv != nil {
		if err := r.CSV(o.csv, o.prices); err != nil {
			return err
		}
	}
	if o.html != nil {
		return html.Write(o.html, append([]*bench.Result{r}, o.beside...), nil, o.prices, o.extras...)
	}
	return nil
}

// showProgress keeps one line of a terminal up to date.
func (a *app) showProgress(p bench.Progress) {
	done := 100 * float64(p.Files) / float64(max(p.TotalFiles, 1))
	if p.TotalBytes > 0 {
		done = 100 * float64(p.Bytes) / float64(p.TotalBytes)
	}
	round := "warm-up"
	if p.Round > 0 {
		round = fmt.Sprintf("round %d of %d", p.Round, p.Rounds)
	}
	rate := ""
	if s := p.Elapsed.Seconds(); s > 0 && p.Bytes > 0 {
		rate = fmt.Sprintf(", %s/s", units.FormatShort(uint64(float64(p.Bytes)/s)))
	}
	fmt.Fprintf(a.err, "\r\x1b[K%s, %s: %.0f%%%s", round, p.Phase.Name, done, rate) //nolint:errcheck // only a display
	if p.Files == p.TotalFiles {
		fmt.Fprint(a.err, "\r\x1b[K") //nolint:errcheck // only a display
	}
}

// terminal says whether somebody looks at what is written there.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
