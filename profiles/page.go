package profiles

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed page.html
var pageText string

// section is what the page shows of a phase.
type section struct {
	Title    string
	Pictures []picture
}

type picture struct {
	Title string
	Open  bool
	Rooms [][4]string // share, value, name, hottest functions
	Flame template.HTML
}

// sections finds out what the profiles of a capture say.
func (c *Capture) sections() ([]section, error) {
	var list []section
	for _, p := range c.Phases {
		s := section{Title: p.Name}
		for _, kind := range Kinds() {
			if p.set[kind] == nil {
				continue
			}
			r, err := Read(kind, p.set[kind])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
			if r.Total == 0 {
				continue
			}
			one := picture{Title: fmt.Sprintf("%s: %s", kind.Title(), Value(r.Unit, float64(r.Total))), Open: kind == CPU, Flame: r.Flame()}
			for _, room := range r.Rooms {
				var parts []string
				for _, f := range room.Hottest[:min(hottest, len(room.Hottest))] {
					parts = append(parts, short(f.Name)+" "+share(f.Flat, r.Total))
				}
				one.Rooms = append(one.Rooms, [4]string{share(room.Value, r.Total), Value(r.Unit, float64(room.Value)), room.Name, strings.Join(parts, ", ")})
			}
			s.Pictures = append(s.Pictures, one)
		}
		list = append(list, s)
	}
	return list, nil
}

func render(w io.Writer, name string, data any) error {
	t, err := template.New("").Parse(pageText)
	if err != nil {
		return err
	}
	return t.ExecuteTemplate(w, name, data)
}

// HTML gives the profiles as a part of another page, which has the colours of the page of bench.
func (c *Capture) HTML() (template.HTML, error) {
	list, err := c.sections()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := render(&b, "sections", list); err != nil {
		return "", err
	}
	return template.HTML("<style>" + FlameStyle + "</style>" + b.String()), nil
}

// Page writes the profiles as a page that needs nothing else.
func (c *Capture) Page(w io.Writer) error {
	body, err := c.HTML()
	if err != nil {
		return err
	}
	return render(w, "page", struct {
		Title, Subtitle string
		Body            template.HTML
	}{"Profiles of " + c.Path, fmt.Sprintf("%s · %s", c.Program, c.Started.UTC().Format("2006-01-02 15:04 UTC")), body})
}
