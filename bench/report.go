package bench

import (
	"fmt"
	"io"
	"strings"
	"time"

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

// Report prints the parameters and the table of the result.
func (r *Result) Report(w io.Writer, colour bool) error {
	var b strings.Builder
	r.writeHeader(&b)
	writeTable(&b, r.rows(), colour)
	if r.CachesKept != nil {
		fmt.Fprintf(&b, "Read and stat figures may come from the kernel's caches: %v\n", r.CachesKept)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Result) writeHeader(b *strings.Builder) {
	c := r.Config
	parts := []string{"BlockSize: " + units.FormatShort(uint64(c.BlockSize))}
	if !c.SkipBig {
		parts = append(parts, "BigFileSize: "+units.FormatShort(uint64(c.BigFileSize)))
	}
	if !c.SkipSmall {
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
	case r.Err != nil:
		return row{item: r.Phase.Name, value: "failed", cost: "-", failed: true}
	case r.Phase.Measure == Throughput:
		return row{
			item:  r.Phase.Name,
			value: fmt.Sprintf("%.2f MiB/s", r.PerSecond()/float64(units.MiB)),
			cost:  fmt.Sprintf("%.2f s/file", r.PerFile().Seconds()),
		}
	default:
		return row{
			item:  r.Phase.Name,
			value: fmt.Sprintf("%.1f files/s", r.PerSecond()),
			cost:  fmt.Sprintf("%.2f ms/file", float64(r.PerFile())/float64(time.Millisecond)),
		}
	}
}

// writeTable prints rows with borders, every column as wide as its longest cell.
func writeTable(b *strings.Builder, rows []row, colour bool) {
	titles := [3]string{"ITEM", "VALUE", "COST"}
	var width [3]int
	for i, t := range titles {
		width[i] = len(t)
	}
	for _, r := range rows {
		for i, cell := range r.cells() {
			width[i] = max(width[i], len(cell))
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
	for _, r := range rows {
		for i, cell := range r.cells() {
			on, off := "", ""
			if colour && i > 0 {
				on, off = r.colour(), plain
			}
			fmt.Fprintf(b, "| %s%*s%s ", on, width[i], cell, off)
		}
		fmt.Fprintln(b, "|")
	}
	fmt.Fprintln(b, border)
}

func (r row) cells() [3]string { return [3]string{r.item, r.value, r.cost} }

func (r row) colour() string {
	if r.failed {
		return red
	}
	return green
}
