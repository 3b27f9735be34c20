package bench

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"jfs/bench/stats"
	"jfs/internal/units"
)

// Sections prints what the official table has no room for: the spread of the rounds and of the single calls, and, of a
// mount that counts, what each phase has cost.
func (r *Result) Sections(w io.Writer, prices Prices, colour bool) error {
	var b strings.Builder
	var lines []line
	for _, p := range r.Phases {
		if len(p.Rounds) > 0 {
			lines = append(lines, line{cells: p.spread()})
		}
	}
	fmt.Fprintln(&b, "\nRate: mean of the rounds with its interval of confidence of 95 %; stored: until everything is in the store. Times of single calls:")
	writeLines(&b, []string{"ITEM", "RATE", "95 %", "STORED", "CALL", "P50", "P90", "P99", "P99.9", "MAX"}, lines, colour)
	if r.After != nil {
		r.costSections(&b, prices, colour)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r PhaseResult) spread() []string {
	mean, half := stats.Mean(r.Rates())
	within, stored := "-", "-"
	if !math.IsNaN(half) {
		within = fmt.Sprintf("± %.1f%% (%d)", 100*half/mean, len(r.Rates()))
	}
	if rates := r.Drained(); len(rates) > 0 {
		drained, _ := stats.Mean(rates)
		stored = r.rate(drained)
	}
	cells := []string{r.Phase.Name, r.rate(r.PerSecond()), within, stored, r.Call()}
	if r.Failed() != "" {
		cells[1] = "failed"
	}
	for _, q := range quantiles {
		cells = append(cells, Span(r.Quantile(q)))
	}
	return cells
}

// rate writes a rate of the phase.
func (r PhaseResult) rate(v float64) string { return r.Phase.Rate(v) }

// Rate writes a rate that the phase is judged by.
func (p Phase) Rate(v float64) string {
	if p.Measure == Throughput {
		return fmt.Sprintf("%.1f MiB/s", v/float64(units.MiB))
	}
	return fmt.Sprintf("%.1f %ss/s", v, p.unit())
}

// Span writes a time in three digits.
func Span(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < time.Microsecond:
		return fmt.Sprintf("%dns", d)
	case d < time.Millisecond:
		return three(float64(d)/1e3) + "µs"
	case d < time.Second:
		return three(float64(d)/1e6) + "ms"
	}
	return three(d.Seconds()) + "s"
}

func three(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func (r *Result) costSections(b *strings.Builder, prices Prices, colour bool) {
	var far, near []line
	for _, p := range r.Phases {
		c, ok := r.Cost(p, prices)
		if !ok {
			continue
		}
		mib := func(v float64) string { return fmt.Sprintf("%.1f", v/float64(units.MiB)) }
		far = append(far, line{cells: []string{
			p.Phase.Name, number(c.Trips, "%.0f"), number(c.PerItem, "%.2f"), number(c.Puts, "%.0f"), mib(c.PutBytes),
			number(c.Gets, "%.0f"), mib(c.GetBytes), number(c.Lists, "%.0f"), number(c.Deletes, "%.0f"), number(c.Restarts, "%.0f"), number(c.Retries, "%.0f"),
			fmt.Sprintf("%.6f", c.Price),
		}})
		amp := c.ReadAmp
		if math.IsNaN(amp) {
			amp = c.WriteAmp
		}
		store := "-"
		if !math.IsNaN(c.Memory) {
			store = fmt.Sprintf("%.1f%%", 100*max(1-c.Memory-c.Disk, 0))
		}
		near = append(near, line{cells: []string{
			p.Phase.Name, percent(c.Memory), percent(c.Disk), store, number(amp, "%.2f"),
			mib(c.Ahead), mib(c.Wasted), fmt.Sprintf("%.2f", c.CPU), mib(c.Resident),
		}})
	}
	fmt.Fprintf(b, "\nWhat all rounds have cost: round trips to the database, requests to the store and MiB, what was repeated, price in %s:\n", prices.Currency)
	writeLines(b, []string{"ITEM", "DB TRIPS", "FOR EACH", "PUT", "PUT MIB", "GET", "GET MIB", "LIST", "DELETE", "DB RETRIES", "STORE RETRIES", "PRICE"}, far, colour)
	fmt.Fprintln(b, "\nWhere the mount had the bytes that were read, bytes of the store for each byte of the files, MiB read ahead, and the client:")
	writeLines(b, []string{"ITEM", "MEMORY", "SSD", "STORE", "AMPLIFICATION", "AHEAD USED", "WASTED", "CPU S", "RSS MIB"}, near, colour)
}

func number(v float64, format string) string {
	if math.IsNaN(v) {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

func percent(v float64) string { return number(100*v, "%.1f%%") }
