package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/bench"
	"jfs/bench/html"
	"jfs/profiles"
)

// benchTops is how many functions are named behind the table of a benchmark.
const benchTops = 5

// benchRecorder takes profiles of the mount that is measured.
type benchRecorder struct {
	agent   *profiles.Agent
	capture *profiles.Capture
}

// newBenchRecorder finds the mount's agent, and makes the directory.
func newBenchRecorder(ctx context.Context, path, dir string) (*benchRecorder, error) {
	address, err := agentOf(path)
	if err != nil {
		return nil, fmt.Errorf("--pprof: %w", err)
	}
	agent, err := profiles.Dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("--pprof: %w", err)
	}
	capture, err := profiles.NewCapture(dir)
	if err != nil {
		return nil, fmt.Errorf("--pprof: %w", err)
	}
	capture.Program, capture.Path, capture.Started = version, path, time.Now()
	return &benchRecorder{agent, capture}, nil
}

// agentOf finds where the mount that a path lies in gives its profiles.
func agentOf(path string) (string, error) {
	var config struct{ Port mountPorts }
	said := bench.Look(path).Mount
	if said == nil {
		return "", fmt.Errorf("%s is not in a mount of jfs, which alone gives profiles", path)
	}
	if err := json.Unmarshal(said, &config); err != nil {
		return "", fmt.Errorf("what the mount of %s says of itself: %w", path, err)
	}
	if config.Port.DebugAgent == "" {
		return "", fmt.Errorf("the mount of %s gives no profiles: mount it without --no-agent", path)
	}
	return config.Port.DebugAgent, nil
}

// record takes profiles of a phase, and in the first round its execution trace.
func (b *benchRecorder) record(ctx context.Context, p bench.Phase, round int) (func(context.Context, bench.Round, error) error, error) {
	var trace *os.File
	var to io.Writer // not a nil file in an interface
	var err error
	if round == 1 {
		if trace, err = b.capture.Trace(p.Name); err != nil {
			return nil, fmt.Errorf("--pprof: %w", err)
		}
		to = trace
	}
	closed := func(err error) error {
		if trace == nil {
			return err
		}
		return errors.Join(err, trace.Close())
	}
	recording, err := b.agent.Record(ctx, to)
	if err != nil {
		return nil, closed(err)
	}
	return func(ctx context.Context, one bench.Round, failed error) error {
		set, err := recording.End(ctx)
		if err == nil && failed == nil {
			err = b.capture.Add(p.Name, set, one.Files, one.Elapsed+one.Drain)
		}
		return closed(err)
	}, nil
}

// save writes the profiles, and gives what a report shows of them.
func (b *benchRecorder) save() (html.Extra, error) {
	if err := b.capture.Save(); err != nil {
		return html.Extra{}, fmt.Errorf("--pprof: %w", err)
	}
	body, err := b.capture.HTML()
	return html.Extra{Title: "Where the mount spends its time", Body: body}, err
}

// print shows the hottest functions of each phase.
func (b *benchRecorder) print(w io.Writer) error {
	return printProfiles(w, b.capture, nil, []profiles.Kind{profiles.CPU}, benchTops)
}

type benchProfileOptions struct {
	kinds []string
	phase string
	top   int
	html  string
	merge string
	most  int
}

func benchProfileFlags() table[benchProfileOptions] {
	return table[benchProfileOptions]{
		{name: "kind", short: "k", to: func(o *benchProfileOptions) pflag.Value { return wordsValue{&o.kinds} }, help: "which profiles to show: cpu, allocs, heap, mutex, block or goroutine; may be given several times; default: cpu"},
		{name: "phase", to: toText(func(o *benchProfileOptions) *string { return &o.phase }), help: "only the phases whose names hold this text"},
		{name: "top", short: "n", def: "10", to: toCount(func(o *benchProfileOptions) *int { return &o.top }), help: "how many functions to name"},
		{name: "html", to: toText(func(o *benchProfileOptions) *string { return &o.html }), help: "write a page with flame graphs of all profiles to this file; of two captures, with what differs between them in red and blue"},
		{name: "merge", to: toText(func(o *benchProfileOptions) *string { return &o.merge }), help: "merge the CPU profiles of all captures, whatever their number, into this file, for go build -pgo"},
		{name: "samples", def: "4000", to: toCount(func(o *benchProfileOptions) *int { return &o.most }), help: "the most samples that --merge keeps; the rarest go"},
	}
}

