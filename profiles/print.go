package profiles

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"jfs/internal/units"
)

// titles say what a kind is about.
var titles = map[Kind]string{
	CPU: "CPU", Allocs: "allocated", Heap: "memory in use", Mutex: "waits for locks", Block: "blocked", Goroutines: "goroutines",
}

// hottest is how many functions of a room are named.
const hottest = 3

// Title says what the kind is about.
func (k Kind) Title() string { return titles[k] }

// Value writes a value with its unit.
func Value(unit string, v float64) string {
	switch unit {
	case "nanoseconds":
		switch d := time.Duration(v); {
		case d >= 10*time.Millisecond || d <= -10*time.Millisecond:
			return d.Round(10 * time.Microsecond).String()
		default:
			return d.Round(10 * time.Nanosecond).String()
		}
	case "bytes":
		if v < 0 {
			return "-" + Value(unit, -v)
		}
		return units.FormatShort(uint64(v))
	}
	return fmt.Sprintf("%.6g", v)
}

func share(part, whole int64) string {
	if whole <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(part)/float64(whole))
}

// Print writes the shares of the rooms with their hottest functions, and the top functions.
func (r *Report) Print(w io.Writer, tops int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", r.Kind.Title(), Value(r.Unit, float64(r.Total)))
	if r.Total > 0 {
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "SHARE\tVALUE\tROOM\tHOTTEST, WITH WHAT THEY CALL OUTSIDE")
		for _, room := range r.Rooms {
			var parts []string
			for _, f := range room.Hottest[:min(hottest, len(room.Hottest))] {
				parts = append(parts, short(f.Name)+" "+share(f.Flat, r.Total))
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", share(room.Value, r.Total), Value(r.Unit, float64(room.Value)), room.Name, strings.Join(parts, ", "))
		}
		_ = t.Flush() // into memory
		fmt.Fprintln(&b)
		t = tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "FLAT\tSHARE\tWITH CALLS\tSHARE\tROOM\tFUNCTION")
		for _, f := range r.Tops[:min(tops, len(r.Tops))] {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", Value(r.Unit, float64(f.Flat)), share(f.Flat, r.Total), Value(r.Unit, float64(f.Cum)), share(f.Cum, r.Total), f.Room, short(f.Name))
		}
		_ = t.Flush()
	}
	_, err := io.WriteString(w, b.String())
	return err
}
