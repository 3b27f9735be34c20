package bench

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"

	"jfs/bench/stats"
)

// Alpha is the chance that a comparison finds any difference between two things that are the same. It is chosen so that
// of twenty such comparisons, nineteen or twenty say that there is none.
const Alpha = 0.02

// MinRounds is the fewest rounds that a comparison makes: with fewer, one disturbed round decides.
const MinRounds = 6

// ErrCompare means that results cannot be compared.
var ErrCompare = errors.New("these results cannot be compared")

// Metrics that verdicts are about. Of both, more is better.
const (
	MetricRate   = "rate"
	MetricStored = "stored" // rate until everything is in the store
)

// Verdict is what a comparison says of one phase and metric of a configuration, against those of the first one.
type Verdict struct {
	Name    string  `json:"name"` // of the configuration
	Phase   string  `json:"phase"`
	Metric  string  `json:"metric"`
	Base    float64 `json:"base"` // medians
	Value   float64 `json:"value"`
	Ratio   float64 `json:"ratio"` // more than 1 is faster
	Low     float64 `json:"low"`   // the ratio's interval of confidence
	High    float64 `json:"high"`
	P       float64 `json:"p"` // that chance alone makes such a difference
	Differs bool    `json:"significant"`
	TooFew  int     `json:"rounds_needed,omitempty"` // rounds that would be needed for a verdict; 0: there are enough
	phase   Phase
}

// Comparison is what several results say against the first of them.
type Comparison struct {
	Results  []*Result
	Verdicts []Verdict
}

// Compare compares the phases that all results have. Results of different workloads are refused.
func Compare(results []*Result) (*Comparison, error) {
	if len(results) < 2 {
		return nil, fmt.Errorf("%w: there are %d, and two or more are needed", ErrCompare, len(results))
	}
	c := &Comparison{Results: results}
	nameAll(results)
	base := results[0]
	for _, other := range results[1:] {
		if other.Kind != base.Kind {
			return nil, fmt.Errorf("%w: %s is of %s and %s of %s", ErrCompare, base.Name, base.Kind, other.Name, other.Kind)
		}
		common := 0
		for _, a := range base.Phases {
			i := slices.IndexFunc(other.Phases, func(b PhaseResult) bool { return b.Phase.Name == a.Phase.Name })
			if i < 0 {
				continue
			}
			b := other.Phases[i]
			if !reflect.DeepEqual(a.Phase, b.Phase) || a.Threads != b.Threads || base.Config.BlockSize != other.Config.BlockSize {
				return nil, fmt.Errorf("%w: %q is not the same work in %s and %s: run both with the same sizes, threads and caches", ErrCompare, a.Phase.Name, base.Name, other.Name)
			}
			common++
			c.add(other.Name, MetricRate, a, b, a.Rates(), b.Rates())
			if a.Phase.writes() && base.Kind == KindFiles {
				c.add(other.Name, MetricStored, a, b, a.Drained(), b.Drained())
			}
		}
		if common == 0 {
			return nil, fmt.Errorf("%w: %s and %s have no phase in common", ErrCompare, base.Name, other.Name)
		}
	}
	c.judge()
	return c, nil
}

// nameAll gives every result a name of its own.
func nameAll(results []*Result) {
	used := map[string]int{}
	for i, r := range results {
		if r.Name == "" {
			r.Name = string(rune('A' + i%26))
		}
		if used[r.Name]++; used[r.Name] > 1 {
			r.Name = fmt.Sprintf("%s (%d)", r.Name, used[r.Name])
		}
	}
}

func (c *Comparison) add(name, metric string, a, b PhaseResult, from, to []float64) {
	if len(from) == 0 || len(to) == 0 {
		return // it has failed
	}
	c.Verdicts = append(c.Verdicts, Verdict{
		Name: name, Phase: a.Phase.Name, Metric: metric, phase: a.Phase,
		Base: stats.Median(from), Value: stats.Median(to), P: stats.Compare(from, to),
	})
}

// judge decides what differs, knowing how many questions are asked at once.
func (c *Comparison) judge() {
	p := make([]float64, len(c.Verdicts))
	for i, v := range c.Verdicts {
		p[i] = v.P
	}
	share := Alpha / float64(len(p))
	for i, differs := range stats.Holm(p, Alpha) {
		v := &c.Verdicts[i]
		from, to := c.samples(*v)
		var in stats.Interval
		v.Ratio, in, _ = stats.Ratio(from, to, share)
		v.Low, v.High, v.Differs = in.Low, in.High, differs
		if !differs && stats.Smallest(len(from), len(to)) > share {
			v.TooFew = Rounds(len(p))
		}
	}
}

