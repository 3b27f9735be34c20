package html

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"time"

	"jfs/bench"
	"jfs/bench/stats"
)

// of is a phase of one result, with the place of the result among all.
type of struct {
	bench.PhaseResult
	name  string
	place int
}

const (
	chartWidth = 640.0
	nameWidth  = 130.0
	valueWidth = 165.0
	rowHeight  = 26.0
)

// rates draws a bar for each result, with the interval of confidence and a dot for each round; written data also has a
// bar for the rate until everything is stored.
func rates(list []of) template.HTML {
	type row struct {
		name, class, text string
		rates             []float64
	}
	var rows []row
	top := 0.0
	add := func(name, class string, p of, rates []float64) {
		if len(rates) == 0 {
			return
		}
		mean, half := stats.Mean(rates)
		text := p.Phase.Rate(mean)
		if !math.IsNaN(half) && half < 10*mean {
			text += fmt.Sprintf(" ± %.0f%%", 100*half/mean)
		}
		rows = append(rows, row{name, class, text, rates})
		for _, v := range rates {
			top = math.Max(top, v)
		}
	}
	for _, p := range list {
		add(p.name, colour(p.place), p, p.Rates())
		add("until stored", colour(p.place)+" pale", p, p.Drained())
	}
	if len(rows) == 0 || top <= 0 {
		return ""
	}
	d := newDrawing(chartWidth, float64(len(rows))*rowHeight+28, "rates of "+list[0].Phase.Name)
	span := chartWidth - nameWidth - valueWidth
	x := func(v float64) float64 { return nameWidth + math.Min(math.Max(v, 0)/top, 1)*span }
	bottom := float64(len(rows)) * rowHeight
	unit := 1.0
	if list[0].Phase.Measure == bench.Throughput {
		unit = 1 << 20 // round numbers of MiB
	}
	for _, v := range ticks(top / unit) {
		v *= unit
		d.line(x(v), 0, x(v), bottom, "grid")
		d.text(x(v), bottom+14, "small", "middle", axis(list[0].Phase, v))
	}
	for i, r := range rows {
		y := float64(i) * rowHeight
		mean, half := stats.Mean(r.rates)
		d.text(nameWidth-8, y+17, "name", "end", short(r.name, 20))
		d.bar(nameWidth, y+5, x(mean)-nameWidth, rowHeight-10, r.class, r.name+": "+r.text)
		if !math.IsNaN(half) {
			d.line(x(mean-half), y+rowHeight/2, x(mean+half), y+rowHeight/2, "whisker")
		}
		for n, v := range r.rates {
			d.dot(x(v), y+rowHeight/2, "round", fmt.Sprintf("round %d: %s", n+1, list[0].Phase.Rate(v)))
		}
		d.text(chartWidth-valueWidth+12, y+17, "value", "start", r.text)
	}
	return d.done()
}

