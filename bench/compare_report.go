package bench

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"jfs/internal/units"
)

func list(words []string) string { return strings.Join(words, ", ") }
func join(words []string) string { return strings.Join(words, " ") }

// Report prints the verdicts, what each configuration costs, and the advice.
func (c *Comparison) Report(w io.Writer, prices Prices, colour bool) error {
	var b strings.Builder
	for i, r := range c.Results {
		role := "compared with it"
		if i == 0 {
			role = "the base"
		}
		rounds := 0
		for _, p := range r.Phases {
			rounds = max(rounds, len(p.Rounds))
		}
		fmt.Fprintf(&b, "%s: %s, %d rounds", r.Name, role, rounds)
		if len(r.Flags) > 0 {
			fmt.Fprintf(&b, ", %s", join(r.Flags))
		}
		fmt.Fprintln(&b)
	}
	lines := make([]line, len(c.Verdicts))
	for i, v := range c.Verdicts {
		lines[i] = line{cells: []string{
			v.Phase, v.Metric, v.Name, v.phase.Rate(v.Base), v.phase.Rate(v.Value),
			fmt.Sprintf("%.3f", v.Ratio), fmt.Sprintf("%.3f - %.3f", v.Low, v.High), fmt.Sprintf("%.4f", v.P), v.Words(),
		}, colour: v.colour()}
	}
	fmt.Fprintf(&b, "Medians; the intervals of the ratios hold together with %.0f %%:\n", 100*(1-Alpha))
	writeLines(&b, []string{"ITEM", "METRIC", "CONFIGURATION", "BASE", "VALUE", "RATIO", "INTERVAL", "P", "VERDICT"}, lines, colour)
	c.costs(&b, prices, colour)
	for _, r := range c.Results {
		for _, n := range r.Notes {
			fmt.Fprintf(&b, "%s: %s\n", r.Name, n)
		}
	}
	fmt.Fprintln(&b, c.Advice())
	_, err := io.WriteString(w, b.String())
	return err
}

func (v Verdict) colour() string {
	switch {
	case !v.Differs:
		return ""
	case v.Ratio > 1:
		return green
	}
	return red
}

// costs prints what an item costs in each configuration: counts, which need no test.
func (c *Comparison) costs(b *strings.Builder, prices Prices, colour bool) {
	var lines []line
	for _, p := range c.Results[0].Phases {
		for _, r := range c.Results {
			for _, q := range r.Phases {
				if q.Phase.Name != p.Phase.Name || q.Files() == 0 {
					continue
				}
				k, ok := r.Cost(q, prices)
				if !ok {
					continue
				}
				n := float64(q.Files())
				lines = append(lines, line{cells: []string{
					p.Phase.Name, r.Name, number(k.PerItem, "%.2f"), fmt.Sprintf("%.3f", k.Puts/n), fmt.Sprintf("%.3f", k.Gets/n),
					number((k.PutBytes+k.GetBytes)/float64(units.MiB)/n, "%.3f"), number(1000*k.CPU/n, "%.3f"), number(k.Resident/float64(units.MiB), "%.0f"),
					Span(q.Quantile(0.5)), Span(q.Quantile(0.99)),
				}})
			}
		}
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(b, "\nWhat an item costs, and the times of single calls:")
	writeLines(b, []string{"ITEM", "CONFIGURATION", "DB TRIPS", "PUT", "GET", "STORE MIB", "CPU MS", "RSS MIB", "P50", "P99"}, lines, colour)
}

// Save writes the results and the verdicts as JSON.
func (c *Comparison) Save(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(struct {
		Format   int       `json:"format"`
		Kind     string    `json:"kind"`
		Alpha    float64   `json:"alpha"`
		Results  []*Result `json:"results"`
		Verdicts []Verdict `json:"verdicts"`
		Advice   string    `json:"advice"`
	}{Format, "comparison", Alpha, c.Results, c.Verdicts, c.Advice()})
}

// CSV writes a line for each verdict.
func (c *Comparison) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"phase", "metric", "name", "base_name", "base", "value", "ratio", "low", "high", "p", "significant", "verdict"}); err != nil {
		return err
	}
	f := func(v float64) string {
		if math.IsNaN(v) {
			return ""
		}
		return strconv.FormatFloat(v, 'g', 8, 64)
	}
	for _, v := range c.Verdicts {
		err := out.Write([]string{v.Phase, v.Metric, v.Name, c.Results[0].Name, f(v.Base), f(v.Value), f(v.Ratio), f(v.Low), f(v.High), f(v.P),
			strconv.FormatBool(v.Differs), v.Words()})
		if err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// Rate writes a value of the verdict with its unit.
func (v Verdict) Rate(value float64) string { return v.phase.Rate(value) }
