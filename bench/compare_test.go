package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// drawn is a result of the official workload whose rates scatter around those of factor, as a machine's do; a factor
// that is missing is 1.
func drawn(rnd *rand.Rand, name string, rounds int, factor map[string]float64) *Result {
	r := &Result{Format: Format, Kind: KindFiles, Name: name}
	cfg, _ := Config{}.withDefaults()
	for _, p := range phases(cfg) {
		f := factor[p.Name]
		if f == 0 {
			f = 1
		}
		pr := PhaseResult{Phase: p, Threads: 1}
		for range rounds {
			slow := math.Exp(math.Abs(rnd.NormFloat64()) * 0.15)
			pr.Rounds = append(pr.Rounds, Round{Files: 100, Bytes: 100 << 20, Elapsed: time.Duration(float64(time.Second) / f * slow), Drain: time.Duration(rnd.IntN(1e8))})
		}
		r.Phases = append(r.Phases, pr)
	}
	return r
}

func compared(t *testing.T, results ...*Result) *Comparison {
	t.Helper()
	c, err := Compare(results)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Of twenty comparisons of a thing with itself, at least nineteen find nothing; in two thousand, not more than the
// share that is promised.
func TestSameIsSame(t *testing.T) {
	rnd := rand.New(rand.NewPCG(20, 26))
	rounds := Rounds(Config{}.Questions(2))
	found, worst := 0, 0
	for range 100 {
		inTwenty := 0
		for range 20 {
			c := compared(t, drawn(rnd, "a", rounds, nil), drawn(rnd, "b", rounds, nil))
			if c.Advice() != "No significant difference." {
				inTwenty++
			}
		}
		found += inTwenty
		worst = max(worst, inTwenty)
	}
	if found > 2000*Alpha {
		t.Errorf("%d of 2000 comparisons of the same find a difference; in one set of twenty %d", found, worst)
	}
	fixed := rand.New(rand.NewPCG(1, 2))
	quiet := 0
	for range 20 {
		if compared(t, drawn(fixed, "a", rounds, nil), drawn(fixed, "b", rounds, nil)).Advice() == "No significant difference." {
			quiet++
		}
	}
	if quiet < 19 {
		t.Errorf("%d of 20 say that there is no difference", quiet)
	}
}

func TestDifferenceIsFound(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	rounds := Rounds(Config{}.Questions(2))
	right := 0
	for range 200 {
		b := drawn(rnd, "fast", rounds, map[string]float64{"Write small file": 3, "Stat file": 0.4})
		b.Flags = []string{"--writeback"}
		c := compared(t, drawn(rnd, "base", rounds, nil), b)
		var better, worse []string
		for _, v := range c.Verdicts {
			if v.Differs && v.Metric == MetricRate && v.Ratio > 1 && v.Low > 1 {
				better = append(better, v.Phase)
			} else if v.Differs && v.Metric == MetricRate && v.High < 1 {
				worse = append(worse, v.Phase)
			}
		}
		if slices.Equal(better, []string{"Write small file"}) && slices.Equal(worse, []string{"Stat file"}) &&
			len(c.Regressions(0.05)) == 1 && strings.HasPrefix(c.Advice(), "It depends") {
			right++
		}
	}
	if right < 190 {
		t.Errorf("%d of 200 comparisons are right", right)
	}
}

func TestAdvice(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	base := drawn(rnd, "base", 12, nil)
	base.Flags = []string{"--buffer-size", "300M"}
	good := drawn(rnd, "good", 12, map[string]float64{"Write small file": 3})
	good.Flags = []string{"--writeback"}
	bad := drawn(rnd, "bad", 12, map[string]float64{"Write small file": 0.3})
	if got := compared(t, base, good, bad).Advice(); !strings.HasPrefix(got, "Take good: faster at Write small file, Write small file (stored), and slower nowhere. Flags: --writeback.") {
		t.Error(got)
	}
	c := compared(t, base, bad)
	if got := c.Advice(); got != "Stay with base: nothing is faster than it. Flags: --buffer-size 300M." {
		t.Error(got)
	}
	if r := c.Regressions(0.05); len(r) != 2 || len(c.Regressions(0.9)) != 0 {
		t.Errorf("regressions %+v", r)
	}
	var b bytes.Buffer
	if err := c.Report(&b, DefaultPrices(), false); err != nil || !strings.Contains(b.String(), "% of the speed |") {
		t.Errorf("%v\n%s", err, b.String())
	}
	b.Reset()
	if err := c.CSV(&b); err != nil || strings.Count(b.String(), "\n") != 1+7 {
		t.Errorf("%v\n%s", err, b.String())
	}
	b.Reset()
	var back map[string]any
	if err := c.Save(&b); err != nil || json.Unmarshal(b.Bytes(), &back) != nil || len(back["verdicts"].([]any)) != 7 {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestTooFewRounds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	c := compared(t, drawn(rnd, "", 3, nil), drawn(rnd, "", 3, map[string]float64{"Stat file": 100}))
	for _, v := range c.Verdicts {
		if v.Name != "B" || v.Differs || v.Words() != "too few rounds, 6 are needed" {
			t.Errorf("%+v: %s", v, v.Words())
		}
	}
	if got := c.Advice(); got != "There are too few rounds for a verdict: make 6." {
		t.Error(got)
	}
}

func TestNotComparable(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	a := func() *Result { return drawn(rnd, "x", 6, nil) }
	other, store, none := a(), a(), a()
	other.Phases[0].Phase.Size++
	store.Kind = KindStore
	none.Phases = nil
	for want, list := range map[string][]*Result{
		"two or more are needed": {a()}, "not the same work in x and x (2)": {a(), other}, "is of bench and": {a(), store}, "no phase in common": {a(), none},
	} {
		if _, err := Compare(list); !errors.Is(err, ErrCompare) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
