package stats

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-4 }

func TestHistogram(t *testing.T) {
	a, b := NewHistogram(), NewHistogram()
	for i := 1; i <= 1000; i++ {
		h := a
		if i%2 == 0 {
			h = b
		}
		h.Record(time.Duration(i) * time.Millisecond)
	}
	a.Merge(b)
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var read Histogram
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*Histogram{a, &read} {
		for q, want := range map[float64]float64{0.5: 500, 0.9: 900, 0.99: 990, 0.999: 999, 1: 1000} {
			if got := Millis(h.Quantile(q)); math.Abs(got-want)/want > 0.001 {
				t.Errorf("quantile %v: %v ms, want %v", q, got, want)
			}
		}
		if h.Count() != 1000 || math.Abs(Millis(h.Max())-1000) > 1 || math.Abs(Millis(h.Mean())-500.5) > 1 {
			t.Errorf("%d times, longest %v, mean %v", h.Count(), h.Max(), h.Mean())
		}
		var n int64
		for _, bar := range h.Bars() {
			n += bar.Count
		}
		if n != 1000 {
			t.Errorf("the bars hold %d", n)
		}
	}
	a.Record(-1)
	a.Record(1000 * time.Hour)
	if a.Count() != 1002 || a.Max() < 59*time.Minute || NewHistogram().Quantile(0.5) != 0 {
		t.Errorf("outside of the range: %d, %v", a.Count(), a.Max())
	}
	if err := json.Unmarshal([]byte(`{"hdr_ns":"rubbish"}`), &read); err == nil {
		t.Error("rubbish was read")
	}
}

func TestMean(t *testing.T) {
	if m, h := Mean([]float64{1, 2, 3, 4, 5}); !near(m, 3) || math.Abs(h-1.9629) > 1e-3 { // 2.776 * 1.5811 / sqrt 5
		t.Errorf("%v +- %v", m, h)
	}
	if m, h := Mean([]float64{7}); m != 7 || !math.IsNaN(h) {
		t.Errorf("one value: %v +- %v", m, h)
	}
	if m := Median([]float64{9, 1, 5, 2}); m != 3.5 {
		t.Errorf("median %v", m)
	}
}

// The expected values are those of the published tables and of R's wilcox.test.
func TestCompareKnown(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		want float64
	}{
		{[]float64{1, 2, 3}, []float64{4, 5, 6}, 0.1},
		{[]float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, 10}, 2.0 / 252},
		{[]float64{0.8, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}, []float64{1.15, 0.88, 0.9, 0.74, 1.21}, 0.2544},
		{[]float64{1, 1, 1}, []float64{1, 1, 1}, 1},
		{nil, []float64{1}, 1},
	} {
		if p := Compare(c.a, c.b); !near(p, c.want) {
			t.Errorf("%v and %v: %v, want %v", c.a, c.b, p, c.want)
		}
		if p := Compare(c.b, c.a); !near(p, c.want) {
			t.Errorf("the other way round: %v, want %v", p, c.want)
		}
	}
	if p := Smallest(6, 6); !near(p, 2.0/924) {
		t.Errorf("smallest of 6 and 6: %v", p)
	}
}

// The two ways to find the probability agree where both are valid.
func TestExactAndApproximate(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		a, b := draw(rnd, 25, 1), draw(rnd, 30, 1.1)
		exact := Compare(a, b)
		var u float64
		for _, x := range a {
			for _, y := range b {
				if x > y {
					u++
				}
			}
		}
		if about := approximate(a, b, min(u, 750-u)); math.Abs(about-exact) > 0.01 {
			t.Errorf("exactly %v, approximately %v", exact, about)
		}
	}
}

// draw gives rates as a machine does: around a middle, with a tail of slow ones.
func draw(rnd *rand.Rand, n int, middle float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = middle * 100 / math.Exp(math.Abs(rnd.NormFloat64())*0.1)
	}
	return v
}

// What is the same is found to be the same, and what is not is found to differ.
func TestPower(t *testing.T) {
	const trials = 2000
	for _, c := range []struct {
		factor   float64
		from, to int // of the trials in which a difference is found
	}{{1, 0, trials / 20}, {1.3, trials * 9 / 10, trials}} {
		rnd := rand.New(rand.NewPCG(7, 7))
		found, inside := 0, 0
		for range trials {
			a, b := draw(rnd, 6, 1), draw(rnd, 6, c.factor)
			different := Compare(a, b) < 0.05
			if different {
				found++
			}
			ratio, in, ok := Ratio(a, b, 0.05)
			if !ok || ratio < in.Low || ratio > in.High {
				t.Fatalf("ratio %v in %+v", ratio, in)
			}
			if different == (in.Low <= 1 && 1 <= in.High) {
				t.Fatalf("p %v, but the interval is %+v", Compare(a, b), in)
			}
			if in.Low <= c.factor && c.factor <= in.High {
				inside++
			}
		}
		if found < c.from || found > c.to || inside < trials*95/100 {
			t.Errorf("factor %v: %d of %d found different, %d intervals hold it", c.factor, found, trials, inside)
		}
	}
}

func TestRatioOfFew(t *testing.T) {
	if ratio, in, ok := Ratio([]float64{1, 2}, []float64{4, 8}, 0.05); ok || !near(ratio, 4) || !near(in.Low, 2) || !near(in.High, 8) {
		t.Errorf("%v %+v %v", ratio, in, ok)
	}
	if ratio, _, ok := Ratio(nil, []float64{1}, 0.05); ok || !math.IsNaN(ratio) {
		t.Errorf("of nothing: %v", ratio)
	}
}

func TestHolm(t *testing.T) {
	got := Holm([]float64{0.01, 0.04, 0.03, 0.005}, 0.05)
	for i, want := range []bool{true, false, false, true} {
		if got[i] != want {
			t.Errorf("%d: %v", i, got)
		}
	}
}
