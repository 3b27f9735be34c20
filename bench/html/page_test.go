package html

import (
	"bytes"
	"encoding/xml"
	"errors"
	stdhtml "html"
	"io"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"jfs/bench"
	"jfs/bench/stats"
)

// sample is a result with two phases.
func sample(seed uint64, name string, speed float64) *bench.Result {
	rnd := rand.New(rand.NewPCG(seed, 1))
	r := &bench.Result{Format: bench.Format, Kind: bench.KindFiles, Name: name, Path: "/mnt/x", Flags: []string{"--a=<b>"},
		Environment: bench.Environment{Kernel: "6.1", Mount: []byte(`{"Format":{}}`), FuseLimits: map[string]string{"max_pages_limit": "256"}},
		After:       bench.Counters{"meta_round_trips_total": 1}, Notes: []string{"a note & more"}}
	for _, p := range []bench.Phase{
		{Name: "Write big", Op: bench.Write, Set: "b", Files: 1, Size: 1 << 20, Measure: bench.Throughput},
		{Name: "Read small", Op: bench.Read, Set: "s", Files: 10, Size: 1000, Measure: bench.FileRate},
	} {
		h := stats.NewHistogram()
		pr := bench.PhaseResult{Phase: p, Threads: 1, Latency: map[string]*stats.Histogram{"item": h, string(p.Op): h}}
		for range 8 {
			took := time.Duration(float64(time.Second) / speed * (1 + rnd.Float64()/10))
			h.Record(took / 10)
			pr.Rounds = append(pr.Rounds, bench.Round{Files: 10, Bytes: 64 << 20, Elapsed: took, Drain: took, Counters: bench.Counters{
				"meta_round_trips_total": 20, "blockcache_miss_bytes": 600, "blockcache_disk_hit_bytes": 400, "memory": 1 << 20,
			}})
		}
		r.Phases = append(r.Phases, pr)
	}
	return r
}

func TestPage(t *testing.T) {
	a, b := sample(1, "<base>", 1), sample(2, "fast", 3)
	c, err := bench.Compare([]*bench.Result{a, b})
	if err != nil {
		t.Fatal(err)
	}
	store := sample(3, "bucket", 1)
	store.Kind = bench.KindStore
	var out bytes.Buffer
	if err := Write(&out, []*bench.Result{store}, c, bench.DefaultPrices()); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if strings.Contains(text, "<base>") || strings.Contains(text, "--a=<b>") || !strings.Contains(text, "&lt;base&gt;") {
		t.Error("names are not escaped")
	}
	if m := regexp.MustCompile(`(?i)https?:|url\(|<script|<link|@import| src=`).FindString(text); m != "" {
		t.Errorf("needs something from outside: %q", m)
	}
	for _, want := range []string{
		"File system", "Object store alone", "times as fast", "Take fast", stdhtml.EscapeString(c.Advice()), "a note &amp; more", "prefers-color-scheme: dark",
		a.Phases[0].Phase.Rate(a.Phases[0].PerSecond()), b.Phases[1].Phase.Rate(b.Phases[1].PerSecond()), // the numbers of the JSON
		bench.Span(a.Phases[0].Quantile(0.99)), "60.0%", "fs.fuse.max_pages_limit",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	pictures := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(text, -1)
	if len(pictures) != 1+2*2+2*2+3 { // the ratios; rates and times of two phases, of two kinds; origins of three
		t.Errorf("%d pictures", len(pictures))
	}
	for _, p := range pictures {
		if strings.Contains(p, "NaN") || strings.Contains(p, "Inf") {
			t.Errorf("not a place: %s", p)
		}
		for d := xml.NewDecoder(strings.NewReader(p)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%v in %s", err, p)
				break
			}
		}
	}
}

// A run that was cut short has a page too.
func TestPageOfLittle(t *testing.T) {
	r := sample(1, "", 1)
	r.Phases = r.Phases[:1]
	r.Phases[0].Rounds = []bench.Round{{Failed: "broken"}}
	r.Phases[0].Latency = nil
	var out bytes.Buffer
	if err := Write(&out, []*bench.Result{r}, nil, bench.DefaultPrices()); err != nil || !strings.Contains(out.String(), "round 1: broken") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestTicks(t *testing.T) {
	for top, want := range map[float64]int{0: 1, 1: 6, 10: 6, 37: 8, 70: 8} {
		if got := ticks(top); len(got) != want {
			t.Errorf("%v: %v", top, got)
		}
	}
}
