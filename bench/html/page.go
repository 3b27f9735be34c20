// Package html writes what benchmarks have found as one page that needs nothing else: no network, no script.
package html

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"jfs/bench"
	"jfs/internal/units"
)

//go:embed page.html
var pageText string

type page struct {
	Title, Subtitle, Currency, Calls string

	Comparison   *bench.Comparison
	Groups       []group
	Costs        [][]string
	Origins      []origin
	Environments []environment
	Extras       []Extra
}

// Extra is a part of the page that somebody else has made, with the page's classes and colours.
type Extra struct {
	Title string
	Body  template.HTML
}

// group is results of one kind, side by side.
type group struct {
	Title   string
	Results []entry
	Phases  []phase
	Times   [][]string
}

type entry struct {
	Name, Flags string
	Place       int
	Notes       []string
}

type phase struct {
	Name             string
	Rates, Latencies template.HTML
}

type origin struct {
	Name    string
	Picture template.HTML
}

type environment struct {
	Name  string
	Open  bool
	Lines [][2]string
	Mount string
}

// Write writes the page: a comparison, if there is one, and its results or those given, those of one kind side by side;
// then the extras.
func Write(w io.Writer, results []*bench.Result, c *bench.Comparison, prices bench.Prices, extras ...Extra) error {
	p := page{Comparison: c, Extras: extras, Currency: prices.Currency, Calls: "open to close of a file, or a single call on big ones"}
	if c != nil {
		p.Title = "Comparison"
		results = append(c.Results[:len(c.Results):len(c.Results)], results...)
	} else {
		p.Title = "Benchmark"
	}
	if len(results) > 0 {
		first := results[0]
		if c == nil {
			p.Title += " of " + first.Path
		}
		e := first.Environment
		p.Subtitle = fmt.Sprintf("%s · %s · %d × %s · Linux %s", first.Started.UTC().Format("2006-01-02 15:04 UTC"), e.Host, e.CPUs, e.CPU, e.Kernel)
	}
	for _, kind := range []struct{ of, title string }{
		{bench.KindFiles, "File system"}, {bench.KindStore, "Object store alone"}, {bench.KindMeta, "Metadata alone"},
	} {
		if g := newGroup(kind.of, kind.title, results); len(g.Results) > 0 {
			p.Groups = append(p.Groups, g)
		}
	}
	for i, r := range results {
		p.addCosts(r, prices)
		if picture := origins(r, prices); picture != "" {
			p.Origins = append(p.Origins, origin{name(r), picture})
		}
		p.Environments = append(p.Environments, look(r, i == 0))
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"forest": forest, "rate": func(v bench.Verdict, x float64) string { return v.Rate(x) },
	}).Parse(pageText)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

func name(r *bench.Result) string {
	if r.Name != "" {
		return r.Name
	}
	return r.Path
}

func newGroup(kind, title string, results []*bench.Result) group {
	g := group{Title: title}
	byPhase := map[string][]of{}
	var order []string
	for _, r := range results {
		if r.Kind != kind {
			continue
		}
		place := len(g.Results)
		g.Results = append(g.Results, entry{name(r), strings.Join(r.Flags, " "), place % 6, notes(r)})
		for _, p := range r.Phases {
			if byPhase[p.Phase.Name] == nil {
				order = append(order, p.Phase.Name)
			}
			byPhase[p.Phase.Name] = append(byPhase[p.Phase.Name], of{p, name(r), place})
		}
	}
	for _, n := range order {
		list := byPhase[n]
		if picture := rates(list); picture != "" {
			g.Phases = append(g.Phases, phase{n, picture, latencies(list)})
		}
		for _, p := range list {
			stored := "–"
			if d := p.Drained(); len(d) > 0 {
				stored = p.Phase.Rate(mean(d))
			}
			line := []string{n, p.name, p.Phase.Rate(p.PerSecond()), stored, p.Call()}
			for _, q := range []float64{0.5, 0.9, 0.99, 0.999, 1} {
				line = append(line, bench.Span(p.Quantile(q)))
			}
			g.Times = append(g.Times, append(line, fmt.Sprint(len(p.Rates()))))
		}
	}
	return g
}

// notes are what a reader should know, states of caches that were not reached included.
func notes(r *bench.Result) []string {
	list := append([]string(nil), r.Notes...)
	for _, p := range r.Phases {
		for i, one := range p.Rounds {
			for _, text := range []string{one.State, one.Failed} {
				if text != "" {
					list = append(list, fmt.Sprintf("%s, round %d: %s", p.Phase.Name, i+1, text))
				}
			}
		}
	}
	return list
}

func mean(values []float64) (m float64) {
	for _, v := range values {
		m += v / float64(len(values))
	}
	return m
}

func (p *page) addCosts(r *bench.Result, prices bench.Prices) {
	f := func(format string, v float64) string {
		if math.IsNaN(v) {
			return "–"
		}
		return fmt.Sprintf(format, v)
	}
	mib := func(v float64) string { return f("%.1f", v/float64(units.MiB)) }
	for _, q := range r.Phases {
		c, ok := r.Cost(q, prices)
		if !ok {
			continue
		}
		amp := c.ReadAmp
		if math.IsNaN(amp) {
			amp = c.WriteAmp
		}
		p.Costs = append(p.Costs, []string{
			q.Phase.Name, name(r), f("%.0f", c.Trips), f("%.2f", c.PerItem), f("%.0f", c.Puts), mib(c.PutBytes), f("%.0f", c.Gets), mib(c.GetBytes),
			f("%.0f", c.Lists), f("%.0f", c.Deletes), f("%.0f", c.Restarts), f("%.0f", c.Retries), f("%.6f", c.Price), f("%.1f%%", 100*c.Memory), f("%.1f%%", 100*c.Disk), f("%.2f", amp),
			mib(c.Ahead), mib(c.Wasted), f("%.2f", c.CPU), mib(c.Resident),
		})
	}
}

func look(r *bench.Result, open bool) environment {
	e := r.Environment
	out := environment{Name: name(r), Open: open}
	add := func(what, text string) {
		if text != "" {
			out.Lines = append(out.Lines, [2]string{what, text})
		}
	}
	add("measured", r.Path)
	add("file system", e.FileSystem)
	add("flags", strings.Join(r.Flags, " "))
	add("machine", fmt.Sprintf("%s, %d × %s, %s of memory", e.Host, e.CPUs, e.CPU, units.FormatShort(uint64(max(e.Memory, 0)))))
	add("kernel", e.Kernel)
	add("jfs", e.Program)
	add("built with", e.Go)
	add("read_ahead_kb", e.ReadAhead)
	for _, k := range slices.Sorted(maps.Keys(e.FuseLimits)) {
		add("fs.fuse."+k, e.FuseLimits[k])
	}
	var b bytes.Buffer
	if len(e.Mount) > 0 && json.Indent(&b, e.Mount, "", "  ") == nil {
		out.Mount = b.String()
	}
	return out
}