// Rounds returns how many rounds a comparison needs in which so many questions are asked at once.
func Rounds(questions int) int {
	n := MinRounds
	for stats.Smallest(n, n) > Alpha/float64(max(questions, 1)) {
		n++
	}
	return n
}

// Questions returns how many verdicts a comparison of so many configurations gives.
func (c Config) Questions(configurations int) int {
	n := 0
	for _, p := range phases(c) {
		n++
		if p.writes() {
			n++
		}
	}
	return n * (configurations - 1)
}

// samples returns the rates that a verdict is about.
func (c *Comparison) samples(v Verdict) (from, to []float64) {
	of := func(r *Result) []float64 {
		for _, p := range r.Phases {
			switch {
			case p.Phase.Name != v.Phase:
			case v.Metric == MetricStored:
				return p.Drained()
			default:
				return p.Rates()
			}
		}
		return nil
	}
	for _, r := range c.Results[1:] {
		if r.Name == v.Name {
			to = of(r)
		}
	}
	return of(c.Results[0]), to
}

// Words says what the verdict is.
func (v Verdict) Words() string {
	switch {
	case v.TooFew > 0:
		return fmt.Sprintf("too few rounds, %d are needed", v.TooFew)
	case !v.Differs:
		return "no significant difference"
	case v.Ratio > 1:
		return fmt.Sprintf("%.2f times as fast", v.Ratio)
	}
	return fmt.Sprintf("slower, %.0f %% of the speed", 100*v.Ratio)
}

// Regressions lists the verdicts that are worse than by the share, from 0 to 1.
func (c *Comparison) Regressions(share float64) []Verdict {
	var list []Verdict
	for _, v := range c.Verdicts {
		if v.Differs && v.Ratio < 1-share {
			list = append(list, v)
		}
	}
	return list
}

// Advice says which configuration to take.
func (c *Comparison) Advice() string {
	type score struct {
		better, worse []string
		logs          float64
	}
	scores := map[string]*score{}
	for _, v := range c.Verdicts {
		s := scores[v.Name]
		if s == nil {
			s = &score{}
			scores[v.Name] = s
		}
		if !v.Differs {
			continue
		}
		s.logs += math.Log(v.Ratio)
		what := v.Phase
		if v.Metric == MetricStored {
			what += " (stored)"
		}
		if v.Ratio > 1 {
			s.better = append(s.better, what)
		} else {
			s.worse = append(s.worse, what)
		}
	}
	best, mixed := "", ""
	for _, name := range slices.Sorted(maps.Keys(scores)) {
		s := scores[name]
		switch {
		case len(s.better) > 0 && len(s.worse) == 0:
			if best == "" || s.logs > scores[best].logs {
				best = name
			}
		case len(s.better) > 0:
			mixed += fmt.Sprintf(" %s is faster at %s and slower at %s.", name, list(s.better), list(s.worse))
		}
	}
	base := c.Results[0]
	switch {
	case best != "":
		return fmt.Sprintf("Take %s: faster at %s, and slower nowhere.%s%s", best, list(scores[best].better), c.flagsOf(best), mixed)
	case mixed != "":
		return "It depends on the work." + mixed
	}
	for _, v := range c.Verdicts {
		switch {
		case v.TooFew > 0:
			return fmt.Sprintf("There are too few rounds for a verdict: make %d.", v.TooFew)
		case v.Differs:
			return fmt.Sprintf("Stay with %s: nothing is faster than it.%s", base.Name, c.flagsOf(base.Name))
		}
	}
	return "No significant difference."
}

func (c *Comparison) flagsOf(name string) string {
	for _, r := range c.Results {
		if r.Name == name && len(r.Flags) > 0 {
			return " Flags: " + join(r.Flags) + "."
		}
	}
	return ""
}

// Append adds the rounds of another run of the same workload.
func (r *Result) Append(more *Result) {
	r.Elapsed += more.Elapsed
	r.After = more.After
	for _, n := range more.Notes {
		if !slices.Contains(r.Notes, n) {
			r.Notes = append(r.Notes, n)
		}
	}
	for i, p := range more.Phases {
		if i == len(r.Phases) {
			r.Phases = append(r.Phases, p)
			continue
		}
		r.Phases[i].Rounds = append(r.Phases[i].Rounds, p.Rounds...)
		times(r.Phases[i].Latency).merge(times(p.Latency))
	}
}