func (a *app) addBenchProfile(parent *cobra.Command) error {
	return addCommand(a, parent, command[benchProfileOptions]{
		use:   "profile DIR [DIR]",
		short: "show the profiles that --pprof has taken, or what differs between two captures of the same work",
		args:  1,
		most:  many,
		flags: benchProfileFlags(),
		run: func(_ context.Context, _ *pflag.FlagSet, opt *benchProfileOptions, args []string) error {
			return a.benchProfile(opt, args)
		},
	})
}

func (a *app) benchProfile(opt *benchProfileOptions, paths []string) error {
	if len(paths) > 2 && opt.merge == "" {
		return fmt.Errorf("one capture is shown or two are compared, and %d were given", len(paths))
	}
	kinds := []profiles.Kind{profiles.CPU}
	if len(opt.kinds) > 0 {
		kinds = nil
	}
	for _, name := range opt.kinds {
		kind := profiles.Kind(name)
		if !slices.Contains(profiles.Kinds(), kind) {
			return fmt.Errorf("--kind %s: give %s", name, strings.Trim(fmt.Sprint(profiles.Kinds()), "[]"))
		}
		kinds = append(kinds, kind)
	}
	var captures []*profiles.Capture
	for _, path := range paths {
		c, err := profiles.Load(path)
		if err != nil {
			return err
		}
		captures = append(captures, c)
	}
	if opt.merge != "" {
		return mergeProfiles(captures, opt)
	}
	if opt.html != "" {
		f, err := os.Create(opt.html)
		if err != nil {
			return err
		}
		page := captures[0].Page
		if len(captures) == 2 {
			page = func(w io.Writer) error { return profiles.DiffPage(w, captures[0], captures[1]) }
		}
		if err := errors.Join(page(f), f.Close()); err != nil {
			return errors.Join(err, os.Remove(opt.html))
		}
	}
	shown := captures[0]
	shown.Phases = slices.DeleteFunc(shown.Phases, func(p profiles.Phase) bool { return !strings.Contains(p.Name, opt.phase) })
	if len(shown.Phases) == 0 {
		return fmt.Errorf("--phase %s: the capture has no such phase", opt.phase)
	}
	if len(captures) == 2 {
		return printProfiles(a.out, shown, captures[1], kinds, opt.top)
	}
	return printProfiles(a.out, shown, nil, kinds, opt.top)
}

func mergeProfiles(captures []*profiles.Capture, opt *benchProfileOptions) error {
	p, err := profiles.ForCompiler(captures, opt.most)
	if err != nil {
		return err
	}
	f, err := os.Create(opt.merge)
	if err != nil {
		return err
	}
	return errors.Join(p.Write(f), f.Close())
}

// printProfiles prints what the profiles of a capture say, or what differs between those of now and of it.
func printProfiles(w io.Writer, c, now *profiles.Capture, kinds []profiles.Kind, tops int) error {
	pairs := make([]profiles.Pair, 0, len(c.Phases))
	for i := range c.Phases {
		pairs = append(pairs, profiles.Pair{Base: &c.Phases[i]})
	}
	if now != nil {
		var err error
		if pairs, err = profiles.Pairs(c, now); err != nil {
			return err
		}
	}
	for _, p := range pairs {
		if _, err := fmt.Fprintf(w, "\n%s: %d items in %s\n", p.Base.Name, p.Base.Items, p.Base.Elapsed.Round(time.Millisecond)); err != nil {
			return err
		}
		for _, kind := range kinds {
			if err := printKind(w, p, kind, tops); err != nil {
				return fmt.Errorf("%s: %w", p.Base.Name, err)
			}
		}
	}
	return nil
}

func printKind(w io.Writer, p profiles.Pair, kind profiles.Kind, tops int) error {
	if p.Base.Set()[kind] == nil {
		return fmt.Errorf("there is no profile of %s", kind.Title())
	}
	if p.Now != nil {
		d, err := p.Diff(kind)
		if err == nil && d == nil {
			err = fmt.Errorf("there is no profile of %s to compare with", kind.Title())
		}
		if err != nil {
			return err
		}
		return d.Print(w, tops)
	}
	r, err := profiles.Read(kind, p.Base.Set()[kind])
	if err != nil {
		return err
	}
	return r.Print(w, tops)
}