// axis writes a value of a rate without its unit.
func axis(p bench.Phase, v float64) string {
	if p.Measure == bench.Throughput {
		v /= 1 << 20
	}
	if v >= 1e4 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

func short(s string, n int) string {
	r := []rune(s)
	if len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// nines is where a share lies on an axis on which each nine takes the same room.
func nines(q float64) float64 { return -math.Log10(math.Max(1-q, 1e-4)) / 4 }

// latencies draws the distribution of the times of single calls: how long (to the right) which share (upwards) took.
func latencies(list []of) template.HTML {
	const left, bottom, height = 60.0, 30.0, 230.0
	low, high := math.Inf(1), 0.0
	for _, p := range list {
		h := p.Latency[p.Call()]
		if h == nil || h.Count() == 0 {
			continue
		}
		low, high = math.Min(low, float64(h.Quantile(0.01))), math.Max(high, float64(h.Max()))
	}
	if high == 0 {
		return ""
	}
	from, to := math.Floor(math.Log10(math.Max(low, 1))), math.Ceil(math.Log10(high)+1e-9)
	if to <= from {
		to = from + 1
	}
	d := newDrawing(chartWidth, height, "times of "+list[0].Phase.Name)
	x := func(ns float64) float64 {
		return left + (math.Log10(math.Max(ns, 1))-from)/(to-from)*(chartWidth-left-20)
	}
	y := func(q float64) float64 { return (height - bottom) - nines(q)*(height-bottom-12) }
	for e := from; e <= to; e++ {
		d.line(x(math.Pow(10, e)), 8, x(math.Pow(10, e)), height-bottom, "grid")
		d.text(x(math.Pow(10, e)), height-bottom+16, "small", "middle", decade(e))
	}
	for _, q := range []struct {
		at   float64
		name string
	}{{0, "0"}, {0.5, "p50"}, {0.9, "p90"}, {0.99, "p99"}, {0.999, "p99.9"}} {
		d.line(left, y(q.at), chartWidth-20, y(q.at), "grid")
		d.text(left-8, y(q.at)+4, "small", "end", q.name)
	}
	for _, p := range list {
		h := p.Latency[p.Call()]
		if h == nil || h.Count() == 0 {
			continue
		}
		points, seen := "", int64(0)
		for _, bar := range h.Bars() {
			seen += bar.Count
			points += fmt.Sprintf("%.1f,%.1f ", x(float64(bar.To)), y(float64(seen)/float64(h.Count())))
		}
		d.add(`<polyline points="%s" class="curve %s"/>`, points, colour(p.place))
		for _, q := range []float64{0.5, 0.9, 0.99, 0.999} {
			if float64(h.Count())*(1-q) >= 1 {
				d.dot(x(float64(h.Quantile(q))), y(q), colour(p.place), fmt.Sprintf("%s, p%g: %s", p.name, 100*q, bench.Span(h.Quantile(q))))
			}
		}
	}
	return d.done()
}

// decade names a power of ten of nanoseconds.
func decade(e float64) string {
	d := time.Duration(math.Pow(10, e))
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d)
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d/time.Microsecond)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

// origins draws where the bytes of each phase that reads came from.
func origins(r *bench.Result, prices bench.Prices) template.HTML {
	type row struct {
		name         string
		memory, disk float64
	}
	var rows []row
	for _, p := range r.Phases {
		if c, ok := r.Cost(p, prices); ok && !math.IsNaN(c.Memory) {
			rows = append(rows, row{p.Phase.Name, c.Memory, c.Disk})
		}
	}
	if len(rows) == 0 {
		return ""
	}
	d := newDrawing(chartWidth, float64(len(rows))*rowHeight+24, "where the bytes came from")
	span := chartWidth - nameWidth - 20
	for i, r := range rows {
		y := float64(i) * rowHeight
		d.text(nameWidth-8, y+17, "name", "end", short(r.name, 20))
		at := nameWidth
		for k, part := range []struct {
			name  string
			share float64
		}{{"memory", r.memory}, {"SSD", r.disk}, {"store", math.Max(1-r.memory-r.disk, 0)}} {
			if part.share > 0.001 {
				d.bar(at, y+4, part.share*span-1, rowHeight-8, []string{"c0", "c2", "c1"}[k], fmt.Sprintf("%s: %.1f%%", part.name, 100*part.share))
				at += part.share * span
			}
		}
	}
	at, y := nameWidth, float64(len(rows))*rowHeight+4
	for k, name := range []string{"memory of the mount", "its SSD", "store, read ahead or not"} {
		d.bar(at, y+2, 10, 10, []string{"c0", "c2", "c1"}[k], name)
		d.text(at+15, y+11, "small", "start", name)
		at += 150
	}
	return d.done()
}

// forest draws the ratio of each verdict with its interval: to the right of the line in the middle is faster.
func forest(c *bench.Comparison) template.HTML {
	const name = 250.0
	reach := 1.25
	for _, v := range c.Verdicts {
		for _, r := range []float64{v.Ratio, v.Low, v.High} {
			if r > 0 && !math.IsInf(r, 0) && !math.IsNaN(r) {
				reach = math.Max(reach, math.Max(r, 1/r))
			}
		}
	}
	reach = math.Min(reach*1.05, 20)
	d := newDrawing(chartWidth+80, float64(len(c.Verdicts))*rowHeight+28, "ratios to the base")
	x := func(r float64) float64 {
		at := math.Log(math.Min(math.Max(r, 1/reach), reach)) / math.Log(reach)
		return name + (at+1)/2*(d.width-name-30)
	}
	bottom := float64(len(c.Verdicts)) * rowHeight
	for _, r := range []float64{0.1, 0.2, 0.5, 0.8, 1, 1.25, 2, 5, 10} {
		if r < 1/reach || r > reach || reach > 3 && (r == 0.8 || r == 1.25) {
			continue
		}
		class := "grid"
		if r == 1 {
			class = "axis"
		}
		d.line(x(r), 0, x(r), bottom, class)
		d.text(x(r), bottom+14, "small", "middle", fmt.Sprintf("%g×", r))
	}
	for i, v := range c.Verdicts {
		y := float64(i)*rowHeight + rowHeight/2
		class := "same"
		switch {
		case v.Differs && v.Ratio > 1:
			class = "faster"
		case v.Differs:
			class = "slower"
		}
		d.text(name-8, y+4, "name", "end", short(v.Name+": "+v.Phase+suffix(v.Metric), 38))
		d.line(x(v.Low), y, x(v.High), y, "range "+class)
		d.dot(x(v.Ratio), y, class, fmt.Sprintf("%.3f, from %.3f to %.3f, p = %.4f: %s", v.Ratio, v.Low, v.High, v.P, v.Words()))
	}
	return d.done()
}

func suffix(metric string) string {
	if metric == bench.MetricStored {
		return ", until stored"
	}
	return ""
}
