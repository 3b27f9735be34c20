package profiles

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// Change is by how much what is spent in a function differs between two profiles, for each item of the work.
type Change struct {
	Name, Room string
	Base, Now  float64 // by itself
	CumBase    float64 // with all that it calls
	CumNow     float64
}

func (c Change) by() float64 { return c.Now - c.Base }

// Diff is what differs between two profiles of a kind.
type Diff struct {
	Kind      Kind
	Unit      string
	Base, Now float64 // totals, for each item
	Rooms     []Change
	Functions []Change // the largest differences first
	root      *both
}

// Compare compares two profiles of the same work, of which the one is of so many items and the other of so many. Less
// than one item means that the totals are compared.
func Compare(base, now *Report, items, nowItems int64) (*Diff, error) {
	if base.Kind != now.Kind || base.Unit != now.Unit {
		return nil, fmt.Errorf("profiles of %s (%s) and of %s (%s) cannot be compared", base.Kind.Title(), base.Unit, now.Kind.Title(), now.Unit)
	}
	per, nowPer := float64(max(items, 1)), float64(max(nowItems, 1))
	d := &Diff{Kind: base.Kind, Unit: base.Unit, Base: float64(base.Total) / per, Now: float64(now.Total) / nowPer}
	functions, rooms := map[string]*Change{}, map[string]*Change{}
	of := func(all map[string]*Change, name, room string) *Change {
		if all[name] == nil {
			all[name] = &Change{Name: name, Room: room}
		}
		return all[name]
	}
	for _, f := range base.Tops {
		c := of(functions, f.Name, f.Room)
		c.Base, c.CumBase = float64(f.Flat)/per, float64(f.Cum)/per
	}
	for _, f := range now.Tops {
		c := of(functions, f.Name, f.Room)
		c.Now, c.CumNow = float64(f.Flat)/nowPer, float64(f.Cum)/nowPer
	}
	for _, r := range base.Rooms {
		of(rooms, r.Name, "").Base = float64(r.Value) / per
	}
	for _, r := range now.Rooms {
		of(rooms, r.Name, "").Now = float64(r.Value) / nowPer
	}
	d.Functions, d.Rooms = sorted(functions), sorted(rooms)
	d.root = merged(base.root, now.root, per, nowPer)
	return d, nil
}

func sorted(all map[string]*Change) []Change {
	list := make([]Change, 0, len(all))
	for _, c := range all {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Change) int {
		return cmp.Or(cmp.Compare(math.Abs(b.by()), math.Abs(a.by())), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// Print writes the differences of the rooms and the largest ones of functions.
func (d *Diff) Print(w io.Writer, tops int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, for each item: %s, was %s%s\n", d.Kind.Title(), Value(d.Unit, d.Now), Value(d.Unit, d.Base), ratio(d.Now, d.Base))
	table := func(head string, list []Change, functions bool) {
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, head)
		for _, c := range list[:min(tops, len(list))] {
			if c.by() == 0 {
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t", signed(d.Unit, c.by()), Value(d.Unit, c.Base), Value(d.Unit, c.Now))
			if functions {
				fmt.Fprintf(t, "%s\t%s\t%s\n", Value(d.Unit, c.CumNow-c.CumBase), c.Room, short(c.Name))
			} else {
				fmt.Fprintf(t, "%s\n", c.Name)
			}
		}
		_ = t.Flush() // into memory
	}
	table("CHANGE\tBASE\tNOW\tROOM", d.Rooms, false)
	fmt.Fprintln(&b)
	table("CHANGE\tBASE\tNOW\tWITH CALLS\tROOM\tFUNCTION", d.Functions, true)
	_, err := io.WriteString(w, b.String())
	return err
}

func ratio(now, base float64) string {
	if base <= 0 {
		return ""
	}
	return fmt.Sprintf(" (%.2f times)", now/base)
}
