package bench

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"jfs/internal/units"
)

// The terminal's colours.
const (
	plain = "\x1b[0m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
)

// row is a line of the table. A failed one stands out.
type row struct {
	item, value, cost string
	failed            bool
}

// Report prints the parameters and the table of the result, as scripts know them, and behind that what notes there are.
func (r *Result) Report(w io.Writer, colour bool) error {
	var b strings.Builder
	r.writeHeader(&b)
	writeTable(&b, r.rows(), colour)
	for _, n := range r.Notes {
		fmt.Fprintln(&b, n)
	}
	for _, p := range r.Phases {
		for i, one := range p.Rounds {
			if one.State != "" {
				fmt.Fprintf(&b, "%s, round %d: %s\n", p.Phase.Name, i+1, one.State)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Result) writeHeader(b *strings.Builder) {
	if r.Header != "" {
		fmt.Fprintf(b, "%s\nTime used: %.1f s\n", r.Header, r.Elapsed.Seconds())
		return
	}
	c := r.Config
	parts := []string{"BlockSize: " + units.FormatShort(uint64(c.BlockSize))}
	if c.Phases == nil && !c.SkipBig {
		parts = append(parts, "BigFileSize: "+units.FormatShort(uint64(c.BigFileSize)))
	}
	if c.Phases == nil && !c.SkipSmall {
		parts = append(parts, "SmallFileSize: "+units.FormatShort(uint64(c.SmallFileSize)),
			fmt.Sprintf("SmallFileCount: %d", c.SmallFileCount))
	}
	parts = append(parts, fmt.Sprintf("NumThreads: %d", c.Threads))
	fmt.Fprintln(b, strings.Join(parts, ", "))

	fmt.Fprintf(b, "Time used: %.1f s", r.Elapsed.Seconds())
	if cpu, ok := r.After["cpu_usage"]; ok {
		fmt.Fprintf(b, ", CPU: %.1f%%", 100*(cpu-r.Before["cpu_usage"])/max(r.Elapsed, 1).Seconds())
	}
	if memory, ok := r.After["memory"]; ok {
		fmt.Fprintf(b, ", Memory: %.1f MiB", memory/float64(units.MiB))
	}
	fmt.Fprintln(b)
}

func (r *Result) rows() []row {
	var rows []row
	for _, p := range r.Phases {
		rows = append(rows, p.row())
	}
	for _, a := range r.activities() {
		rows = append(rows, row{
			item:  a.name,
			value: fmt.Sprintf("%.0f operations", a.count),
			cost:  fmt.Sprintf("%.2f ms/op", 1000*a.seconds/max(a.count, 1)),
		})
	}
	return rows
}

func (r PhaseResult) row() row {
	switch {
	case r.Failed() != "":
		return row{item: r.Phase.Name, value: "failed", cost: "-", failed: true}
	case r.Phase.Measure == Throughput:
		return row{
			item:  r.Phase.Name,
			value: fmt.Sprintf("%.2f MiB/s", r.PerSecond()/float64(units.MiB)),
			cost:  fmt.Sprintf("%.2f s/%s", r.PerFile().Seconds(), r.Phase.unit()),
		}
	default:
		return row{
			item:  r.Phase.Name,
			value: fmt.Sprintf("%.1f %ss/s", r.PerSecond(), r.Phase.unit()),
			cost:  fmt.Sprintf("%.2f ms/%s", float64(r.PerFile())/float64(time.Millisecond), r.Phase.unit()),
		}
	}
}

// writeTable prints rows with borders, every column as wide as its longest cell.
func writeTable(b *strings.Builder, rows []row, colour bool) {
	lines := make([]line, len(rows))
	for i, r := range rows {
		lines[i] = line{[]string{r.item, r.value, r.cost}, r.colour()}
	}
	writeLines(b, []string{"ITEM", "VALUE", "COST"}, lines, colour)
}

// line is a line of any table, with the colour of all but its first cell; "" for none.
type line struct {
	cells  []string
	colour string
}

// writeLines prints a table with borders.
func writeLines(b *strings.Builder, titles []string, lines []line, colour bool) {
	width := make([]int, len(titles))
	for i, t := range titles {
		width[i] = len(t)
	}
	for _, l := range lines {
		for i, cell := range l.cells {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	border := "+"
	for _, n := range width {
		border += strings.Repeat("-", n+2) + "+"
	}

	fmt.Fprintln(b, border)
	for i, t := range titles {
		left := (width[i] - len(t)) / 2
		fmt.Fprintf(b, "| %*s%-*s ", left, "", width[i]-left, t)
	}
	fmt.Fprintf(b, "|\n%s\n", border)
	for _, l := range lines {
		for i, cell := range l.cells {
			on, off := "", ""
			if colour && i > 0 && l.colour != "" {
				on, off = l.colour, plain
			}
			fmt.Fprintf(b, "| %s%*s%s ", on, width[i], cell, off)
		}
		fmt.Fprintln(b, "|")
	}
	fmt.Fprintln(b, border)
}

func (r row) colour() string {
	if r.failed {
		return red
	}
	return green
}
