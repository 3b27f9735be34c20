package profiles

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/google/pprof/profile"
)

// Report is what a profile says.
type Report struct {
	Kind  Kind
	Unit  string // of all values: "nanoseconds", "bytes" or "count"
	Total int64
	Rooms []Room     // the largest first
	Tops  []Function // the largest first, by what they do themselves
	root  *node
}

// Room is a room's share.
type Room struct {
	Name    string
	Value   int64
	Hottest []Function // of the room: with what they call outside of this program
}

// Function is what is spent in a function.
type Function struct {
	Name string // in full
	Room string // "" for what is none of this program's
	Flat int64  // by itself; in a Room: with what it calls outside of this program
	Cum  int64  // with all that it calls
}

// node is a function called by another, in a tree of calls.
type node struct {
	name     string
	room     string // owner of the stack that ends here, or ""
	value    int64
	children map[string]*node
}

func (n *node) child(name string) *node {
	c := n.children[name]
	if c == nil {
		c = &node{name: name, room: room(name)}
		if n.children == nil {
			n.children = map[string]*node{}
		}
		n.children[name] = c
	}
	return c
}

// sorted gives the children in the order of their names, which is the same in every picture.
func (n *node) sorted() []*node {
	list := make([]*node, 0, len(n.children))
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		list = append(list, n.children[name])
	}
	return list
}

// Read finds out what a profile of a kind says.
func Read(kind Kind, p *profile.Profile) (*Report, error) {
	index := -1
	for i, t := range p.SampleType {
		if t.Type == sampleTypes[kind] {
			index = i
		}
	}
	if index < 0 {
		return nil, fmt.Errorf("this is no profile of kind %s: it has no values called %s", kind, sampleTypes[kind])
	}
	r := &Report{Kind: kind, Unit: p.SampleType[index].Unit, root: &node{name: "all"}}
	functions := map[string]*Function{}
	rooms := map[string]map[string]*Function{}
	of := func(all map[string]*Function, name string) *Function {
		f := all[name]
		if f == nil {
			f = &Function{Name: name, Room: room(name)}
			all[name] = f
		}
		return f
	}
	for _, s := range p.Sample {
		v := s.Value[index]
		if v <= 0 { // of a difference: what was measured twice
			continue
		}
		stack := names(s)
		r.Total += v
		seen := map[string]bool{}
		for i, name := range stack {
			f := of(functions, name)
			if i == 0 {
				f.Flat += v
			}
			if !seen[name] {
				seen[name] = true
				f.Cum += v
			}
		}
		in, name := owner(stack)
		if rooms[in] == nil {
			rooms[in] = map[string]*Function{}
		}
		of(rooms[in], name).Flat += v
		at := r.root
		at.value += v
		for _, name := range slices.Backward(stack) {
			at = at.child(name)
			at.value += v
		}
	}
	for name, all := range rooms {
		one := Room{Name: name, Hottest: byFlat(all)}
		for i := range one.Hottest {
			one.Value += one.Hottest[i].Flat
			one.Hottest[i].Cum = one.Hottest[i].Flat
			if f := functions[one.Hottest[i].Name]; f != nil {
				one.Hottest[i].Cum = f.Cum
			}
		}
		r.Rooms = append(r.Rooms, one)
	}
	slices.SortFunc(r.Rooms, func(a, b Room) int { return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Name, b.Name)) })
	r.Tops = byFlat(functions)
	return r, nil
}

func byFlat(all map[string]*Function) []Function {
	list := make([]Function, 0, len(all))
	for _, f := range all {
		list = append(list, *f)
	}
	slices.SortFunc(list, func(a, b Function) int {
		return cmp.Or(cmp.Compare(b.Flat, a.Flat), cmp.Compare(b.Cum, a.Cum), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// names are the functions of a sample, the leaf first. Functions that the compiler has put into their callers count.
func names(s *profile.Sample) []string {
	var list []string
	for _, l := range s.Location {
		if len(l.Line) == 0 {
			list = append(list, fmt.Sprintf("%#x", l.Address))
		}
		for _, line := range l.Line {
			if line.Function != nil {
				list = append(list, line.Function.Name)
			}
		}
	}
	return list
}

// CumOf gives what is spent in a function and below it, by the end of its name.
func (r *Report) CumOf(name string) int64 {
	for _, f := range r.Tops {
		if f.Name == name || short(f.Name) == name {
			return f.Cum
		}
	}
	return 0
}
