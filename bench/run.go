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

	"jfs/bench/stats"
)

// Runner carries out a workload. The zero value runs that of the official client.
type Runner struct {
	Config Config
	// Progress is told how far a phase is: at its beginning, about ten times a second, and at its end. It is never
	// called twice at a time; while it runs, nothing waits for it but the end of the phase. nil for nobody.
	Progress func(Progress)
	// Tiers moves the data of files between the tiers of the cache of the mount that is measured; nil: it has none
	// that can be told to.
	Tiers Tiers
	// Remove removes a tree for good, past a trash bin, if it can; nil means os.RemoveAll, which follows when it fails.
	Remove func(ctx context.Context, dir string) error
	// Record is called before a phase of a round that counts, and end when all of it is stored, with what the phase has
	// done so far; err is why it has failed. nil: nobody records.
	Record func(ctx context.Context, p Phase, round int) (end func(ctx context.Context, one Round, err error) error, _ error)
	// DrainLimit bounds the wait for written data to be in the store; 0 means DefaultDrainLimit.
	DrainLimit time.Duration

	now        func() time.Time                                // nil means time.Now
	dropCaches func(dir string) error                          // nil means dropCaches
	counters   func(dir string) (Counters, error)              // nil means mountCounters
	sync       func(ctx context.Context, dir string) error     // waits for written data to be in the store; nil means drain
	free       func(dir string) (bytes, inodes int64, _ error) // nil means freeSpace
}

// Progress is how far a phase is.
type Progress struct {
	Phase      Phase
	Round      int // from 1 on; 0 is the warm-up
	Rounds     int
	Files      int64 // finished
	Bytes      int64 // moved
	TotalFiles int64
	TotalBytes int64
	Elapsed    time.Duration
}

// ErrMountGone means that the mount that was measured has ended meanwhile.
var ErrMountGone = errors.New("the mount has ended")

// Run makes a directory below path, works in it, and removes it, also when ctx ends or a phase fails. The Result
// then holds what was done until then; it is nil only if nothing was begun.
func (r *Runner) Run(ctx context.Context, path string) (*Result, error) {
	cfg, err := r.Config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("bench %s: %w", path, err)
	}
	run := run{Runner: *r, cfg: cfg}
	run.fillHooks()
	if err := isDir(path); err != nil {
		return nil, err
	}
	if err := run.checkCaches(path); err != nil {
		return nil, err
	}
	begin := run.now()
	if run.dir, err = makeScratch(path, begin); err != nil {
		return nil, err
	}
	if err := run.checkSpace(path); err != nil {
		_ = os.Remove(run.dir) // nothing is in it
		return nil, err
	}
	run.seed = uint64(begin.UnixNano())
	run.data = newPattern(run.seed, cfg)
	res, err := run.all(ctx)
	res.Kind, res.Path, res.Started = KindFiles, path, begin
	if gone(err) || gone(isDir(path)) {
		return res, fmt.Errorf("%w: %w; remove %s after mounting it again", ErrMountGone, err, run.dir)
	}
	if rerr := run.remove(context.WithoutCancel(ctx), run.dir); rerr != nil {
		if err == nil {
			return res, fmt.Errorf("bench: remove its directory: %w", rerr)
		}
		err = fmt.Errorf("%w; its directory could not be removed: %w", err, rerr)
	}
	return res, err
}

// gone says whether the failure is that of a mount whose process has ended.
func gone(err error) bool {
	return errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED)
}

func isDir(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("bench: create the directory first: %w", err)
	}
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("bench: give a directory: %w", &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR})
	}
	return nil
}

// makeScratch makes the directory in which a run works.
func makeScratch(path string, now time.Time) (string, error) {
	dir := filepath.Join(path, fmt.Sprintf("__juicefs_benchmark_%d__", now.UnixNano()))
	if err := os.Mkdir(dir, 0o777); err != nil {
		return "", fmt.Errorf("bench: give a directory that can be written to: %w", err)
	}
	return dir, nil
}

// run is one run of a Runner.
type run struct {
	Runner
	cfg     Config
	dir     string
	seed    uint64
	data    *pattern
	round   int             // 0 is the warm-up
	renamed map[string]bool // sets whose files have their second name
	made    map[string]bool // sets whose trees are there
	held    bool            // the mount tells of itself
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
	if r.free == nil {
		r.free = freeSpace
	}
	if r.DrainLimit == 0 {
		r.DrainLimit = DefaultDrainLimit
	}
	if r.sync == nil {
		r.sync = r.drain
	}
}

// remove removes a tree, past a trash bin if that is possible.
func (r *run) remove(ctx context.Context, dir string) error {
	if r.Remove != nil && r.Remove(ctx, dir) == nil {
		return nil
	}
	return os.RemoveAll(dir)
}

