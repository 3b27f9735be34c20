package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Runner carries out a workload. The zero value runs that of the official client.
type Runner struct {
	Config Config
	// Progress is told how far a phase is: at its beginning, about ten times a second, and at its end. It is never
	// called twice at a time; while it runs, nothing waits for it but the end of the phase. nil for nobody.
	Progress func(Progress)

	now        func() time.Time                   // nil means time.Now
	dropCaches func(dir string) error             // nil means dropCaches
	counters   func(dir string) (Counters, error) // nil means mountCounters
}

// Progress is how far a phase is.
type Progress struct {
	Phase      Phase
	Files      int64 // finished
	Bytes      int64 // moved
	TotalFiles int64
	TotalBytes int64
}

// Run makes a directory below path, works in it, and removes it, also when ctx ends or a phase fails. The Result
// then holds what was done until then; it is nil only if nothing was begun.
func (r *Runner) Run(ctx context.Context, path string) (*Result, error) {
	cfg, err := r.Config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("bench %s: %w", path, err)
	}
	run := run{Runner: *r, cfg: cfg}
	run.fillHooks()
	begin := run.now()
	if run.dir, err = makeScratch(path, begin); err != nil {
		return nil, err
	}
	run.data = newPattern(uint64(begin.UnixNano()), cfg)
	res, err := run.all(ctx)
	if rerr := os.RemoveAll(run.dir); rerr != nil {
		err = errors.Join(err, fmt.Errorf("bench: remove its directory: %w", rerr))
	}
	return res, err
}

// makeScratch makes the directory in which a run works.
func makeScratch(path string, now time.Time) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("bench: create the directory first: %w", err)
	}
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("bench: give a directory: %w", &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR})
	}
	dir := filepath.Join(path, fmt.Sprintf("__juicefs_benchmark_%d__", now.UnixNano()))
	if err := os.Mkdir(dir, 0o777); err != nil {
		return "", fmt.Errorf("bench: give a directory that can be written to: %w", err)
	}
	return dir, nil
}

// run is one run of a Runner.
type run struct {
	Runner
	cfg  Config
	dir  string
	data *pattern
}

func (r *run) fillHooks() {
	if r.now == nil {
		r.now = time.Now
	}
	if r.dropCaches == nil {
		r.dropCaches = func(dir string) error { return dropCaches(dir, dropCachesFile) }
	}
	if r.counters == nil {
		r.counters = mountCounters
	}
}

// all carries out the phases one after the other, up to the first that fails.
func (r *run) all(ctx context.Context) (*Result, error) {
	res := &Result{Config: r.cfg}
	var err error
	if res.Before, err = r.counters(r.dir); err != nil {
		return res, fmt.Errorf("bench: %w", err)
	}
	begin := r.now()
	for _, p := range phases(r.cfg) {
		if p.Cold {
			if err := r.dropCaches(r.dir); err != nil {
				res.CachesKept = err
			}
		}
		done := r.phase(ctx, p)
		res.Phases = append(res.Phases, done)
		if err = done.Err; err != nil {
			err = fmt.Errorf("bench: %s: %w", strings.ToLower(p.Name), err)
			break
		}
	}
	res.Elapsed = r.now().Sub(begin)
	after, cerr := r.counters(r.dir)
	if cerr != nil {
		return res, errors.Join(err, fmt.Errorf("bench: %w", cerr))
	}
	res.After = after
	return res, err
}
