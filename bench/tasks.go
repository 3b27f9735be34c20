package bench

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"jfs/bench/stats"
)

// Task is a phase that is not about files below a path: its items are numbered, and whoever is free does the next one.
type Task struct {
	Phase Phase // Name, Op, Measure and Unit say what its figures are
	Items int
	// Before is called before each round of the task; nil: nothing is to be prepared.
	Before func()
	// Do does an item and returns the bytes that it has moved.
	Do func(ctx context.Context, item int) (bytes int64, err error)
}

// TaskRunner carries out tasks one after the other, and all of them in each round.
type TaskRunner struct {
	Kind    string // KindStore or KindMeta
	Header  string // what the table begins with
	Threads int
	Rounds  int
	// TimeLimit is Config.TimeLimit.
	TimeLimit time.Duration
	Progress  func(Progress)
	// Counters gives what the client counts; nil: it counts nothing.
	Counters func() Counters
}

// Run carries out the tasks. The result holds what was done until the first failure.
func (r *TaskRunner) Run(ctx context.Context, path string, tasks []Task) (*Result, error) {
	begin := time.Now()
	res := &Result{
		Format: Format, Kind: r.Kind, Path: path, Started: begin, Environment: Look("."), Header: r.Header,
		Config: Config{Threads: r.Threads, Rounds: r.Rounds, TimeLimit: r.TimeLimit},
	}
	res.Before = r.counters()
	var err error
	for round := 1; round <= r.Rounds && err == nil; round++ {
		if spent := time.Since(begin); round > 1 && r.TimeLimit > 0 && spent+spent/time.Duration(round-1) > r.TimeLimit {
			res.Notes = append(res.Notes, fmt.Sprintf("%d of %d rounds, to end within %s", round-1, r.Rounds, r.TimeLimit))
			break
		}
		for i, t := range tasks {
			if len(res.Phases) == i {
				res.Phases = append(res.Phases, PhaseResult{Phase: t.Phase, Threads: r.Threads, Latency: map[string]*stats.Histogram{}})
			}
			var one Round
			if one, err = r.one(ctx, t, round, &res.Phases[i]); err != nil {
				one.Err, one.Failed = err, err.Error()
				err = fmt.Errorf("%s: %s: %w", r.Kind, strings.ToLower(t.Phase.Name), err)
			}
			res.Phases[i].Rounds = append(res.Phases[i].Rounds, one)
			if err != nil {
				break
			}
		}
	}
	res.Elapsed, res.After = time.Since(begin), r.counters()
	return res, err
}

func (r *TaskRunner) one(ctx context.Context, t Task, round int, to *PhaseResult) (Round, error) {
	var next atomic.Int64
	var done counts
	stop := func() {}
	if t.Before != nil {
		t.Before()
	}
	before := r.counters()
	begin := time.Now()
	if r.Progress != nil {
		stop = ticking(func() {
			r.Progress(Progress{
				Phase: t.Phase, Round: round, Rounds: r.Rounds, Files: done.files.Load(), Bytes: done.bytes.Load(),
				TotalFiles: int64(t.Items), Elapsed: time.Since(begin),
			})
		})
	}
	all := make([]times, r.Threads)
	group, ctx := errgroup.WithContext(ctx)
	for i := range all {
		all[i] = times{}
		group.Go(func() error {
			for {
				item := int(next.Add(1)) - 1
				if item >= t.Items {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				start := time.Now()
				n, err := t.Do(ctx, item)
				if err != nil {
					return err
				}
				all[i].took("item", start)
				done.bytes.Add(n)
				done.files.Add(1)
			}
		})
	}
	err := group.Wait()
	elapsed := time.Since(begin)
	stop()
	for _, one := range all {
		times(to.Latency).merge(one)
	}
	return Round{Files: done.files.Load(), Bytes: done.bytes.Load(), Elapsed: elapsed, Counters: r.counters().since(before)}, err
}

func (r *TaskRunner) counters() Counters {
	if r.Counters == nil {
		return nil
	}
	return r.Counters()
}
