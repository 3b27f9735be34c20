package profiles

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"strings"
)

// ErrNothingInCommon: two captures have no phase of the same name, so there is nothing to compare.
var ErrNothingInCommon = errors.New("these captures have no phase in common")

// Pair is a phase of two captures.
type Pair struct{ Base, Now *Phase }

// Pairs gives the phases that both captures have. Two single profiles are a pair, whatever they are called.
func Pairs(base, now *Capture) ([]Pair, error) {
	var list []Pair
	for i := range base.Phases {
		p := &base.Phases[i]
		for k := range now.Phases {
			q := &now.Phases[k]
			if p.Name == q.Name || len(base.Phases) == 1 && len(now.Phases) == 1 {
				list = append(list, Pair{p, q})
				break
			}
		}
	}
	if len(list) == 0 {
		return nil, ErrNothingInCommon
	}
	return list, nil
}

// Diff compares what a pair has of a kind; nil if one of them has no such profile.
func (p Pair) Diff(kind Kind) (*Diff, error) {
	if p.Base.set[kind] == nil || p.Now.set[kind] == nil {
		return nil, nil
	}
	base, err := Read(kind, p.Base.set[kind])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Base.Name, err)
	}
	now, err := Read(kind, p.Now.set[kind])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Now.Name, err)
	}
	return Compare(base, now, p.Base.Items, p.Now.Items)
}

// DiffPage writes what differs between two captures of the same work as a page that needs nothing else.
func DiffPage(w io.Writer, base, now *Capture) error {
	pairs, err := Pairs(base, now)
	if err != nil {
		return err
	}
	var list []section
	for _, p := range pairs {
		s := section{Title: p.Base.Name}
		for _, kind := range Kinds() {
			d, err := p.Diff(kind)
			if err != nil {
				return err
			}
			if d == nil || d.Base == 0 && d.Now == 0 {
				continue
			}
			one := picture{Title: fmt.Sprintf("%s, for each item: %s, was %s%s", kind.Title(), Value(d.Unit, d.Now), Value(d.Unit, d.Base), ratio(d.Now, d.Base)), Open: kind == CPU, Flame: d.Flame()}
			for _, r := range d.Rooms {
				one.Rooms = append(one.Rooms, [4]string{signed(d.Unit, r.by()), Value(d.Unit, r.Base), Value(d.Unit, r.Now), r.Name})
			}
			s.Pictures = append(s.Pictures, one)
		}
		list = append(list, s)
	}
	var b strings.Builder
	if err := render(&b, "diffs", list); err != nil {
		return err
	}
	return render(w, "page", struct {
		Title, Subtitle string
		Body            template.HTML
	}{"What differs between two captures", fmt.Sprintf("base: %s, %s · now: %s, %s", base.Program, base.Started.UTC().Format("2006-01-02 15:04 UTC"), now.Program, now.Started.UTC().Format("2006-01-02 15:04 UTC")),
		template.HTML("<style>" + FlameStyle + DiffStyle + "</style>" + b.String())})
}

// signed writes a difference with its sign.
func signed(unit string, v float64) string {
	if v > 0 {
		return "+" + Value(unit, v)
	}
	return Value(unit, v)
}
