package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"jfs/bench"
)

func (a *app) addBench(root *cobra.Command) error {
	return addCommand(a, root, command[benchOptions]{
		use:   "bench PATH",
		short: "measure a file system with big and small files",
		args:  1,
		flags: benchFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *benchOptions, args []string) error {
			return a.bench(ctx, opt, args[0])
		},
	})
}

func (a *app) bench(ctx context.Context, opt *benchOptions, path string) error {
	if opt.threads == 0 {
		return fmt.Errorf("--threads 0: at least one thread is needed")
	}
	runner := bench.Runner{Config: bench.Config{
		BlockSize: opt.blockSize, BigFileSize: opt.bigSize, SmallFileSize: opt.smallSize,
		SmallFileCount: opt.smalls, Threads: opt.threads,
		SkipBig:   opt.bigSize == 0,
		SkipSmall: opt.smallSize == 0 || opt.smalls == 0,
	}}
	if terminal(a.err) && !a.global.quiet {
		runner.Progress = a.showProgress
	}
	result, err := runner.Run(ctx, path)
	if result != nil && len(result.Phases) > 0 {
		if result.CachesKept != nil {
			a.log.Warn("the kernel's caches could not be dropped, so reads may come from memory", "err", result.CachesKept)
		}
		if report := result.Report(a.out, terminal(a.out) && !a.global.noColor); report != nil && err == nil {
			err = report
		}
	}
	return err
}

// showProgress keeps one line of a terminal up to date.
func (a *app) showProgress(p bench.Progress) {
	done := 100 * float64(p.Files) / float64(max(p.TotalFiles, 1))
	if p.TotalBytes > 0 {
		done = 100 * float64(p.Bytes) / float64(p.TotalBytes)
	}
	fmt.Fprintf(a.err, "\r\x1b[K%s: %.0f%%", p.Phase.Name, done) //nolint:errcheck // only a display
	if p.Files == p.TotalFiles {
		fmt.Fprint(a.err, "\r\x1b[K") //nolint:errcheck // only a display
	}
}

// terminal says whether somebody looks at what is written there.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
