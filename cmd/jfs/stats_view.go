package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"jfs/bench"
)

// statsView is the columns that are shown of the figures of a mount.
type statsView struct {
	groups []statsGroup
	colour bool
}

type statsGroup struct {
	title   string
	columns []statsColumn
}

// statsColumn is a figure of a line.
type statsColumn struct {
	name  string
	value func(was, now bench.Counters, seconds float64) float64
	form  func(float64) string
}

// statsCell is the width of a column.
const statsCell = 5

// The ways in which a figure is looked at: as it is, by how much it grows in a second, and how long one of what it
// counts takes.

func gaugeOf(name string) func(_, now bench.Counters, _ float64) float64 {
	return func(_, now bench.Counters, _ float64) float64 { return now[name] }
}

func rateOf(name string) func(was, now bench.Counters, seconds float64) float64 {
	return func(was, now bench.Counters, seconds float64) float64 {
		return math.Max(now[name]-was[name], 0) / seconds
	}
}

func latencyOf(name string) func(was, now bench.Counters, _ float64) float64 {
	return func(was, now bench.Counters, _ float64) float64 {
		n := now[name+"_total"] - was[name+"_total"]
		if n <= 0 {
			return 0
		}
		return 1000 * (now[name+"_sum"] - was[name+"_sum"]) / n
	}
}

// newStatsView takes the groups of a schema, in its order.
func newStatsView(schema string, verbosity int) (*statsView, error) {
	const (
		fuse   = "fuse_ops_durations_histogram_seconds"
		meta   = "meta_ops_durations_histogram_seconds"
		change = "transaction_durations_histogram_seconds"
		get    = "object_request_durations_histogram_seconds_GET"
		put    = "object_request_durations_histogram_seconds_PUT"
		del    = "object_request_durations_histogram_seconds_DELETE"
	)
	v := &statsView{}
	more := func(columns ...statsColumn) []statsColumn {
		if verbosity < 1 {
			return nil
		}
		return columns
	}
	for _, letter := range schema {
		g := statsGroup{}
		switch letter {
		case 'u':
			g = statsGroup{"usage", append([]statsColumn{{"cpu", rateOf("cpu_usage"), percentCell}, {"mem", gaugeOf("memory"), bytesCell},
				{"buf", gaugeOf("used_buffer_size_bytes"), bytesCell}}, more(statsColumn{"cache", gaugeOf("store_cache_size_bytes"), bytesCell})...)}
		case 'f':
			g = statsGroup{"fuse", []statsColumn{{"ops", rateOf(fuse + "_total"), countCell}, {"lat", latencyOf(fuse), millisCell},
				{"read", rateOf("fuse_read_size_bytes_sum"), bytesCell}, {"write", rateOf("fuse_written_size_bytes_sum"), bytesCell}}}
		case 'm':
			g = statsGroup{"meta", append([]statsColumn{{"ops", rateOf(meta + "_total"), countCell}, {"lat", latencyOf(meta), millisCell}},
				more(statsColumn{"txn", rateOf(change + "_total"), countCell}, statsColumn{"lat", latencyOf(change), millisCell},
					statsColumn{"retry", rateOf("transaction_restart"), countCell})...)}
		case 'c':
			g = statsGroup{"blockcache", []statsColumn{{"read", rateOf("blockcache_hit_bytes"), bytesCell}, {"write", rateOf("blockcache_write_bytes"), bytesCell}}}
		case 'o':
			gets := statsColumn{"get", rateOf("object_request_data_bytes_GET"), bytesCell}
			puts := statsColumn{"put", rateOf("object_request_data_bytes_PUT"), bytesCell}
			g = statsGroup{"object", []statsColumn{gets, puts}}
			if verbosity >= 1 {
				g.columns = []statsColumn{gets, {"get_c", rateOf(get + "_total"), countCell}, {"lat", latencyOf(get), millisCell},
					puts, {"put_c", rateOf(put + "_total"), countCell}, {"lat", latencyOf(put), millisCell},
					{"del_c", rateOf(del + "_total"), countCell}, {"lat", latencyOf(del), millisCell}}
			}
		case 'g':
			g = statsGroup{"go", []statsColumn{{"alloc", gaugeOf("go_memstats_alloc_bytes"), bytesCell}, {"sys", gaugeOf("go_memstats_sys_bytes"), bytesCell}}}
		default:
			return nil, fmt.Errorf("--schema %q: no group is called %q: give some of u, f, m, c, o and g", schema, letter)
		}
		v.groups = append(v.groups, g)
	}
	if len(v.groups) == 0 {
		return nil, fmt.Errorf("--schema is empty: give some of u, f, m, c, o and g")
	}
	return v, nil
}

// head gives the two lines above the figures.
func (v *statsView) head() string {
	var titles, names strings.Builder
	for i, g := range v.groups {
		if i > 0 {
			titles.WriteString(" ")
			names.WriteString("|")
		}
		width := len(g.columns)*(statsCell+1) - 1
		title := g.title
		if len(title) > width {
			title = title[:width]
		}
		left := (width - len(title) + 1) / 2
		titles.WriteString(strings.Repeat("-", left) + title + strings.Repeat("-", width-len(title)-left))
		for j, c := range g.columns {
			if j > 0 {
				names.WriteString(" ")
			}
			fmt.Fprintf(&names, "%*s", statsCell, c.name)
		}
	}
	if v.colour {
		return "\x1b[1;34m" + titles.String() + "\x1b[0m\n\x1b[4m" + names.String() + "\x1b[0m\n"
	}
	return titles.String() + "\n" + names.String() + "\n"
}

// line gives the figures of a time.
func (v *statsView) line(was, now bench.Counters, took time.Duration) string {
	var b strings.Builder
	for i, g := range v.groups {
		if i > 0 {
			b.WriteString("|")
		}
		for j, c := range g.columns {
			if j > 0 {
				b.WriteString(" ")
			}
			fmt.Fprintf(&b, "%*s", statsCell, c.form(c.value(was, now, math.Max(took.Seconds(), 1e-9))))
		}
	}
	return b.String() + "\n"
}

// The forms of figures, in five letters at most.

func percentCell(v float64) string {
	if v < 0.0995 {
		return fmt.Sprintf("%.1f%%", 100*v)
	}
	return fmt.Sprintf("%.0f%%", 100*v)
}

func millisCell(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 99.95:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func countCell(v float64) string { return withUnit(v, 1000, 9999.5) }
func bytesCell(v float64) string { return withUnit(v, 1024, 1023.5) }

// withUnit writes a number up to most as it is, and larger ones with a unit.
func withUnit(v, step, most float64) string {
	const letters = " KMGTPE"
	power := 0
	for (v >= most || power > 0 && v >= step-0.5) && power < len(letters)-1 {
		v /= step
		power++
	}
	switch {
	case power == 0:
		return fmt.Sprintf("%.0f", v)
	case v < 9.95:
		return fmt.Sprintf("%.1f%c", v, letters[power])
	}
	return fmt.Sprintf("%.0f%c", v, letters[power])
}