// all carries out the rounds, up to the first failure.
func (r *run) all(ctx context.Context) (*Result, error) {
	res := &Result{Format: Format, Config: r.cfg, Environment: Look(r.dir)}
	var err error
	if res.Before, err = r.counters(r.dir); err != nil {
		return res, fmt.Errorf("bench: %w", err)
	}
	r.held = res.Before != nil
	if r.cfg.WarmUp {
		small := *r
		small.cfg = r.cfg.small()
		if err := small.phases(ctx, &Result{}); err != nil {
			return res, fmt.Errorf("warm-up: %w", err)
		}
		if err := r.clear(ctx); err != nil {
			return res, err
		}
		if res.Before, err = r.counters(r.dir); err != nil {
			return res, fmt.Errorf("bench: %w", err)
		}
	}
	begin := r.now()
	for r.round = 1; r.round <= r.cfg.Rounds; r.round++ {
		if r.round > 1 {
			spent := r.now().Sub(begin)
			next := spent / time.Duration(r.round-1)
			if r.cfg.TimeLimit > 0 && spent+next > r.cfg.TimeLimit {
				res.Notes = append(res.Notes, fmt.Sprintf("%d of %d rounds, to end within %s", r.round-1, r.cfg.Rounds, r.cfg.TimeLimit))
				break
			}
			if err = r.clear(ctx); err != nil {
				break
			}
		}
		if err = r.phases(ctx, res); err != nil {
			break
		}
	}
	res.Elapsed = r.now().Sub(begin)
	if res.CachesKept != nil {
		res.Notes = append(res.Notes, "Read and stat figures may come from the kernel's caches: "+res.CachesKept.Error())
	}
	after, cerr := r.counters(r.dir)
	if cerr != nil && err == nil {
		return res, fmt.Errorf("bench: %w", cerr)
	}
	res.After = after
	return res, err
}

// clear removes what a round has left, so that the next one finds the same as the first.
func (r *run) clear(ctx context.Context) error {
	r.renamed, r.made = nil, nil
	entries, err := os.ReadDir(r.dir)
	for _, e := range entries {
		if err == nil {
			err = r.remove(ctx, filepath.Join(r.dir, e.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("bench: make room for the next round: %w", err)
	}
	return r.settle(ctx)
}

// What settle looks at, how often, and for how long at most.
const (
	deletes     = "object_request_durations_histogram_seconds_DELETE_total"
	settleLook  = 100 * time.Millisecond
	settleLimit = 5 * time.Second
)

// settle waits until the mount has deleted the objects of what was removed, which it does in the background and which
// the next phase would be charged with. A mount that deletes for long is not waited for.
func (r *run) settle(ctx context.Context) error {
	c, err := r.phaseCounters()
	if c == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	tick := time.NewTicker(settleLook)
	defer tick.Stop()
	for same := 0; same < 3; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil
			}
			return ctx.Err()
		}
		was := c[deletes]
		if c, err = r.phaseCounters(); err != nil {
			return err
		}
		if same++; c[deletes] != was {
			same = 0
		}
	}
	return nil
}

// phases carries out one round and adds it to the result.
func (r *run) phases(ctx context.Context, res *Result) error {
	for i, p := range phases(r.cfg) {
		if len(res.Phases) == i {
			res.Phases = append(res.Phases, PhaseResult{Phase: p, Threads: r.cfg.Threads, Latency: map[string]*stats.Histogram{}})
		}
		to := &res.Phases[i]
		one, err := r.measured(ctx, p, to, res)
		if err != nil {
			one.Err, one.Failed = err, err.Error()
		}
		to.Rounds = append(to.Rounds, one)
		if err != nil {
			return fmt.Errorf("bench: %s: %w", strings.ToLower(p.Name), err)
		}
	}
	return nil
}

// measured prepares a phase, carries it out, and looks what it has cost.
func (r *run) measured(ctx context.Context, p Phase, to *PhaseResult, res *Result) (one Round, err error) {
	if err := r.prepare(ctx, p, res); err != nil {
		return one, err
	}
	before, err := r.phaseCounters()
	if err != nil {
		return one, err
	}
	if r.Record != nil && r.round > 0 {
		end, rerr := r.Record(ctx, p, r.round)
		if rerr != nil {
			return one, rerr
		}
		defer func() {
			if rerr := end(ctx, one, err); err == nil {
				err = rerr
			}
		}()
	}
	one, err = r.phase(ctx, p, to)
	if err != nil {
		return one, err
	}
	after, err := r.phaseCounters()
	if err != nil {
		return one, err
	}
	one.State = p.proved(one, after.since(before))
	if p.writes() {
		begin := time.Now()
		if err := r.sync(ctx, r.dir); err != nil {
			return one, fmt.Errorf("wait until everything is stored: %w", err)
		}
		one.Drain = time.Since(begin)
		if after, err = r.phaseCounters(); err != nil {
			return one, err
		}
	}
	one.Counters = after.since(before)
	return one, nil
}

func (r *run) phaseCounters() (Counters, error) {
	if !r.held {
		return nil, nil
	}
	return r.counters(r.dir)
}

// small is the workload of the warm-up.
func (c Config) small() Config {
	const fewFiles, fewBytes, fewCalls = 8, 16 << 20, 64
	c.BigFileSize = min(c.BigFileSize, fewBytes)
	c.SmallFileCount = min(c.SmallFileCount, fewFiles)
	if c.Phases == nil {
		return c
	}
	list := make([]Phase, len(c.Phases))
	for i, p := range c.Phases {
		p.Files, p.Calls = min(p.Files, fewFiles), min(p.Calls, fewCalls)
		if len(p.Sizes) == 0 {
			p.Size = min(p.Size, max(fewBytes, p.Block))
		}
		list[i] = p
	}
	c.Phases = list
	return c
}
