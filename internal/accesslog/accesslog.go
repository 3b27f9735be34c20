// Package accesslog reads the lines that a mount writes about its requests, and adds them up by operation.
package accesslog

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// timeForm is how a line begins.
const timeForm = "2006.01.02 15:04:05.000000"

// Entry is a request that has ended.
type Entry struct {
	End           time.Time
	UID, GID, PID uint64
	Op            string
	Took          time.Duration
}

// Parse reads a line, such as
//
//	2026.11.23 11:48:11.362848 [uid:0,gid:0,pid:8386] lookup (1,name): (3,[...]) - OK <0.000682>
//
// ok is false for anything else. Names in the middle may hold any letters.
func Parse(line string) (e Entry, ok bool) {
	line = strings.TrimRight(line, "\r\n")
	if len(line) < len(timeForm) {
		return e, false
	}
	var err error
	if e.End, err = time.ParseInLocation(timeForm, line[:len(timeForm)], time.Local); err != nil {
		return e, false
	}
	rest, ok := strings.CutPrefix(line[len(timeForm):], " [uid:")
	if !ok {
		return e, false
	}
	who, rest, ok := strings.Cut(rest, "] ")
	if !ok {
		return e, false
	}
	ids := strings.Split(who, ",")
	if len(ids) != 3 {
		return e, false
	}
	for i, one := range []struct {
		name string
		to   *uint64
	}{{"", &e.UID}, {"gid:", &e.GID}, {"pid:", &e.PID}} {
		text, has := strings.CutPrefix(ids[i], one.name)
		if !has {
			return e, false
		}
		if *one.to, err = strconv.ParseUint(text, 10, 32); err != nil {
			return e, false
		}
	}
	if e.Op, _, ok = strings.Cut(rest, " "); !ok || e.Op == "" {
		return e, false
	}
	at := strings.LastIndex(rest, " <")
	if at < 0 || !strings.HasSuffix(rest, ">") {
		return e, false
	}
	seconds, err := strconv.ParseFloat(rest[at+2:len(rest)-1], 64)
	const most = 1e9 // seconds; more is not a time
	if err != nil || !(seconds >= 0 && seconds < most) {
		return e, false
	}
	e.Took = time.Duration(seconds * float64(time.Second))
	return e, true
}

// Filter says whose requests count; an empty list means everybody's.
type Filter struct{ UIDs, GIDs, PIDs []uint64 }

// Counts says whether the request counts.
func (f Filter) Counts(e Entry) bool {
	in := func(list []uint64, id uint64) bool { return len(list) == 0 || slices.Contains(list, id) }
	return in(f.UIDs, e.UID) && in(f.GIDs, e.GID) && in(f.PIDs, e.PID)
}

// Profile is how often what was done, and how long it took. The zero value is ready.
type Profile struct {
	ops map[string]*total
}

type total struct {
	n    int64
	took time.Duration
}

// Add counts a request.
func (p *Profile) Add(e Entry) {
	if p.ops == nil {
		p.ops = map[string]*total{}
	}
	t := p.ops[e.Op]
	if t == nil {
		t = &total{}
		p.ops[e.Op] = t
	}
	t.n++
	t.took += e.Took
}

// Merge adds another profile.
func (p *Profile) Merge(other Profile) {
	for op, t := range other.ops {
		p.Add(Entry{Op: op})
		p.ops[op].n += t.n - 1
		p.ops[op].took += t.took
	}
}

// Count is how many requests were counted.
func (p *Profile) Count() (n int64) {
	for _, t := range p.ops {
		n += t.n
	}
	return n
}

// Print writes a table, with what takes the most time first.
func (p *Profile) Print(w io.Writer) error {
	var all time.Duration
	for _, t := range p.ops {
		all += t.took
	}
	names := slices.SortedFunc(maps.Keys(p.ops), func(a, b string) int {
		return cmp.Or(cmp.Compare(p.ops[b].took, p.ops[a].took), cmp.Compare(a, b))
	})
	t := tabwriter.NewWriter(w, 12, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "Operation\tCount\tAverage(us)\tTotal(us)\tPercent(%)\t")
	for _, name := range names {
		one, share := p.ops[name], 0.0
		if all > 0 {
			share = 100 * float64(one.took) / float64(all)
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%.1f\t\n", name, one.n, one.took.Microseconds()/one.n, one.took.Microseconds(), share)
	}
	return t.Flush()
}
